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
scripts/venv.sh $venv tests/console/requirements.txt
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$PWD/vendor/ort/libonnxruntime.so}
rm -rf target/screenshots
exec $venv/bin/python -m pytest -q -p no:cacheprovider tests/console "$@"
