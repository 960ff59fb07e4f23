"""Edited copies of whole pictures: harder and chained versions of what sellers do, and pictures that only look like copies.

An edit takes (stage, picture) and returns (picture, box of the original in it or None).
"""
import math

import cv2
import numpy as np

import marks as m
import render as r
import scenes


def crop(stage, picture):
    rng = stage.rng
    h, w = picture.shape[:2]
    ch, cw = int(h * rng.uniform(.45, .92)), int(w * rng.uniform(.45, .92))
    y, x = int(rng.integers(0, h - ch + 1)), int(rng.integers(0, w - cw + 1))
    return picture[y:y + ch, x:x + cw], None


def mirror(_stage, picture):
    return picture[:, ::-1], None


def rotate(stage, picture):
    rng = stage.rng
    if rng.random() < .25:
        return np.rot90(picture, int(rng.choice([1, 2, 3]))), None
    h, w = picture.shape[:2]
    degrees = float(rng.uniform(3, 22) * rng.choice([-1, 1]))
    scale = 1.0 if rng.random() < .5 else 1 / (math.cos(math.radians(abs(degrees))) + math.sin(math.radians(abs(degrees))) * .9) * 1.5
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, scale)
    edge = cv2.BORDER_REFLECT if rng.random() < .3 else cv2.BORDER_CONSTANT
    return cv2.warpAffine(picture, matrix, (w, h), borderMode=edge, borderValue=[float(v) for v in (np.ones(3) * rng.choice([0, 1]))]), None


def text(stage, picture):
    """Words over it: a price, a watermark across, a banner."""
    rng, out = stage.rng, np.ascontiguousarray(picture).copy()
    h, w = out.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        phrase = str(rng.choice(["SALE", "-50%", "FREE SHIPPING", "100% ORIGINAL", "best price", "NEW 2026", "in stock", stage.phrase()]))
        word = m.word_mark(phrase, stage.font(96), rng)
        if word is None:
            continue
        sprite = r.fit(r.tilt(r.sprite_of(word, False), rng, float(rng.choice([0, 0, rng.uniform(-35, 35)])), .01), int(w * rng.uniform(.3, .95)))
        if rng.random() < .35:
            y = int(h * rng.uniform(.02, .8))
            out[y:y + int(h * .16)] = m.vivid(rng)
        r.put(out, sprite * float(rng.choice([1, .9, .45])), w * rng.uniform(.3, .7), h * rng.uniform(.1, .9))
    return out, None


def sticker(stage, picture):
    """Round tags, emoji and things laid over it."""
    rng, out = stage.rng, np.ascontiguousarray(picture).copy()
    h, w = out.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < .6:
            pool = stage.sources.pictograms
            top = r.sprite_of(r.rasterise(pool[int(rng.integers(len(pool)))], 160), False)
        else:
            top = r.sprite_of(stage.sources.objects[int(rng.integers(len(stage.sources.objects)))], False)
        r.put(out, r.fit(top, int(max(h, w) * rng.uniform(.15, .4))), w * rng.uniform(.1, .9), h * rng.uniform(.1, .9))
    return out, None


def border(stage, picture):
    rng = stage.rng
    h, w = picture.shape[:2]
    top, side = int(h * rng.uniform(.02, .25)), int(w * rng.uniform(.02, .25))
    colour = [float(v) for v in (m.vivid(rng) if rng.random() < .6 else np.ones(3) * rng.choice([0, 1]))]
    return cv2.copyMakeBorder(picture, top, top, side, side, cv2.BORDER_CONSTANT, value=colour), (side, top, w, h)


