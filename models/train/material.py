"""Reads the licensed sources that `fetch_sources.sh` laid out for training: vector designs, fonts, background photos, cut-out objects.

Nothing here draws a training picture, and nothing it reads is shipped: only the weights fitted on it are.

    designs(folder)      -> vector marks and pictograms, each with the key of its brand
    fonts(folder)        -> TrueType files as bytes
    backgrounds(folder)  -> paths of JPEG photographs, long side at most 900 pixels
    objects(folder)      -> paths of RGBA cut-outs (PNG), long side at most 400 pixels
"""
import csv
import io
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from fontTools.ttLib import TTFont

sys.path.append(str(Path(__file__).resolve().parents[1]))
from brands import brand_key, excluded_names, is_excluded, is_reserved  # noqa: E402, F401

HERE = Path(__file__).resolve().parent
LICENCES = {"CC0-1.0", "MIT", "Apache-2.0", "ISC", "BSD-2-Clause", "BSD-3-Clause"}
# Sets of brands' marks. What they share by name is one brand.
BRAND_SETS = ("simple-icons", "logos", "cib", "devicon", "devicon-plain", "skill-icons", "bxl", "unjs", "file-icons", "vscode-icons",
              "material-icon-theme", "catppuccin", "nonicons", "lobe-icons")
# Marks of currencies, named by ticker symbol: brands of their own, since a ticker is often another brand's name.
TOKEN_SETS = ("token-branded", "token", "cryptocurrency-color", "cryptocurrency")
EMOJI_SETS = ("noto", "noto-v1", "fluent-emoji-flat", "fluent-emoji", "fluent-emoji-high-contrast", "fxemoji")
ONE_EMOJI = {"fluent-emoji-flat": "fluent", "fluent-emoji": "fluent", "fluent-emoji-high-contrast": "fluent"}  # three looks of one drawing
FLAG_SETS = {"circle-flags": 60}  # set: how many of its flags are taken
# Brands known by these sets are no pictograms where another set draws them.
KNOWN_BY = ("simple-icons", "logos", "cib", "devicon", "bxl")
# In the sets of file types a folder is always the same folder with a small emblem.
FOLDER = re.compile(r"^(default-|file-type-light-config|folder)|-opened$")
FILE_TYPE = re.compile(r"^file-type-(light-)?")
LOOK = re.compile(r"(-brand|-color|-text|-text-cn|-\d+)+$")
SKIN_TONES = re.compile(r"-(dark|light|medium)(-|$)|skin-tone|tone\d")
FLAGS = re.compile(r"^flag-|flag-for|^flags?$")
# Endings and beginnings that name a style of one pictogram; a set gives each pictogram once, filled where it can.
STYLE = re.compile(r"-(outlined?|line|linear|fill|filled|solid|bold|thin|light|duotone|twotone|sharp|rounded?|regular|stroke|stroked|negative|rtl|ltr|o|f|alt|badged|alerted|square|circle|box|\d+(px)?|[a-z]?\d)$")
PREFIX = re.compile(r"^(baseline|outline|round|sharp|twotone|bxs|bx|bxl|ios|md)-")
HEAVY = re.compile(r"-(fill|filled|solid|bold|negative)(-|$)|^(baseline|bxs)-")
LIGHT = re.compile(r"-(thin|light|duotone|twotone|outlined?|line|linear|sharp)(-|$)|^(outline|round|sharp|twotone|ios|md)-")
TWIN = re.compile(r"-(off|slash|slashed|disabled|crossed|crossed-out|cancel|add|plus|minus|remove|edit|check|checked|x|down|left|right|up|arrow|cog|settings|search|lock|alert|warning|exclamation|question|clock|star|heart|share|sync|bolt|dollar|pause|pin|cancelled|ltr|rtl)$")
BRANDISH = re.compile(r"^(brand|logo|sc|social)-|-(logo|brand|logomark)(?=-|$)")


