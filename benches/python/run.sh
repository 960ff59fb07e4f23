#!/usr/bin/env bash
# Measures touchstone beside the Python way on the same photos with the same network, in one run:
#   run.sh embed   milliseconds a photo from file to vectors, one thread
#   run.sh scan    photos a second from file to verdict
#   run.sh serve   HTTP beside the same pipeline in-process
#   run.sh index   the index beside hnswlib, usearch and faiss; further arguments go to index.py
# Ends with one line of JSON. The Python packages go into benches/data/venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:?embed, scan, serve or index}
shift
venv=benches/data/venv
scripts/venv.sh $venv benches/python/requirements.txt
case $what in
    index | serve) exec $venv/bin/python "benches/python/$what.py" "$@" ;;
    *) exec $venv/bin/python benches/python/compare.py "$what" ;;
esac
