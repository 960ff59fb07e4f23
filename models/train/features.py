"""Runs the frozen part of the network (stem to block 3) over the drawn pictures once, and keeps its maps.

usage: features.py --pictures FOLDER --out FOLDER [--wait]

For each shard-KKKK.npz of compose.py writes shard-KKKK-*.npy files: photos `[2 n, 20, 20, 80]` and references `[2 n, 14, 14, 80]`, float16, channels
last; the thing's place in each of those photos, boxes `[2 n, 4]` (x, y, w, h in pixels); and which cells of the references are no ground, shown
`[2 n, 14, 14]` bool. Two photos of a sample follow one another: as it was drawn, and
cut out or shrunk so that the thing has a size at which windows look for it. About 190 kB a sample: 20,000 samples are 3.8 GB.
`--wait` goes on looking for new shards until a file named `done` lies beside them.
"""

import argparse
import sys
import tempfile
import time
import zlib
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

FROZEN = lite0.TRAINED  # blocks; the last one of them has a stride of 16 pixels and 80 channels
SOUGHT = (64.0, 200.0)  # pixels of a thing's long side that windows of 4 and 6 cells look for
ENLARGED = (0.6, 2.8)  # what a photo may be shrunk and blown up by for it


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


def sought(photo: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A part of a photo, or all of it made smaller, in which the thing has a size that is looked for, and its new box.

    It is what a level of the pyramid shows of a larger photo: a small thing soft and large, with its nearest surroundings. Beyond the border the
    edge is repeated, as under windows that reach over it.
    """
    side = photo.shape[0]
    x, y, w, h = (float(v) for v in box)
    factor = float(np.clip(np.exp(rng.uniform(*np.log(SOUGHT))) / max(w, h), *ENLARGED))
    seen = side / factor  # pixels of the photo that the new one shows

    def corner(start: float, extent: float) -> float:
        """Where the new photo begins: all of the thing in it, and as little beyond the border as can be."""
        low, high = start + extent - seen, start  # it is never larger than what is seen
        inside_low, inside_high = sorted((0.0, side - seen))
        low, high = max(low, min(inside_low, high)), min(high, max(inside_high, low))
        return float(rng.uniform(low, high))

    left, top = corner(x, w), corner(y, h)
    move = np.float32([[factor, 0, (0.5 - left) * factor - 0.5], [0, factor, (0.5 - top) * factor - 0.5]])
    small = factor < 0.8
    drawn = cv2.warpAffine(cv2.GaussianBlur(photo, (0, 0), 0.35 / factor) if small else photo, move, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return drawn, np.array([(x - left) * factor, (y - top) * factor, w * factor, h * factor], np.float32)


def maps(frozen: onnxruntime.InferenceSession, picture: np.ndarray) -> np.ndarray:
    """A uint8 picture, sides whole multiples of 32, to `[h / 16, w / 16, 80]` float16."""
    return frozen.run(None, {"pixels": pictures.normalise(picture)})[0][0].transpose(1, 2, 0).astype(np.float16)


def shard(path: Path) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """The photos of a shard in twos and the things' boxes in them; references as the network gets them, in twos."""
    kept = np.load(path)
    ends = kept["ends"]
    blobs = np.split(kept["bytes"], ends[:-1])
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    photos, boxes = [], []
    for blob, box in zip(blobs[0::3], kept["boxes"], strict=True):
        photo = decode(blob)
        first = (photo, box) if max(box[2:]) <= SOUGHT[1] else sought(photo, box, rng)
        for picture, place in (first, sought(photo, box, rng)):
            photos.append(picture)
            boxes.append(place)
    references = [pictures.reference(decode(b)) for pair in zip(blobs[1::3], blobs[2::3], strict=True) for b in pair]
    return photos, np.stack(boxes), references


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
            photos, boxes, references = shard(path)
            np.save(options.out / f"{path.stem}-boxes.npy", boxes)
            np.save(options.out / f"{path.stem}-shown.npy", np.stack([pictures.shown_cells(p) for p in references]))
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
