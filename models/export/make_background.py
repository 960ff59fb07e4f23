"""Write `background.bin` and its card: what a photo looks like to pictures that nobody registered.

The descriptors are those of pictograms and emoji as registered pictures. A photo whose best windows already resemble
twenty of them is a photo that resembles anything, and its similarities to real assets are worth that much less.
Usage: make_background.py --cache FOLDER --models FOLDER. Deterministic; no brand's mark is in the sets used.
"""

import argparse
import hashlib
import random
from pathlib import Path

import numpy as np
import pictures
from parity import session
from PIL import Image

import licensed
import scenes

SEED = 11
COUNTS = {"maki": 60, "temaki": 80, "healthicons": 80, "ph": 80, "noto": 80, "fluent-emoji-flat": 60}
CARD = """# Background descriptors, read by touchstone. Made by export/make_background.py; sources and licences below.
file = "background.bin"
sha256 = "{sha256}"
model = "lite0-windows"
model_sha256 = "{model}"
count = {count}
windows_dimension = {windows}   # first block of the file: count x windows_dimension int8, rows in the order of [names]
whole_dimension = {whole}    # second block: count x whole_dimension int8; bring each row to norm 1 after reading

[licences]
{licences}

[names]
{names}
"""


def chosen(cache: Path, rng: random.Random) -> list[tuple[licensed.Design, Image.Image]]:
    """The designs with their pictures, set by set; of Phosphor's six weights only the filled one, and none of its logos."""
    found = []
    for source, count in COUNTS.items():
        designs = licensed.designs(cache, (source,))
        if source == "ph":
            designs = [d for d in designs if d.name.endswith("-fill") and "logo" not in d.name]
        drawn = ((design, licensed.render(design)) for design in rng.sample(designs, count))
        found += [(design, mark) for design, mark in drawn if mark]
    return found


def quantised(vectors: list[np.ndarray]) -> np.ndarray:
    """Each row scaled so that its largest number is 127, rounded to int8."""
    rows = np.stack(vectors)
    return np.round(rows / np.abs(rows).max(1, keepdims=True) * 127).astype(np.int8)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    options = parser.parse_args()
    licensed.fetch(options.cache)
    rng = random.Random(SEED)
    model = options.models / "lite0-windows.onnx"
    network, whole_network = session(model), session(options.models / "lite0-gem.onnx")
    side = pictures.REFERENCE_SIDE
    box = np.array([[0, 0, side, side]], np.float32)
    windows, wholes, names = [], [], []
    for design, mark in chosen(options.cache, rng):
        picture = scenes.on_ground(mark, rng)
        pixels = pictures.normalise(pictures.reference(picture))
        windows.append(network.run(["windows"], {"pixels": pixels, "boxes": box})[0][0])
        squashed = pictures.normalise(pictures.resize(picture, side, side))
        wholes.append(whole_network.run(None, {"pixels": squashed})[0][0])
        names.append((design.source, design.name))
    blocks = [quantised(windows), quantised(wholes)]
    file = options.models / "background.bin"
    file.write_bytes(b"".join(block.tobytes() for block in blocks))
    card = CARD.format(
        sha256=digest(file), model=digest(model), count=len(names), windows=blocks[0].shape[1], whole=blocks[1].shape[1],
        licences="\n".join(f'{source} = "{licensed.ICON_SETS[source][1]}"' for source in COUNTS),
        names="\n".join(f"{source} = {[n for s, n in names if s == source]}".replace("'", '"') for source in COUNTS),
    )  # fmt: skip
    (options.models / "background.toml").write_text(card)
    print(f"{len(names)} pictures, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
