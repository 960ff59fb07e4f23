"""Turns the pictures of unpacked packages into small JPEG backgrounds and RGBA cut-outs, each scene once.

    convert.py FOLDER [--delete]

reads FOLDER/raw/{npm,deb,pypi}/PACKAGE, writes FOLDER/backgrounds/*.jpg and FOLDER/objects/*.png with a table of origins beside each
(backgrounds.csv, objects.csv). Packages converted before are skipped; `--delete` removes each package's raw files once it is converted.
Which files are taken is said by `pictures.txt` (which paths of which package, as what, under which licence) and `left_out.txt`.
"""
import argparse
import csv
import hashlib
import io
import re
import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
LONG_SIDE = {"photo": 900, "texture": 700, "object": 400}  # pixels
SHORTEST = {"photo": 160, "texture": 200, "object": 60}  # pixels, of the original's short side
ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".tga", ".bmp"}
MOST_TEXTURES = 120  # of one package: games hold hundreds that differ in a stain
ALIKE = 0.93  # correlation of two 16 x 16 pictures from which they show one scene
Image.MAX_IMAGE_PIXELS = None


class Rule(NamedTuple):
    """A row of pictures.txt: package (without version), what its pictures are, the licence it states, which paths are meant."""

    package: str
    kind: str
    licence: str
    path: re.Pattern


