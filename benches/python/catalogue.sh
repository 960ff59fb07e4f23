#!/usr/bin/env bash
# Makes a catalogue of listing photos to scan, from the sources of the calibration set: fetches them where they are missing, and what Python needs.
# usage: catalogue.sh [--out DIR] [--photos N] [--distinct N] ...    see catalogue.py; by default 100,000 photos in data/catalogue (some 2 GB)
set -euo pipefail
cd "$(dirname "$0")/../.."
data=data/calibration
mkdir -p $data
models/calibration/fetch_sources.sh $data/sources
scripts/venv.sh $data/venv models/calibration/requirements.txt
# The last --out counts.
exec $data/venv/bin/python benches/python/catalogue.py --sources $data/sources --out data/catalogue "$@"
