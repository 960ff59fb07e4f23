"""Places for marks: real photos, goods, signs and posters, with other things beside, before and behind them, seen by a poor camera.

A scene function takes a `Stage` and sprites and returns (picture, mask of the mark), both at the photo's size.
"""
import math
from dataclasses import dataclass

import cv2
import numpy as np

import goods
import marks as m
import render as r
from sources import Sources, Typeface


@dataclass
class Stage:
    """What a photo is made from: the sources, their typefaces and the photo's own random generator."""
    sources: Sources
    type: Typeface
    rng: np.random.Generator
    sides: tuple[int, int] = (420, 720)  # shortest and longest long side of a photo

    def font(self, size):
        return self.type.at(int(self.rng.integers(len(self.type.fonts))), size)

    def size(self):
        """Height and width of a new photo."""
        longest, shape = int(self.rng.integers(*self.sides)), float(self.rng.choice([.66, .75, .75, 1, 1.34]))
        return (longest, int(longest * shape)) if shape <= 1 else (int(longest / shape), longest)

    def word(self, text=None):
        """A styled word as a mark."""
        text = text or self.phrase()
        mark = None
        while mark is None:
            mark = m.word_mark(text, self.font(96), self.rng, None, None, int(self.rng.choice([0, 0, 0, 2])))
        return mark

    def phrase(self):
        words = [m.invent(self.rng) for _ in range(int(self.rng.choice([1, 1, 2])))]
        return " ".join(words).upper() if self.rng.random() < .4 else " ".join(words)


def crop_of(photo, rng, height, width, smallest=.35):
    """A random crop of a photo, resized to height x width, perhaps mirrored and toned."""
    h, w = photo.shape[:2]
    scale = min(h / height, w / width) * rng.uniform(smallest, 1)
    ch, cw = max(16, int(height * scale)), max(16, int(width * scale))
    y, x = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
    how = cv2.INTER_AREA if ch > height else cv2.INTER_CUBIC
    crop = cv2.resize(photo[y:y + ch, x:x + cw], (width, height), interpolation=how).astype(np.float32) / 255
    if rng.random() < .5:
        crop = np.ascontiguousarray(crop[:, ::-1])
    return np.clip(crop * rng.uniform(.85, 1.12, 3) * rng.uniform(.8, 1.15), 0, 1).astype(np.float32)


def any_photo(stage, height, width, smallest=.35):
    """A crop of one of the photos; a fifth from the plain ones (nothing but goods) where there are any."""
    rng = stage.rng
    pool = stage.sources.plain_photos if stage.sources.plain_photos and rng.random() < .2 else stage.sources.photos
    return crop_of(pool[int(rng.integers(len(pool)))], rng, height, width, smallest)


def ground(stage, height, width):
    """A background: mostly a photo, sometimes out of focus, else a drawn surface."""
    rng = stage.rng
    if rng.random() < .75:
        picture = any_photo(stage, height, width)
        return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(1.5, 7))) if rng.random() < .35 else picture
    kind = str(rng.choice(sorted(goods.GROUNDS)))
    return np.ascontiguousarray(np.clip(goods.GROUNDS[kind](rng, height, width), 0, 1), np.float32)


def texture(stage, height, width):
    """A surface for panels: plain paint, cloth, gradient, stripes or a photo."""
    rng, kind = stage.rng, stage.rng.random()
    first, second = m.vivid(rng) if rng.random() < .6 else np.full(3, rng.choice([.95, .9, .1, .2, .5])), m.vivid(rng)
    if kind < .45:
        surface = np.broadcast_to(first, (height, width, 3)) * (1 + .03 * r.noise(rng, height, width, 50))[..., None]
    elif kind < .6:
        ramp = np.linspace(0, 1, width)[None, :, None] if rng.random() < .5 else np.linspace(0, 1, height)[:, None, None]
        surface = np.broadcast_to(first * (1 - ramp) + second * ramp, (height, width, 3))
    elif kind < .7:
        y, x = np.mgrid[:height, :width]
        turn = rng.uniform(0, 3.14)
        bars = (np.sin((x * math.cos(turn) + y * math.sin(turn)) * rng.uniform(.03, .3)) > rng.uniform(-.4, .4))[..., None]
        surface = first * (1 - .5 * bars) + second * .5 * bars
    elif kind < .85:
        surface = any_photo(stage, height, width, .2)
    else:
        surface = goods.GROUNDS[str(rng.choice(sorted(goods.GROUNDS)))](rng, height, width)
    return np.clip(np.ascontiguousarray(surface, np.float32), 0, 1)


