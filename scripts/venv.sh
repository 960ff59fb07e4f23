#!/usr/bin/env bash
# Makes the virtual environment FOLDER with what the file REQUIREMENTS pins, anew when that file has changed.
# usage: venv.sh FOLDER REQUIREMENTS
set -euo pipefail
folder=$1 requirements=$2
if ! cmp -s "$requirements" "$folder/ready"; then
    rm -rf "$folder"
    python3 -m venv "$folder" || { echo "venv.sh: install venv with 'apt-get install python3-venv'." >&2; exit 2; }
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$folder/ready"
fi
