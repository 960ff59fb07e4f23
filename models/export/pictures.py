"""The picture rules of the model cards: what is resized how, and which windows are described.

This is the reference implementation; the parity files are made with it. Everything is 8-bit sRGB until `normalise`.
All roundings are floor(x + 0.5) on 64-bit floats; all resizing is a triangle filter whose support grows with the reduction
(PIL's BILINEAR, fast_image_resize's `Convolution(Bilinear)`), applied to the 8-bit channels as they are (no gamma step).
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

MEAN, SCALE = 127.0, 128.0
CELL = 32  # pixels of input a cell of the last map stands for
FINE_CELL = 16
SHOWN = 0.02  # share of a fine cell that must not be ground for it to count
REFERENCE_SIDE = 224
MARGIN = 0.08  # of the mark's long side, left free on each side of a reference
TRIM_TOLERANCE = 24  # largest difference of any channel from the edge colour that still counts as ground
UNIFORM_EDGE = 0.9  # share of the border that must be ground before anything is trimmed
PYRAMID = (224, 320, 448, 640)  # long sides, pixels
LARGE = ((400, (*PYRAMID, 896)), (900, (*PYRAMID, 896, 1280)))  # long side of photos from which they are seen at others
WINDOW_CELLS = (4, 6)
WINDOW_STEP = 2  # cells
BORDER_CELLS = 1  # how far a window may reach over the picture's border


class Window(NamedTuple):
    """A square window: `x0, y0, x1, y1` in pixels of the pyramid level's input, up to one cell outside of it."""

    x0: float
    y0: float
    x1: float
    y1: float


def half_up(value: float) -> int:
    return math.floor(value + 0.5)


def read(path: Path) -> np.ndarray:
    """A picture file as `[height, width, 3]` uint8 sRGB, upright, alpha laid on white."""
    picture = ImageOps.exif_transpose(Image.open(path))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(picture.convert("RGB"))


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Triangle-filter resize to `width` x `height`."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))


def normalise(picture: np.ndarray) -> np.ndarray:
    """`[height, width, 3]` uint8 to the network's `[1, 3, height, width]` float32, (value - 127) / 128."""
    return ((picture.astype(np.float32) - MEAN) / SCALE).transpose(2, 0, 1)[None].copy()


def edge_colour(picture: np.ndarray) -> np.ndarray:
    """Median of each channel over the outermost ring of pixels; the lower one of two middle values."""
    ring = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    return np.sort(ring, axis=0)[(len(ring) - 1) // 2]


def content_box(picture: np.ndarray) -> tuple[int, int, int, int]:
    """`x0, y0, x1, y1` of what is not ground, or the whole picture when its border is not of one colour."""
    height, width = picture.shape[:2]
    far = np.abs(picture.astype(int) - edge_colour(picture).astype(int)).max(2) > TRIM_TOLERANCE
    ring = np.concatenate([far[0], far[-1], far[1:-1, 0], far[1:-1, -1]])
    rows, columns = np.flatnonzero(far.any(1)), np.flatnonzero(far.any(0))
    if ring.mean() > 1 - UNIFORM_EDGE or not len(rows):
        return 0, 0, width, height
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def reference(picture: np.ndarray, side: int = REFERENCE_SIDE) -> np.ndarray:
    """A registered picture as the windows model wants it: trimmed, letterboxed in its edge colour, `side` x `side`."""
    x0, y0, x1, y1 = content_box(picture)
    long = half_up(side / (1 + 2 * MARGIN))
    scale = long / max(x1 - x0, y1 - y0)
    width, height = max(1, half_up((x1 - x0) * scale)), max(1, half_up((y1 - y0) * scale))
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = edge_colour(picture)
    left, top = (side - width) // 2, (side - height) // 2
    canvas[top : top + height, left : left + width] = resize(picture[y0:y1, x0:x1], width, height)
    return canvas


def shown_cells(laid_out: np.ndarray) -> np.ndarray:
    """Which cells of 16 pixels of `reference` show more than its ground, `[rows, columns]` bool."""
    far = np.abs(laid_out.astype(int) - laid_out[0, 0].astype(int)).max(2) > TRIM_TOLERANCE
    rows, columns = (side // FINE_CELL for side in far.shape)
    return far.reshape(rows, FINE_CELL, columns, FINE_CELL).mean((1, 3)) > SHOWN


def pyramid(picture: np.ndarray) -> tuple[int, ...]:
    """Long sides of the levels of a photo."""
    return next((sides for least, sides in reversed(LARGE) if max(picture.shape[:2]) >= least), PYRAMID)


def level(picture: np.ndarray, long: int) -> np.ndarray:
    """A photo at one level of the pyramid: long side about `long`, both sides whole cells, at least 3 cells."""
    height, width = picture.shape[:2]
    scale = long / max(height, width)
    cells = [max(3, half_up(side * scale / CELL)) for side in (width, height)]
    return resize(picture, cells[0] * CELL, cells[1] * CELL)


def windows(width: int, height: int, sizes: tuple[int, ...] = WINDOW_CELLS) -> list[Window]:
    """The windows of a level of `width` x `height` pixels: for each size, rows from the top, each from the left."""
    columns, rows = width // CELL + 2 * BORDER_CELLS, height // CELL + 2 * BORDER_CELLS
    found = []
    for size in sorted({min(cells, columns, rows) for cells in sizes}):
        for y in starts(rows, size):
            for x in starts(columns, size):
                corner = (x - BORDER_CELLS, y - BORDER_CELLS)
                found.append(Window(*(float(v * CELL) for v in (*corner, corner[0] + size, corner[1] + size))))
    return found


def starts(cells: int, size: int) -> list[int]:
    """Every second position, and always the last one."""
    return sorted({*range(0, cells - size + 1, WINDOW_STEP), cells - size})