def opaque(picture):
    """A picture as a sprite without a mark."""
    one = np.ones(picture.shape[:2], np.float32)
    return np.dstack([picture, one, one * 0])


def turned(sprite, rng, hard=1.0):
    """A viewpoint: often upright, sometimes up to 30 degrees turned, with perspective, sometimes round something."""
    if rng.random() < .22 * hard:
        sprite = r.cylinder(sprite, float(rng.uniform(.5, 1.2)), float(rng.uniform(-.12, .12)) if sprite.shape[0] < 200 else .05)
    degrees = float(rng.choice([0, rng.normal(0, 5), rng.normal(0, 11), rng.uniform(-30, 30)]))
    return r.tilt(sprite, rng, degrees, float(rng.choice([.02, .06, .12])) * hard)


def calm_place(picture, height, width, rng, tries=14):
    """Where a mark of that size would look printed: among random places one of the four with the least edges."""
    edges = np.abs(cv2.Laplacian(cv2.GaussianBlur(picture.mean(2), (0, 0), 2), cv2.CV_32F))
    total = cv2.integral(edges.astype(np.float32))
    places = []
    for _ in range(tries):
        spill = .22 if rng.random() < .15 else 0.0
        y = int(rng.uniform(-spill * height, max(1, picture.shape[0] - (1 - spill) * height)))
        x = int(rng.uniform(-spill * width, max(1, picture.shape[1] - (1 - spill) * width)))
        top, left = max(0, y), max(0, x)
        bottom, right = min(picture.shape[0], y + height), min(picture.shape[1], x + width)
        if bottom - top > 4 and right - left > 4:
            sum_ = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
            places.append((sum_ / ((bottom - top) * (right - left)), y, x))
    _, y, x = sorted(places)[int(rng.integers(min(4, len(places))))]
    return y, x


def print_on(picture, sprite, y, x, rng):
    """Lay a mark on a photo as if it belonged there: it takes on the light, folds and grain of what lies beneath.

    Returns the picture and the mark's mask; works on the surroundings of the mark only.
    """
    margin = 40
    top, left = max(0, y - margin), max(0, x - margin)
    bottom, right = min(picture.shape[0], y + sprite.shape[0] + margin), min(picture.shape[1], x + sprite.shape[1] + margin)
    below = picture[top:bottom, left:right]
    layer = r.over(np.zeros(below.shape[:2] + (5,), np.float32), sprite, x - left, y - top)
    grey = cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(below), cv2.COLOR_RGB2GRAY), (0, 0), 1.2)
    wide = cv2.blur(grey, (2 * int(max(8, max(sprite.shape[:2]) / 3)) + 1,) * 2)
    light = np.clip((grey + .06) / (wide + .06), .45, 1.6)
    broad = np.clip(.55 + .9 * cv2.blur(grey, (31, 31)), .4, 1.25)
    soft = cv2.GaussianBlur(grey, (0, 0), 3)
    strength = float(rng.uniform(0, 56))
    yy, xx = np.mgrid[:below.shape[0], :below.shape[1]]
    layer = r.remap(layer, xx + cv2.Sobel(soft, cv2.CV_32F, 1, 0) * strength, yy + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * strength)
    depth = float(rng.uniform(.4, 1))
    layer = r.shade(layer, (1 - depth + depth * light * broad).astype(np.float32))
    cover = cv2.GaussianBlur(np.ascontiguousarray(layer[..., :4]), (0, 0), float(rng.uniform(.3, 1.0))) * np.float32(rng.uniform(.82, 1))
    out, mask = picture.copy(), np.zeros(picture.shape[:2], np.float32)
    out[top:bottom, left:right] = cover[..., :3] + below * (1 - cover[..., 3:])
    mask[top:bottom, left:right] = layer[..., 4]
    return out, mask