class Design(NamedTuple):
    """One vector drawing: the set and the name it comes from, the key of its brand or pictogram, its SVG text with width and height."""

    source: str
    name: str
    brand: str
    svg: str


def licence_of(package):
    """SPDX name that the set's own info.json states."""
    return json.loads((package / "info.json").read_text())["license"]["spdx"]


def icon_sets(folder):
    """Set name -> its unpacked package, for the sets under one of `LICENCES`."""
    npm, found = Path(folder) / "npm", {}
    for package in sorted(npm.glob("@iconify-json/*@*")):
        found[package.name.rsplit("@", 1)[0]] = package
    for package in npm.glob("@proj-airi/lobe-icons@*"):
        found["lobe-icons"] = package / "dist"
    found = {name: package for name, package in found.items() if licence_of(package) in LICENCES}
    return found


def icons(package, inks=None):
    """(name, SVG text) of every icon of an unpacked set. Marks without a colour get their brand's of `inks`, or near-black."""
    packed = json.loads((package / "icons.json").read_text())
    for name, icon in sorted(packed["icons"].items()):
        if icon.get("hidden"):
            continue
        width, height = (icon.get(axis, packed.get(axis, 16)) for axis in ("width", "height"))
        ink = "#" + (inks or {}).get(name, "151515")
        yield name, (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" '
                     f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {width} {height}">{icon["body"].replace("currentColor", ink)}</svg>')


def size(svg):
    """Width and height that the SVG text states."""
    return tuple(float(side) for side in re.search(r'width="(\S+)" height="(\S+)"', svg).groups())


def simple_inks(folder):
    """Slug -> hex colour of the brands of simple-icons; empty where that package is not there."""
    for package in (Path(folder) / "npm").glob("simple-icons@*"):
        entries = json.loads((package / "data" / "simple-icons.json").read_text())
        return {entry.get("slug") or re.sub(r"[^a-z0-9]", "", entry["title"].lower()): entry["hex"] for entry in entries}
    return {}


def key_in_set(source, name):
    """The brand's or pictogram's key of an icon, or None for one that is left out."""
    if source in EMOJI_SETS:
        return None if SKIN_TONES.search(name) or FLAGS.search(name) else f"{ONE_EMOJI.get(source, source)}:{name}"
    if source in FLAG_SETS:
        return f"flags:{name}"
    if source in TOKEN_SETS:
        return "token:" + brand_key(re.sub(r"-background$", "", name))
    if source in BRAND_SETS:
        return None if FOLDER.search(name) else brand_key(LOOK.sub("", FILE_TYPE.sub("", name)))
    if BRANDISH.search(name):
        return brand_key(STYLE.sub("", BRANDISH.sub("", PREFIX.sub("", name)))) or None
    return f"{source}:{stem(name)}"


def stem(name):
    """A pictogram's name without its style: 'alarm-clock-outline-24px' -> 'alarm-clock'; twins such as '-off' fall on it too."""
    short = PREFIX.sub("", name)
    while STYLE.search(short):
        short = STYLE.sub("", short)
    return TWIN.sub("", short)


def plainest(names):
    """Of the icons of one pictogram the filled one, then the shortest name."""
    return min(names, key=lambda name: (bool(TWIN.search(STYLE.sub("", name))), bool(LIGHT.search(name)), not HEAVY.search(name), len(name), name))


def pictograms(source, package, known):
    """Designs of a pictogram set: each pictogram once; marks of brands under their brand's key, those hidden among pictograms not at all."""
    groups = {}
    for name, svg in icons(package):
        groups.setdefault(key_in_set(source, name), []).append((name, svg))
    for key, members in sorted((k, m) for k, m in groups.items() if k):
        svgs = dict(members)
        name = plainest(svgs)
        if ":" not in key or not {brand_key(name), brand_key(STYLE.sub("", name)), brand_key(stem(name))} & known:
            yield Design(source, name, key, svgs[name])


def named_designs(folder):
    """Every design that may be used by licence and by name, reserved brands with the others, in the order of sets and names."""
    sets, excluded = icon_sets(folder), excluded_names()
    order = [s for s in BRAND_SETS + TOKEN_SETS + EMOJI_SETS if s in sets]
    order += sorted(set(sets) - set(order))
    known = {brand_key(name) for source in KNOWN_BY if source in sets for name, _ in icons(sets[source])}
    found = []
    for source in order:
        if source in BRAND_SETS + TOKEN_SETS + EMOJI_SETS + tuple(FLAG_SETS):
            inks = simple_inks(folder) if source == "simple-icons" else None
            keyed = [(name, key_in_set(source, name), svg) for name, svg in icons(sets[source], inks)]
            drawn = [Design(source, name, key, svg) for name, key, svg in keyed if key]
            drawn = drawn[::max(1, len(drawn) // FLAG_SETS[source])] if source in FLAG_SETS else drawn
        else:
            drawn = pictograms(source, sets[source], known)
        found += [design for design in drawn if not is_excluded(FILE_TYPE.sub("", BRANDISH.sub("", design.name)), excluded)]
    return found


def designs(folder, reserved=False):
    """The designs to train on. `reserved=True` gives those of the reserved brands instead (see `brands.is_reserved`).

    Where `looks.py` has been run on the folder, marks that look alike under two names are one brand, and those that look like an excluded brand's
    are left out.
    """
    renamed = looks(folder)
    found = []
    for design in named_designs(folder):
        brand, kept_back = renamed.get((design.source, design.name), (design.brand, is_kept_back(design.brand)))
        if brand and kept_back == reserved:
            found.append(design._replace(brand=brand))
    return found


def is_kept_back(brand):
    """True for a reserved brand; pictograms and emoji are never reserved."""
    return (":" not in brand or brand.startswith("token:")) and is_reserved(brand)


def looks(folder):
    """(set, name) -> (brand, reserved) as `looks.py` found them; an empty brand means left out. Empty before it has run."""
    table = Path(folder) / "looks.csv"
    if not table.exists():
        return {}
    with table.open(newline="") as rows:
        return {(row["source"], row["name"]): (row["brand"], row["reserved"] == "1") for row in csv.DictReader(rows)}


def fonts(folder):
    """The latin upright file of each font package as TrueType bytes: weight 700 where there is one, the heaviest below it otherwise."""
    found = []
    for package in sorted((Path(folder) / "npm" / "@fontsource").iterdir()):
        files = {int(f.name.split("-")[-2]): f for f in package.glob("files/*-latin-*-normal.woff2") if "latin-ext" not in f.name}
        if files:
            opened = TTFont(io.BytesIO(files[700 if 700 in files else max(files)].read_bytes()))
            opened.flavor = None
            out = io.BytesIO()
            opened.save(out)
            found.append(out.getvalue())
    return found


def backgrounds(folder):
    """JPEG photographs and photographic textures, long side at most 900 pixels; `backgrounds.csv` beside them says package and licence."""
    return sorted((Path(folder) / "backgrounds").glob("*.jpg"))


def objects(folder):
    """Cut-out photographs of things: RGBA PNG, cut to what is opaque, long side at most 400 pixels."""
    return sorted((Path(folder) / "objects").glob("*.png"))


def main():
    """Prints how much of everything a folder holds: material.py FOLDER."""
    folder = Path(sys.argv[1])
    found = designs(folder)
    for source, count in Counter(design.source for design in found).items():
        print(f"{source}: {count}")
    print(f"designs: {len(found)} of {len({d.brand for d in found})} brands and pictograms, reserved: {len(designs(folder, reserved=True))}")
    print(f"fonts: {len(fonts(folder))}  backgrounds: {len(backgrounds(folder))}  objects: {len(objects(folder))}")


if __name__ == "__main__":
    main()
