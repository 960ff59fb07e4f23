"""Draws the training pictures: a made-up photo with one known thing on it, and two registered pictures of that thing.

usage: compose.py --sources FOLDER --out FOLDER --shards N [--first K] [--seed S]

Writes shard-KKKK.npz, each of 250 samples: JPEG bytes of photo (320 x 320) and references (as registered, long side at most 480), the thing's box in
the photo and its identity. Things are marks (7 of 10), packs (2) and whole pictures that a photo copies (1). A finished shard is kept, so several
processes may share a folder when each is given its own range. The drawing is that of `../calibration`; the brands there and here have no member in common.
"""

import argparse
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import resvg_py

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "calibration"), str(HERE.parents[1] / "fixtures")]

import copies  # noqa: E402  (after the path is set)
import make_set  # noqa: E402
import marks  # noqa: E402
import material  # noqa: E402
import packs  # noqa: E402
import render  # noqa: E402
import scenes  # noqa: E402
from sources import Sources, Typeface  # noqa: E402

SIDE = 320  # pixels of a photo: ten cells of the last map
SAMPLES = 250
LEAST_MARK = 16  # pixels of its shorter side: less cannot be told apart at this size, nor when it is blown up
marks.SIDE = 240  # pixels of a mark's long side: photos here are half the size of those of the calibration set
PICTOGRAMS = 2  # one pictogram or emoji for so many brands
CROWD = 14  # packs that stand behind others
ALIKE = 0.45  # agreement of shape from which two versions of a mark may stand for each other


class Sample(NamedTuple):
    """A photo `[320, 320, 3]` and two references, float32 RGB 0..1; `box` is x, y, w, h in the photo's pixels."""

    photo: np.ndarray
    quality: int
    references: tuple[np.ndarray, np.ndarray]
    box: tuple[float, float, float, float]
    identity: int
    kind: str


class Drawn(Sequence):
    """A sequence that makes its members when asked for them and keeps the last `kept`."""

    def __init__(self, count: int, make: Callable[[int], object], kept: int):
        self.count, self.make, self.kept, self.made = count, make, kept, {}

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        if index not in self.made:
            if len(self.made) >= self.kept:
                self.made.pop(next(iter(self.made)))
            self.made[index] = self.make(index)
        return self.made[index]


class SquareStage(scenes.Stage):
    """A stage whose photos are all squares of `SIDE` pixels."""

    def size(self) -> tuple[int, int]:
        return SIDE, SIDE


