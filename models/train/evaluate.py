"""Measures the descriptions of windows and of cells alone on labelled real photos, before words, hashes and geometry.

usage: evaluate.py --whitening whitening.npz --cache FOLDER [--checkpoint STEP.pt]... [--levels 224,320,448,640,896] [--cells 4,6] [--by asset] SET...

A SET is a folder with assets.csv and photos.csv in the format of `touchstone eval`. Prints for each checkpoint (none: the untrained start) the
figures of `touchstone eval` for the best window's cosine, alone, with the agreement of cells added (of the nearest references, in their nearest windows),
and with the whole pictures' cosine of the untrained network added instead. A checkpoint is a file of train.py or of pack.py.
The maps of the frozen part are kept in the cache folder, so that a second measurement takes seconds.
"""

import argparse
import csv
import hashlib
import pickle
import sys
from pathlib import Path

import features
import fine
import network
import numpy as np
import torch
from PIL import Image

import lite0  # on the path since `network`
import pictures

WHOLE_WEIGHT = 0.6
CELLS_WEIGHT = 1.0
CANDIDATES = 48  # references of a photo whose cells are compared
PLACES = 4  # windows of a photo over which each of them is laid
REACH = 2  # cells that a cell may lie off its place
PLAIN = 8  # a registered picture whose channels vary less holds nothing


