"""Trains the descriptions of windows and of cells by contrast: a window that shows a thing against registered pictures, and a registered picture against windows.

usage: train.py --features FOLDER --pictures FOLDER --whitening whitening.npz --out FOLDER --minutes N [--processes 2]

Resumes from OUT/last.pt where there is one. On the CPU it runs one single-threaded process per core and averages their gradients; with a GPU one process.
Writes OUT/log.csv (minutes, step, losses) and every `--keep` minutes OUT/step-NNNNNN.pt with the running average of the weights, for `evaluate.py`.
"""

import argparse
import copy
import math
import os
import socket
import time
from pathlib import Path

import fine
import network
import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
import torch.nn.functional as F
from torch import Tensor

SIDE = 320
BATCH = 64  # photos a process and step
BATCH_ON_GPU = 512
RANDOM_WINDOWS = 10  # windows of a photo that do not show its thing
TEMPERATURE = 0.05
NOBODY = -1  # identity of a window that shows nothing known
RATE = 4e-4  # of each tensor's own size: folded convolutions differ in size by a factor of a hundred
DEEPER = 0.5  # of that rate for block 4
FINE_BLANKS = 2  # windows of each photo that do not show its thing and are compared cell by cell
FINE_WEIGHT = 0.5  # of the loss of cells beside that of windows
PULL = 1.5e-4  # share of the way back to where they started that weights go at each step
AVERAGE = 0.995
WARM_UP = 100
LEAST_CELLS = 3.5  # smallest window that is described, in cells of 32 pixels
ALIKE = 8  # photos of a batch in a row whose registered pictures look alike, where neighbours are given
# for glibc: memory that is given back to the system costs more to get again than all arithmetic
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "17179869184", "MALLOC_TOP_PAD_": "268435456", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
COVERED = 0.3  # share of the thing that a window may show and still count as one without it


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Samples:
    """All shards as memory maps, and their boxes and identities."""

    def __init__(self, features: Path, pictures: Path):
        self.photos, self.references, self.shown, boxes, identities, self.where = [], [], [], [], [], []
        for path in sorted(features.glob("shard-*-photos.npy")):
            stem = path.stem.removesuffix("-photos")
            kept = np.load(pictures / f"{stem}.npz")
            photos = np.load(path, mmap_mode="r")
            self.where += [(len(self.photos), row) for row in range(len(photos) // 2)]
            self.photos.append(photos)
            self.references.append(np.load(features / f"{stem}-references.npy", mmap_mode="r"))
            self.shown.append(np.load(features / f"{stem}-shown.npy"))
            boxes.append(np.load(features / f"{stem}-boxes.npy"))
            identities.append(kept["identities"])
        self.boxes, self.identities = np.concatenate(boxes).reshape(-1, 2, 4), np.concatenate(identities)

    def __len__(self) -> int:
        return len(self.where)

    def batch(self, indices: np.ndarray, rng: np.random.Generator):
        """Photo maps and reference maps (one of two each), the references' shown cells, boxes x, y, w, h, identities."""
        places = [self.where[i] for i in indices]
        which = rng.integers(2, size=len(indices))
        photos = np.stack([self.photos[shard][2 * row + one] for (shard, row), one in zip(places, which, strict=True)])
        version = rng.integers(2, size=len(indices))
        references, shown = (np.stack([of[shard][2 * row + one] for (shard, row), one in zip(places, version, strict=True)]) for of in (self.references, self.shown))
        photos, references, shown, identities = (torch.from_numpy(a).to(DEVICE) for a in (photos, references, shown, self.identities[indices]))
        return photos.float(), references.float(), shown, self.boxes[indices, which], identities


def in_groups(shuffled: np.ndarray, neighbours: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same samples in another order: each not yet taken is followed by `ALIKE - 1` of its neighbours that are not taken either."""
    taken, groups = np.zeros(len(shuffled), bool), []
    for sample in shuffled:
        if not taken[sample]:
            near = neighbours[sample]
            group = np.concatenate([[sample], near[~taken[near]][: ALIKE - 1]])
            taken[group] = True
            groups.append(group)
    rng.shuffle(groups)
    return np.concatenate(groups)


def shown_window(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square window about a thing, not quite right in size and place, as a grid of windows would have it."""
    x, y, w, h = box
    side = max(w, h) * math.exp(rng.uniform(math.log(0.95), math.log(1.5)))
    side = min(max(side, LEAST_CELLS * network.CELL), SIDE * 1.2)
    slack = side * 0.13
    cx, cy = x + w / 2 + rng.uniform(-slack, slack), y + h / 2 + rng.uniform(-slack, slack)
    return np.array([cx - side / 2, cy - side / 2, cx + side / 2, cy + side / 2], np.float32)


def other_windows(box: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random windows, and which of them do not show the thing."""
    side = network.CELL * rng.choice([4, 5, 6, 7], count)
    low, high = -network.CELL, SIDE + network.CELL - side
    x0, y0 = rng.uniform(low, high), rng.uniform(low, high)
    windows = np.stack([x0, y0, x0 + side, y0 + side], 1).astype(np.float32)
    x, y, w, h = box
    across = np.clip(np.minimum(windows[:, 2], x + w) - np.maximum(windows[:, 0], x), 0, None)
    down = np.clip(np.minimum(windows[:, 3], y + h) - np.maximum(windows[:, 1], y), 0, None)
    return windows, across * down / (w * h) < COVERED


def from_all(mine: Tensor) -> Tensor:
    """The tensors of all processes one after another. Gradients flow to all of them: where each process takes the others' vectors as
    given, all move their own away from them in the same direction, and nothing is gained."""
    if not dist.is_initialized():
        return mine
    if mine.requires_grad:
        return torch.cat(differentiable.all_gather(mine.contiguous()))
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    return torch.cat(parts)


def contrast(ask: Tensor, ask_ids: Tensor, own: Tensor, others: Tensor, other_ids: Tensor) -> Tensor:
    """Cross-entropy of each `ask` having its `own` (cosine `[n]`) before all others; those of its own identity do not count."""
    cosines = (ask @ others.T).masked_fill(ask_ids[:, None] == other_ids[None], -10.0)
    logits = torch.cat([own[:, None], cosines], 1)
    return F.cross_entropy(logits / TEMPERATURE, torch.zeros(len(ask), dtype=torch.long, device=ask.device))


class Trainer:
    def __init__(self, options, rank: int):
        self.options, self.rank = options, rank
        self.samples = Samples(options.features, options.pictures)
        whitening = dict(np.load(options.whitening))
        self.head = network.Head(whitening).to(DEVICE)
        self.neighbours = np.load(options.neighbours) if options.neighbours else None
        self.batch = BATCH_ON_GPU if DEVICE.type == "cuda" else BATCH
        if options.begin:
            self.head.load_state_dict(network.unpacked(options.begin))
        else:
            first = np.random.default_rng(options.seed)
            self.head.begin_cells(self.samples.batch(first.choice(len(self.samples), 256, replace=False), first)[0])
        self.start = [p.detach().clone() for p in self.head.parameters()]
        deeper = set(self.head.blocks[: self.head.fine].parameters())
        groups = []
        for p in filter(lambda p: p.requires_grad, self.head.parameters()):
            size = float(p.detach().square().mean().sqrt())
            groups.append({"params": [p], "lr": RATE * size * (DEEPER if p in deeper else 1.0)})
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average = copy.deepcopy(self.head)
        self.step, self.minutes = 0, 0.0
        last = options.out / "last.pt"
        if last.exists():
            kept = torch.load(last, map_location=DEVICE, weights_only=True)
            self.head.load_state_dict(kept["head"])
            self.average.load_state_dict(kept["average"])
            self.optimiser.load_state_dict(kept["optimiser"])
            self.step, self.minutes = kept["step"], kept["minutes"]
        self.rng = np.random.default_rng((options.seed, rank, self.step))

    def losses(self, indices: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Window to registered pictures, registered picture to windows, and both for cells."""
        photos, references, shown_cells, boxes, identities = self.samples.batch(indices, self.rng)
        n = len(indices)
        windows, blank = np.zeros((n, 2 + RANDOM_WINDOWS, 4), np.float32), np.zeros((n, 2 + RANDOM_WINDOWS), bool)
        for i, box in enumerate(boxes):
            windows[i, 0], windows[i, 1] = shown_window(box, self.rng), shown_window(box, self.rng)
            windows[i, 2:], blank[i, 2:] = other_windows(box, RANDOM_WINDOWS, self.rng)
        whole = torch.tensor([[[0.0, 0.0, 224.0, 224.0]]], device=DEVICE).expand(n, 1, 4)
        photo_cells, reference_cells = self.head.small_cells(photos), self.head.small_cells(references)
        marks = self.head.describe(self.head.cells(reference_cells), whole)[:, 0]
        seen = self.head.describe(self.head.cells(photo_cells), torch.from_numpy(windows).to(DEVICE))
        # a window of the thing's own photo that does not show it is a negative like any other; one that shows a part of it is left out
        owners = torch.where(torch.from_numpy(blank).to(DEVICE), NOBODY, identities[:, None])
        shown, twice = seen[:, :2].reshape(2 * n, -1), identities.repeat_interleave(2)
        own = (seen[:, :2] * marks[:, None]).sum(2).reshape(-1)
        all_marks, mark_ids = from_all(marks), from_all(identities)
        all_windows, window_ids = from_all(seen.reshape(-1, seen.shape[2])), from_all(owners.reshape(-1))
        to_marks = contrast(shown, twice, own, all_marks, mark_ids)
        to_windows = contrast(marks.repeat_interleave(2, 0), twice, own, all_windows, window_ids)
        return to_marks, to_windows, self.fine_loss(photo_cells, reference_cells, shown_cells, windows, blank, identities)

    def fine_loss(self, photo_cells, reference_cells, shown, windows, blank, identities) -> Tensor:
        """The loss of cells, among the pictures of this process: one window of each thing and a few that show none."""
        chosen = [(photo, 0) for photo in range(len(windows))]
        chosen += [(photo, int(w)) for photo in range(len(windows)) for w in np.flatnonzero(blank[photo])[:FINE_BLANKS]]
        photos, which = (np.array(column) for column in zip(*chosen, strict=True))
        owners = torch.where(torch.from_numpy(which).to(DEVICE) == 0, identities[photos], NOBODY)
        there = torch.from_numpy(windows[photos, which]).to(DEVICE)
        seen = fine.laid_over(self.head.describe_cells(photo_cells), torch.from_numpy(photos), there, (SIDE, SIDE))
        agreed = fine.agreement(seen, self.head.describe_cells(reference_cells), shown, self.rng)
        return fine.loss(agreed, owners, identities, NOBODY)

    def update(self, indices: np.ndarray) -> tuple[float, float, float]:
        to_marks, to_windows, of_cells = self.losses(indices)
        self.optimiser.zero_grad(set_to_none=False)
        (to_marks + to_windows + FINE_WEIGHT * of_cells).backward()
        if dist.is_initialized():
            trained = [p for p in self.head.parameters() if p.requires_grad]
            flat = torch.cat([p.grad.reshape(-1) for p in trained])
            dist.all_reduce(flat)
            flat /= dist.get_world_size()
            at = 0
            for p in trained:
                p.grad.copy_(flat[at : at + p.numel()].view_as(p))
                at += p.numel()
        torch.nn.utils.clip_grad_norm_(self.head.blocks.parameters(), 1.0)
        ramp = min(1.0, (self.step + 1) / WARM_UP) * self.cooled()
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * ramp
        self.optimiser.step()
        with torch.no_grad():
            for p, start in zip(self.head.parameters(), self.start, strict=True):
                p.lerp_(start, PULL * ramp)
            keep = min(AVERAGE, (self.step + 1) / (self.step + 10))
            for slow, fast in zip(self.average.parameters(), self.head.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)
        self.step += 1
        return float(to_marks.detach()), float(to_windows.detach()), float(of_cells.detach())

    def cooled(self) -> float:
        """The rate falls along half a cosine to a tenth over the planned minutes (all runs together)."""
        done = min(1.0, self.minutes / self.options.total_minutes)
        return 0.1 + 0.45 * (1 + math.cos(math.pi * done))

    def save(self, path: Path, whole: bool) -> None:
        kept = {"average": self.average.state_dict(), "step": self.step, "minutes": self.minutes}
        if whole:
            kept |= {"head": self.head.state_dict(), "optimiser": self.optimiser.state_dict()}
        partial = path.with_suffix(".part")
        torch.save(kept, partial)
        partial.rename(path)

    def run(self) -> None:
        options = self.options
        begun, before = time.monotonic(), self.minutes
        kept_at, sums, count = self.minutes, [0.0] * 3, 0
        order = np.array([], int)
        while self.minutes - before < options.minutes:
            if len(order) < self.batch:
                # every process walks the same order and takes its own share of it
                rng = np.random.default_rng((options.seed, self.step))
                shuffled = rng.permutation(len(self.samples))
                if self.neighbours is not None:
                    shuffled = in_groups(shuffled, self.neighbours, rng)
                order = shuffled[self.rank :: options.processes]
                order = order[: len(self.samples) // options.processes]
            losses = self.update(order[: self.batch])
            order = order[self.batch :]
            sums, count = [a + b for a, b in zip(sums, losses, strict=True)], count + 1
            clock = torch.tensor([before + (time.monotonic() - begun) / 60])
            if dist.is_initialized():
                dist.broadcast(clock, 0)
            self.minutes = float(clock)
            if self.rank == 0 and self.step % 25 == 0:
                with (options.out / "log.csv").open("a") as log:
                    log.write(f"{self.minutes:.2f},{self.step},{','.join(f'{s / count:.4f}' for s in sums)}\n")
                sums, count = [0.0] * 3, 0
            if self.rank == 0 and self.minutes - kept_at >= options.keep:
                kept_at = self.minutes
                self.save(options.out / f"step-{self.step:06d}.pt", whole=False)
                self.save(options.out / "last.pt", whole=True)
        if self.rank == 0:
            self.save(options.out / "last.pt", whole=True)


def work(rank: int, options) -> None:
    torch.set_num_threads(1 if options.processes > 1 else os.cpu_count())
    torch.manual_seed(options.seed)
    if options.processes > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(options.port))
        dist.init_process_group("gloo", rank=rank, world_size=options.processes)
    Trainer(options, rank).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--whitening", type=Path, required=True, help="file written by export/fit_whitening.py")
    parser.add_argument("--begin", type=Path, help="begin with the weights of pack.py instead of the untrained ones")
    parser.add_argument("--neighbours", type=Path, help="file of neighbours.py: batches hold photos whose registered pictures look alike")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True, help="of this run")
    parser.add_argument("--total-minutes", type=float, default=90, help="of all runs together; the rate falls over them")
    parser.add_argument("--keep", type=float, default=8, help="minutes between checkpoints")
    parser.add_argument("--processes", type=int, default=1 if DEVICE.type == "cuda" else os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.processes == 1:
        work(0, options)
    else:
        with socket.socket() as probe:  # a port that is free now
            probe.bind(("127.0.0.1", 0))
            options.port = probe.getsockname()[1]
        os.environ |= ALLOCATOR  # read when a process starts
        torch.multiprocessing.spawn(work, (options,), options.processes)


if __name__ == "__main__":
    main()