def size_for(sprite, height, width, rng, low=.01, high=.5):
    """Longest side for a sprite so that its box covers a log-uniform share of the photo."""
    share = math.exp(rng.uniform(math.log(low), math.log(high)))
    h, w = sprite.shape[:2]
    longest = math.sqrt(share * height * width * max(h, w) / min(h, w))
    return int(np.clip(longest, 22, .98 * min(height * max(1, h / w), width * max(1, w / h), max(height, width))))


def on_photo(stage, mark, low=.01, high=.45):
    """A mark printed on something in a photo."""
    height, width = stage.size()
    picture = any_photo(stage, height, width) if stage.rng.random() < .85 else texture(stage, height, width)
    sprite = turned(r.sprite_of(mark), stage.rng)
    sprite = r.fit(sprite, size_for(sprite, height, width, stage.rng, low, high))
    y, x = calm_place(picture, *sprite.shape[:2], stage.rng)
    return print_on(picture, sprite, y, x, stage.rng)


def stand(stage, thing, low=.2, high=.8):
    """Put a thing (sprite) before a background with its shadow."""
    rng = stage.rng
    height, width = stage.size()
    picture = ground(stage, height, width)
    thing = r.fit(thing, size_for(thing, height, width, rng, low, high))
    y = int((height - thing.shape[0]) * rng.uniform(.1, .9) + rng.normal(0, 8))
    x = int((width - thing.shape[1]) * rng.uniform(.05, .95) + rng.normal(0, 12))
    r.shadow_under(picture, thing, x, y, float(rng.uniform(6, 16)), float(rng.uniform(.2, .55)), (int(rng.integers(-10, 11)), int(rng.integers(4, 14))))
    layer = np.zeros((height, width, 5), np.float32)
    r.over(layer, thing, x, y)
    if rng.random() < .5:
        layer[..., :4] = cv2.GaussianBlur(layer[..., :4], (0, 0), .6)
    return layer[..., :3] + picture * (1 - layer[..., 3:4]), np.ascontiguousarray(layer[..., 4])


def on_good(stage, mark):
    """A mark on a drawn good before a real background."""
    rng = stage.rng
    kind = str(rng.choice(sorted(goods.GOODS)))
    colour = m.backing(mark, rng)
    colour = np.clip(colour * rng.uniform(.82, .97) + rng.uniform(.02, .05), 0, 1).astype(np.float32)
    thing = goods.GOODS[kind](r.sprite_of(mark), colour, rng)
    return stand(stage, r.tilt(thing, rng, float(rng.normal(0, 9)), .05), .2, .85)


def panel(stage, mark):
    """A sign, poster, banner or screen with the mark, other words and perhaps a picture."""
    rng = stage.rng
    h, w = int(rng.integers(260, 520)), int(rng.integers(300, 620))
    board = opaque(texture(stage, h, w))
    if rng.random() < .35:
        part = any_photo(stage, h, int(w * rng.uniform(.3, .6)), .3)
        r.over(board, opaque(part), int(rng.choice([0, w - part.shape[1]])), 0)
    for _ in range(int(rng.integers(0, 5))):
        word = r.fit(stage.word(), int(w * rng.uniform(.12, .6)))
        r.put(board, r.sprite_of(word, False), w * rng.uniform(.15, .85), h * rng.uniform(.05, .95))
    if mark is not None:
        sprite = r.fit(r.sprite_of(mark), int(min(h, w) * rng.uniform(.25, .85)))
        plate = rng.random()
        if plate < .3:
            colour, pad = m.backing(mark, rng), 18
            shape = r.rounded(sprite.shape[0] + 2 * pad, sprite.shape[1] + 2 * pad, float(rng.choice([3, 18, 90])))
            sprite = r.put(r.blank(*shape.shape, colour, shape), sprite, shape.shape[1] / 2, shape.shape[0] / 2)
        r.put(board, sprite, w * rng.uniform(.35, .65), h * rng.uniform(.35, .65))
    shape = r.rounded(h, w, float(rng.choice([2, 14, 60]))) if rng.random() < .8 else r.polygon(h, w, [(.5, .01), (.99, .5), (.5, .99), (.01, .5)])
    board = r.shade(r.clip_to(board, shape), (np.linspace(*rng.uniform(.75, 1.15, 2), h)[:, None] * np.linspace(*rng.uniform(.8, 1.1, 2), w)[None]).astype(np.float32))
    if rng.random() < .3:
        board = r.crumple(board, rng, float(rng.uniform(3, 10)), 150)
    return stand(stage, turned(board, rng, .8), .25, .95)


