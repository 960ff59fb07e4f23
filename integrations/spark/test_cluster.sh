#!/usr/bin/env bash
# Starts a Spark master and two workers on this machine, scans listings of the fixtures on them, kills one worker in the
# middle, and compares the results with those of a plain scan. Needs Java 17 and a built program:
#   integrations/spark/test_cluster.sh [PROGRAM]        [default: target/release/touchstone]
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
program=$(realpath "${1:-target/release/touchstone}")
work=$(mktemp -d)
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$root/vendor/ort/libonnxruntime.so} TOUCHSTONE_MODELS=$root/models
pids=()
finish() {
  # The workers' executors are their children, and end with them.
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

if [ -z "${SPARK_PYTHON:-}" ]; then
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r integrations/spark/requirements.txt
  SPARK_PYTHON=$work/venv/bin/python
fi
export PYSPARK_PYTHON=$SPARK_PYTHON PYSPARK_DRIVER_PYTHON=$SPARK_PYTHON
SPARK_HOME=$("$SPARK_PYTHON" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))')
export SPARK_HOME SPARK_LOCAL_IP=127.0.0.1 SPARK_WORKER_DIR=$work/worker

"$program" --home "$work/home" --quiet register fixtures/assets.csv
"$SPARK_PYTHON" - "$work/listings.jsonl" <<'PY'
import glob, json, os, sys
photos = sorted(glob.glob("fixtures/photos/*.jpg"))
with open(sys.argv[1], "w") as out:
    for i in range(int(os.environ.get("N_LISTINGS", "120"))):
        listing = {"listing_id": f"L-{i}", "photos": [photos[i % len(photos)]], "title": f"No. {i}", "colour": "red"}
        out.write(json.dumps(listing) + "\n")
    out.write(json.dumps({"listing_id": "gone", "photos": ["gone.jpg"]}) + "\n")
PY
# Exit 1: the missing photo.
"$program" --home "$work/home" --quiet scan - --out "$work/plain.jsonl" <"$work/listings.jsonl" || [ $? -eq 1 ]

port=$((20000 + RANDOM % 20000))
java_class() { "$SPARK_HOME/bin/spark-class" "$@" >"$work/$name.log" 2>&1 & pids+=($!); }
name=master java_class org.apache.spark.deploy.master.Master --host 127.0.0.1 --port $port --webui-port $((port + 1))
for i in 1 2; do
  name=worker-$i java_class org.apache.spark.deploy.worker.Worker --cores 1 --memory 1g --host 127.0.0.1 \
    --webui-port $((port + 1 + i)) "spark://127.0.0.1:$port"
done
victim=${pids[1]}
for _ in $(seq 120); do
  [ "$(grep -c 'Registering worker' "$work/master.log" || true)" -ge 2 ] && break
  sleep 0.5
done

"$SPARK_HOME/bin/spark-submit" --master "spark://127.0.0.1:$port" --conf spark.ui.enabled=false \
  --executor-memory 512m integrations/spark/touchstone_scan.py \
  --source "$work/listings.jsonl" --out "$work/results.parquet" --home "$work/home" --touchstone "$program" \
  --folder "$root" --partitions 8 >"$work/job.out" 2>"$work/job.log" &
job=$!
# Once the first task of several is done, one worker goes, with the executor and the programs that it started.
for _ in $(seq 600); do
  grep -q 'Finished task' "$work/job.log" && break
  kill -0 "$job" 2>/dev/null || break
  sleep 0.2
done
descendants() { for child in $(pgrep -P "$1"); do descendants "$child"; echo "$child"; done; }
# shellcheck disable=SC2046
kill -9 "$victim" $(descendants "$victim")
echo "killed a worker after $(grep -c 'Finished task' "$work/job.log") of 8 tasks"
wait "$job" || { tail -40 "$work/job.log"; exit 1; }
grep -q 'Lost executor\|Executor lost\|worker lost\|Worker.*lost' "$work/job.log" || { echo "no worker was lost"; exit 1; }
cat "$work/job.out"

"$SPARK_PYTHON" - "$work" <<'PY'
import json, sys
from pyspark.sql import SparkSession
work = sys.argv[1]
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
found = {row["key"]: row for row in spark.read.parquet(f"{work}/results.parquet").collect()}
rows = spark.read.parquet(f"{work}/results.parquet").count()
plain = {}
for line in open(f"{work}/plain.jsonl"):
    row = json.loads(line)
    plain[row["key"]] = row
assert rows == len(found) == len(plain), (rows, len(found), len(plain))
for key, row in plain.items():
    other = found[key]
    for name in ("listing_id", "photo", "sha256", "verdict", "error", "model", "registry_revision", "mark"):
        assert other[name] == row[name], (key, name, other[name], row[name])
    assert json.loads(other["listing"]) == row["listing"]
    probabilities = [finding["probability"] for finding in other["findings"]]
    assert probabilities == [finding["probability"] for finding in row["findings"]], key
print(f"{rows} rows, none lost, none doubled, all as in a plain scan")
PY
