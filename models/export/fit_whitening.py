"""Fit the statistics of the windows description: channel means and deviations, centre and whitening matrix.

Fitted on licensed pictures alone (`licensed.py`): designs as registered pictures and windows of made-up photos, half and half.
About five minutes on one core. Usage: fit_whitening.py --cache FOLDER --out whitening.npz
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

import lite0
import numpy as np
import pictures
import torch
from PIL import Image

import licensed
import scenes

SEED = 7
REFERENCES = 4000
SCENES = 800
# Long sides at which scenes are seen, pixels. Not pictures.PYRAMID: what ships was whitened before its largest was added.
SCENE_SIDES = (224, 320, 448)
WINDOWS_PER_SCENE = 5
DIMENSION = 512
POWER = 0.375  # of the eigenvalues; full whitening would take 0.5


def reference_cells(trunk: torch.nn.Module, marks: list[Image.Image], rng: random.Random) -> Iterator[torch.Tensor]:
    for mark in marks:
        picture = pictures.reference(scenes.on_ground(mark, rng))
        yield describe(trunk, picture, [(0.0, 0.0, float(pictures.REFERENCE_SIDE), float(pictures.REFERENCE_SIDE))])


def scene_cells(trunk, photos, things, marks, rng: random.Random) -> Iterator[torch.Tensor]:
    for _ in range(SCENES):
        picture = pictures.level(scenes.scene(photos, things, marks, rng), rng.choice(SCENE_SIDES))
        boxes = pictures.windows(picture.shape[1], picture.shape[0])
        yield describe(trunk, picture, rng.sample(boxes, min(len(boxes), WINDOWS_PER_SCENE)))


def describe(trunk: torch.nn.Module, picture: np.ndarray, boxes: list) -> torch.Tensor:
    features = trunk(torch.from_numpy(pictures.normalise(picture)))
    return lite0.pool(features[0], torch.tensor(boxes)).flatten(1, 2)


def fit(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Statistics of pooled cells `[samples, 9, 320]`; the matrix is `[2880, 512]`."""
    mean, deviation = cells.mean((0, 1)), cells.std((0, 1)) + 1e-6
    flat = ((cells - mean) / deviation).reshape(len(cells), -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    centre = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov(flat - centre, rowvar=False))
    strongest = np.argsort(values)[::-1][:DIMENSION]
    matrix = vectors[:, strongest] / values[strongest] ** POWER
    parts = {"mean": mean, "deviation": deviation, "centre": centre, "matrix": matrix}
    return {name: part.astype(np.float32) for name, part in parts.items()}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    licensed.fetch(options.cache)
    rng = random.Random(SEED)
    trunk = lite0.Trunk(lite0.load())
    chosen = rng.sample(licensed.designs(options.cache), REFERENCES)
    marks = [mark for mark in map(licensed.render, chosen) if mark]
    things = [Image.open(f).convert("RGBA") for f in rng.sample(licensed.clip_art(options.cache), 300)]
    photos = [photo for _, photo in licensed.photos(options.cache)]
    cells = [*reference_cells(trunk, marks, rng), *scene_cells(trunk, photos, things, marks, rng)]
    found = fit(torch.cat(cells).numpy().astype(np.float64))
    np.savez(options.out, **found)
    print(f"{len(marks)} designs, {SCENES} scenes, {len(cells)} tensors -> {options.out}")


if __name__ == "__main__":
    main()
