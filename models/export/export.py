"""Write the two ONNX files, and put their checksums into the cards beside them.

Usage: export.py --checkpoint ../train/checkpoint.npz --out FOLDER. Checks each file against torch on odd sizes before it is kept.
"""

import argparse
import hashlib
import re
from pathlib import Path

import lite0
import numpy as np
import onnx
import onnxruntime
import torch

OPSET = 17
TOLERANCE = 2e-4


def same_padding(model: onnx.ModelProto) -> None:
    """Give strided convolutions TensorFlow's "same" padding as fixed numbers: right for sides that are whole cells of 32."""
    for node in model.graph.node:
        attributes = {a.name: a for a in node.attribute}
        if node.op_type == "Conv" and attributes["strides"].ints[0] == 2:
            total = attributes["kernel_shape"].ints[0] - 2
            before = total // 2
            del attributes["pads"].ints[:]
            attributes["pads"].ints.extend([before, before, total - before, total - before])


def fixed_padding(network: torch.nn.Module) -> None:
    """Replace timm's padding at run time by the convolution's own; `same_padding` corrects the numbers in the file."""
    for name, module in list(network.named_modules()):
        if type(module).__name__ == "Conv2dSame":
            plain = torch.nn.Conv2d(
                module.in_channels, module.out_channels, module.kernel_size, module.stride,
                padding=module.kernel_size[0] // 2, groups=module.groups, bias=module.bias is not None,
            )  # fmt: skip
            plain.load_state_dict(module.state_dict())
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, plain)


def write(module: torch.nn.Module, inputs: dict, outputs: list[str], axes: dict, path: Path) -> None:
    torch.onnx.export(
        module.eval(), tuple(inputs.values()), str(path), opset_version=OPSET, dynamo=False,
        input_names=list(inputs), output_names=outputs, dynamic_axes=axes,
    )  # fmt: skip
    model = onnx.load(path)
    same_padding(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def check(module: torch.nn.Module, path: Path, trials: list[dict[str, torch.Tensor]]) -> float:
    """Largest difference between torch (padding at run time) and the file; an error when it is beyond tolerance."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    for inputs in trials:
        expected = module(*inputs.values())
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        worst = max(worst, *(float(np.abs(a.numpy() - b).max()) for a, b in zip(expected, got, strict=True)))
    if not worst < TOLERANCE:
        raise ValueError(f"{path} differs from torch by {worst}, allowed {TOLERANCE}")
    return worst


def trials(with_boxes: bool) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    found = []
    for count, height, width in ((1, 224, 224), (1, 96, 448), (2, 320, 256)):
        inputs = {"pixels": torch.rand(count, 3, height, width) * 2 - 1}
        if with_boxes:
            inputs["boxes"] = torch.tensor([[0.0, 0.0, width, height], [-32, -32, 160, 160], [17.5, 3.25, 90.75, 71]])
        found.append(inputs)
    return found


def update_card(card: Path, file: Path) -> None:
    """Put the file's checksum into its card, where the card exists."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    text = re.sub(r'^sha256 = ".*"$', f'sha256 = "{digest}"', card.read_text(), flags=re.M)
    card.write_text(text)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="what ../train/train.py made, as ../train/pack.py keeps it")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = {name: torch.from_numpy(value).float() for name, value in np.load(options.checkpoint).items()}
    statistics = {name: trained[name] for name in ("mean", "deviation", "centre", "matrix")}
    cells = lite0.Cells(trained["cells_centre"], trained["cells_matrix"])

    def built(prepare=lambda network: None) -> dict[str, torch.nn.Module]:
        plain, tuned = lite0.load(), lite0.load()
        lite0.put_trained(tuned, trained)
        prepare(plain)
        prepare(tuned)
        return {"gem": lite0.WholePicture(plain), "windows": lite0.Windows(tuned, lite0.Whitening(**statistics), cells)}

    pixels = {0: "pictures", 2: "height", 3: "width"}
    shapes = {
        "gem": (["embedding"], {"pixels": pixels, "embedding": {0: "pictures"}}),
        "windows": (["windows", "cells"], {"pixels": pixels, "boxes": {0: "boxes"}, "windows": {0: "boxes"}, "cells": {0: "pictures", 1: "rows", 2: "columns"}}),
    }
    plain, exact = built(fixed_padding), built()
    for name, (outputs, axes) in shapes.items():
        path = options.out / f"lite0-{name}.onnx"
        tried = trials(with_boxes=name == "windows")
        write(plain[name], tried[0], outputs, axes, path)
        print(f"{path}: largest difference from torch {check(exact[name], path, tried):.1e}")
        update_card(path.with_suffix(".toml"), path)


if __name__ == "__main__":
    main()
