"""Makes a shop's catalogue to scan: a manifest of listings whose photos come again and again, the marks that are registered, and what the photos show.

usage: python catalogue.py --sources FOLDER --out FOLDER [--photos 100000] [--distinct 20000] [--seed 7] [--prefix s3://bucket/folder/]

FOLDER of sources: what models/calibration/fetch_sources.sh laid out. The same options give the same files, on any number of cores.

    OUT/listings.jsonl   the manifest: about 3.3 photos a listing, by path (or behind --prefix, for a store that OUT was copied to)
    OUT/assets.csv       what is registered: marks, and shots of products; some with authorised sellers
    OUT/truth.csv        what each distinct photo shows, in the columns of `touchstone eval`
    OUT/damaged.csv      the files that cannot be read, and why
    OUT/catalogue.json   options and counts

Photos are crops of licensed pictures with things laid on them: quick to make (some 20 ms), so that a scan has many; they are not as hard as the scenes of
the calibration set, and say nothing about accuracy. Nothing of it is shipped.
"""
import argparse
import csv
import json
import math
import os
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "models" / "calibration"), str(ROOT / "fixtures")]

import marks as m  # noqa: E402  (after the path is set)
import render as r  # noqa: E402
import sources as s  # noqa: E402
from make_set import drawn  # noqa: E402

TRUTH_COLUMNS = ["path", "brand", "asset", "kind", "x", "y", "w", "h", "note"]
ASSET_COLUMNS = ["path", "brand", "asset", "kind", "authorised_sellers"]
PHOTOS_A_LISTING = (.12, .18, .25, .22, .14, .09)  # of 1 to 6
STOCK_PHOTOS = .25  # of the distinct photos: pictures of makers and wholesalers, that any seller may show
STOCK_PLACES = .55  # of the places in listings that show one of these
EARLY = .9  # exponent of how much more often the first ones come: measured catalogues have some 0.8 to 1.1
COUNTRIES = ("SE", "FI", "DE", "PL", "CN", "TR", "US", "GB")
NOUNS = "mug bag shirt bottle lamp clock poster cushion basket soap candle towel jar scarf cap notebook".split()
ADJECTIVES = "new used handmade vintage large small blue green red organic sturdy original".split()


def registered(everything, options, rng):
    """The marks that are registered (name -> RGBA), those of others, and the things whose shots are."""
    names = list(everything.brands)
    rng.shuffle(names)
    marks = {}
    for name in names:
        mark = drawn(everything.brands[name][0])
        if mark is not None:
            marks[name] = mark
        if len(marks) == options.assets + 100:
            break
    ours = dict(list(marks.items())[:options.assets])
    theirs = list(marks.values())[options.assets:]
    things = [int(i) for i in rng.permutation(len(everything.objects))[:options.products]]
    return ours, theirs, things


