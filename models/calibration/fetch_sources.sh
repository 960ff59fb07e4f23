#!/usr/bin/env bash
# Fetches the licensed sources of the calibration set into a folder: icon sets, fonts and photos from npm, photos and cut-out objects from Debian.
# usage: fetch_sources.sh FOLDER      needs npm, tar, apt-get and dpkg-deb; about 280 MB; what is already there is kept.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:?usage: fetch_sources.sh FOLDER}"
cd "$1"

while read -r package; do
    folder="npm/$package"
    [ -e "$folder" ] && continue
    echo "npm $package" >&2
    archive=$(npm pack --silent "$package")
    mkdir -p "$folder.part"
    tar --warning=no-unknown-keyword -xzf "$archive" -C "$folder.part" --strip-components 1
    mv "$folder.part" "$folder"
    rm "$archive"
done < <(grep -v '^#' "$here/packages.txt")

for package in mate-backgrounds lomiri-wallpapers-20.04 tuxpaint-stamps-default; do
    [ -e "deb/$package" ] && continue
    echo "deb $package" >&2
    apt-get download "$package" >&2
    mkdir -p "deb/$package"
    dpkg-deb -x "$package"_*.deb "deb/$package"
    rm "$package"_*.deb
done
