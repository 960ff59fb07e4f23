"""Pictures whose licence allows fitting on them and shipping what was fitted: fetched as packages, read from a cache folder.

Vector marks come from icon sets on npm (CC0, MIT, Apache-2.0), clip art from Debian's openclipart-png (public domain),
photographs from scikit-image, scikit-learn (PyPI) and lomiri-wallpapers (Debian), only those under CC0, CC-BY or public domain.
"""

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import resvg_py
import skimage
import sklearn
from PIL import Image

ICON_SETS = {  # name: (version, licence its info.json must state)
    "simple-icons": ("1.2.102", "CC0-1.0"),
    "logos": ("1.2.19", "CC0-1.0"),
    "cib": ("1.2.3", "CC0-1.0"),
    "devicon": ("1.2.68", "MIT"),
    "skill-icons": ("1.2.4", "MIT"),
    "token-branded": ("1.2.45", "MIT"),
    "fluent-emoji-flat": ("1.2.6", "MIT"),
    "noto": ("1.2.9", "Apache-2.0"),
    "maki": ("1.2.5", "CC0-1.0"),
    "temaki": ("1.2.6", "CC0-1.0"),
    "healthicons": ("1.2.13", "MIT"),
    "ph": ("1.2.2", "MIT"),
}
MARKS = ("simple-icons", "logos", "cib", "devicon", "skill-icons", "token-branded", "fluent-emoji-flat", "noto")
SKIN_TONES = re.compile(r"-(dark|light|medium)")
EMOJI = ("fluent-emoji-flat", "noto")
CLIP_ART = "openclipart-png"
CLIP_ART_LEFT_OUT = ("logo", "car", "flag", "brand", "auto")
WALLPAPERS = "lomiri-wallpapers-16.04"
PHOTOS = {  # file name: (package, licence, author)
    "aitzgorri_by_Aitzol_Berasategi.jpg": (WALLPAPERS, "CC-BY-4.0", "Aitzol Berasategi"),
    "friends_by_Aitzol_Berasategi.jpg": (WALLPAPERS, "CC-BY-4.0", "Aitzol Berasategi"),
    "life_by_Aitzol_Berasategi.jpg": (WALLPAPERS, "CC-BY-4.0", "Aitzol Berasategi"),
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": (WALLPAPERS, "CC-BY-4.0", "Aitzol Berasategi"),
    "sunset_by_Aitzol_Berasategi.jpg": (WALLPAPERS, "CC-BY-4.0", "Aitzol Berasategi"),
    "Picture_0B_by_freespace.jpg": (WALLPAPERS, "CC-BY-4.0", 'Trevor "Freespace"'),
    "Picture_1A_by_freespace.jpg": (WALLPAPERS, "CC-BY-4.0", 'Trevor "Freespace"'),
    "seeding_by_Clements_Engelhardt.jpg": (WALLPAPERS, "CC0-1.0", "Clemens Engelhardt"),
    "Wine_by_Jakkub_Mede.jpg": (WALLPAPERS, "CC-BY-4.0", "Jakub Mede"),
    "chelsea.png": ("scikit-image", "CC0-1.0", "Stefan van der Walt"),
    "coffee.png": ("scikit-image", "CC0-1.0", "Rachel Michetti"),
    "brick.png": ("scikit-image", "CC0-1.0", "CC0Textures"),
    "grass.png": ("scikit-image", "CC0-1.0", "Linolafett"),
    "gravel.png": ("scikit-image", "CC0-1.0", "CC0Textures"),
    "china.jpg": ("scikit-learn", "CC-BY-2.0", "danielbuechele"),
    "flower.jpg": ("scikit-learn", "CC-BY-2.0", "vultilion"),
}


class Design(NamedTuple):
    """A vector mark: the set and name it comes from, and its SVG text."""

    source: str
    name: str
    svg: str


