"""Finds for every drawn photo those whose registered pictures look most like its own to a checkpoint, for batches that are hard.

usage: neighbours.py --features FOLDER --pictures FOLDER --whitening whitening.npz [--checkpoint checkpoint.npz] --out neighbours.npy

Writes `[samples, 24]` int32, nearest first, none of the sample's own identity. About four minutes of one core for 38,000 samples.
"""

import argparse
from pathlib import Path

import network
import numpy as np
import torch
import train

NEIGHBOURS = 24
LIKE = 0.9  # cosine from which two pictures may well show the same thing under two names
CHUNK = 512


@torch.no_grad()
def descriptors(head: network.Head, samples: train.Samples) -> torch.Tensor:
    """The first registered picture of every sample, `[samples, numbers]`."""
    box = torch.tensor([[[0.0, 0.0, 224.0, 224.0]]])
    found = []
    for references in samples.references:
        for first in range(0, len(references), 128):
            maps = torch.from_numpy(np.ascontiguousarray(references[first : first + 128 : 2])).float()
            found.append(head.describe(head.cells(head.small_cells(maps)), box.expand(len(maps), 1, 4))[:, 0])
    return torch.cat(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--whitening", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, help="written by pack.py; none: the untrained start")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = train.Samples(options.features, options.pictures)
    head = network.Head(dict(np.load(options.whitening)))
    if options.checkpoint:
        head.load_state_dict(network.unpacked(options.checkpoint))
    marks = descriptors(head, samples)
    identities = torch.from_numpy(samples.identities)
    found = []
    for first in range(0, len(marks), CHUNK):
        cosines = (marks[first : first + CHUNK].bfloat16() @ marks.T.bfloat16()).float()
        same = identities[first : first + CHUNK, None] == identities[None]
        found.append(cosines.masked_fill(same | (cosines > LIKE), -1).topk(NEIGHBOURS).indices.int())
    np.save(options.out, torch.cat(found).numpy())


if __name__ == "__main__":
    main()
