"""Runs the frozen part of the network (stem to block 4) over the drawn pictures once, and keeps its maps.

usage: features.py --pictures FOLDER --out FOLDER [--wait]

For each shard-KKKK.npz of compose.py writes shard-KKKK.npy files of float16: photos `[n, 20, 20, 112]` and references `[2 n, 14, 14, 112]`, channels last.
About 130 kB a sample: 20,000 samples are 3.6 GB. `--wait` goes on looking for new shards until a file named `done` lies beside them.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "export"))

import export  # noqa: E402  (after the path is set)
import lite0  # noqa: E402
import pictures  # noqa: E402

FROZEN = 5  # blocks; the last one of them has a stride of 16 pixels and 112 channels


def frozen_part() -> onnxruntime.InferenceSession:
    """The stem and the first blocks through ONNX Runtime, which takes half the time of torch on a CPU."""
    network = lite0.load()
    export.fixed_padding(network)
    part = torch.nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:FROZEN])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    axes = {0: "pictures", 2: "height", 3: "width"}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frozen.onnx"
        export.write(part, {"pixels": torch.rand(1, 3, 224, 224)}, ["maps"], {"pixels": axes, "maps": axes}, file)
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def decode(blob: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(cv2.imdecode(blob, cv2.IMREAD_COLOR)[..., ::-1])


def maps(frozen: onnxruntime.InferenceSession, picture: np.ndarray) -> np.ndarray:
    """A uint8 picture, sides whole multiples of 32, to `[h / 16, w / 16, 112]` float16."""
    return frozen.run(None, {"pixels": pictures.normalise(picture)})[0][0].transpose(1, 2, 0).astype(np.float16)


def shard(path: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The photos and references of a shard; references as the network gets them, in twos."""
    kept = np.load(path)
    ends = kept["ends"]
    blobs = np.split(kept["bytes"], ends[:-1])
    photos = [decode(b) for b in blobs[0::3]]
    references = [pictures.reference(decode(b)) for pair in zip(blobs[1::3], blobs[2::3], strict=True) for b in pair]
    return photos, references


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0, help="only every `step`-th shard from this one on, to share the work")
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--wait", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    frozen = frozen_part()
    while True:
        todo = [p for p in sorted(options.pictures.glob("shard-*.npz"))[options.first :: options.step] if not (options.out / f"{p.stem}-photos.npy").exists()]
        for path in todo:
            begun = time.monotonic()
            photos, references = shard(path)
            np.save(options.out / f"{path.stem}-references.npy", np.stack([maps(frozen, p) for p in references]))
            partial = options.out / f"{path.stem}-photos.part.npy"
            np.save(partial, np.stack([maps(frozen, p) for p in photos]))
            partial.rename(options.out / f"{path.stem}-photos.npy")
            print(f"{path.stem} {time.monotonic() - begun:.0f} s", flush=True)
        if not todo and (not options.wait or (options.pictures / "done").exists()):
            return
        if not todo:
            time.sleep(5)


if __name__ == "__main__":
    main()