def fetch(cache: Path) -> None:
    """Download and unpack what is not in `cache` yet, through npm and apt-get."""
    cache.mkdir(parents=True, exist_ok=True)
    for name, (version, _) in ICON_SETS.items():
        if not (cache / name).exists():
            subprocess.run(["npm", "pack", "--silent", f"@iconify-json/{name}@{version}"], cwd=cache, check=True)
            with tarfile.open(cache / f"iconify-json-{name}-{version}.tgz") as packed:
                packed.extractall(cache / name, filter="data")
    for name in (CLIP_ART, WALLPAPERS):
        if not (cache / name).exists():
            subprocess.run(["apt-get", "download", "-qq", name], cwd=cache, check=True)
            subprocess.run(["dpkg", "-x", next(cache.glob(f"{name}_*.deb")).name, name], cwd=cache, check=True)


def held_out() -> set[str]:
    """Names whose marks are never fitted on, letters and digits only."""
    lines = Path(__file__).resolve().parents[1].joinpath("excluded.txt").read_text().splitlines()
    return {re.sub(r"[^a-z0-9]", "", line) for line in lines if line.strip() and not line.startswith("#")}


def is_held_out(name: str, names: set[str]) -> bool:
    """Whether a mark's name is, holds or contains a held-out name as one or two of its words, or a long one anywhere."""
    words = [word for word in re.split(r"[^a-z0-9]", name.lower()) if word]
    joined = "".join(words)
    pairs = {first + second for first, second in zip(words, words[1:])}
    return bool(({joined} | set(words) | pairs) & names) or any(len(n) >= 6 and n in joined for n in names)


def designs(cache: Path, sets: tuple[str, ...] = MARKS) -> list[Design]:
    """Every design of `sets` that may be fitted on, in the order of the sets and of the names."""
    names, found = held_out(), []
    for source in sets:
        licence = ICON_SETS[source][1]
        folder = cache / source / "package"
        stated = json.loads((folder / "info.json").read_text())["license"]["spdx"]
        if stated != licence:
            raise ValueError(f"{source} is under {stated}, expected {licence}")
        icons = json.loads((folder / "icons.json").read_text())
        for name, icon in sorted(icons["icons"].items()):
            variant = source in EMOJI and SKIN_TONES.search(name)
            if not variant and not is_held_out(name, names):
                found.append(Design(source, name, svg(icon, icons)))
    return found


def svg(icon: dict, icons: dict) -> str:
    side = {axis: icon.get(axis, icons.get(axis, 16)) for axis in ("width", "height")}
    view = f'{icon.get("left", 0)} {icon.get("top", 0)} {side["width"]} {side["height"]}'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    size = f'width="{side["width"]}" height="{side["height"]}"'
    return f'<svg {spaces} {size} viewBox="{view}">{icon["body"].replace("currentColor", "#111")}</svg>'


def render(design: Design, side: int = 256) -> Image.Image | None:
    """The design as RGBA cut to what is drawn, its long side about `side`; nothing where almost nothing is drawn."""
    width, height = (float(v) for v in re.search(r'width="(\S+)" height="(\S+)"', design.svg).groups())
    long = {"width": side} if width >= height else {"height": side}
    png = resvg_py.svg_to_bytes(svg_string=design.svg, skip_system_fonts=True, **long)
    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 20)).getbbox()
    return picture.crop(box) if box and min(box[2] - box[0], box[3] - box[1]) >= side // 10 else None


def clip_art(cache: Path) -> list[Path]:
    """Public-domain drawings without logos, flags and cars."""
    files = sorted((cache / CLIP_ART / "usr/share/openclipart/png").rglob("*.png"))
    return [f for f in files if not any(word in path_words(f, cache) for word in CLIP_ART_LEFT_OUT)]


def path_words(file: Path, cache: Path) -> str:
    return str(file.relative_to(cache)).lower().replace("clipart", "")


def photos(cache: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The photographs with their file names, `[height, width, 3]` uint8, long side at most 1,280."""
    folders = {
        WALLPAPERS: cache / WALLPAPERS / "usr/share/backgrounds",
        "scikit-image": Path(skimage.__file__).parent / "data",
        "scikit-learn": Path(sklearn.__file__).parent / "datasets/images",
    }
    for name, (package, _, _) in PHOTOS.items():
        picture = Image.open(folders[package] / name).convert("RGB")
        picture.thumbnail((1280, 1280))
        yield name, np.asarray(picture)
