"""The part of the network that is trained: blocks 4 to 6 of EfficientNet-Lite0 and the descriptions of windows and of cells.

Works on maps with channels last, batch normalisation folded into the convolutions: `[n, h / 16, w / 16, 80]` to `[n, h / 16, w / 16, 112]`, which are
described cell by cell, to `[n, h / 32, w / 32, 320]` to numbers of norm 1 for each box. Starts from the ImageNet weights and the fitted whitening, and remembers where it started.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "export"))

import lite0  # noqa: E402  (after the path is set)

CELL = lite0.CELL
GRID = lite0.GRID
FINE_CHANNELS = 112
CELL_NUMBERS = 64
CEILING = 6  # of ReLU6


def folded(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of a convolution with the batch normalisation that follows it."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    return nn.Parameter(weight.detach().clone()), nn.Parameter((norm.bias - norm.running_mean * scale).detach().clone())


class InvertedResidual(torch.autograd.Function):
    """Widen, depthwise convolution of stride 1 or 2 ("same" padding, kernels not trained), narrow, on `[n, h, w, c]`; gradients of all but the kernels.

    Inside everything is bfloat16 with channels last and nothing is kept twice: on a CPU with such products this takes three fifths of the time of the same in
    single operations, which goes into moving maps to and fro.
    """

    @staticmethod
    def forward(context, cells, widen, widen_bias, kernels, kernels_bias, narrow, narrow_bias, stride):
        cells, widen, narrow, kernels = (v.bfloat16() for v in (cells, widen[:, :, 0, 0], narrow[:, :, 0, 0], kernels))
        wide = F.linear(cells, widen, widen_bias.bfloat16()).clamp_(0, CEILING)
        deep = depthwise(wide, kernels, kernels_bias.bfloat16(), stride).clamp_(0, CEILING)
        context.save_for_backward(cells, wide, deep, widen, kernels, narrow)
        context.stride = stride
        return F.linear(deep, narrow).float() + narrow_bias

    @staticmethod
    def backward(context, gradient):
        cells, wide, deep, widen, kernels, narrow = context.saved_tensors
        rows = gradient.bfloat16().flatten(0, 2)
        of_narrow = (rows.T @ deep.flatten(0, 2)).float()[:, :, None, None]
        of_deep = torch.ops.aten.hardtanh_backward((rows @ narrow).view_as(deep), deep, 0, CEILING)
        of_wide = depthwise_backward(of_deep, kernels, context.stride)
        of_wide = torch.ops.aten.hardtanh_backward(of_wide, wide, 0, CEILING).flatten(0, 2)
        of_widen = (of_wide.T @ cells.flatten(0, 2)).float()[:, :, None, None]
        of_cells = (of_wide @ widen).float().view(cells.shape)
        return of_cells, of_widen, total(of_wide), None, total(of_deep.flatten(0, 2)), of_narrow, gradient.sum((0, 1, 2)), None


def total(rows: Tensor) -> Tensor:
    """The sum of bfloat16 rows, added up in float32."""
    return (torch.ones(1, len(rows), dtype=rows.dtype, device=rows.device) @ rows)[0].float()


def depthwise(wide: Tensor, kernels: Tensor, bias: Tensor | None, stride: int) -> Tensor:
    """`[n, h, w, c]` to `[n, h / stride, w / stride, c]`, padded as TensorFlow does: with stride 2 one less before than after."""
    side, wide = kernels.shape[-1], wide.permute(0, 3, 1, 2)
    if stride == 2:
        before = (side - 2) // 2
        wide = F.pad(wide, (before, side - 2 - before) * 2)
    return F.conv2d(wide, kernels, bias, stride, 0 if stride == 2 else side // 2, 1, len(kernels)).permute(0, 2, 3, 1)


def depthwise_backward(gradient: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """The gradient of `depthwise` by its input: the same convolution with turned kernels, with stride 2 over a map with zeros between."""
    side = kernels.shape[-1]
    before = after = side // 2
    if stride == 2:
        n, height, width, channels = gradient.shape
        spread = gradient.new_zeros(n, 2 * height, 2 * width, channels)
        spread[:, ::2, ::2] = gradient
        gradient, before = spread, side - 1 - (side - 2) // 2
        after = side - 1 - before
    padded = F.pad(gradient.permute(0, 3, 1, 2), (before, after) * 2)
    return F.conv2d(padded, kernels.flip(2, 3), None, 1, 0, 1, len(kernels)).permute(0, 2, 3, 1)


class Block(nn.Module):
    """An inverted residual block, with the addition of its input where it has one."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.widen, self.widen_bias = folded(block.conv_pw, block.bn1)
        self.depthwise, self.depthwise_bias = folded(block.conv_dw, block.bn2)
        self.narrow, self.narrow_bias = folded(block.conv_pwl, block.bn3)
        self.depthwise.requires_grad_(False)
        self.stride, self.skips = block.conv_dw.stride[0], block.has_skip

    def forward(self, cells: Tensor) -> Tensor:
        out = InvertedResidual.apply(
            cells, self.widen, self.widen_bias, self.depthwise, self.depthwise_bias, self.narrow, self.narrow_bias, self.stride,
        )  # fmt: skip
        return cells + out if self.skips else out


