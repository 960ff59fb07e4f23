"""Packaging: label art, forms (box, can, bottle, jar, pouch) and the photos that shoppers take of them.

A *pack* is a dict of its design; the same dict drawn from two viewpoints gives the registered picture and the photo of it.
"""
import cv2
import numpy as np

import goods
import marks as m
import render as r
import scenes

FLAVOURS = ("Lemon Orange Apple Berry Cherry Mint Vanilla Honey Cocoa Ginger Peach Mango Plum Rose Olive Oat Almond Salt Pepper Tomato Original Light "
            "Classic Strong Mild Organic Zero Herbal Forest Ocean").split()
WARES = "Juice Tea Soap Cereal Crackers Milk Yoghurt Shampoo Soda Coffee Biscuits Sauce Snack Cream Detergent Rice Pasta Chocolate".split()
FORMS = ("box", "box", "can", "bottle", "jar", "pouch")


def tone(rng):
    """A pack's colour: pale, dark or strong, as on a shelf."""
    strong, kind = m.vivid(rng), rng.random()
    if kind < .3:
        return np.float32(.72 + .26 * strong)
    return np.float32(strong * .45) if kind < .5 else strong


def design(stage, form=None):
    """A new pack: everything that its picture depends on."""
    rng = stage.rng
    form = form or str(rng.choice(FORMS))
    shape = {"box": (1.1, 1.7), "can": (1.2, 1.5), "bottle": (.9, 1.3), "jar": (.7, 1.0), "pouch": (1.2, 1.5)}[form]
    return {"form": form, "seed": int(rng.integers(1 << 30)), "layout": int(rng.integers(5)), "brand": m.invent(rng, 8), "ware": str(rng.choice(WARES)),
            "flavour": str(rng.choice(FLAVOURS)), "fonts": rng.integers(0, 400, 3).tolist(), "tall": float(rng.uniform(*shape)),
            "colours": [tone(rng), tone(rng), np.float32(rng.choice([.97, .93, .08]) * np.ones(3))],
            "picture": int(rng.integers(1000)), "symbol": int(rng.integers(100000)), "photo": rng.random() < .25, "mark": None}


def variant(pack, rng):
    """The same maker's other flavour: layout, brand, form stay; colour, picture and words change."""
    other = dict(pack)
    flavour = str(rng.choice([f for f in FLAVOURS if f != pack["flavour"]]))
    hue = tone(rng)
    other.update(flavour=flavour, picture=pack["picture"] + int(rng.integers(1, 50)), colours=[hue] + pack["colours"][1:] if rng.random() < .7 else
                 [pack["colours"][0], hue, pack["colours"][2]])
    return other


def words(stage, text, font_index, colour, size=72):
    """A line of text as a sprite."""
    mark = m.word_mark(text, stage.type.at(font_index, size), np.random.default_rng(1), colour, 0.0)
    return r.sprite_of(mark, False)


