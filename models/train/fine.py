"""Trains the description of fine cells: what each cell of 16 pixels shows, so that a window can be laid over a registered picture cell by cell.

usage: fine.py --features FOLDER --pictures FOLDER --neighbours neighbours.npy --out fine.npz --minutes N

Block 4's maps stay as they are; trained is a projection of each cell to `NUMBERS`, from whitened principal components on. One process, minutes:
the loss per direction falls from 3.3 to 2.0 in three and to 1.7 in nine.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import train
from torch import Tensor, nn

NUMBERS = 64
GRID = 14  # cells of a registered picture a side
REACH = 1  # cells that a cell may lie off its place in training; in use 2
BATCH = 64
SAMPLED = 36  # cells of each registered picture that a step compares
BLANKS = 2  # windows of each photo that do not show its thing
RATE = 2e-3
AVERAGE = 0.99


class Fine(nn.Module):
    """Cells `[..., 112]` to `[..., NUMBERS]` of norm 1."""

    def __init__(self, cells: Tensor):
        super().__init__()
        mean = cells.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((cells - mean).T))
        values, vectors = values.flip(0)[:NUMBERS], vectors.flip(1)[:, :NUMBERS]
        self.centre = nn.Parameter(mean)
        self.matrix = nn.Parameter(vectors / (values + 1e-3 * values.mean()).sqrt())
        self.warmth = nn.Parameter(torch.tensor(math.log(12.0)))

    def forward(self, cells: Tensor) -> Tensor:
        return F.normalize((cells - self.centre) @ self.matrix, dim=-1)


def grid(windows: Tensor) -> Tensor:
    """Places of a window's cells and of `REACH` cells about it, for `grid_sample` on a map of a whole picture of 320 pixels."""
    at = (torch.arange(-REACH, GRID + REACH) + 0.5) / GRID
    x = windows[:, 0, None] + at * (windows[:, 2] - windows[:, 0])[:, None]
    y = windows[:, 1, None] + at * (windows[:, 3] - windows[:, 1])[:, None]
    x, y = (v / train.SIDE * 2 - 1 for v in (x, y))
    n = len(at)
    return torch.stack([x[:, None, :].expand(-1, n, -1), y[:, :, None].expand(-1, -1, n)], -1)


def ground_of(references: Tensor) -> Tensor:
    """Cells of registered pictures that look like their corner: `[n, 14, 14]`."""
    corner = references[:, :1, :1]
    far = (references - corner).square().sum(-1)
    return far < 0.02 * references.square().sum(-1).mean((1, 2), keepdim=True)


def agreement(seen: Tensor, marks: Tensor, ground: Tensor, rng: np.random.Generator) -> Tensor:
    """Mean over cells of the best cosine within reach: windows `[w, 18, 18, n]` and registered pictures `[r, 14, 14, n]` to `[w, r]`."""
    places = rng.choice(GRID * GRID, SAMPLED, replace=False)
    rows, columns = torch.from_numpy(places // GRID), torch.from_numpy(places % GRID)
    asked = marks[:, rows, columns].permute(1, 2, 0).bfloat16()  # [cells, n, r]
    best = None
    for dy in range(2 * REACH + 1):
        for dx in range(2 * REACH + 1):
            there = seen[:, rows + dy, columns + dx].permute(1, 0, 2).bfloat16()
            cosines = there @ asked
            best = cosines if best is None else torch.maximum(best, cosines)
    weights = ~ground[:, rows, columns] + 1e-4
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("cwr,rc->wr", best.float(), weights)


def losses(fine: Fine, samples: train.Samples, indices: np.ndarray, rng: np.random.Generator) -> Tensor:
    photos, references, boxes, identities = samples.batch(indices, rng)
    n = len(indices)
    windows, owners = [], []
    for photo, box in enumerate(boxes):
        others, blank = train.other_windows(box, 12, rng)
        chosen = others[blank][:BLANKS]
        windows += [(photo, train.shown_window(box, rng))] + [(photo, w) for w in chosen]
        owners += [int(identities[photo])] + [train.NOBODY] * len(chosen)
    at = torch.tensor([photo for photo, _ in windows])
    places = grid(torch.from_numpy(np.stack([w for _, w in windows])))
    seen = F.grid_sample(photos.permute(0, 3, 1, 2)[at], places, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
    owners = torch.tensor(owners)
    cosines = agreement(fine(seen), fine(references), ground_of(references), rng)
    shown = torch.nonzero(owners != train.NOBODY)[:, 0]
    own = cosines[shown, torch.arange(n)]
    warm = fine.warmth.exp()

    def contrast(table: Tensor, same: Tensor) -> Tensor:
        logits = torch.cat([own[:, None], table.masked_fill(same, -10.0)], 1) * warm
        return F.cross_entropy(logits, torch.zeros(n, dtype=torch.long))

    to_marks = contrast(cosines[shown], identities[:, None] == identities[None])
    to_windows = contrast(cosines.T, identities[:, None] == owners[None])
    return to_marks + to_windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--neighbours", type=Path, required=True)
    parser.add_argument("--begin", type=Path, help="go on from what an earlier run wrote")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    options = parser.parse_args()
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    samples = train.Samples(options.features, options.pictures)
    neighbours = np.load(options.neighbours)
    some = samples.batch(rng.choice(len(samples), 256, replace=False), rng)[0]
    fine = Fine(some.reshape(-1, some.shape[-1]))
    if options.begin:
        fine.load_state_dict({name: torch.from_numpy(value) for name, value in np.load(options.begin).items()})
    average = {name: value.detach().clone() for name, value in fine.state_dict().items()}
    optimiser = torch.optim.Adam(fine.parameters(), lr=RATE)
    begun, order, step, total = time.monotonic(), np.array([], int), 0, 0.0
    while (done := (time.monotonic() - begun) / 60 / options.minutes) < 1:
        if len(order) < BATCH:
            order = train.in_groups(rng.permutation(len(samples)), neighbours, rng)
        loss = losses(fine, samples, order[:BATCH], rng)
        order = order[BATCH:]
        optimiser.zero_grad()
        loss.backward()
        for group in optimiser.param_groups:
            group["lr"] = RATE * (0.05 + 0.475 * (1 + math.cos(math.pi * done))) * min(1, (step + 1) / 30)
        optimiser.step()
        step, total = step + 1, total + float(loss.detach())
        for name, value in fine.state_dict().items():
            average[name].lerp_(value, 1 - min(AVERAGE, (step + 1) / (step + 10)))
        if step % 20 == 0:
            print(f"{done * options.minutes:.1f} minutes, step {step}: {total / 20:.4f}, warmth {float(fine.warmth.exp()):.1f}", flush=True)
            total = 0.0
    np.savez(options.out, **{name: value.numpy() for name, value in average.items()})


if __name__ == "__main__":
    main()