class Head(nn.Module):
    """Maps of block 3 and boxes to descriptors."""

    def __init__(self, whitening: dict[str, np.ndarray]):
        super().__init__()
        network = lite0.load()
        stages = network.blocks[lite0.TRAINED :]
        self.blocks = nn.Sequential(*(Block(block) for stage in stages for block in stage))
        self.fine = sum(len(stage) for stage in stages[: lite0.FINE - lite0.TRAINED])  # blocks up to the map that is described cell by cell
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.from_numpy(whitening[name]))
        self.centre = nn.Parameter(torch.from_numpy(whitening["centre"]))
        self.matrix = nn.Parameter(torch.from_numpy(whitening["matrix"]))
        self.cells_centre = nn.Parameter(torch.zeros(FINE_CHANNELS))
        self.cells_matrix = nn.Parameter(torch.eye(FINE_CHANNELS, CELL_NUMBERS))

    @torch.no_grad()
    def begin_cells(self, maps: Tensor) -> None:
        """Begin the description of cells with the whitened principal components of these maps' cells, `[n, h, w, 80]`."""
        cells = self.small_cells(maps).flatten(0, 2)
        values, vectors = torch.linalg.eigh(torch.cov((cells - cells.mean(0)).T))
        values, vectors = values.flip(0)[:CELL_NUMBERS], vectors.flip(1)[:, :CELL_NUMBERS]
        self.cells_centre.copy_(cells.mean(0))
        self.cells_matrix.copy_(vectors / (values + 1e-3 * values.mean()).sqrt())

    def small_cells(self, maps: Tensor) -> Tensor:
        """Block 3's map `[n, 2 h, 2 w, 80]` to block 4's, `[n, 2 h, 2 w, 112]`."""
        return self.blocks[: self.fine](maps)

    def cells(self, small: Tensor) -> Tensor:
        """Block 4's map `[n, 2 h, 2 w, 112]` to the last one, `[n, h, w, 320]`."""
        return self.blocks[self.fine :](small)

    def describe_cells(self, small: Tensor) -> Tensor:
        """What each cell of block 4's map shows: `[..., 112]` to `[..., 64]`, norm 1."""
        return F.normalize((small - self.cells_centre) @ self.cells_matrix, dim=-1)

    def describe(self, cells: Tensor, boxes: Tensor) -> Tensor:
        """Windows `[n, k, 4]` (pixels) of each of the maps `[n, h, w, 320]`: `[n, k, numbers]`, norm 1."""
        pooled = pool(cells, boxes)
        flat = F.normalize(((pooled - self.mean) / self.deviation).flatten(2), dim=2)
        return F.normalize((flat - self.centre) @ self.matrix, dim=2)


def unpacked(checkpoint: Path) -> dict[str, Tensor]:
    """The head's weights in a file of pack.py."""
    return {name: torch.from_numpy(value).float() for name, value in np.load(checkpoint).items()}


def pool(cells: Tensor, boxes: Tensor) -> Tensor:
    """`lite0.pool` for a batch: `[n, h, w, c]` and `[n, k, 4]` to `[n, k, 9, c]`."""
    n, height, width, channels = cells.shape
    k = boxes.shape[1]
    scaled = boxes.reshape(-1, 4) / CELL
    down = lite0.bin_weights(scaled[:, 1], scaled[:, 3], height).reshape(n, k, GRID, height)
    across = lite0.bin_weights(scaled[:, 0], scaled[:, 2], width).reshape(n, k, GRID, width)
    both = torch.einsum("nkah,nkbw->nkabhw", down, across).reshape(n, k * GRID * GRID, height * width)
    return (both @ cells.reshape(n, height * width, channels)).reshape(n, k, GRID * GRID, channels)
