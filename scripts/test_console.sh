#!/usr/bin/env bash
# Tests the console in headless Chromium against a real server: tests/console/. Installs Chromium from
# Debian when there is none, and the Python packages into target/console-venv. Screenshots of every
# page are kept in target/screenshots/.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || {
        echo "test-console: chromium is missing: install it with 'apt-get install chromium'." >&2; exit 2; }
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
fi
venv=target/console-venv
if ! cmp -s tests/console/requirements.txt $venv/ready; then
    rm -rf $venv
    python3 -m venv $venv || { echo "test-console: install venv with 'apt-get install python3-venv'." >&2; exit 2; }
    $venv/bin/pip install --quiet --disable-pip-version-check -r tests/console/requirements.txt
    cp tests/console/requirements.txt $venv/ready
fi
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$PWD/vendor/ort/libonnxruntime.so}
rm -rf target/screenshots
exec $venv/bin/python -m pytest -q -p no:cacheprovider tests/console "$@"
