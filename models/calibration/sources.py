"""Reads the licensed sources that `fetch_sources.sh` laid out: vector marks, fonts, photos, cut-out objects.

Nothing here draws; nothing it reads is shipped with the project.
"""
import io
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from fontTools.ttLib import TTFont
from PIL import ImageFont

sys.path.append(str(Path(__file__).resolve().parents[1]))
from brands import brand_key, excluded_names, is_excluded  # noqa: E402

ICON_SETS = ("logos", "cib", "devicon", "skill-icons", "bxl", "token-branded")
# Photos that show a mark of an excluded brand, or are no photos (screenshots, renderings, illustrations).
NO_PHOTO = re.compile(r"screenshot|-square\.|/bg-callout|stylish-portfolio[^/]*/.*/bg-masthead|ilya-yakover|/landing\.|landing-page\.|profile(-page)?\.|curved|-small\.|avatar|bg-showcase-1|bruno-abatti|/desktop/|/abstract/"
                      r"|startbootstrap-agency[^/]*/.*/portfolio/|card-[23]\.|/backgrounds/cosmos|illustrations|/shapes/|Painting|Infinite|iphone|macbook", re.I)


@dataclass
class Design:
    """One vector drawing of a brand's mark."""
    source: str
    name: str
    svg: str


@dataclass
class Sources:
    """Everything the set is made of. `photos` are float-ready uint8 RGB, `objects` uint8 RGBA cut-outs."""
    brands: dict[str, list[Design]] = field(default_factory=dict)
    pictograms: list[str] = field(default_factory=list)
    fonts: list[bytes] = field(default_factory=list)
    photos: list[np.ndarray] = field(default_factory=list)
    plain_photos: list[np.ndarray] = field(default_factory=list)
    objects: list[np.ndarray] = field(default_factory=list)
    food: list[np.ndarray] = field(default_factory=list)


def icon_set(folder, name):
    """(name, SVG text) of every icon of an iconify set."""
    icons = json.loads((next((folder / "npm" / "@iconify-json").glob(f"{name}@*")) / "icons.json").read_text())
    width, height = icons.get("width", 16), icons.get("height", 16)
    for icon, spec in sorted(icons["icons"].items()):
        if spec.get("hidden"):
            continue
        box = f'{spec.get("left", 0)} {spec.get("top", 0)} {spec.get("width", width)} {spec.get("height", height)}'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}">'
        yield icon, head + spec["body"].replace("currentColor", "#151515") + "</svg>"


def simple_icons(folder):
    """(name, SVG text) of every simple icon, in the brand's colour."""
    package = next((folder / "npm").glob("simple-icons@*"))
    inks = {}
    for entry in json.loads((package / "data" / "simple-icons.json").read_text()):
        slug = entry.get("slug") or re.sub(r"[^a-z0-9]", "", entry["title"].lower())
        inks[slug] = entry["hex"]
    for path in sorted((package / "icons").glob("*.svg")):
        yield path.stem, path.read_text().replace("<svg ", f'<svg fill="#{inks.get(path.stem, "151515")}" ', 1)


def load_brands(folder):
    """Brand -> its designs in all sets, without the excluded ones."""
    excluded, brands = excluded_names(), {}
    for source in ("simple-icons",) + ICON_SETS:
        icons = simple_icons(folder) if source == "simple-icons" else icon_set(folder, source)
        for name, svg in icons:
            if not is_excluded(name, excluded):
                brands.setdefault(brand_key(name), []).append(Design(source, name, svg))
    return dict(sorted(brands.items()))


def load_fonts(folder):
    """The latin upright files of the font packages (weight 700 if there is one), as TrueType bytes."""
    fonts = []
    for package in sorted((folder / "npm" / "@fontsource").iterdir()):
        files = sorted(package.glob("files/*-latin-*-normal.woff2"))
        files = [f for f in files if "latin-ext" not in f.name]
        heavy = [f for f in files if f.name.endswith("-700-normal.woff2")]
        opened = TTFont(io.BytesIO((heavy or files)[0].read_bytes()))
        opened.flavor = None
        out = io.BytesIO()
        opened.save(out)
        fonts.append(out.getvalue())
    return fonts


def load_photo(path, longest=1100):
    """uint8 RGB, or None for what is not a usable photo."""
    size = path.stat().st_size
    picture = cv2.imread(str(path), cv2.IMREAD_REDUCED_COLOR_2 if size > 1_500_000 else cv2.IMREAD_COLOR)
    if picture is None or min(picture.shape[:2]) < 300:
        return None
    scale = longest / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(picture[..., ::-1])


def load_photos(folder):
    """Photos of the packages, each scene once: a photo like an earlier one (or like the middle of it) is left out."""
    photos, seen = [], []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg") or NO_PHOTO.search(str(path)) or "tuxpaint" in str(path) or path.stat().st_size < 30_000:
            continue
        photo = load_photo(path)
        if photo is None or photo.std() < 12:
            continue
        small = [tiny(photo), tiny(photo[photo.shape[0] // 8:-photo.shape[0] // 8, photo.shape[1] // 8:-photo.shape[1] // 8])]
        if not any(float(a @ b) > .85 for a in small for b in seen):
            photos.append(photo)
            seen += small
    return photos


def tiny(photo):
    """16 x 16 colour picture, centred and of norm 1."""
    small = cv2.resize(photo, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return small / (np.linalg.norm(small) + 1e-6)


def load_objects(folder, kinds):
    """Cut-out photos of things (RGBA), from the named folders of the stamps."""
    found = []
    for kind in kinds:
        for path in sorted((folder / "deb" / "tuxpaint-stamps-default").rglob(f"stamps/{kind}/**/*.png")):
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if "cartoon" in str(path) or "mirror" in path.name or "flip" in path.name or picture is None or picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 4:
                continue
            ys, xs = np.where(picture[..., 3] > 20)
            if len(ys) < 2000:
                continue
            cut = picture[ys.min():ys.max() + 1, xs.min():xs.max() + 1][..., [2, 1, 0, 3]]
            scale = 320 / max(cut.shape[:2])
            found.append(cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
    return found


def load(folder, real_photos=None):
    """All sources; `real_photos` is a folder of further photos with nothing registered on them (`nothing-*.jpg` are taken)."""
    folder = Path(folder)
    plain = []
    if real_photos:
        plain = [p for p in (load_photo(f) for f in sorted(Path(real_photos).rglob("nothing-*.jpg"))) if p is not None]
    return Sources(load_brands(folder), [svg for _, svg in icon_set(folder, "noto")], load_fonts(folder), load_photos(folder), plain,
                   load_objects(folder, ("food", "household", "hobbies", "sports", "plants/flowers", "animals/mammals")),
                   load_objects(folder, ("food", "plants/flowers")))


class Typeface:
    """Fonts at any size, opened once."""

    def __init__(self, fonts):
        self.fonts, self.opened = fonts, {}

    def at(self, index, size):
        key = (index % len(self.fonts), size)
        if key not in self.opened:
            self.opened[key] = ImageFont.truetype(io.BytesIO(self.fonts[key[0]]), size)
        return self.opened[key]
