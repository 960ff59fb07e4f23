#!/usr/bin/env bash
# Tests scans of photos and manifests in object stores against real stores that are started here: tests/stores/. The
# Python packages go into target/stores-venv. With --azure also Microsoft's Azurite, which is fetched by npm.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/stores-venv
if ! cmp -s tests/stores/requirements.txt $venv/ready; then
    rm -rf $venv
    python3 -m venv $venv || { echo "test-stores: install venv with 'apt-get install python3-venv'." >&2; exit 2; }
    $venv/bin/pip install --quiet --disable-pip-version-check -r tests/stores/requirements.txt
    cp tests/stores/requirements.txt $venv/ready
fi
if [ "${1:-}" = --azure ]; then
    shift
    export AZURITE=$PWD/target/azurite/node_modules/.bin/azurite-blob
    [ -e "$AZURITE" ] || npm install --silent --no-audit --no-fund --prefix target/azurite azurite@3.37.0
fi
exec $venv/bin/python -m pytest -q -p no:cacheprovider tests/stores "$@"
