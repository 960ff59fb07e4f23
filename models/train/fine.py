"""The contrast of fine cells: a window laid over a registered picture cell by cell, as touchstone does it.

Each cell of 16 pixels is described by itself (`network.Head.describe_cells`); the agreement of a window with a registered picture is the mean, over the
cells that are not ground, of the best cosine near the same place. `train.py` adds this loss to that of windows: both train block 4.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GRID = 14  # cells of a registered picture a side
REACH = 1  # cells that a cell may lie off its place in training; in use 2
SAMPLED = 48  # cells of each registered picture that a step compares
WARMTH = 20.0  # factor on agreements before the cross-entropy


def grid(windows: Tensor, size: tuple[int, int], reach: int) -> Tensor:
    """Places of the cells of windows `[w, 4]` (pixels) and of `reach` cells about them, for `grid_sample` on the map of a picture of this width and height."""
    at = (torch.arange(-reach, GRID + reach, device=windows.device) + 0.5) / GRID
    x = windows[:, 0, None] + at * (windows[:, 2] - windows[:, 0])[:, None]
    y = windows[:, 1, None] + at * (windows[:, 3] - windows[:, 1])[:, None]
    x, y = (v / side * 2 - 1 for v, side in zip((x, y), size, strict=True))
    n = len(at)
    return torch.stack([x[:, None, :].expand(-1, n, -1), y[:, :, None].expand(-1, -1, n)], -1)


def laid_over(cells: Tensor, photos: Tensor, windows: Tensor, size: tuple[int, int], reach: int = REACH) -> Tensor:
    """The described cells `[n, h, w, c]` of photo `photos[i]` under window i and `reach` about it, `[w, 14 + 2 reach, 14 + 2 reach, c]`, norm 1."""
    places = grid(windows, size, reach)
    seen = F.grid_sample(cells.permute(0, 3, 1, 2)[photos], places, padding_mode="border", align_corners=False)
    return F.normalize(seen.permute(0, 2, 3, 1), dim=-1)


def agreement(seen: Tensor, marks: Tensor, shown: Tensor, rng: np.random.Generator) -> Tensor:
    """Mean over cells of the best cosine within reach: windows `[w, 16, 16, c]` and registered pictures `[r, 14, 14, c]` to `[w, r]`.

    Of each registered picture those of its cells count that are `shown` `[r, 14, 14]`.
    """
    places = rng.choice(GRID * GRID, SAMPLED, replace=False)
    rows, columns = torch.from_numpy(places // GRID), torch.from_numpy(places % GRID)
    asked = marks[:, rows, columns].permute(1, 2, 0).bfloat16()  # [cells, c, r]
    best = None
    for dy in range(2 * REACH + 1):
        for dx in range(2 * REACH + 1):
            there = seen[:, rows + dy, columns + dx].permute(1, 0, 2).bfloat16()
            cosines = there @ asked
            best = cosines if best is None else torch.maximum(best, cosines)
    weights = shown[:, rows, columns] + 1e-4
    weights = weights / weights.sum(1, keepdim=True)
    return torch.einsum("cwr,rc->wr", best.float(), weights)


def loss(agreed: Tensor, owners: Tensor, identities: Tensor, nobody: int) -> Tensor:
    """Of `agreed` `[windows, registered pictures]`: each thing's window against all pictures, and each picture against all windows.

    The windows of `owners` other than `nobody` are those of the pictures, in their order.
    """
    shown = torch.nonzero(owners != nobody)[:, 0]
    own = agreed[shown, torch.arange(len(shown), device=agreed.device)]

    def contrast(table: Tensor, same: Tensor) -> Tensor:
        logits = torch.cat([own[:, None], table.masked_fill(same, -10.0)], 1) * WARMTH
        return F.cross_entropy(logits, torch.zeros(len(own), dtype=torch.long, device=logits.device))

    to_marks = contrast(agreed[shown], identities[:, None] == identities[None])
    return to_marks + contrast(agreed.T, identities[:, None] == owners[None])
