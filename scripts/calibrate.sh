#!/usr/bin/env bash
# Fits models/judge.json: fetches the packages, builds the calibration set (about 15 minutes on one core), fits.
set -euo pipefail
cd "$(dirname "$0")/.."
data=data/calibration
if ! [ -e $data/set/ready ]; then
    mkdir -p $data
    models/calibration/fetch_sources.sh $data/sources
    scripts/venv.sh $data/venv models/calibration/requirements.txt
    $data/venv/bin/python models/calibration/make_set.py --sources $data/sources --out $data/set --real-photos fixtures/grocery/photos
    touch $data/set/ready
fi
pairs=()
for part in logos products copies; do
    pairs+=(--assets $data/set/$part/assets.csv --photos $data/set/$part/photos.csv --weight 1)
done
# Few, but real photos: they count three times.
pairs+=(--assets fixtures/assets.csv --photos fixtures/photos.csv --weight 3)
target/release/touchstone calibrate "${pairs[@]}" --out models/judge.json \
    --provenance "models/calibration/make_set.py, seed 7 (pictures made from licensed packages), and the fixtures three times; no photo of a measuring set"
