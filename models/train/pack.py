"""Keeps a checkpoint of train.py small enough to live in the repository: the averaged weights as float16, statistics as float32.

usage: pack.py --checkpoint STEP.pt --whitening whitening.npz --out checkpoint.npz [--mix 1.0]

`--mix` below 1 draws the weights towards where training began: a share of the trained ones and the rest of the untrained (see `evaluate.py`).
"""

import argparse
from pathlib import Path

import network
import numpy as np
import torch

KEPT_WHOLE = ("mean", "deviation", "centre", "cells_centre", "cells_matrix")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--whitening", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mix", type=float, default=1.0)
    options = parser.parse_args()
    start = network.Head(dict(np.load(options.whitening))).state_dict()
    kept = torch.load(options.checkpoint, weights_only=True)
    weights = {name: start[name].lerp(kept["average"][name], options.mix).numpy() for name in start}
    matrix_scale = np.abs(weights["matrix"]).max()  # norm 1 follows, so its scale is free: float16 must hold it
    weights["matrix"] = weights["matrix"] / matrix_scale
    halved = {name: value if name in KEPT_WHOLE else value.astype(np.float16) for name, value in weights.items()}
    np.savez_compressed(options.out, **halved)
    print(f"step {kept['step']}, {kept['minutes']:.0f} minutes, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
