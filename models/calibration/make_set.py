"""Builds the calibration set: three labelled sub-sets on which the judge is fitted and measured, and on request a fourth to measure on.

usage: python make_set.py --sources FOLDER --out FOLDER [--real-photos FOLDER] [--seed N] [--only logos|products|copies|large]

FOLDER of sources: what fetch_sources.sh laid out. Each sub-set gets assets.csv, photos.csv, assets/ and photos/ in the format of
`touchstone eval`. The same seed gives the same set. Nothing in it is shipped: it is built where it is needed.
"""
import argparse
import csv
import dataclasses
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "fixtures"))

import copies  # noqa: E402  (after the path is set)
import goods  # noqa: E402
import marks as m  # noqa: E402
import packs  # noqa: E402
import render as r  # noqa: E402
import scenes  # noqa: E402
import sources  # noqa: E402
from brands import is_reserved  # noqa: E402

ASSET_COLUMNS = ["path", "brand", "asset", "kind", "word_marks"]
PHOTO_COLUMNS = ["path", "brand", "asset", "kind", "x", "y", "w", "h", "note"]
MENTIONED = .12  # share of photos in which the name of a brand is written that the photo does not show
VISIBLE = .07  # least difference in colour (0..1) between a mark and what surrounds it: an invisible one has no right answer


