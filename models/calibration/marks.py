"""Marks and what becomes of them: registered pictures, other versions, the looks they take on goods, imitations.

A *mark* is uint8 RGBA [h, w, 4], trimmed, longest side 320 unless said.
"""
import math

import cv2
import numpy as np
from PIL import Image, ImageDraw

import render as r

SIDE = 320
SYLLABLES = ("ba be bi bo bra bri ca ce co cla da de di do dra el en fa fi fo fra ga ge go gra ha he hi ho ja jo ka ke ki ko la le li lo lu ma me "
             "mi mo mu na ne ni no nu pa pe pi po pra ra re ri ro ru sa se si so sta ta te ti to tra tri va ve vi vo wa we za ze zo n r s l x").split()


def invent(rng, longest=9):
    """A pronounceable word that is no brand we know of."""
    word = ""
    while not 4 <= len(word) <= longest:
        word = "".join(rng.choice(SYLLABLES) for _ in range(int(rng.integers(2, 5))))
    return word.capitalize()


def vivid(rng):
    """A strong colour, 0..1."""
    hsv = np.float32([[[rng.uniform(0, 360), rng.uniform(.5, 1), rng.uniform(.25, 1)]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0]


def luminance(rgba):
    """Mean brightness of the inked part, 0..1."""
    ink = rgba[..., 3] > 128
    return float(rgba[..., :3][ink].mean() / 255) if ink.any() else 0.0


def word_mark(text, font, rng, colour=None, gap=None, stroke=0):
    """A word set in a font (a mark)."""
    colour = vivid(rng) * .8 if colour is None else colour
    gap = float(rng.choice([0, 0, 0, 4, 10])) if gap is None else gap
    width = int(sum(font.getlength(c) + gap for c in text) + 80)
    canvas = Image.new("RGBA", (width, font.size * 2), (0, 0, 0, 0))
    draw, x = ImageDraw.Draw(canvas), 40.0
    fill = tuple(int(v * 255) for v in colour) + (255,)
    pieces = text if gap else [text]
    for piece in pieces:
        draw.text((x, font.size * .3), piece, font=font, fill=fill, stroke_width=stroke, stroke_fill=fill)
        x += font.getlength(piece) + gap
    mark = np.array(canvas)
    if not (mark[..., 3] > 20).any():
        return None
    return r.fit(r.trim(mark), SIDE)


def stack(parts, rng, sideways=True):
    """Marks beside (or above) each other as one mark."""
    gap = int(rng.integers(10, 34))
    if sideways:
        height, width = max(p.shape[0] for p in parts), sum(p.shape[1] for p in parts) + gap * (len(parts) - 1)
    else:
        height, width = sum(p.shape[0] for p in parts) + gap * (len(parts) - 1), max(p.shape[1] for p in parts)
    out, at = np.zeros((height, width, 4), np.uint8), 0
    for part in parts:
        h, w = part.shape[:2]
        if sideways:
            out[(height - h) // 2:(height - h) // 2 + h, at:at + w] = part
        else:
            out[at:at + h, (width - w) // 2:(width - w) // 2 + w] = part
        at += (w if sideways else h) + gap
    return r.fit(r.trim(out), SIDE)


def lockup(symbol, word, rng, sideways):
    """Symbol and word together."""
    if sideways:
        return stack([r.fit(symbol, 120), r.fit(word, int(rng.integers(180, 320)))], rng)
    return stack([r.fit(symbol, 170), r.fit(word, int(rng.integers(150, 260)))], rng, False)


def ink_of(mark):
    """What makes the shape, 0..1: the alpha, or inside a filled mark the darker (or lighter) part."""
    alpha = mark[..., 3].astype(np.float32) / 255
    grey = cv2.cvtColor(mark[..., :3], cv2.COLOR_RGB2GRAY)
    inside = grey[mark[..., 3] > 128]
    if len(inside) < 40 or inside.std() < 25:
        return alpha
    cut, _ = cv2.threshold(inside.reshape(-1, 1), 0, 255, cv2.THRESH_OTSU)
    dark = np.clip((cut - grey.astype(np.float32)) / 20 + .5, 0, 1)
    ink = alpha * (dark if luminance(mark) > .35 else 1 - dark)
    return ink if (ink > .5).sum() > 60 else alpha


def shape_vector(mark):
    """28 x 28 picture of the letterboxed shape, centred and of norm 1."""
    ink = cv2.GaussianBlur(r.fit(ink_of(mark), 28), (0, 0), .8)
    out = np.zeros((28, 28), np.float32)
    y, x = (28 - ink.shape[0]) // 2, (28 - ink.shape[1]) // 2
    out[y:y + ink.shape[0], x:x + ink.shape[1]] = ink
    out -= out.mean()
    return (out / (np.linalg.norm(out) + 1e-6)).ravel()


def usable(mark):
    """Not too thin, not a plain blob: something to recognise."""
    h, w = mark.shape[:2]
    ink = ink_of(mark)
    edges = float(np.abs(cv2.Laplacian(cv2.GaussianBlur(ink, (0, 0), 2), cv2.CV_32F)).mean())
    return max(h / w, w / h) < 7 and (mark[..., 3] > 128).mean() > .06 and edges > .0012


def backing(mark, rng):
    """A ground colour that the mark shows on."""
    light = luminance(mark)
    choices = [np.ones(3), np.ones(3), np.ones(3), np.full(3, .94), np.zeros(3), vivid(rng)]
    for _ in range(12):
        ground = choices[int(rng.integers(len(choices)))]
        if abs(float(np.mean(ground)) - light) > .3:
            return np.float32(ground)
    return np.ones(3, np.float32) if light < .5 else np.zeros(3, np.float32)


def registered_picture(mark, rng):
    """The clean picture a brand hands in: the mark on a plain ground, its own proportions or a square."""
    ground = backing(mark, rng)
    if rng.random() < .12:
        mark, ground = flat(mark, np.zeros(3) if rng.random() < .7 else vivid(rng) * .6), np.ones(3, np.float32)
    h, w = mark.shape[:2]
    pad = int(max(h, w) * rng.uniform(.02, .25))
    height, width = (h + 2 * pad, w + 2 * pad) if rng.random() < .6 else (max(h, w) + 2 * pad,) * 2
    picture = np.broadcast_to(ground, (height, width, 3)).astype(np.float32).copy()
    return r.over(picture, r.sprite_of(mark), (width - w) // 2, (height - h) // 2)


def relief(ink, rng):
    """Slope light of a raised shape, about -1..1."""
    height = cv2.GaussianBlur(ink, (0, 0), float(rng.uniform(1.2, 3.5)))
    turn = rng.uniform(0, 2 * math.pi)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * math.cos(turn) + cv2.Sobel(height, cv2.CV_32F, 0, 1) * math.sin(turn)
    return slope * float(rng.uniform(1.2, 3))


def framed(mark, pad=10):
    return cv2.copyMakeBorder(mark, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)


def flat(mark, colour):
    """The shape in one ink; a filled badge keeps what is inside it."""
    return r.tint(np.dstack([mark[..., :3], np.round(ink_of(mark) * 255).astype(np.uint8)]), colour)


def one_ink(mark, rng):
    return flat(mark, [np.full(3, .97), np.full(3, .05), vivid(rng), rng.uniform(0, 1, 3)][int(rng.integers(4))])


def shifted(mark, rng):
    hsv = cv2.cvtColor(mark[..., :3].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-25, 25)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(.35, 1.2), 0, 1)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(.55, 1.2), 0, 1)
    return np.dstack([np.round(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8), mark[..., 3]])


def inverted(mark, _rng):
    return np.dstack([255 - mark[..., :3], mark[..., 3]])


def gradient(mark, rng):
    out = one_ink(mark, rng)
    h, w = out.shape[:2]
    ramp = np.linspace(0, 1, w)[None, :, None].repeat(h, 0) if rng.random() < .5 else np.linspace(0, 1, h)[:, None, None].repeat(w, 1)
    out[..., :3] = np.round((vivid(rng) * (1 - ramp) + vivid(rng) * ramp) * 255)
    return out


def badge_metal(mark, rng):
    """Raised metal or plastic."""
    ink = framed(np.round(ink_of(mark) * 255).astype(np.uint8)).astype(np.float32) / 255
    base = np.float32(((.76, .76, .78), (.5, .5, .52), (.82, .66, .28), (.66, .45, .3))[int(rng.integers(4))])
    sheen = .25 * np.sin(np.linspace(-1, 1, ink.shape[0])[:, None] * rng.uniform(2, 8) + rng.uniform(0, 6))
    colour = np.clip(base * (1 + relief(ink, rng)[..., None] + sheen[..., None]), 0, 1)
    return np.round(np.dstack([colour, np.clip(cv2.GaussianBlur(ink, (0, 0), .8) * 1.2, 0, 1)]) * 255).astype(np.uint8)


def engraved(mark, rng):
    """Only the light and shadow of a pressed-in shape."""
    ink = framed(np.round(ink_of(mark) * 255).astype(np.uint8)).astype(np.float32) / 255
    slope = relief(ink, rng)
    colour = np.where(slope[..., None] > 0, .97, .03).repeat(3, 2)
    alpha = np.maximum(np.clip(np.abs(slope) * 1.6, 0, .95), ink * rng.uniform(.12, .4))
    return np.round(np.dstack([colour, alpha]) * 255).astype(np.uint8)


def stitched(mark, rng):
    """Embroidery: slanting threads and a raised edge, few details."""
    base = one_ink(mark, rng) if rng.random() < .5 else mark
    soft = cv2.medianBlur(base, 7)
    y, x = np.indices(soft.shape[:2])
    slant = rng.uniform(.5, 1.5)
    thread = .82 + .18 * np.sin((x + y * slant) * rng.uniform(1.0, 1.8)) + .25 * relief(soft[..., 3].astype(np.float32) / 255, rng)
    colour = np.clip(soft[..., :3] * thread[..., None], 0, 255)
    return np.dstack([np.round(colour).astype(np.uint8), soft[..., 3]])


def outlined(mark, rng):
    """Only the contour."""
    ink = framed(np.round(ink_of(mark) * 255).astype(np.uint8))
    wide = int(rng.integers(2, 5)) * 2 + 1
    edge = cv2.morphologyEx(ink, cv2.MORPH_GRADIENT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    return r.tint(np.dstack([edge, edge, edge, edge]), (np.full(3, .95), np.full(3, .05), vivid(rng))[int(rng.integers(3))])


def neon(mark, rng):
    """Glowing tubes."""
    line = outlined(mark, rng)
    alpha = cv2.copyMakeBorder(line[..., 3], 24, 24, 24, 24, cv2.BORDER_CONSTANT, value=0).astype(np.float32) / 255
    glow = np.clip(cv2.GaussianBlur(alpha, (0, 0), 9) * 1.1, 0, .8)
    hue = vivid(rng) * .4 + .6
    colour = hue * (1 - alpha[..., None]) + np.clip(hue + .4, 0, 1) * alpha[..., None]
    return np.round(np.dstack([colour, np.maximum(alpha, glow)]) * 255).astype(np.uint8)


def worn(mark, rng):
    """A print with flakes missing."""
    flakes = r.noise(rng, *mark.shape[:2], 26, 3) > rng.uniform(.9, 1.7)
    return np.dstack([mark[..., :3], np.where(flakes, mark[..., 3] // 6, mark[..., 3])])


LOOKS = [(.34, "as it is", lambda mark, rng: mark), (.10, "shifted", shifted), (.20, "one ink", one_ink), (.03, "inverted", inverted), (.06, "gradient", gradient),
         (.07, "metal", badge_metal), (.05, "engraved", engraved), (.05, "stitched", stitched), (.03, "outlined", outlined), (.02, "neon", neon), (.05, "worn", worn)]


def look(mark, rng):
    """The mark as somebody printed, pressed, cast or sewed it, and that look's name."""
    pick = rng.random() * sum(weight for weight, _, _ in LOOKS)
    for weight, name, make in LOOKS:
        pick -= weight
        if pick <= 0:
            return np.ascontiguousarray(make(mark, rng)), name
    return mark, "as it is"


def misspell(text, rng):
    """One letter changed, doubled, dropped or swapped: a near spelling that is not the word."""
    place = int(rng.integers(1, len(text)))
    kind = rng.random()
    if kind < .5:
        pool = "aeiou" if text[place].lower() in "aeiou" else "bdgklmnprstvz"
        letter = str(rng.choice([c for c in pool if c != text[place].lower()]))
        return text[:place] + letter + text[place + 1:]
    if kind < .75:
        return text[:place] + text[place] + text[place:]
    return text[:place] + text[place + 1:] if len(text) > 5 else text + "s"


def altered(mark, rng):
    """An imitation of a mark by geometry: mirrored, bent, a part turned or moved; and what was done."""
    h, w = mark.shape[:2]
    kind = rng.choice(["mirrored", "stretched", "part turned", "half moved", "hole"])
    if kind == "mirrored" and cv2.matchTemplate(mark[..., 3], np.ascontiguousarray(mark[:, ::-1, 3]), cv2.TM_CCOEFF_NORMED)[0, 0] < .75:
        return np.ascontiguousarray(mark[:, ::-1]), "mirrored"
    if kind == "stretched":
        wide = rng.choice([rng.uniform(.5, .65), rng.uniform(1.5, 1.9)])
        return r.fit(cv2.resize(mark, (max(8, int(w * wide)), h), interpolation=cv2.INTER_AREA), SIDE), "stretched"
    out = mark.copy()
    if kind == "part turned":
        y, x = (int(rng.integers(0, max(1, n // 2))) for n in (h, w))
        part = out[y:y + h // 2, x:x + w // 2]
        out[y:y + h // 2, x:x + w // 2] = part[::-1, ::-1]
        return out, "part turned"
    if kind == "half moved":
        out[:, w // 2:] = np.roll(out[:, w // 2:], int(h * rng.uniform(.12, .25)) * int(rng.choice([-1, 1])), axis=0)
        return out, "half moved"
    centre = (int(w * rng.uniform(.25, .75)), int(h * rng.uniform(.25, .75)))
    hole = np.zeros((h, w), np.uint8)
    cv2.circle(hole, centre, int(min(h, w) * rng.uniform(.14, .24)), 255, -1, cv2.LINE_AA)
    out[..., 3] = np.minimum(out[..., 3], 255 - hole)
    return out, "hole"