def small_print(art, rng, x, y, width, lines, colour):
    """Unreadable lines, as on the back of a pack."""
    for i in range(lines):
        end = x + int(width * rng.uniform(.6, 1))
        dashes = rng.random(max(1, (end - x) // 7)) < .8
        for j, ink in enumerate(dashes):
            if ink:
                art[y + i * 9:y + i * 9 + 4, x + j * 7:x + j * 7 + 5] = colour


def label(stage, pack, width=330):
    """Front art of a pack, picture [h, w, 3]."""
    rng = np.random.default_rng(pack["seed"])
    height = int(width * pack["tall"])
    main, second, paper = (np.float32(c) for c in pack["colours"])
    art = np.broadcast_to(main, (height, width, 3)).copy()
    backdrop(art, pack, rng, second, paper, stage)
    spot = (.5, .62) if pack["layout"] != 2 else (.62, .7)
    food = stage.sources.food[pack["picture"] % len(stage.sources.food)]
    thing = r.fit(r.sprite_of(food, False), int(width * .5))
    canvas = scenes.opaque(art)
    for shift in ((0, 0), (.2, .07))[:1 + pack["picture"] % 2]:
        r.put(canvas, thing, width * (spot[0] + shift[0]), height * (spot[1] + shift[1]))
    on_main = paper if float(np.abs(paper - main).mean()) > .3 else 1 - np.round(main)
    brand = r.sprite_of(pack["mark"]) if pack["mark"] is not None else words(stage, pack["brand"], pack["fonts"][0], paper if pack["layout"] == 0 else on_main)
    brand = r.fit(brand, int(width * rng.uniform(.55, .82)) if brand.shape[1] > brand.shape[0] * 1.3 else int(width * .42))
    r.put(canvas, brand, width * .5, height * .2)
    r.put(canvas, r.fit(words(stage, pack["flavour"], pack["fonts"][1], second if pack["layout"] == 1 else on_main), int(width * .42)), width * .5, height * .36)
    r.put(canvas, r.fit(words(stage, pack["ware"].upper(), pack["fonts"][2], on_main), int(width * .3)), width * (.3 if pack["layout"] % 2 else .5), height * .88)
    claim = f"{FLAVOURS[pack['symbol'] % len(FLAVOURS)]} & {FLAVOURS[pack['seed'] % len(FLAVOURS)]}".lower()
    r.put(canvas, r.fit(words(stage, claim, pack["fonts"][2], on_main), int(width * rng.uniform(.3, .5))), width * rng.choice([.3, .5, .65]), height * .425)
    if pack["symbol"] % 3 == 0:
        seal = r.blank(60, 60, second, cv2.circle(np.zeros((60, 60), np.float32), (30, 30), 28, 1.0, -1, cv2.LINE_AA))
        r.put(seal, r.fit(words(stage, ("BIO", "NEW", "500 g", "1 L")[pack["symbol"] % 4], pack["fonts"][1], paper), 44), 30, 30)
        r.put(canvas, seal, width * .83, height * .78)
    out = np.ascontiguousarray(canvas[..., :3])
    small_print(out, rng, int(width * .08), int(height * .93), int(width * .5), 2, on_main)
    pack["mark_share"] = np.ascontiguousarray(canvas[..., 4])
    return np.clip(out, 0, 1)


def backdrop(art, pack, rng, second, paper, stage):
    """The coloured fields behind everything, in place."""
    h, w = art.shape[:2]
    if pack["photo"]:
        pool = stage.sources.photos
        art[:] = scenes.crop_of(pool[pack["seed"] % len(pool)], rng, h, w) * .6 + art * .4
    layout = pack["layout"]
    if layout == 0:
        art[int(h * .08):int(h * .3)] = second
    elif layout == 1:
        cv2.circle(art, (w // 2, int(h * .62)), int(w * .42), paper.tolist(), -1, cv2.LINE_AA)
    elif layout == 2:
        cv2.fillPoly(art, [np.int32([[0, h], [w, int(h * .45)], [w, h]])], second.tolist(), cv2.LINE_AA)
    elif layout == 3:
        art[:, :int(w * .16)] = second
        art[int(h * .82):] = paper
    else:
        for y in range(0, h, 46):
            cv2.ellipse(art, (int(w * .5), y), (int(w * .8), 26), 0, 0, 180, (art[0, 0] * .8 + second * .2).tolist(), 10, cv2.LINE_AA)
        cv2.rectangle(art, (int(w * .08), int(h * .06)), (int(w * .92), int(h * .42)), second.tolist(), -1)


def side_art(pack, height, depth):
    """The side of a box."""
    rng = np.random.default_rng(pack["seed"] + 1)
    art = np.broadcast_to(np.float32(pack["colours"][0]), (height, depth, 3)).copy()
    art[:int(height * .12)] = pack["colours"][1]
    small_print(art, rng, int(depth * .1), int(height * .2), int(depth * .8), max(1, int(height * .4) // 9), np.float32(pack["colours"][2]))
    left, top = int(depth * .25), int(height * .78)
    art[top:top + int(height * .14), left:left + int(depth * .5)] = 1
    for x in range(left + 4, left + int(depth * .5) - 4, 3):
        if rng.random() < .55:
            art[top + 4:top + int(height * .14) - 4, x:x + 2] = .05
    return art


def sprite_with(art, share):
    """Front art as a sprite whose mask is where the mark is."""
    one = np.ones(art.shape[:2], np.float32)
    return np.dstack([art, one, share * (share > .3)])


def lathe_light(width, rng):
    """Light across something round."""
    across = np.linspace(-1, 1, width)
    return (.5 + .5 * np.sqrt(np.clip(1 - (across * .96) ** 2, 0, 1)) + rng.uniform(.1, .4) * np.exp(-((across - rng.uniform(-.6, .6)) / .1) ** 2)).astype(np.float32)


def view(stage, pack, yaw, pitch, rng):
    """The pack seen from a viewpoint, a sprite."""
    art = label(stage, pack)
    front = sprite_with(art, pack["mark_share"])
    h, w = art.shape[:2]
    if pack["form"] == "box":
        depth = int(w * .42)
        side = scenes.opaque(side_art(pack, h, depth))
        top = scenes.opaque(np.broadcast_to(np.float32(pack["colours"][0]), (depth, w, 3)))
        return goods.box_view([(front, 1.0), (side, .7), (top, 1.1)], yaw, max(.02, pitch))
    if pack["form"] == "pouch":
        return pouch(front, pack, rng)
    return turned_round(front, pack, yaw, pitch, rng)


def pouch(front, pack, rng):
    """A filled bag with crimped ends."""
    h, w = front.shape[:2]
    shape = r.polygon(h, w, [(.03, .01), (.5, .015), (.97, .01), (.93, .2), (.985, .6), (.95, .985), (.5, .99), (.05, .985), (.015, .6), (.07, .2)])
    bag = r.clip_to(front, shape)
    y = np.arange(h)
    crimp = np.where((y < h * .06) | (y > h * .94), .85 + .15 * np.sin(y * 1.6), 1.0)
    bulge = .75 + .35 * np.sqrt(np.clip(1 - np.linspace(-1, 1, w) ** 2 * .9, 0, 1))
    bag = r.shade(bag, (crimp[:, None] * bulge[None]).astype(np.float32))
    return r.crumple(bag, rng, 5, 110)


def turned_round(front, pack, yaw, pitch, rng):
    """A can, bottle or jar: the label on a cylinder turned by `yaw`, with its ends."""
    h, w = front.shape[:2]
    wide = np.concatenate([front, scenes.opaque(side_art(pack, h, w // 2)), scenes.opaque(side_art(pack, h, w // 2))], 1)
    wide = np.roll(wide, w // 2 + int(yaw / 2.9 * w), 1)
    dip = float(np.clip(.03 + pitch * .25, .02, .12))
    body = r.cylinder(np.ascontiguousarray(wide[:, w // 2:w // 2 + w]), 1.45, dip)
    body = r.shade(body, np.tile(lathe_light(body.shape[1], rng), (body.shape[0], 1)))
    bh, bw = body.shape[:2]
    head = {"can": int(bw * .12), "jar": int(bw * .3), "bottle": int(bw * .75)}[pack["form"]]
    out = r.blank(bh + head, bw)
    cap = np.float32(pack["colours"][1]) if pack["form"] != "can" else np.float32([.78, .79, .8])
    if pack["form"] == "bottle":
        shoulder = r.polygon(head + 20, bw, [(.36, .0), (.64, .0), (.66, .42), (.98, .98), (.5, 1), (.02, .98), (.34, .42)])
        r.over(out, r.shade(r.blank(head + 20, bw, np.float32(pack["colours"][0]) * .9, shoulder), np.tile(lathe_light(bw, rng), (head + 20, 1))))
        top = r.rounded(int(head * .4), int(bw * .36), 8)
        r.put(out, r.shade(r.blank(*top.shape, cap, top), np.tile(lathe_light(top.shape[1], rng), (top.shape[0], 1))), bw / 2, head * .2)
    else:
        lid = r.rounded(head + 26, int(bw * (.98 if pack["form"] == "jar" else .9)), 16)
        r.put(out, r.shade(r.blank(*lid.shape, cap, lid), np.tile(lathe_light(lid.shape[1], rng), (lid.shape[0], 1))), bw / 2, (head + 26) / 2)
    return r.over(out, body, 0, head)


def registered_picture(stage, pack):
    """The maker's packshot on white."""
    rng = stage.rng
    sprite = view(stage, pack, float(rng.choice([.02, rng.uniform(-.35, .35)])), float(rng.uniform(.02, .12)), rng)
    sprite = r.fit(sprite, int(rng.integers(300, 460)))
    picture = np.ones((480, 480, 3), np.float32) * float(rng.choice([1, 1, .95]))
    y, x = (480 - sprite.shape[0]) // 2, (480 - sprite.shape[1]) // 2
    r.shadow_under(picture, sprite, x, y, 12, .2, (0, 8))
    return r.over(picture, sprite, x, y)


def fingers(stage, layer, rng):
    """A hand that holds what stands in `layer` from one side, drawn into it."""
    ys, xs = np.where(layer[..., 3] > .5)
    if len(ys) == 0:
        return layer
    left, low, high = rng.random() < .5, ys.min(), ys.max()
    edge = xs.min() if left else xs.max()
    skin = np.float32([.82, .62, .5]) * rng.uniform(.45, 1.1)
    size = max(10, int((high - low) * .075))
    start = int(low + (high - low) * rng.uniform(.3, .6))
    for i in range(4):
        mask = np.zeros(layer.shape[:2], np.float32)
        reach = int(np.ptp(xs) * rng.uniform(.18, .32)) * (1 if left else -1)
        y = start + i * int(size * 1.9)
        cv2.line(mask, (int(edge - reach * .6), y + size), (int(edge + reach), y), 1.0, size * 2, cv2.LINE_AA)
        tone = 1 - .35 * cv2.GaussianBlur(1 - mask, (0, 0), size * .5)
        r.over(layer, r.shade(r.blank(*layer.shape[:2], skin, cv2.GaussianBlur(mask, (0, 0), .8)), tone.astype(np.float32)))
        layer[..., 4] *= 1 - mask
    return layer


def shelf(stage, picture, crowd, rng):
    """A row of other packs behind, a little out of focus, in place."""
    height, width = picture.shape[:2]
    base, x = int(height * rng.uniform(.6, .95)), -20
    board = slice(base, min(height, base + int(height * .04)))
    picture[board] = np.float32(rng.uniform(.3, .8, 3)) * .6 + .3
    while x < width and crowd:
        other = r.fit(crowd[int(rng.integers(len(crowd)))], int(height * rng.uniform(.28, .5)))
        r.over(picture, r.shade(other, np.full(other.shape[:2], rng.uniform(.6, 1), np.float32)), x, base - other.shape[0])
        x += other.shape[1] + int(rng.integers(0, 12))
    picture[:] = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(.6, 3)))


def photo_of(stage, pack, crowd):
    """A shopper's photo of a pack: other viewpoint, shelf or table, hand, things before it. Returns picture and pack mask."""
    rng = stage.rng
    height, width = stage.size()
    picture = scenes.ground(stage, height, width)
    if rng.random() < .55:
        shelf(stage, picture, crowd, rng)
    layer = np.zeros((height, width, 5), np.float32)
    if pack is not None:
        reach = .75 if pack["form"] == "box" else .6
        sprite = view(stage, pack, float(rng.uniform(-reach, reach)), float(rng.uniform(.02, .4)), rng)
        sprite = r.tilt(sprite, rng, float(rng.choice([0, rng.normal(0, 8), rng.uniform(-35, 35), 90 * rng.choice([-1, 1]) if rng.random() < .2 else 0])), .05)
        sprite[..., 4] = (sprite[..., 3] > .5)
        sprite = r.fit(sprite, scenes.size_for(sprite, height, width, rng, .06, .65))
        y = int((height - sprite.shape[0]) * rng.uniform(.1, .9) + rng.normal(0, 15))
        x = int((width - sprite.shape[1]) * rng.uniform(.05, .95) + rng.normal(0, 15))
        r.shadow_under(picture, sprite, x, y, 10, .35, (6, 8))
        r.over(layer, sprite, x, y)
        if rng.random() < .4:
            fingers(stage, layer, rng)
    picture = layer[..., :3] + picture * (1 - layer[..., 3:4])
    return scenes.things_before(stage, picture, np.ascontiguousarray(layer[..., 4]), int(rng.choice([0, 0, 1])))