class Writer:
    """One sub-set on disk."""

    def __init__(self, folder):
        self.folder, self.assets, self.photos = Path(folder), [], []
        for name in ("assets", "photos"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            for old in (self.folder / name).iterdir():
                old.unlink()

    def asset(self, picture, brand, asset, kind, words=()):
        path = f"assets/a{len(self.assets):03d}.jpg"
        r.save_jpeg(picture, self.folder / path, 92)
        self.assets.append({"path": path, "brand": brand, "asset": asset, "kind": kind, "word_marks": "|".join(words)})

    def photo(self, picture, quality, brand="", asset="", kind="", box=None, note=""):
        path = f"photos/p{len(self.photos):03d}.jpg"
        r.save_jpeg(picture, self.folder / path, quality)
        x, y, w, h = box or ("", "", "", "")
        self.photos.append({"path": path, "brand": brand, "asset": asset, "kind": kind, "x": x, "y": y, "w": w, "h": h, "note": note})

    def close(self):
        for name, columns, rows in (("assets", ASSET_COLUMNS, self.assets), ("photos", PHOTO_COLUMNS, self.photos)):
            with open(self.folder / f"{name}.csv", "w", newline="", encoding="utf-8") as out:
                writer = csv.DictWriter(out, columns, lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


def drawn(design):
    """A design as a mark, or None when it cannot be drawn or is not worth registering."""
    try:
        mark = r.rasterise(design.svg, m.SIDE)
    except (ValueError, cv2.error):  # drawn empty, or not at all
        return None
    return mark if m.usable(mark) else None


class Catalogue:
    """The marks of the logo sub-set: brands with several versions, single ones, words and lock-ups, and unregistered ones.

    No two brands in it have the same mark: icon sets know some brands under several names.
    """

    def __init__(self, stage, n_seen, n_single, n_words):
        rng = stage.rng
        names = list(stage.sources.brands)
        rng.shuffle(names)
        names.sort(key=lambda name: not is_reserved(name))  # the network never saw the reserved ones: photos show no other
        self.seen, self.single, self.others, self.known = {}, {}, [], []
        for name in names:
            designs = stage.sources.brands[name]
            if len(self.seen) < n_seen and is_reserved(name) and len({d.source for d in designs}) >= 2:
                versions = alike_versions(designs)
                if len(versions) >= 2 and self.is_new(name, versions[0]):
                    self.seen[name] = {"versions": versions, "words": [name], "text": None}
                    self.known += [(name, m.shape_vector(v)) for v in versions]
            elif len(self.single) < n_single and len(designs) == 1:
                mark = drawn(designs[0])
                if mark is not None and self.is_new(name, mark):
                    self.single[name] = mark
                    self.known.append((name, m.shape_vector(mark)))
            elif len(self.others) < 700:
                self.others.append((name, designs[int(rng.integers(len(designs)))]))
        self.cache = {}
        self.words(stage, n_words)

    def is_new(self, name, mark):
        """False for a mark that is registered already: nearly the same shape, or alike and named alike."""
        shape = m.shape_vector(mark)
        for other, known in self.known:
            agreement = abs(float(shape @ known))
            if agreement > .9 or (agreement > .55 and (name[:3] == other[:3] or other in name or name in other)):
                return False
        return True

    def words(self, stage, count):
        """Invented word marks and lock-ups, each with other renderings of the same mark as its versions."""
        rng = stage.rng
        for i in range(count):
            text = m.invent(rng, 10)
            text = text.upper() if rng.random() < .4 else text
            symbol = None
            if i % 2:
                symbol, shape = self.other(rng)
                self.known.append((text.lower(), shape))
                self.cache.clear()
            make = word_maker(stage, text, int(rng.integers(400)), symbol, rng.random() < .6, float(rng.choice([0, 0, 6])), m.vivid(rng) * .8)
            entry = {"versions": [make(text), make(text, m.vivid(rng) * .8)], "words": [text], "text": make, "symbol": symbol}
            if i < 14:
                self.seen[text.lower()] = entry
            else:
                self.single[text.lower()] = entry["versions"][0]

    def other(self, rng):
        """A mark of somebody who registered nothing, and its shape vector."""
        while True:
            index = int(rng.integers(len(self.others)))
            if index not in self.cache:
                name, design = self.others[index]
                mark = drawn(design)
                self.cache[index] = (mark, m.shape_vector(mark)) if mark is not None and self.is_new(name, mark) else None
            if self.cache[index] is not None:
                return self.cache[index]

    def lookalike(self, mark, rng, tries=160):
        """Of a sample of unregistered marks the one whose shape is closest."""
        shape = m.shape_vector(mark)
        return max((self.other(rng) for _ in range(tries)), key=lambda other: float(shape @ other[1]))[0]


def word_maker(stage, text, font, symbol, sideways, gap, ink):
    """A function that sets a word (and its symbol) the way this brand does."""
    def make(word, colour=None):
        rng = np.random.default_rng(len(text))
        mark = m.word_mark(word, stage.type.at(font, 110), rng, ink if colour is None else colour, gap)
        return m.lockup(symbol, mark, rng, sideways) if symbol is not None else mark
    return make


def alike_versions(designs, least=.45):
    """Drawings of one brand from different sets that a person would call the same mark; the first is the clearest coloured one."""
    marks = [(d, mark) for d in designs if (mark := drawn(d)) is not None]
    if not marks:
        return []
    first, rest = marks[0], marks[1:]
    shape, kept = m.shape_vector(first[1]), [first[1]]
    for design, mark in rest:
        agreement = abs(float(shape @ m.shape_vector(mark)))
        if design.source != first[0].source and agreement > least:
            kept.append(mark)
    return kept[:4]


def register_logos(out, catalogue, rng):
    """Pictures of all registered marks: one or two of a brand that photos show, one of the others."""
    for name, entry in catalogue.seen.items():
        count = 2 if rng.random() < .35 else 1
        for mark in entry["versions"][:count]:
            out.asset(m.registered_picture(mark, rng), name, name, "logo", entry["words"])
    for name, mark in catalogue.single.items():
        out.asset(m.registered_picture(mark, rng), name, name, "logo", [name])


def with_mark(stage, mark):
    """A photo of a place that bears the mark; returns picture, mask, the kind of place."""
    rng = stage.rng
    kind = rng.random()
    if kind < .28:
        return (*scenes.on_photo(stage, mark), "print")
    if kind < .52:
        return (*scenes.on_good(stage, mark), "good")
    if kind < .76:
        return (*scenes.panel(stage, mark), "sign")
    if kind < .9:
        pack = packs.design(stage)
        pack["mark"] = mark
        sprite = r.tilt(packs.view(stage, pack, float(rng.uniform(-.5, .5)), float(rng.uniform(.02, .3)), rng), rng, float(rng.normal(0, 10)), .04)
        return (*scenes.stand(stage, sprite, .15, .8), "pack")
    return (*scenes.on_photo(stage, mark, .2, .6), "close")


def shows(picture, mask):
    """The box of a mark that a person could see on the picture, or None.

    It is seen when it differs from its surroundings, or holds more contrast than they do.
    """
    box = r.box_of(mask)
    if box is None or min(box[2:]) < 13 or (mask > .3).sum() < 120:
        return None
    inside = mask > .5
    wide = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    if not inside.any() or not (wide & ~inside).any():
        return None
    within, around = picture[inside], picture[wide & ~inside]
    apart = float(np.abs(within.mean(0) - around.mean(0)).max())
    rough, calm = float(within.std(0).max()), float(around.std(0).max())
    return box if apart > VISIBLE or (rough > .1 and rough > 1.3 * calm) else None


class Mentions:
    """Names of registered brands in ordinary type on photos that are not theirs: who is only named does not sell here.

    Draws from numbers of its own: with and without it the photos are otherwise the same.
    """

    def __init__(self, stage, seed, names):
        self.stage = scenes.Stage(stage.sources, stage.type, np.random.default_rng(seed))
        self.names = names

    def write(self, picture, mask, shown=None):
        """Now and then writes a name other than `shown` beside what `mask` covers; returns the picture and the name, or None."""
        rng = self.stage.rng
        others = [name for name in self.names if name != shown]
        name = others[int(rng.integers(len(others)))]
        if rng.random() >= MENTIONED:
            return picture, None
        ink = np.full(3, rng.choice([.05, .15, .95])) if rng.random() < .6 else m.vivid(rng)
        word = m.word_mark(str(rng.choice([name, name.upper(), name.title()])), self.stage.font(96), rng, ink, 0)
        if word is None:
            return picture, None
        sprite = scenes.turned(r.sprite_of(word, False), rng, .5)
        sprite = r.fit(sprite, scenes.size_for(sprite, *picture.shape[:2], rng, .006, .1))
        y, x = scenes.calm_place(picture, *sprite.shape[:2], rng)
        if mask is not None and (mask[max(0, y):max(0, y + sprite.shape[0]), max(0, x):max(0, x + sprite.shape[1])] > .3).any():
            return picture, None
        return scenes.print_on(picture, sprite, y, x, rng)[0], name


def logo_photo(stage, mark, catalogue, mentions, name):
    """A finished photo with the mark: (picture, quality, box, note). Tries again until the mark can be seen."""
    rng = stage.rng
    for _ in range(20):
        worn, look = m.look(mark, rng)
        picture, mask, place = with_mark(stage, worn)
        if r.box_of(mask) is None:
            continue
        picture = scenes.distract(stage, picture, mask, lambda: catalogue.other(rng)[0], int(rng.choice([0, 0, 1, 2, 3])))
        picture, mentioned = mentions.write(picture, mask, name)
        picture, mask = scenes.things_before(stage, picture, mask, int(rng.choice([0, 0, 0, 1, 2])))
        picture, quality = scenes.shoot(picture, rng)
        box = shows(picture, mask)
        if box:
            return picture, quality, box, f"{place}, {look}" + (f", names {mentioned}" if mentioned else "")
    raise RuntimeError("no visible placement in 20 tries")


def empty_photo(stage, catalogue, kind, mentions):
    """A photo with nothing registered: (picture, quality, note)."""
    rng = stage.rng
    if kind == "plain":
        picture = scenes.any_photo(stage, *stage.size(), .5)
        if rng.random() < .5:
            picture, _ = scenes.things_before(stage, picture, None, int(rng.integers(1, 3)))
    elif kind == "words":
        picture, _ = scenes.panel(stage, None)
    else:
        target = list(catalogue.seen.values())[int(rng.integers(len(catalogue.seen)))]["versions"][0]
        mark = catalogue.lookalike(target, rng) if kind == "look-alike" else catalogue.other(rng)[0]
        picture, _, _ = with_mark(stage, m.look(mark, rng)[0])
    picture = scenes.distract(stage, picture, None, lambda: catalogue.other(rng)[0], int(rng.choice([0, 1, 2])) if kind != "plain" else 0)
    picture, mentioned = mentions.write(picture, None)
    return (*scenes.shoot(picture, rng), kind + (f", names {mentioned}" if mentioned else ""))


def build_logos(stage, out, seed, n_photos=250, n_altered=40, n_empty=270):
    """Marks in photos."""
    rng = stage.rng
    catalogue = Catalogue(stage, 28, 205, 64)
    register_logos(out, catalogue, rng)
    names = list(catalogue.seen)
    mentions = Mentions(stage, [*seed, 1], [entry["words"][0] for entry in catalogue.seen.values()])
    for i in range(n_photos):
        name = names[i % len(names)]
        versions = catalogue.seen[name]["versions"]
        version = 0 if rng.random() < .5 else int(rng.integers(1, len(versions)))
        picture, quality, box, note = logo_photo(stage, versions[version], catalogue, mentions, name)
        out.photo(picture, quality, name, name, "logo", box, f"{note}, version {version}")
    for i in range(n_altered):
        name = names[int(rng.integers(len(names)))]
        entry = catalogue.seen[name]
        if entry["text"] and rng.random() < .8:
            word = m.misspell(entry["words"][0], rng)
            mark, how = entry["text"](word, m.vivid(rng) * .8 if rng.random() < .5 else None), f"spelt {word}"
        else:
            mark, how = m.altered(entry["versions"][0], rng)
        picture, quality, box, note = logo_photo(stage, mark, catalogue, mentions, name)
        out.photo(picture, quality, name, name, "altered", box, f"{how}, {note}")
    kinds = ["plain"] * 6 + ["other mark"] * 6 + ["look-alike"] * 4 + ["words"] * 2
    for i in range(n_empty):
        kind = kinds[i % len(kinds)]
        picture, quality, note = empty_photo(stage, catalogue, kind, mentions)
        out.photo(picture, quality, note=note)


def build_products(stage, out, _seed, n_photos=170, n_empty=85):
    """Packs on shelves and in hands."""
    rng = stage.rng
    registered, strangers = [], []
    while len(registered) < 40:
        pack = packs.design(stage)
        family = [pack] + [packs.variant(pack, rng) for _ in range(int(rng.choice([0, 1, 1, 2, 3])))]
        registered += [p for i, p in enumerate(family) if p["flavour"] not in {q["flavour"] for q in family[:i]}]
    strangers = [packs.design(stage) for _ in range(40)]
    for pack in registered:
        name = f"{pack['brand']}-{pack['flavour']}-{pack['ware']}"
        pack["name"] = name
        for _ in range(1 if rng.random() < .8 else 2):
            out.asset(packs.registered_picture(stage, pack), name, name, "packaging", [pack["brand"]])
    crowd = [packs.view(stage, p, float(rng.uniform(-.3, .3)), .1, rng) for p in strangers[:24]]
    for i in range(n_photos):
        pack = registered[i % len(registered)]
        picture, mask = packs.photo_of(stage, pack, crowd)
        picture, quality = scenes.shoot(picture, rng)
        out.photo(picture, quality, pack["name"], pack["name"], "product", r.box_of(mask), pack["form"])
    for i in range(n_empty):
        kind = ("stranger", "stranger", "shelf", "plain")[i % 4]
        if kind == "plain":
            picture = scenes.any_photo(stage, *stage.size(), .5)
        else:
            picture, _ = packs.photo_of(stage, strangers[24 + i % 16] if kind == "stranger" else None, crowd)
        picture, quality = scenes.shoot(picture, rng)
        out.photo(picture, quality, note=kind)


def own_pictures(stage, count):
    """Pictures that an owner could register: photos, packshots, goods on white, posters; with what near ones are made of."""
    rng, pictures = stage.rng, []
    photos = list(rng.permutation(len(stage.sources.photos)))
    for i in range(count):
        kind = ("photo", "photo", "photo", "pack", "good", "poster")[i % 6]
        if kind == "photo":
            photo = stage.sources.photos[photos.pop()]
            shape = (480, int(rng.choice([360, 480, 600])))
            pictures.append((kind, scenes.crop_of(photo, rng, *shape, .55), None))
        elif kind == "pack":
            pack = packs.design(stage)
            pictures.append((kind, packs.registered_picture(stage, pack), pack))
        elif kind == "good":
            recipe = {"good": str(rng.choice(sorted(goods.GOODS))), "seed": int(rng.integers(1 << 30)), "colour": m.vivid(rng)}
            pictures.append((kind, good_picture(stage, recipe, stage.word()), recipe))
        else:
            board, _ = scenes.panel(stage, None)
            pictures.append((kind, np.clip(board, 0, 1), None))
    return pictures, [stage.sources.photos[i] for i in photos]


def good_picture(stage, recipe, mark):
    """A shop's mock-up picture; the same recipe with another mark or colour is a different product."""
    rng = np.random.default_rng(recipe["seed"])
    sprite = r.fit(goods.GOODS[recipe["good"]](r.sprite_of(mark), recipe["colour"], rng), 430)
    picture = np.ones((500, 500, 3), np.float32) * .97
    y, x = (500 - sprite.shape[0]) // 2, (500 - sprite.shape[1]) // 2
    r.shadow_under(picture, sprite, x, y, 12, .25, (0, 10))
    return r.over(picture, sprite, x, y)


def near_copy(stage, pictures, strangers, i):
    """A picture that is no copy of a registered one although it may look like one, and why."""
    rng = stage.rng
    usable = [p for p in pictures if p[2] is not None]
    kind, _, recipe = usable[int(rng.integers(len(usable)))]
    if i % 3 == 0 and kind == "good":
        return good_picture(stage, recipe, stage.word()), "same mock-up, other print"
    if i % 3 == 0:
        return packs.registered_picture(stage, packs.variant(recipe, rng) | {"brand": m.invent(rng, 8)}), "same mock-up, other brand"
    if i % 3 == 1 and strangers:
        return scenes.crop_of(strangers[int(rng.integers(len(strangers)))], rng, 480, int(rng.choice([360, 480, 600])), .5), "other photo"
    if rng.random() < .5:
        return packs.registered_picture(stage, packs.design(stage)), "other pack"
    return np.clip(scenes.panel(stage, None)[0], 0, 1), "other poster"


def build_copies(stage, out, _seed, n_photos=280, n_empty=130):
    """Edited copies of whole pictures."""
    rng = stage.rng
    pictures, strangers = own_pictures(stage, 100)
    for i, (kind, picture, _) in enumerate(pictures):
        out.asset(picture, f"owner{i % 20:02d}", f"own{i:03d}", "packaging" if kind == "pack" else "product")
    for i in range(n_photos):
        index = i % len(pictures)
        kinds = copies.chain(rng)
        picture, box = copies.edited(stage, pictures[index][1], kinds)
        out.photo(picture, int(rng.choice([40, 60, 75, 85, 92])), f"owner{index % 20:02d}", f"own{index:03d}", "copy", box, " + ".join(kinds))
    shot_again = [(i, p) for i, p in enumerate(pictures) if p[0] == "pack"]
    for index, (_, _, pack) in shot_again:
        picture, _ = packs.photo_of(stage, pack, [])
        picture, quality = scenes.shoot(picture, rng)
        out.photo(picture, quality, f"owner{index % 20:02d}", f"own{index:03d}", "product", None, "taken again by another camera")
    for i in range(n_empty):
        picture, why = near_copy(stage, pictures, strangers, i)
        if rng.random() < .5:
            picture, _ = copies.edited(stage, picture, [str(rng.choice(sorted(copies.EDITS)))])
        out.photo(np.clip(picture, 0, 1), int(rng.choice([60, 75, 88])), note=why)


def build_large(stage, out, _seed, n_photos=150, n_empty=100):
    """Small marks printed on photos as large as shops show them: no other sub-set has detail that a look at 640 pixels would miss."""
    stage = dataclasses.replace(stage, sides=(1000, 1600))
    rng = stage.rng
    catalogue = Catalogue(stage, 28, 205, 64)
    register_logos(out, catalogue, rng)
    names = list(catalogue.seen)
    while len(out.photos) < n_photos + n_empty:
        name = names[len(out.photos) % len(names)] if len(out.photos) < n_photos else None
        mark = catalogue.seen[name]["versions"][0] if name else catalogue.other(rng)[0]
        worn, look = m.look(mark, rng)
        picture, mask = scenes.on_photo(stage, worn, .002, .06)
        picture = scenes.distract(stage, picture, mask, lambda: catalogue.other(rng)[0], int(rng.choice([0, 1, 2])))
        picture, mask = scenes.things_before(stage, picture, mask, int(rng.choice([0, 0, 1])))
        picture, quality = scenes.shoot(picture, rng)
        box = shows(picture, mask)
        if box and name:
            out.photo(picture, quality, name, name, "logo", box, look)
        elif box:
            out.photo(picture, quality, note="other mark")


BUILDERS = {"logos": build_logos, "products": build_products, "copies": build_copies, "large": build_large}
# The judge is fitted on these.
FOR_FITTING = ("logos", "products", "copies")


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sources", required=True)
    options.add_argument("--out", required=True)
    options.add_argument("--real-photos", help="folder with nothing-*.jpg, photos with nothing registered on them")
    options.add_argument("--seed", type=int, default=7)
    options.add_argument("--only", choices=sorted(BUILDERS))
    given = options.parse_args()
    loaded = sources.load(given.sources, given.real_photos)
    for number, (name, build) in enumerate(BUILDERS.items()):
        if name not in (FOR_FITTING if given.only is None else (given.only,)):
            continue
        start = time.time()
        out = Writer(Path(given.out) / name)
        seed = [given.seed, number]
        build(scenes.Stage(loaded, sources.Typeface(loaded.fonts), np.random.default_rng(seed)), out, seed)
        out.close()
        empty = sum(not row["brand"] for row in out.photos)
        print(f"{name}: {len(out.assets)} pictures of {len({a['asset'] for a in out.assets})} assets, {len(out.photos)} photos, "
              f"{empty} with nothing registered, {time.time() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
