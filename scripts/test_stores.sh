#!/usr/bin/env bash
# Tests scans of photos and manifests in object stores against real stores that are started here: tests/stores/. The
# Python packages go into target/stores-venv. With --azure also Microsoft's Azurite, which is fetched by npm.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=target/stores-venv
scripts/venv.sh $venv tests/stores/requirements.txt
if [ "${1:-}" = --azure ]; then
    shift
    export AZURITE=$PWD/target/azurite/node_modules/.bin/azurite-blob
    [ -e "$AZURITE" ] || npm install --silent --no-audit --no-fund --prefix target/azurite azurite@3.37.0
fi
exec $venv/bin/python -m pytest -q -p no:cacheprovider tests/stores "$@"