class Composer:
    """Everything a sample is made from; one generator of random numbers for each shard."""

    def __init__(self, folder: Path):
        paths = material.backgrounds(folder)
        photos = Drawn(len(paths), lambda i: scenes_photo(paths[i]), 700)
        designs = material.designs(folder)
        pictograms = [d.svg for d in designs if d.source in material.EMOJI_SETS][:400]
        cut_outs = material.objects(folder)
        objects = Drawn(len(cut_outs), lambda i: cut_out(cut_outs[i]), 300)
        self.sources = Sources({}, pictograms, material.fonts(folder), photos, [], objects, objects)
        self.type = Typeface(self.sources.fonts)
        self.brands: dict[str, list] = {}
        for design in designs:
            self.brands.setdefault(design.brand, []).append(design)
        marked = [name for name in self.brands if ":" not in name or name.startswith("token:")]
        others = np.random.default_rng(0).permutation(sorted(set(self.brands) - set(marked)))[: len(marked) // PICTOGRAMS]
        self.names = sorted([*marked, *others])
        self.stage, self.crowd = None, []

    def begin(self, seed: int) -> None:
        self.stage = SquareStage(self.sources, self.type, np.random.default_rng(seed))

    def sample(self, name: str) -> Sample | None:
        """One sample, of the brand `name` when it is a mark; nothing when the dice were bad."""
        kind = self.stage.rng.random()
        if kind < 0.7:
            return self.mark_sample(name)
        return self.pack_sample() if kind < 0.9 else self.copy_sample()

    def versions(self, name: str) -> list[np.ndarray]:
        """Up to four drawings of a brand's mark that look alike, from several sets where there are."""
        designs = list(self.brands[name])
        self.stage.rng.shuffle(designs)
        found = [mark for design in designs[:4] if (mark := drawn(design)) is not None]
        if not found:
            return []
        shape = marks.shape_vector(found[0])
        return found[:1] + [mark for mark in found[1:] if abs(float(shape @ marks.shape_vector(mark))) > ALIKE][:3]

    def mark_of(self, name: str) -> tuple[list[np.ndarray], str]:
        """Versions of a mark: a design (two of three), a word, or both locked up; and what names it."""
        stage, rng = self.stage, self.stage.rng
        pick = rng.random()
        symbols = self.versions(name) if pick < 0.85 else []
        if pick < 0.68:
            return symbols, name
        text = marks.invent(rng, 10)
        text = text.upper() if rng.random() < 0.4 else text
        symbol = symbols[0] if symbols else None
        if pick < 0.85 and symbol is None:
            return [], name
        gap, ink = float(rng.choice([0, 0, 6])), marks.vivid(rng) * 0.8
        make = make_set.word_maker(stage, text, int(rng.integers(10_000)), symbol, rng.random() < 0.6, gap, ink)
        return [mark for mark in (make(text), make(text, marks.vivid(rng) * 0.8)) if mark is not None], f"{text} {name if symbols else ''}"

    def mark_sample(self, name: str) -> Sample | None:
        rng = self.stage.rng
        versions, called = self.mark_of(name)
        if not versions:
            return None
        shown = versions[int(rng.integers(len(versions)))]
        worn, _ = marks.look(shown, rng)
        picture, mask, _ = make_set.with_mark(self.stage, worn)
        if render.box_of(mask) is None:
            return None
        picture = scenes.distract(self.stage, picture, mask, self.other_mark, int(rng.choice([0, 1, 2, 3])))
        picture, mask = scenes.things_before(self.stage, picture, mask, int(rng.choice([0, 0, 0, 1])))
        picture, quality = scenes.shoot(picture, rng)
        box = make_set.shows(picture, mask)
        references = tuple(marks.registered_picture(versions[i % len(versions)], rng) for i in rng.permutation(max(2, len(versions)))[:2])
        return self.finished(picture, quality, references, box, called, "mark")

    def other_mark(self) -> np.ndarray:
        while True:
            designs = self.brands[self.names[int(self.stage.rng.integers(len(self.names)))]]
            mark = drawn(designs[int(self.stage.rng.integers(len(designs)))])
            if mark is not None:
                return mark

    def pack_sample(self) -> Sample | None:
        rng = self.stage.rng
        pack = packs.design(self.stage)
        if len(self.crowd) < CROWD or rng.random() < 0.2:
            self.crowd = self.crowd[-CROWD + 1 :] + [packs.view(self.stage, packs.design(self.stage), float(rng.uniform(-0.3, 0.3)), 0.1, rng)]
        crowd = self.crowd + [packs.view(self.stage, packs.variant(pack, rng), 0.1, 0.1, rng)] * 3
        picture, mask = packs.photo_of(self.stage, pack, crowd)
        picture, quality = scenes.shoot(picture, rng)
        references = (packs.registered_picture(self.stage, pack), packs.registered_picture(self.stage, pack))
        called = f"{pack['seed']} {pack['flavour']} {pack['picture']}"
        return self.finished(picture, quality, references, render.box_of(mask), called, "pack")

    def copy_sample(self) -> Sample | None:
        rng = self.stage.rng
        which = int(rng.integers(len(self.sources.photos)))
        own = scenes.crop_of(self.sources.photos[which], rng, int(rng.integers(300, 480)), int(rng.integers(300, 480)), 0.3)
        if rng.random() < 0.4:
            recipe = {"good": str(rng.choice(sorted(make_set.goods.GOODS))), "seed": int(rng.integers(1 << 30)), "colour": marks.vivid(rng)}
            own = make_set.good_picture(self.stage, recipe, self.other_mark())
        picture, box = copies.edited(self.stage, own, copies.chain(rng))
        height, width = picture.shape[:2]
        x, y, w, h = box or (0, 0, width, height)
        scale = SIDE / max(height, width)
        left, top = (SIDE - width * scale) / 2, (SIDE - height * scale) / 2
        square = np.ones((SIDE, SIDE, 3), np.float32) * picture[0, 0]
        small = render.fit(picture, SIDE)
        square[int(top) : int(top) + small.shape[0], int(left) : int(left) + small.shape[1]] = small
        placed = (left + x * scale, top + y * scale, w * scale, h * scale)
        return self.finished(square, int(rng.choice([40, 60, 85])), (own, own), placed, f"copy {rng.integers(1 << 60)}", "copy")

    @staticmethod
    def finished(photo, quality, references, box, called: str, kind: str) -> Sample | None:
        if box is None or min(box[2:]) < LEAST_MARK or photo.shape != (SIDE, SIDE, 3):
            return None
        identity = zlib.crc32(called.encode())
        return Sample(photo, quality, tuple(render.fit(p, 480) if max(p.shape[:2]) > 480 else p for p in references), tuple(map(float, box)), identity, kind)


def drawn(design) -> np.ndarray | None:
    """A design as a mark, or nothing when it cannot be drawn or there is nothing to recognise."""
    try:
        png = bytes(resvg_py.svg_to_bytes(svg_string=design.svg, width=marks.SIDE, skip_system_fonts=True))
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
        mark = render.fit(render.trim(picture[..., [2, 1, 0, 3]]), marks.SIDE)
    except (ValueError, cv2.error):
        return None
    return mark if marks.usable(mark) else None


def cut_out(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]]


def scenes_photo(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    eight = np.round(np.clip(picture, 0, 1)[..., ::-1] * 255).astype(np.uint8)
    return cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].ravel()


def write_shard(composer: Composer, index: int, seed: int, path: Path) -> None:
    """Draw `SAMPLES` samples; the names go round so that every brand has its turn."""
    composer.begin(seed * 1_000_003 + index)
    order = np.random.default_rng(seed).permutation(len(composer.names))
    rows, at = [], index * SAMPLES
    while len(rows) < SAMPLES:
        sample = composer.sample(composer.names[order[at % len(order)]])
        at += 1
        if sample is not None:
            rows.append(sample)
    blobs = [b for s in rows for b in (jpeg(s.photo, s.quality), jpeg(s.references[0], 92), jpeg(s.references[1], 92))]
    partial = path.with_suffix(".part")
    with partial.open("wb") as out:
        np.savez(
            out, bytes=np.concatenate(blobs), ends=np.cumsum([len(b) for b in blobs]), boxes=np.array([s.box for s in rows], np.float32),
            identities=np.array([s.identity for s in rows], np.int64), kinds=np.array([s.kind for s in rows]),
        )  # fmt: skip
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    composer = Composer(options.sources)
    print(f"{len(composer.names)} identities, {len(composer.sources.photos)} photos, {len(composer.sources.fonts)} fonts", flush=True)
    for index in range(options.first, options.first + options.shards):
        path = options.out / f"shard-{index:04d}.npz"
        if not path.exists():
            begun = time.monotonic()
            write_shard(composer, index, options.seed, path)
            print(f"{path.name} {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
