"""Finds designs that look alike under different names and writes looks.csv, which `material.designs` reads.

    looks.py FOLDER

- A design that looks like one of an excluded brand is left out: icon sets know some brands under names that no list holds.
- Marks of two brands that look alike are one brand; it is reserved where one of its names is.
- Of pictograms that look alike in several sets the first is kept, of pictograms that look like a brand's mark none.

Likeness is the correlation of two grey drawings of 24 x 24 pixels, cut to what is drawn.
"""
import csv
import io
import sys
from pathlib import Path

import numpy as np
import resvg_py
from PIL import Image

import material
from brands import excluded_names, is_excluded

SIDE = 24  # pixels
EXCLUDED_MARK = 0.96  # likeness from which a mark is taken for an excluded brand's
SAME_MARK = 0.975  # likeness from which two brands are one
SAME_TOKEN = 0.988  # the same where one is a currency: most of those are discs, alike before anything is drawn on them
SAME_PICTOGRAM = 0.92
ROWS = 1000  # designs compared at once


def drawing(svg):
    """float32 [576]: the design's lightness on white (on black where it is nearly white), its long side fitted to the square, norm 1; zeros where nothing is drawn."""
    width, height = material.size(svg)
    side = {"width": 64} if width >= height else {"height": 64}
    try:
        picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, **side)))).convert("RGBA")
    except ValueError:
        return np.zeros(SIDE * SIDE, np.float32)
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 20)).getbbox()
    if not box or min(box[2] - box[0], box[3] - box[1]) < 5:
        return np.zeros(SIDE * SIDE, np.float32)
    picture = picture.crop(box)
    for paper in (255, 0):
        square = Image.new("L", (max(picture.size),) * 2, paper)
        grey = Image.new("RGBA", picture.size, (paper, paper, paper, 255))
        grey.alpha_composite(picture)
        square.paste(grey.convert("L"), ((square.width - picture.width) // 2, (square.height - picture.height) // 2))
        small = np.asarray(square.resize((SIDE, SIDE), Image.BOX), np.float32).ravel()
        if small.std() > 12:
            break
    small = small - small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def excluded_designs(folder):
    """Marks of the excluded brands in the sets of brands: nothing may look like them."""
    excluded, found = excluded_names(), []
    for source, package in material.icon_sets(folder).items():
        if source in material.BRAND_SETS:
            for name, svg in material.icons(package):
                key = material.key_in_set(source, name)
                if key and is_excluded(material.FILE_TYPE.sub("", name), excluded):
                    found.append(material.Design(source, name, key, svg))
    return found


def drawings(folder, designs):
    """float16 [n, 576], kept in drawings.npz for the next run."""
    cache = Path(folder) / "drawings.npz"
    known = {}
    if cache.exists():
        kept = np.load(cache)
        known = dict(zip(kept["names"].tolist(), kept["rows"]))
    rows = np.stack([known[n] if (n := f"{d.source}:{d.name}") in known else drawing(d.svg).astype(np.float16) for d in designs])
    np.savez(cache, names=np.array([f"{d.source}:{d.name}" for d in designs]), rows=rows)
    return rows.astype(np.float32)


def alike(rows, others, least):
    """Pairs (i, j) of rows and others whose correlation exceeds `least`."""
    for start in range(0, len(rows), ROWS):
        yield from ((start + int(i), int(j)) for i, j in zip(*np.where(rows[start:start + ROWS] @ others.T > least)))


def is_pictogram(design):
    return ":" in design.brand and not design.brand.startswith("token:")


def joined_brands(marks, rows):
    """Brand key -> the key it falls under: marks alike have one key, the shortest of theirs."""
    parent = {design.brand: design.brand for design in marks}

    def root(key):
        while parent[key] != key:
            key = parent[key]
        return key

    token = np.array([":" in design.brand for design in marks])
    for i, j in alike(rows, rows, SAME_MARK):
        if (token[i] or token[j]) and rows[i] @ rows[j] < SAME_TOKEN:
            continue
        one, two = root(marks[i].brand), root(marks[j].brand)
        if one != two:
            kept, gone = sorted((one, two), key=lambda key: (":" in key, len(key), key))
            parent[gone] = kept
    return {key: root(key) for key in parent}


def main():
    folder = Path(sys.argv[1])
    found, forbidden = material.named_designs(folder), excluded_designs(folder)
    rows = drawings(folder, found + forbidden)
    rows, forbidden_rows = rows[:len(found)], rows[len(found):]
    blank = ~rows.any(axis=1)
    gone = set(np.where(blank)[0].tolist()) | {i for i, _ in alike(rows, forbidden_rows, EXCLUDED_MARK)}
    marks = [i for i, design in enumerate(found) if not is_pictogram(design) and i not in gone]
    pictures = [i for i, design in enumerate(found) if is_pictogram(design) and i not in gone]
    under = joined_brands([found[i] for i in marks], rows[marks])
    reserved = {under[key] for key in under if material.is_kept_back(key)}
    gone |= {pictures[i] for i, _ in alike(rows[pictures], rows[marks], SAME_PICTOGRAM)}
    for i, j in alike(rows[pictures], rows[pictures], SAME_PICTOGRAM):
        first, second = pictures[j], pictures[i]
        if first < second and first not in gone and found[first].brand != found[second].brand:
            gone.add(second)
    with (folder / "looks.csv").open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["source", "name", "brand", "reserved"])
        for i, design in enumerate(found):
            brand = "" if i in gone else under.get(design.brand, design.brand)
            writer.writerow([design.source, design.name, brand, int(brand in reserved)])
    print(f"{len(found)} designs: {len(gone)} left out, {sum(k != v for k, v in under.items())} brand names joined to another, {len(reserved)} brands reserved")


if __name__ == "__main__":
    main()