def inset(stage, picture):
    """Pasted into another picture, or one of four in a collage."""
    rng = stage.rng
    height, width = stage.size()
    host = scenes.any_photo(stage, height, width)
    small = r.fit(picture, int(min(height, width) * rng.uniform(.3, .75)))
    if rng.random() < .3:
        for i, (y, x) in enumerate(((0, 0), (0, width // 2), (height // 2, 0), (height // 2, width // 2))):
            host[y:y + height // 2, x:x + width // 2] = scenes.any_photo(stage, height // 2, width // 2)
        small = r.fit(picture, min(height // 2, width // 2))
        y, x = int(rng.choice([0, height - small.shape[0]])), int(rng.choice([0, width - small.shape[1]]))
    else:
        y, x = (int(rng.integers(0, n - s + 1)) for n, s in zip((height, width), small.shape))
    host[y:y + small.shape[0], x:x + small.shape[1]] = small
    return host, (x, y, small.shape[1], small.shape[0])


def recompress(stage, picture):
    """Made small, squeezed twice, enlarged."""
    rng = stage.rng
    h, w = picture.shape[:2]
    small = r.fit(picture, int(rng.integers(110, 240)))
    _, packed = cv2.imencode(".jpg", np.round(small[..., ::-1] * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 40))])
    back = cv2.imdecode(packed, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
    return cv2.resize(back, (w, h), interpolation=cv2.INTER_LINEAR), None


def colour(stage, picture):
    """Filters: tone, contrast, grey, sepia, negative light."""
    rng = stage.rng
    kind = rng.random()
    if kind < .15:
        return np.repeat(picture.mean(2, keepdims=True), 3, 2), None
    if kind < .25:
        return np.clip(picture.mean(2, keepdims=True) * np.float32([1.08, .9, .68]), 0, 1), None
    hsv = cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-40, 40)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(.3, 1.7), 0, 1)
    toned = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.clip((np.clip(toned, 0, 1) ** rng.uniform(.55, 1.7) - .5) * rng.uniform(.7, 1.4) + .5, 0, 1), None


def screen(stage, picture):
    """A screenshot of it: bars above and below, on a phone's page."""
    rng = stage.rng
    h, w = picture.shape[:2]
    page = np.ones((int(h * rng.uniform(1.35, 1.9)), w, 3), np.float32) * float(rng.choice([1, .96, .1]))
    y = int((page.shape[0] - h) * rng.uniform(.15, .5))
    page[y:y + h] = picture
    for row in range(3):
        word = m.word_mark(stage.phrase(), stage.font(60), rng, np.full(3, .4), 0.0)
        if word is not None:
            r.put(page, r.fit(r.sprite_of(word, False), int(w * rng.uniform(.2, .5))), w * .35, y + h + (row + .6) * (page.shape[0] - y - h) / 3.5)
    return page, (0, y, w, h)


EDITS = {"crop": crop, "mirror": mirror, "rotate": rotate, "text": text, "sticker": sticker, "border": border, "inset": inset,
         "recompress": recompress, "colour": colour, "screen": screen}


def shrink(picture, longest=760):
    return r.fit(picture, longest) if max(picture.shape[:2]) > longest else np.ascontiguousarray(picture)


def within(outer, box, height, width):
    """Where `box` of a picture height x width lies when that picture fills the box `outer` of a larger one."""
    x, y, w, h = outer
    bx, by, bw, bh = box or (0, 0, width, height)
    return x + bx * w / width, y + by * h / height, bw * w / width, bh * h / height


def edited(stage, picture, kinds):
    """Several edits in a row; the box of the original is carried through those that paste it into something."""
    box = None
    for kind in kinds:
        height, width = picture.shape[:2]
        picture, placed = EDITS[kind](stage, picture)
        box = within(placed, box, height, width) if placed else box
        picture = np.clip(np.ascontiguousarray(picture, np.float32), 0, 1)
    scale = min(1.0, 760 / max(picture.shape[:2]))
    return shrink(picture), tuple(round(v * scale) for v in box) if box else None


def chain(rng):
    """One edit in half of the cases, else two or three different ones; pasting into another picture comes last."""
    count = int(rng.choice([1, 1, 2, 2, 3]))
    kinds = list(rng.choice(sorted(EDITS), count, replace=False))
    return sorted((str(k) for k in kinds), key=lambda k: k in ("border", "inset", "screen"))
