#!/usr/bin/env bash
# Makes a catalogue of listing photos to scan, from the sources of the calibration set: fetches them where they are missing, and what Python needs.
# usage: catalogue.sh [--out DIR] [--photos N] [--distinct N] ...    see catalogue.py; by default 100,000 photos in data/catalogue (some 2 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."
data=data/calibration
mkdir -p $data
models/calibration/fetch_sources.sh $data/sources
if ! cmp -s models/calibration/requirements.txt $data/catalogue-ready; then
    python3 -m venv $data/venv || { echo "catalogue: install venv with 'apt-get install python3-venv'" >&2; exit 2; }
    $data/venv/bin/pip install --quiet --disable-pip-version-check -r models/calibration/requirements.txt
    cp models/calibration/requirements.txt $data/catalogue-ready
fi
# The last --out counts.
exec $data/venv/bin/python benches/python/catalogue.py --sources $data/sources --out data/catalogue "$@"