def product_shot(thing, rng, side=900):
    """A thing on a plain ground, as makers show it: uint8 RGB."""
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = int(rng.integers(225, 256))
    paste(picture, r.fit(thing, int(side * .7)), side // 2, side // 2)
    return picture


def paste(picture, rgba, x_centre, y_centre, light=None):
    """Lays a cut-out on a picture in place; gives its box, clipped, or None when it lies outside."""
    h, w = rgba.shape[:2]
    x, y = round(x_centre - w / 2), round(y_centre - h / 2)
    top, left, bottom, right = max(0, y), max(0, x), min(picture.shape[0], y + h), min(picture.shape[1], x + w)
    if bottom - top < 8 or right - left < 8:
        return None
    part = rgba[top - y:bottom - y, left - x:right - x]
    below = picture[top:bottom, left:right]
    colour = part[..., :3] if light is None else np.minimum(part[..., :3] * light[top:bottom, left:right, None], 255)
    alpha = part[..., 3:].astype(np.float32) / 255
    below[:] = colour * alpha + below * (1 - alpha)
    return left, top, right - left, bottom - top


def turned(rgba, rng, most=14):
    """A cut-out turned by some degrees, its corners pulled a little."""
    h, w = rgba.shape[:2]
    angle = math.radians(float(rng.normal(0, most / 2)))
    corners = np.float32([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    corners *= rng.uniform(.93, 1, (4, 1)).astype(np.float32)
    corners = corners @ np.float32([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    corners -= corners.min(0)
    size = np.ceil(corners.max(0)).astype(int)
    matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [w, 0], [w, h], [0, h]]), corners)
    return cv2.warpPerspective(rgba, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR)


class Shelf:
    """What photos are made of, opened once in each process."""

    def __init__(self, options):
        rng = np.random.default_rng(options.seed)
        folder = Path(options.sources)
        self.options = options
        self.everything = s.Sources(s.load_brands(folder), photos=s.load_photos(folder), objects=s.load_objects(folder, ("food", "household", "hobbies", "sports")))
        self.ours, self.theirs, self.things = registered(self.everything, options, rng)
        self.names = list(self.ours)
        self.shots = [product_shot(self.everything.objects[i], np.random.default_rng([options.seed, 1, i])) for i in self.things]
        shown = set(self.things)
        self.others = [o for i, o in enumerate(self.everything.objects) if i not in shown]
        # Seen by any camera; a whole photo of noise for each would take longer than all the rest.
        grain = np.clip(rng.standard_normal((1300, 1300)) * 2.2 + 8, 0, 16).astype(np.uint8)
        self.grain = np.ascontiguousarray(np.repeat(grain[..., None], 3, 2))

    def size(self, rng):
        longest, shape = int(rng.integers(600, 1201)), float(rng.choice([.66, .75, .75, 1, 1.34]))
        return (longest, int(longest * shape)) if shape <= 1 else (int(longest / shape), longest)

    def ground(self, rng):
        """A crop of a photo, toned and perhaps mirrored."""
        height, width = self.size(rng)
        photo = self.everything.photos[int(rng.integers(len(self.everything.photos)))]
        scale = min(photo.shape[0] / height, photo.shape[1] / width) * rng.uniform(.4, 1)
        h, w = max(16, int(height * scale)), max(16, int(width * scale))
        y, x = (int(rng.integers(0, n - k + 1)) for n, k in ((photo.shape[0], h), (photo.shape[1], w)))
        crop = cv2.resize(photo[y:y + h, x:x + w], (width, height), interpolation=cv2.INTER_AREA if h > height else cv2.INTER_LINEAR)
        crop = cv2.flip(crop, 1) if rng.random() < .5 else crop
        return toned(crop, rng)

    def lay(self, picture, mark, rng, low=.02, high=.3):
        """A mark on a picture, on a label of its own where it would not be seen; its box."""
        height, width = picture.shape[:2]
        share = math.exp(rng.uniform(math.log(low), math.log(high)))
        h, w = mark.shape[:2]
        longest = math.sqrt(share * height * width * max(h, w) / min(h, w))
        sprite = r.fit(mark, int(np.clip(longest, 48, .85 * min(height, width))))
        h, w = sprite.shape[:2]
        x, y = (rng.uniform(n / 2, max(n / 2 + 1, whole - n / 2)) for n, whole in ((w, width), (h, height)))
        around = picture[max(0, int(y - h / 2)):int(y + h / 2), max(0, int(x - w / 2)):int(x + w / 2)]
        if abs(float(around.mean()) / 255 - m.luminance(sprite)) < .25 or around.std() > 55 or rng.random() < .3:
            label = np.empty((int(h * 1.25) + 8, int(w * 1.25) + 8, 4), np.uint8)
            label[:] = (*(m.backing(sprite, rng) * 255), 255)
            paste(label[..., :3], sprite, label.shape[1] / 2, label.shape[0] / 2)
            sprite = label
        small = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
        light = cv2.resize(np.clip(.75 + small.astype(np.float32) / 510, .6, 1.2), (width, height))
        return paste(picture, turned(sprite, rng), x, y, light)

    def photo(self, index):
        """Photo `index` as (RGB, quality, what it shows)."""
        rng = np.random.default_rng([self.options.seed, 2, index])
        kind, truth = rng.random(), {}
        if kind < self.options.copied and self.shots:
            at = int(rng.integers(len(self.shots)))
            shot, cut = self.shots[at], rng.integers(0, 60, 4)
            height = int(rng.integers(600, 1000))
            picture = cv2.resize(shot[cut[0]:900 - cut[1], cut[2]:900 - cut[3]], (height, height), interpolation=cv2.INTER_AREA)
            picture = toned(cv2.flip(picture, 1) if rng.random() < .3 else picture, rng)
            truth = {"brand": product_brand(at), "asset": product_name(at), "kind": "copy"}
        else:
            picture = self.ground(rng)
            for _ in range(int(rng.integers(0, 4))):
                thing = self.others[int(rng.integers(len(self.others)))]
                thing = turned(r.fit(thing, int(min(picture.shape[:2]) * rng.uniform(.25, .7))), rng)
                paste(picture, thing, rng.uniform(.1, .9) * picture.shape[1], rng.uniform(.2, .9) * picture.shape[0])
            if kind < self.options.copied + self.options.marked:
                name = self.names[min(int(rng.zipf(1.6)) - 1, len(self.names) - 1)]
                x, y, w, h = self.lay(picture, self.ours[name], rng)
                truth = {"brand": name, "asset": name, "kind": "logo", "x": x, "y": y, "w": w, "h": h}
            elif kind > .95 and self.theirs:
                self.lay(picture, self.theirs[int(rng.integers(len(self.theirs)))], rng)
                truth = {"note": "a mark that nobody registered"}
        y, x = (int(rng.integers(0, 1300 - n + 1)) for n in picture.shape[:2])
        picture = cv2.subtract(cv2.add(picture, self.grain[y:y + picture.shape[0], x:x + picture.shape[1]]), (8, 8, 8))
        return picture, int(rng.integers(68, 93)), truth


def toned(picture, rng):
    """Another exposure and white balance."""
    steps = np.arange(256, dtype=np.float32)
    table = np.stack([np.clip(steps * g, 0, 255) for g in rng.uniform(.88, 1.1, 3) * rng.uniform(.85, 1.12)], -1)
    return cv2.LUT(picture, table.astype(np.uint8)[None])


def product_brand(at):
    return f"maker-{at // 4:02d}"


def product_name(at):
    return f"product-{at:03d}"


def photo_path(index):
    """Not thousands in one folder."""
    return f"photos/{index // 1000:03d}/{index:06d}.jpg"


def damaged(data, rng):
    """What uploads go wrong with: the bytes, and the word for it."""
    kind = str(rng.choice(["cut off", "empty", "no picture", "scrambled"]))
    if kind == "cut off":
        data = data[:int(len(data) * rng.uniform(.02, .3))]
    elif kind == "empty":
        data = b""
    elif kind == "no picture":
        data = b"<!doctype html><title>404 Not Found</title><h1>Not Found</h1>\n"
    else:
        data = rng.bytes(400) + data[400:]
    return data, kind


shelf = None


def open_shelf(options):
    global shelf
    cv2.setNumThreads(1)
    shelf = Shelf(options)


def make(index):
    """Writes one photo; gives its row of the truth, whether it is damaged, and its bytes."""
    picture, quality, truth = shelf.photo(index)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    data, rng, what = data.tobytes(), np.random.default_rng([shelf.options.seed, 3, index]), ""
    if rng.random() < shelf.options.damaged:
        data, what = damaged(data, rng)
    path = Path(shelf.options.out) / photo_path(index)
    path.write_bytes(data)
    return {"path": photo_path(index), **truth}, what, len(data)


def early(n, rng, size, exponent=EARLY):
    """`size` positions below `n`, the first ones most often."""
    weights = np.arange(1, n + 1, dtype=np.float64) ** -exponent
    return np.searchsorted(np.cumsum(weights / weights.sum()), rng.random(size), side="right").clip(0, n - 1)


def places(options, rng):
    """Which photo is where: for each listing its seller and its photos. Every photo is somewhere, if there is room."""
    n_sellers = options.sellers or max(1, options.photos // 50)
    lengths = []
    while sum(lengths) < options.photos:
        lengths.append(1 + int(rng.choice(6, p=PHOTOS_A_LISTING)))
    lengths[-1] -= sum(lengths) - options.photos
    sellers = early(n_sellers, rng, len(lengths), .8)
    shuffled = rng.permutation(options.distinct)
    n_stock = max(1, int(options.distinct * STOCK_PHOTOS))
    stock, own = shuffled[:n_stock], {}
    # Who has more listings takes more photos.
    for photo, listing in zip(shuffled[n_stock:], rng.integers(0, len(lengths), options.distinct - n_stock)):
        own.setdefault(int(sellers[listing]), []).append(int(photo))
    slots, unused = [], {seller: list(photos) for seller, photos in own.items()}
    popular = iter(early(n_stock, rng, 8 * options.photos))
    for listing, length in enumerate(lengths):
        seller, chosen = int(sellers[listing]), []
        for _ in range(length):
            mine = own.get(seller)
            photo = None
            for _ in range(6):
                if not mine or rng.random() < STOCK_PLACES:
                    photo = int(stock[next(popular)])
                elif unused[seller]:
                    photo = unused[seller].pop()
                else:
                    photo = mine[int(early(len(mine), rng, 1)[0])]
                if photo not in chosen:
                    break
            chosen.append(photo)
        slots += [[listing, photo] for photo in chosen]
    fill_in(slots, options.distinct, rng)
    listings = [[int(seller), []] for seller in sellers]
    for listing, photo in slots:
        listings[listing][1].append(photo)
    return listings, n_sellers


def fill_in(slots, n_distinct, rng):
    """Puts photos that are nowhere in the place of ones that come again."""
    counts = np.bincount([photo for _, photo in slots], minlength=n_distinct)
    order = iter(rng.permutation(len(slots)))
    for missing in np.flatnonzero(counts == 0):
        for at in order:
            if counts[slots[at][1]] > 1:
                counts[slots[at][1]] -= 1
                counts[missing] += 1
                slots[at][1] = int(missing)
                break


def write_listings(options, listings, n_missing, rng):
    """The manifest; `n_missing` of its photos are files that are not there."""
    gone = set(map(int, rng.choice(len(listings), n_missing, replace=False))) if n_missing else set()
    with open(Path(options.out) / "listings.jsonl", "w", encoding="utf-8") as out:
        for number, (seller, photos) in enumerate(listings):
            paths = [options.prefix + photo_path(photo) for photo in photos]
            if number in gone:
                paths[-1] = f"{options.prefix}photos/gone/{number:06d}.jpg"
            listing = {
                "listing_id": f"L{number:06d}", "url": f"https://market.example/item/{number:06d}", "marketplace": "market.example",
                "title": f"{rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}".capitalize(), "brand_claimed": None,
                "seller": {"id": f"s-{seller:05d}", "name": f"Shop {seller}", "country": COUNTRIES[seller % len(COUNTRIES)]},
                "price": round(float(rng.lognormal(3, .9)), 2), "currency": "EUR", "quantity": int(rng.integers(1, 60)), "photos": paths,
            }
            out.write(json.dumps(listing, ensure_ascii=False) + "\n")


def write_assets(options, n_sellers, rng):
    """The registered pictures and their manifest; every fifth brand has sellers of its own."""
    folder, rows = Path(options.out) / "assets", []
    folder.mkdir(parents=True, exist_ok=True)
    trusted = lambda: "|".join(f"s-{int(i):05d}" for i in rng.choice(n_sellers, min(3, n_sellers), replace=False))  # noqa: E731

    def add(picture, brand, asset, kind, ending):
        path = f"assets/{len(rows):04d}.{ending}"
        cv2.imwrite(str(Path(options.out) / path), picture[..., ::-1])
        rows.append({"path": path, "brand": brand, "asset": asset, "kind": kind, "authorised_sellers": trusted() if len(rows) % 5 == 0 else ""})

    for name, mark in shelf.ours.items():
        picture = m.registered_picture(mark, np.random.default_rng([options.seed, 4, len(rows)]))
        add(np.uint8(np.clip(picture, 0, 1) * 255), name, name, "logo", "png")
    for at, shot in enumerate(shelf.shots):
        add(shot, product_brand(at), product_name(at), "product", "jpg")
    write_csv(Path(options.out) / "assets.csv", ASSET_COLUMNS, rows)
    return len(rows)


def write_csv(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def parsed():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sources", required=True, help="laid out by models/calibration/fetch_sources.sh")
    options.add_argument("--out", required=True, help="folder, made if missing")
    options.add_argument("--photos", type=int, default=100_000, help="photos in all listings together")
    options.add_argument("--distinct", type=int, default=20_000, help="files of photos")
    options.add_argument("--sellers", type=int, default=0, help="one for 50 photos, unless said")
    options.add_argument("--assets", type=int, default=300, help="registered marks")
    options.add_argument("--products", type=int, default=30, help="registered shots of products")
    options.add_argument("--marked", type=float, default=.06, help="share of the distinct photos with a registered mark")
    options.add_argument("--copied", type=float, default=.02, help="share that are copies of a registered shot")
    options.add_argument("--damaged", type=float, default=.003, help="share of the files that cannot be read")
    options.add_argument("--missing", type=float, default=.0005, help="share of the listings with a photo that is not there")
    options.add_argument("--prefix", default="", help="put before each photo's path in the manifest, such as s3://bucket/folder/")
    options.add_argument("--workers", type=int, default=os.cpu_count())
    options.add_argument("--seed", type=int, default=7)
    options = options.parse_args()
    if not 0 < options.distinct <= options.photos:
        sys.exit("catalogue: --distinct must be at least 1 and at most --photos")
    return options


def main():
    options = parsed()
    for number in range((options.distinct + 999) // 1000):
        (Path(options.out) / f"photos/{number:03d}").mkdir(parents=True, exist_ok=True)
    listings, n_sellers = places(options, np.random.default_rng([options.seed, 5]))
    write_listings(options, listings, round(options.missing * len(listings)), np.random.default_rng([options.seed, 6]))
    open_shelf(options)
    n_assets = write_assets(options, n_sellers, np.random.default_rng([options.seed, 7]))
    started, truths, broken, n_bytes = time.monotonic(), [], [], 0
    # What was opened here is there in the processes, too.
    with Pool(options.workers) as pool:
        for truth, what, size in pool.imap(make, range(options.distinct), 32):
            n_bytes += size
            (broken if what else truths).append({**truth, "note": what} if what else truth)
    elapsed = time.monotonic() - started
    write_csv(Path(options.out) / "truth.csv", TRUTH_COLUMNS, truths)
    write_csv(Path(options.out) / "damaged.csv", ["path", "note"], [{"path": b["path"], "note": b["note"]} for b in broken])
    said = {key: value for key, value in vars(options).items() if key not in ("sources", "out", "workers")}
    counts = {"n_listings": len(listings), "n_photos": sum(len(photos) for _, photos in listings), "n_distinct": options.distinct, "n_sellers": len({x for x, _ in listings}),
              "n_assets": n_assets, "n_with_answer": sum("brand" in t for t in truths), "n_damaged": len(broken), "n_bytes": n_bytes}
    (Path(options.out) / "catalogue.json").write_text(json.dumps({"options": said, "counts": counts}, indent=1) + "\n")
    print(json.dumps(counts))
    print(f"{elapsed * options.workers / options.distinct * 1000:.1f} ms a photo and core", file=sys.stderr)


if __name__ == "__main__":
    main()
