"""The part of the network that is trained: blocks 5 and 6 of EfficientNet-Lite0 and the description of windows.

Works on maps with channels last, batch normalisation folded into the convolutions: `[n, h / 16, w / 16, 112]` to `[n, h / 32, w / 32, 320]` to numbers of
norm 1 for each box. Starts from the ImageNet weights and the fitted whitening, and remembers where it started.
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


def folded(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Parameter, nn.Parameter]:
    """Weight and bias of a convolution with the batch normalisation that follows it."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    return nn.Parameter(weight.detach().clone()), nn.Parameter((norm.bias - norm.running_mean * scale).detach().clone())


class Depthwise(torch.autograd.Function):
    """A depthwise convolution of stride 1 whose kernels are not trained; its gradient is the same convolution with turned kernels.

    torch takes nine times as long for it on a CPU.
    """

    @staticmethod
    def forward(context, wide: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(kernels)
        return F.conv2d(wide, kernels, bias, 1, kernels.shape[-1] // 2, 1, len(kernels))

    @staticmethod
    def backward(context, gradient: Tensor):
        (kernels,) = context.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        back = F.conv2d(gradient, kernels.flip(2, 3), None, 1, kernels.shape[-1] // 2, 1, len(kernels))
        return back, None, gradient.sum((0, 2, 3))


def linear(cells: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A pointwise convolution, multiplied in bfloat16 and summed in float32."""
    return F.linear(cells.bfloat16(), weight[:, :, 0, 0].bfloat16()).float() + bias


class Block(nn.Module):
    """An inverted residual block on `[n, h, w, c]`: widen, depthwise convolution ("same" padding, kernels not trained), narrow."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.widen, self.widen_bias = folded(block.conv_pw, block.bn1)
        self.depthwise, self.depthwise_bias = folded(block.conv_dw, block.bn2)
        self.narrow, self.narrow_bias = folded(block.conv_pwl, block.bn3)
        self.depthwise.requires_grad_(False)
        self.stride, self.side, self.skips = block.conv_dw.stride[0], block.conv_dw.weight.shape[-1], block.has_skip

    def forward(self, cells: Tensor) -> Tensor:
        wide = F.relu6(linear(cells, self.widen, self.widen_bias)).permute(0, 3, 1, 2)
        if self.stride == 2:
            total = self.side - 2
            wide = F.pad(wide, (total // 2, total - total // 2) * 2)
            wide = F.conv2d(wide, self.depthwise, self.depthwise_bias, self.stride, 0, 1, wide.shape[1])
        else:
            wide = Depthwise.apply(wide, self.depthwise, self.depthwise_bias)
        out = linear(F.relu6(wide).permute(0, 2, 3, 1), self.narrow, self.narrow_bias)
        return cells + out if self.skips else out


class Head(nn.Module):
    """Maps of block 4 and boxes to descriptors."""

    def __init__(self, whitening: dict[str, np.ndarray]):
        super().__init__()
        network = lite0.load()
        self.blocks = nn.Sequential(*(Block(block) for stage in network.blocks[5:7] for block in stage))
        for name in ("mean", "deviation"):
            self.register_buffer(name, torch.from_numpy(whitening[name]))
        self.centre = nn.Parameter(torch.from_numpy(whitening["centre"]))
        self.matrix = nn.Parameter(torch.from_numpy(whitening["matrix"]))

    def cells(self, maps: Tensor) -> Tensor:
        """`[n, 2 h, 2 w, 112]` to the last map `[n, h, w, 320]`."""
        return self.blocks(maps)

    def describe(self, cells: Tensor, boxes: Tensor) -> Tensor:
        """Windows `[n, k, 4]` (pixels) of each of the maps `[n, h, w, 320]`: `[n, k, numbers]`, norm 1."""
        pooled = pool(cells, boxes)
        flat = F.normalize(((pooled - self.mean) / self.deviation).flatten(2), dim=2)
        return F.normalize((flat - self.centre) @ self.matrix, dim=2)


def unpacked(checkpoint: Path) -> dict[str, Tensor]:
    """The head's weights in a file of pack.py."""
    return {name: torch.from_numpy(value).float() for name, value in np.load(checkpoint).items() if not name.startswith("cells_")}


def pool(cells: Tensor, boxes: Tensor) -> Tensor:
    """`lite0.pool` for a batch: `[n, h, w, c]` and `[n, k, 4]` to `[n, k, 9, c]`."""
    n, height, width, channels = cells.shape
    k = boxes.shape[1]
    scaled = boxes.reshape(-1, 4) / CELL
    down = lite0.bin_weights(scaled[:, 1], scaled[:, 3], height).reshape(n, k, GRID, height)
    across = lite0.bin_weights(scaled[:, 0], scaled[:, 2], width).reshape(n, k, GRID, width)
    both = torch.einsum("nkah,nkbw->nkabhw", down, across).reshape(n, k * GRID * GRID, height * width)
    return (both @ cells.reshape(n, height * width, channels)).reshape(n, k, GRID * GRID, channels)
