"""Write the parity files: what these models give for fixtures, in Python, for the Rust tests to agree with (cosine 0.999).

Usage: parity.py --models FOLDER --out FOLDER PICTURE... ; `picture` in each file is the fixture's file name.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import onnxruntime
import pictures

WINDOWS = 3
CELLS = 4
DIGITS = 6


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), DIGITS) for v in values]


def describe(path: Path, gem: onnxruntime.InferenceSession, windows: onnxruntime.InferenceSession) -> dict:
    """Whole-picture vector, the picture as a reference, and three windows of the second level of its pyramid."""
    picture = pictures.read(path)
    side = pictures.REFERENCE_SIDE
    whole = gem.run(None, {"pixels": pictures.normalise(pictures.resize(picture, side, side))})[0][0]
    box = np.array([[0, 0, side, side]], np.float32)
    laid_out = pictures.reference(picture)
    (registered,), (cells,) = windows.run(["windows", "cells"], {"pixels": pictures.normalise(laid_out), "boxes": box})
    shown = pictures.shown_cells(laid_out)
    places = sorted(random.Random(path.name).sample([(int(r), int(c)) for r, c in np.argwhere(shown)], CELLS))
    first_side, side_of_level, *_ = pictures.pyramid(picture)
    smaller, level = pictures.level(picture, first_side), pictures.level(picture, side_of_level)
    boxes = pictures.windows(level.shape[1], level.shape[0])
    chosen = sorted(random.Random(path.name).sample(range(len(boxes)), WINDOWS))
    found = windows.run(["windows"], {"pixels": pictures.normalise(level), "boxes": np.array([boxes[i] for i in chosen], np.float32)})[0]
    return {
        "picture": path.name,
        "content_box": pictures.content_box(picture),
        "gem": rounded(whole),
        "reference": rounded(registered),
        "cells": {"n_shown": int(shown.sum()), "chosen": [{"column": c, "row": r, "descriptor": rounded(cells[r, c])} for r, c in places]},
        "level": {
            "long": side_of_level, "width": level.shape[1], "height": level.shape[0], "windows": len(boxes), "first": len(pictures.windows(smaller.shape[1], smaller.shape[0])),
            "chosen": [{"index": i, "box": boxes[i], "descriptor": rounded(v)} for i, v in zip(chosen, found)],
        },
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("pictures", type=Path, nargs="+")
    options = parser.parse_args()
    models = [session(options.models / f"lite0-{name}.onnx") for name in ("gem", "windows")]
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.pictures:
        (options.out / f"{path.stem}.json").write_text(json.dumps(describe(path, *models)) + "\n")


if __name__ == "__main__":
    main()
