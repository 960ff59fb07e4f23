"""touchstone beside the Python way: PIL, onnxruntime and numpy with the same network and the same photos.

    compare.py embed    file -> vectors of the photo and its windows, one thread each
    compare.py scan     file -> verdict: touchstone with the stages that the Python way has, and with all

Prints a table, then one line of JSON with the names that scripts rely on.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "models" / "export"))

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
import pictures  # noqa: E402  the picture rules of the model card

TOUCHSTONE = ROOT / "target" / "release" / "touchstone"
FIXTURES = ROOT / "fixtures"
ROUNDS = 3


class Networks(NamedTuple):
    """The two that touchstone runs: one for windows, one for whole pictures."""

    windows: ort.InferenceSession
    whole: ort.InferenceSession


def networks() -> Networks:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    paths = (ROOT / "models" / f"lite0-{name}.onnx" for name in ("windows", "gem"))
    return Networks(*(ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths))


def describe_photo(net: Networks, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of all windows and of the whole photo, as touchstone makes them."""
    picture = pictures.read(path)
    vectors = []
    for side in pictures.pyramid(picture):
        level = pictures.level(picture, side)
        boxes = np.array(pictures.windows(level.shape[1], level.shape[0]), np.float32)
        vectors.append(net.windows.run(["windows"], {"pixels": pictures.normalise(level), "boxes": boxes})[0])
    return np.concatenate(vectors), describe_whole(net, picture)


def describe_whole(net: Networks, picture: np.ndarray) -> np.ndarray:
    squashed = pictures.normalise(pictures.resize(picture, 224, 224))
    return net.whole.run(None, {"pixels": squashed})[0][0]


def describe_reference(net: Networks, path: Path) -> np.ndarray:
    square = pictures.normalise(pictures.reference(pictures.read(path)))
    return net.windows.run(["windows"], {"pixels": square, "boxes": np.array([[0, 0, 224, 224]], np.float32)})[0][0]


def rows(name: str) -> list[dict[str, str]]:
    with open(FIXTURES / name, newline="") as file:
        return list(csv.DictReader(file))


def readable(path: Path) -> bool:
    """PIL reads no SVG."""
    return path.suffix != ".svg"


def photos() -> list[Path]:
    return [FIXTURES / row["path"] for row in rows("photos.csv")]


def python_scan() -> float:
    """Photos a second, one thread: file -> vectors -> best reference."""
    net = networks()
    references = [FIXTURES / row["path"] for row in rows("assets.csv")]
    matrix = np.stack([describe_reference(net, path) for path in references if readable(path)])
    started = time.perf_counter()
    for path in photos():
        windows, _ = describe_photo(net, path)
        (windows @ matrix.T).max(0).argmax()
    return len(photos()) / (time.perf_counter() - started)


def python_embed() -> float:
    """Milliseconds a photo, one thread."""
    net = networks()
    describe_photo(net, photos()[0])
    started = time.perf_counter()
    for path in photos():
        describe_photo(net, path)
    return 1e3 * (time.perf_counter() - started) / len(photos())


def touchstone_scan(home: str, threads: int, *flags: str) -> tuple[float, dict]:
    """Photos a second over the whole run, and mean milliseconds by stage; loading is not counted, as for Python."""
    list_file = Path(home) / "photos.csv"
    with open(list_file, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path"])
        writer.writerows([[path] for path in photos()])
    out = Path(home) / "out.jsonl"
    subprocess.run(
        [TOUCHSTONE, "--quiet", "--home", home, "--threads", str(threads), *flags, "scan", list_file, "--out", out],
        check=True, stderr=subprocess.DEVNULL, cwd=ROOT,
    )
    lines = [json.loads(line) for line in open(out)]
    stages: dict[str, float] = {}
    for line in lines:
        for stage, ms in (line["timings_ms"] or {}).items():
            stages[stage] = stages.get(stage, 0.0) + ms / len(lines)
    return threads * 1e3 / sum(stages.values()), stages


def register(home: str) -> None:
    subprocess.run([TOUCHSTONE, "--quiet", "--home", home, "register", FIXTURES / "assets.csv"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def embed() -> None:
    with tempfile.TemporaryDirectory() as home:
        register(home)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            _, stages = touchstone_scan(home, 1, "--stages", "whole,windows")
            ours.append(stages["prepare"] + stages["embed"])
            theirs.append(python_embed())
    print(f"{'file -> vectors, one thread':<40}{'ms a photo':>12}")
    print(f"{'touchstone':<40}{median(ours):>12.1f}")
    print(f"{'PIL + onnxruntime, same network':<40}{median(theirs):>12.1f}")
    print(json.dumps({"ratio_python": round(median(theirs) / median(ours), 3), "ms_per_photo": round(median(ours), 2)}))


def scan() -> None:
    like = ("--stages", "whole,windows")
    with tempfile.TemporaryDirectory() as home:
        register(home)
        python, one, two, full, full_two = [], [], [], [], []
        for _ in range(ROUNDS):
            python.append(python_scan())
            one.append(touchstone_scan(home, 1, *like)[0])
            two.append(touchstone_scan(home, 2, *like)[0])
            full.append(touchstone_scan(home, 1)[0])
            full_two.append(touchstone_scan(home, 2)[0])
    print(f"{'file -> verdict':<46}{'photos a second':>16}")
    for name, values in [
        ("PIL + onnxruntime + numpy, one thread", python),
        ("touchstone, vectors only, one thread", one),
        ("touchstone, vectors only, two threads", two),
        ("touchstone, all stages, one thread", full),
        ("touchstone, all stages, two threads", full_two),
    ]:
        print(f"{name:<46}{median(values):>16.2f}")
    print(json.dumps({
        "ratio_python": round(median(one) / median(python), 3),
        "cores_ratio": round(median(full_two) / median(full), 3),
        "core_hours_per_million": round(1e6 / median(full) / 3600, 1),
    }))


if __name__ == "__main__":
    {"embed": embed, "scan": scan}[sys.argv[1]]()
