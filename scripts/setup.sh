#!/usr/bin/env bash
# Prepares a fresh checkout: checks the tools, fetches the pinned ONNX Runtime library into vendor/ort/.
# Quick when everything is there already. With --tests also checks what `make test` needs beside that, so that it
# is not missed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { # need COMMAND SENTENCE
    command -v "$1" >/dev/null 2>&1 || { echo "setup: $1 is missing: $2" >&2; exit 2; }
}
need cargo "install Rust 1.92 or newer from https://rustup.rs (or your distribution's rustup package)."
need python3 "install Python 3 with 'apt-get install python3 python3-pip'."
need cc "install a C compiler with 'apt-get install build-essential'."
python3 -m pip --version >/dev/null 2>&1 || {
    echo "setup: pip is missing: install it with 'apt-get install python3-pip'." >&2; exit 2; }
if [ "${1:-}" = --tests ]; then
    need curl "install it with 'apt-get install curl'."
    python3 -c 'import ensurepip, venv' 2>/dev/null || {
        echo "setup: venv is missing: install it with 'apt-get install python3-venv'." >&2; exit 2; }
    # scripts/test_console.sh installs it where it may.
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 ||
        need chromium "install it with 'apt-get install chromium'."
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
have=$(cargo --version | cut -d' ' -f2 | cut -d- -f1)
if [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n1)" != "$wanted" ]; then
    echo "setup: Rust $have is too old: run 'rustup update' to get $wanted or newer." >&2; exit 2
fi

python3 scripts/fetch_ort.py
