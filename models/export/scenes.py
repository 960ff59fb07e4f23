"""Made-up photos: designs laid on licensed photographs, clip art and plain grounds, for statistics only."""

import random

import numpy as np
from PIL import Image, ImageFilter

SIDE = 448


def colour(rng: random.Random) -> tuple[int, int, int]:
    return tuple(rng.randrange(256) for _ in range(3))


def recoloured(mark: Image.Image, rng: random.Random) -> Image.Image:
    """The mark as it is, or all of it in one colour (one time in three)."""
    if rng.random() < 2 / 3:
        return mark
    flat = Image.new("RGBA", mark.size, colour(rng))
    flat.putalpha(mark.getchannel("A"))
    return flat


def on_ground(mark: Image.Image, rng: random.Random) -> np.ndarray:
    """A registered picture: the mark on white, inverted, or on a ground of any colour, with a little space around it."""
    look = rng.choice(("white", "inverted", "ground"))
    space = max(mark.size) // 20
    ground = Image.new("RGBA", (mark.width + 2 * space, mark.height + 2 * space), colour(rng) if look == "ground" else "white")
    ground.alpha_composite(mark, (space, space))
    picture = np.asarray(ground.convert("RGB"))
    return 255 - picture if look == "inverted" else picture


def backdrop(photos: list[np.ndarray], rng: random.Random) -> Image.Image:
    """A square piece of a photograph, or a plain ground with a faint slope of light."""
    if rng.random() < 0.7:
        photo = Image.fromarray(rng.choice(photos))
        side = int(min(photo.size) * rng.uniform(0.3, 1))
        left, top = rng.randrange(photo.width - side + 1), rng.randrange(photo.height - side + 1)
        return photo.crop((left, top, left + side, top + side)).resize((SIDE, SIDE)).convert("RGBA")
    slope = np.linspace(rng.uniform(0.6, 1), 1, SIDE)[:, None, None] * np.ones((SIDE, SIDE, 1)) * np.array(colour(rng))
    return Image.fromarray(slope.astype(np.uint8)).rotate(90 * rng.randrange(4)).convert("RGBA")


def paste(scene: Image.Image, mark: Image.Image, share: float, rng: random.Random) -> None:
    """Lay the mark, turned a little, somewhere on the scene so that its long side takes `share` of it."""
    long = max(16, int(SIDE * share))
    mark = mark.resize([max(1, side * long // max(mark.size)) for side in mark.size])
    mark = mark.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR, expand=True)
    left, top = rng.randrange(max(1, SIDE - mark.width)), rng.randrange(max(1, SIDE - mark.height))
    scene.alpha_composite(mark, (left, top))


def scene(photos: list[np.ndarray], things: list[Image.Image], marks: list[Image.Image], rng: random.Random) -> np.ndarray:
    """A backdrop with up to three things and one or two marks on it, softened: `[448, 448, 3]` uint8."""
    made = backdrop(photos, rng)
    for thing in rng.sample(things, rng.randrange(4)):
        paste(made, thing, rng.uniform(0.2, 0.9), rng)
    for mark in rng.sample(marks, rng.choice((1, 1, 2))):
        paste(made, recoloured(mark, rng), rng.uniform(0.12, 0.7), rng)
    return np.asarray(made.convert("RGB").filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))))
