#!/usr/bin/env bash
# Copies the program that `make build` made, ONNX Runtime and the networks to PREFIX, where the program looks for them:
# bin/, lib/, share/touchstone/.
#   install.sh PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=$1
program=target/release/touchstone
library=vendor/ort/libonnxruntime.so
for made in $program $library; do
    [ -e $made ] || { echo "install: $made is missing: run 'make build' first." >&2; exit 2; }
done
share=$prefix/share/touchstone
install -d "$prefix/bin" "$prefix/lib" "$share/models/ocr" "$share/onnxruntime"
install -m 755 $program "$prefix/bin/"
install -m 644 $library "$prefix/lib/"
install -m 644 vendor/ort/LICENSE vendor/ort/ThirdPartyNotices.txt "$share/onnxruntime/"
install -m 644 models/*.onnx models/*.toml models/background.bin models/judge.json models/LICENSE-Apache-2.0 "$share/models/"
install -m 644 models/ocr/* "$share/models/ocr/"
echo "installed $prefix/bin/touchstone" >&2