def distract(stage, picture, mask, other_mark, count):
    """Marks of brands that registered nothing (`other_mark` makes one), and words, printed elsewhere in the photo."""
    rng = stage.rng
    for _ in range(count):
        other = other_mark() if rng.random() < .6 else stage.word()
        sprite = turned(r.sprite_of(m.look(other, rng)[0], False), rng)
        sprite = r.fit(sprite, size_for(sprite, *picture.shape[:2], rng, .004, .08))
        y, x = calm_place(picture, *sprite.shape[:2], rng)
        if mask is not None and (mask[max(0, y):max(0, y + sprite.shape[0]), max(0, x):max(0, x + sprite.shape[1])] > .3).any():
            continue
        picture, _ = print_on(picture, sprite, y, x, rng)
    return picture


def things_before(stage, picture, mask, count):
    """Cut-out things in the foreground; they may hide up to a third of the mark. Returns picture and what shows of the mask."""
    rng = stage.rng
    for _ in range(count):
        thing = r.sprite_of(stage.sources.objects[int(rng.integers(len(stage.sources.objects)))], False)
        thing = r.fit(r.tilt(thing, rng, float(rng.uniform(-25, 25)), .03), int(max(picture.shape[:2]) * rng.uniform(.12, .4)))
        y, x = (int(rng.uniform(-.3 * thing.shape[i], picture.shape[i] - .6 * thing.shape[i])) for i in (0, 1))
        layer = np.zeros(picture.shape[:2] + (5,), np.float32)
        r.over(layer, thing, x, y)
        if mask is not None and mask.sum() > 0:
            left = mask * (1 - layer[..., 3])
            if left.sum() < .67 * mask.sum():
                continue
            mask = left
        tone = np.float32([1, 1, 1]) * np.clip(.35 + picture.mean() * 1.2, .5, 1.1)
        picture = layer[..., :3] * tone + picture * (1 - layer[..., 3:4])
    return picture, mask


def motion(picture, rng):
    """A shaken camera."""
    size = int(rng.integers(2, 5)) * 2 + 1
    kernel = np.zeros((size, size), np.float32)
    turn = rng.uniform(0, math.pi)
    reach = np.array([math.cos(turn), math.sin(turn)]) * size / 2
    centre = np.array([size // 2, size // 2])
    cv2.line(kernel, tuple(np.int32(centre - reach)), tuple(np.int32(centre + reach)), 1.0, 1)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def shoot(picture, rng, hard=1.0):
    """The camera and the upload: light, focus, grain, exposure, glare, small sizes. Returns the picture and a JPEG quality."""
    picture = r.camera(picture, rng, 0, float(rng.choice([0, .006, .015, .03])) * hard, float(rng.uniform(0, .45)))
    h, w = picture.shape[:2]
    if rng.random() < .18 * hard:
        blob = np.exp(-(((np.arange(w)[None] - rng.uniform(0, w)) / (w * .16)) ** 2 + ((np.arange(h)[:, None] - rng.uniform(0, h)) / (h * .16)) ** 2))
        picture = np.clip(picture + blob[..., None] * rng.uniform(.2, .6), 0, 1)
    if rng.random() < .15 * hard:
        cut = np.clip((np.arange(w)[None] * rng.uniform(-1, 1) + np.arange(h)[:, None] - h * rng.uniform(.2, .8)) / 12 + .5, 0, 1)
        picture = picture * (1 - cut[..., None] * rng.uniform(.25, .6))
    kind = rng.random()
    picture = picture.astype(np.float32)
    if kind < .3:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(.5, 1.8)))
    elif kind < .4:
        picture = motion(picture, rng)
    elif kind < .52:
        picture = cv2.resize(r.fit(picture, int(max(h, w) * rng.uniform(.35, .7))), (w, h), interpolation=cv2.INTER_LINEAR)
    picture = np.clip(picture, 0, 1) ** float(rng.choice([1, rng.uniform(.6, 1.7)]))
    if rng.random() < .05:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, 2)
    return picture.astype(np.float32), int(rng.choice([30, 45, 60, 72, 82, 90]))