class Seen:
    """Small descriptions of the pictures taken so far."""

    def __init__(self, files):
        self.rows = [tiny(Image.open(f).convert("RGB")) for f in files]

    def add(self, picture):
        """True and remembered, unless the picture (or the middle of it) resembles one that is there."""
        width, height = picture.size
        rows = [tiny(picture), tiny(picture.crop((width // 8, height // 8, width - width // 8, height - height // 8)))]
        if self.rows and (np.stack(self.rows) @ np.stack(rows).T).max() > ALIKE:
            return False
        self.rows += rows[:1]
        return True


def tiny(picture):
    """float32 [768]: the picture at 16 x 16, centred and of norm 1."""
    small = np.asarray(picture.resize((16, 16), Image.BOX), np.float32).ravel()
    small = small - small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def rules():
    """Package name -> its rules, in order."""
    found = {}
    for line in (HERE / "pictures.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            package, kind, licence, path = line.split(maxsplit=3)
            found.setdefault(package, []).append(Rule(package, kind, licence, re.compile(path, re.I)))
    return found


def left_out():
    """One pattern for everything that left_out.txt names, matched against 'package/path'."""
    lines = [line.strip() for line in (HERE / "left_out.txt").read_text().splitlines()]
    return re.compile("|".join(line for line in lines if line and not line.startswith("#")), re.I)


def packed_files(package):
    """(path inside the package, function that returns the bytes) of its files, those in game archives (pk3, zip) too."""
    for path in sorted(p for p in package.rglob("*") if p.is_file() and not p.is_symlink()):
        inside = str(path.relative_to(package))
        if path.suffix.lower() in (".pk3", ".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    yield f"{inside}/{name}", lambda name=name, archive=archive: archive.read(name)
        elif path.suffix.lower() == ".rcc":
            for number, data in enumerate(embedded(path.read_bytes())):
                yield f"{inside}/{number}.webp", lambda data=data: data
        else:
            yield inside, path.read_bytes


def embedded(data):
    """The JPEG and WebP files inside a Qt resource file, which stores them as they are."""
    for start in re.finditer(rb"RIFF(....)WEBPVP8", data, re.S):
        yield data[start.start():start.start() + 8 + int.from_bytes(start.group(1), "little")]
    for start in re.finditer(rb"\xff\xd8\xff[\xe0\xe1]", data):
        yield data[start.start():data.find(b"\xff\xd9", start.start()) + 2]


def opened(data, kind):
    """The picture as RGB (RGBA for an object) no larger than needed, or None where it is not usable as this kind."""
    try:
        picture = Image.open(io.BytesIO(data))
        if min(picture.size) < SHORTEST[kind] or max(picture.size) > 4 * min(picture.size):
            return None
        picture.draft("RGB", (LONG_SIDE[kind] * 2,) * 2)
        alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
        picture = picture.convert("RGBA" if alpha or kind == "object" else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if kind == "object":
        return cut_out(picture)
    if alpha:
        if np.asarray(picture.getchannel("A")).mean() < 250:
            return None
        picture = picture.convert("RGB")
    picture.thumbnail((LONG_SIDE[kind],) * 2, Image.LANCZOS, reducing_gap=3)
    return picture if looks_real(np.asarray(picture), kind) else None


def cut_out(picture):
    """The RGBA picture cut to what is opaque, or None where little or everything is."""
    alpha = np.asarray(picture.getchannel("A"))
    ys, xs = np.where(alpha > 20)
    if len(ys) < 2000 or (alpha > 20).mean() > 0.97:
        return None
    picture = picture.crop((int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1))
    picture.thumbnail((LONG_SIDE["object"],) * 2, Image.LANCZOS, reducing_gap=3)
    return picture


def looks_real(pixels, kind):
    """False for what is flat or drawn: little contrast, many equal neighbours, or few colours."""
    if pixels.std() < (6 if kind == "texture" else 14):
        return False
    equal = (np.abs(np.diff(pixels.astype(np.int16), axis=1)).max(axis=2) == 0).mean()
    small = np.asarray(Image.fromarray(pixels).resize((128, 128), Image.BOX))
    if len(np.unique(small[..., 1])) > 120 and equal < (0.2 if np.ptp(small, axis=2).max() > 12 else 0.6):  # finely shaded: a photograph of few colours
        return True
    colours = len(np.unique((small >> 4).reshape(-1, 3).astype(np.int32) @ [256, 16, 1]))
    return equal < (0.45 if kind == "photo" else 0.3) and colours > (70 if kind == "photo" else 12)


def convert(package, label, package_rules, skip, seen, folder, tables):
    """Writes the usable pictures of one unpacked package; returns how many."""
    taken = 0
    for path, read in packed_files(package):
        if Path(path).suffix.lower() not in ENDINGS or skip.search(f"{label}/{path}"):
            continue
        rule = next((r for r in package_rules if r.path.search(path)), None)
        picture = opened(read(), rule.kind) if rule else None
        kept = "objects" if rule and rule.kind == "object" else "backgrounds"
        if picture is None or not seen[kept].add(picture.convert("RGB")):
            continue
        name = f"{re.sub(r'[^a-z0-9]+', '-', label.split('@')[0 if not label.startswith('@') else 1].lower()).strip('-')}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
        name += ".png" if rule.kind == "object" else ".jpg"
        picture.save(folder / kept / name, **({} if rule.kind == "object" else {"quality": 90}))
        tables[kept].writerow([name, rule.kind, label, rule.licence, path])
        taken += 1
    return taken


def prune(folder, kept, skip):
    """Removes from a table and its folder what left_out.txt names (now, if not yet when it was converted), and the textures of a package beyond MOST_TEXTURES."""
    table = folder / f"{kept}.csv"
    if not table.exists():
        return
    with table.open(newline="") as rows:
        rows = list(csv.DictReader(rows))
    staying = [row for row in rows if not skip.search(f"{row['package']}/{row['path']}")]
    for package in {row["package"] for row in staying if row["kind"] == "texture"}:
        textures = sorted((row for row in staying if row["package"] == package and row["kind"] == "texture"), key=lambda row: row["file"][-12:])
        beyond = {row["file"] for row in textures[MOST_TEXTURES:]}
        staying = [row for row in staying if row["file"] not in beyond]
    names = {row["file"] for row in staying}
    for file in (folder / kept).iterdir():
        if file.name not in names:
            file.unlink()
    with table.open("w", newline="") as out:
        writer = csv.DictWriter(out, ["file", "kind", "package", "licence", "path"])
        writer.writeheader()
        writer.writerows(staying)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--delete", action="store_true", help="remove the raw files of each package once converted")
    options = arguments.parse_args()
    folder, by_package, skip = options.folder, rules(), left_out()
    done_file = folder / "converted.txt"
    done = set(done_file.read_text().split("\n")) if done_file.exists() else set()
    tables, seen, files = {}, {}, []
    for kept in ("backgrounds", "objects"):
        (folder / kept).mkdir(parents=True, exist_ok=True)
        prune(folder, kept, skip)
        seen[kept] = Seen([f for f in sorted((folder / kept).iterdir())])
        table = (folder / f"{kept}.csv").open("a", newline="")
        files.append(table)
        tables[kept] = csv.writer(table)
        if table.tell() == 0:
            tables[kept].writerow(["file", "kind", "package", "licence", "path"])
    for manager in ("npm", "pypi", "deb"):
        for package in packages(folder / "raw" / manager):
            label = str(package.relative_to(folder / "raw" / manager))
            name = label.rsplit("@", 1)[0] if label.rfind("@") > 0 else label
            if label in done or name not in by_package:
                continue
            print(f"{label}: {convert(package, label, by_package[name], skip, seen, folder, tables)}", flush=True)
            with done_file.open("a") as out:
                out.write(label + "\n")
            for table in files:
                table.flush()
            if options.delete:
                shutil.rmtree(package)
    for kept, table in zip(("backgrounds", "objects"), files):
        table.close()
        prune(folder, kept, skip)


def packages(folder):
    """The unpacked packages of one manager: NAME@VERSION or @SCOPE/NAME@VERSION; Debian's without a version."""
    if folder.exists():
        for entry in sorted(folder.iterdir()):
            yield from sorted(entry.iterdir()) if entry.name.startswith("@") else [entry]


if __name__ == "__main__":
    main()