def rows(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


SIZES = {"under 2 %": (0.0, 0.02), "2-10 %": (0.02, 0.1), "over 10 %": (0.1, 9.0)}


def share_of(folder: Path, row: dict) -> float | None:
    """Share of the photo that the labelled box covers, where there is a box."""
    if not row.get("w"):
        return None
    width, height = Image.open(folder / row["path"]).size
    return float(row["w"]) * float(row["h"]) / (width * height)


class MeasuringSet:
    """The frozen maps of a set's pictures: a photo at each level, an asset as reference; and the whole pictures' GeM."""

    def __init__(self, folder: Path, by: str, levels: tuple[int, ...], cache: Path):
        self.name = folder.name
        assets, photos = rows(folder / "assets.csv"), rows(folder / "photos.csv")
        self.asset_labels = [row[by] for row in assets]
        self.photo_labels = [row.get(by) or "" for row in photos]
        if by == "asset":
            self.photo_labels = [label if row["brand"] else "" for label, row in zip(self.photo_labels, photos, strict=True)]
        # touchstone refuses to register a picture of one colour
        opened = [pictures.read(folder / row["path"]) for row in assets]
        self.plain = np.array([np.ptp(p, axis=(0, 1)).max() < PLAIN for p in opened])
        self.shown = torch.from_numpy(np.stack([pictures.shown_cells(pictures.reference(p)) for p in opened]))
        self.shares = [share_of(folder, row) for row in photos]
        key = hashlib.sha256(f"{folder.resolve()} {levels} {features.FROZEN}".encode()).hexdigest()[:12]
        kept = cache / f"maps-{self.name}-{key}.pkl"
        if not kept.exists():
            cache.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(pickle.dumps(self.made(folder, opened, photos, levels)))
        self.references, self.photos, self.reference_wholes, self.photo_wholes = pickle.loads(kept.read_bytes())

    @staticmethod
    @torch.no_grad()
    def made(folder, opened, photos, levels):
        frozen, whole = features.frozen_part(), lite0.WholePicture(lite0.load())

        def gem(picture):
            side = pictures.REFERENCE_SIDE
            return whole(torch.from_numpy(pictures.normalise(pictures.resize(picture, side, side))))[0].numpy()

        references = [features.maps(frozen, pictures.reference(p)) for p in opened]
        reference_wholes = np.stack([gem(p) for p in opened])
        seen, wholes = [], []
        for row in photos:
            picture = pictures.read(folder / row["path"])
            seen.append([features.maps(frozen, pictures.level(picture, long)) for long in levels])
            wholes.append(gem(picture))
        return references, seen, reference_wholes, np.stack(wholes)

    @torch.no_grad()
    def scores(self, head: network.Head, cells: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Best window's cosine of every photo with every asset, and the same with the agreement of cells, `[photos, assets]` each."""
        registered = head.small_cells(torch.from_numpy(np.stack(self.references)).float())
        whole = torch.tensor([[[0.0, 0.0, 224.0, 224.0]]]).expand(len(registered), 1, 4)
        marks, mark_cells = head.describe(head.cells(registered), whole)[:, 0], head.describe_cells(registered)
        best, agreed = [], []
        for levels in self.photos:
            found, places, seen = [], [], []
            for level, maps in enumerate(levels):
                boxes = pictures.windows(maps.shape[1] * 16, maps.shape[0] * 16, cells)
                small = head.small_cells(torch.from_numpy(maps[None]).float())
                found.append(head.describe(head.cells(small), torch.tensor([boxes]))[0])
                seen.append(head.describe_cells(small))
                places += [(level, box) for box in boxes]
            cosines = torch.cat(found) @ marks.T
            nearest = cosines.topk(PLACES, dim=0)
            best.append(nearest.values[0])
            together = nearest.values[0].clone() - 1.0  # those whose cells are not compared come last
            for mark in nearest.values[0].topk(min(CANDIDATES, len(marks))).indices:
                overs = [over(seen[level], box) for level, box in (places[i] for i in nearest.indices[:, mark])]
                together[mark] = nearest.values[0, mark] + CELLS_WEIGHT * agreement(torch.cat(overs), mark_cells[mark], self.shown[mark]).max()
            agreed.append(together)
        return torch.stack(best).numpy(), torch.stack(agreed).numpy()


def over(cells: torch.Tensor, box) -> torch.Tensor:
    """The cells `[1, h, w, numbers]` of one level under a window and `REACH` about it, `[1, 18, 18, numbers]`."""
    size = (cells.shape[2] * pictures.FINE_CELL, cells.shape[1] * pictures.FINE_CELL)
    return fine.laid_over(cells, torch.tensor([0]), torch.tensor([box]), size, REACH)


def agreement(seen: torch.Tensor, mark: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """touchstone's agreement of windows `[w, 18, 18, numbers]` with one registered picture's cells: `[w]`."""
    shifts = range(2 * REACH + 1)
    cosines = [(seen[:, y : y + fine.GRID, x : x + fine.GRID] * mark).sum(-1) for y in shifts for x in shifts]
    weights = shown + 1e-4
    return (torch.stack(cosines).amax(0) * weights).sum((1, 2)) / weights.sum()


def by_label(scores: np.ndarray, labels: list[str]) -> tuple[np.ndarray, list[str]]:
    """Best score of each label, `[photos, labels]`."""
    names = sorted(set(labels))
    return np.stack([scores[:, [i for i, label in enumerate(labels) if label == name]].max(1) for name in names], 1), names


def figures(scores: np.ndarray, names: list[str], expected: list[str]) -> dict[str, float]:
    """The figures of `touchstone eval`: every photo's best label is its one answer; ties count as the worst case."""
    answer, best = scores.argmax(1), scores.max(1)
    known = np.array([label != "" for label in expected])
    right = np.array([names[a] == label for a, label in zip(answer, expected, strict=True)])
    order = np.lexsort((right, -best))
    hits = np.cumsum(right[order])
    precision, recall = hits / np.arange(1, len(order) + 1), hits / max(1, known.sum())
    level = np.percentile(best[~known], 99) if (~known).any() else -np.inf
    reach = lambda least: float(recall[precision >= least].max(initial=0))
    return {
        "R@1": float(right.sum() / known.sum()), "AP": float((precision * np.diff(recall, prepend=0)).sum()),
        "P90": reach(0.9), "P99": reach(0.99), "FA1": float((right & (best > level)).sum() / known.sum()),
    }  # fmt: skip


def by_size(scores: np.ndarray, names: list[str], expected: list[str], shares: list[float | None]) -> str:
    """Recall at 1 of photos whose mark covers little, some or much of them."""
    answers = [names[a] for a in scores.argmax(1)]
    found = []
    for size, (least, most) in SIZES.items():
        right = [a == e for a, e, share in zip(answers, expected, shares, strict=True) if e and share is not None and least <= share < most]
        found += [f"{size}: {sum(right) / len(right):.2f} of {len(right)}"] if right else []
    return ", ".join(found)


def shown(values: dict[str, float]) -> str:
    return " / ".join(f"{v:.3f}" for v in values.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--whitening", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, action="append", default=[])
    parser.add_argument("--mix", type=float, default=1.0, help="share of the trained weights, the rest from the start")
    parser.add_argument("--levels", default=",".join(map(str, pictures.LARGE[0][1])))
    parser.add_argument("--cells", default=",".join(map(str, pictures.WINDOW_CELLS)))
    parser.add_argument("--by", default="brand", choices=("brand", "asset"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    levels, cells = (tuple(int(v) for v in text.split(",")) for text in (options.levels, options.cells))
    whitening = dict(np.load(options.whitening))
    for folder in options.sets:
        measured = MeasuringSet(folder, options.by, levels, options.cache)
        wholes = measured.photo_wholes @ measured.reference_wholes.T
        for checkpoint in options.checkpoint or [None]:
            head = network.Head(whitening)
            if checkpoint:
                packed = checkpoint.suffix == ".npz"
                trained = network.unpacked(checkpoint) if packed else torch.load(checkpoint, weights_only=True)["average"]
                start = head.state_dict()
                head.load_state_dict({name: start[name].lerp(trained[name], options.mix) for name in start})
            scores, with_cells = measured.scores(head, cells)
            found = []
            for one in (scores, with_cells, scores + WHOLE_WEIGHT * wholes):
                one[:, measured.plain] = -1
                labelled, names = by_label(one, measured.asset_labels)
                found.append(shown(figures(labelled, names, measured.photo_labels)))
                if one is with_cells:
                    sizes = by_size(labelled, names, measured.photo_labels, measured.shares)
            name = checkpoint.stem if checkpoint else "start"
            print(f"{measured.name} {name}: windows {found[0]} | and cells {found[1]} | and whole {found[2]} | with cells {sizes}", flush=True)


if __name__ == "__main__":
    main()
