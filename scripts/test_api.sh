#!/usr/bin/env bash
# Sends thousands of requests made from /openapi.json, good and bad, to a real server with a registry of
# its own. No answer may be a 5xx. The Python packages go into target/api-venv.
#   test_api.sh [PROGRAM]     default: target/debug/touchstone, which `make test-api` builds
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-target/debug/touchstone}
venv=target/api-venv
scripts/venv.sh $venv scripts/test_api/requirements.txt
home=$(mktemp -d)
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$PWD/vendor/ort/libonnxruntime.so} TOUCHSTONE_HOME=$home
"$program" register fixtures/assets.csv >/dev/null 2>&1
"$program" serve --open --listen 127.0.0.1:0 2>"$home/log" &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$home"' EXIT
address=
for _ in $(seq 100); do
    address=$(sed -n 's/.*listening on \(http:[^,]*\),.*/\1/p' "$home/log" | sed 's/\x1b\[[0-9;]*m//g' | head -n1)
    [ -n "$address" ] && break
    sleep 0.1
done
[ -n "$address" ] || { echo "test-api: the server did not start" >&2; cat "$home/log" >&2; exit 1; }
# Something to find, to decide on, to list.
curl -sf -F 'listing={"listing_id":"L1","seller":{"id":"9"}}' -F photo=@fixtures/photos/altered-brasmo-letter.jpg \
    "$address/v1/screen?keep=photos" >/dev/null
# Decided on: requests that forget the listing do not take it away.
curl -sf -H 'content-type: application/json' -d '{"decision":"unsure"}' "$address/v1/findings/1/decision" >/dev/null
export SCHEMATHESIS_HOOKS=hooks PYTHONPATH=scripts/test_api
# Fixed seed: a failure can be had again.
$venv/bin/schemathesis run "$address/openapi.json" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --phases examples,coverage,fuzzing --max-examples "${MAX_EXAMPLES:-20}" --seed 7 \
    --request-timeout 60 --suppress-health-check all --no-color
if grep -E '"status":5|status=5|panicked' "$home/log"; then
    echo "test-api: the server logged an error of its own" >&2
    exit 1
fi
