"""Scans a data set of listings with touchstone on a Spark cluster and writes the results as Parquet.

    spark-submit touchstone_scan.py --source listings.jsonl --out results.parquet --home /var/lib/touchstone/home

The home lies on a local disk of every worker, each a restored copy of one backup (`touchstone backup`, `restore`): its
database does not work across machines on a network's file system.

Each partition of the source goes through `touchstone scan - --out -`, a process of its own on the worker. A task whose
worker is lost, or whose process fails (exit code 2, or a signal), is run again by Spark; the output's committer sees
to it that each partition's rows are written once. Photos that fail are rows with an `error`, as in every scan.

The columns are those of `touchstone scan --out x.parquet`.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import threading

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

TEXT = T.StringType()
FINDING = T.StructType(
    [
        T.StructField("asset_id", T.LongType()),
        T.StructField("asset", TEXT),
        T.StructField("brand", TEXT),
        T.StructField("asset_kind", TEXT),
        T.StructField("kind", TEXT),
        T.StructField("region", T.StructType([T.StructField(side, T.FloatType()) for side in "xywh"])),
        T.StructField("probability", T.DoubleType()),
        T.StructField("authorised_seller", T.BooleanType()),
        T.StructField("reasons", T.ArrayType(TEXT)),
        T.StructField("measurements", TEXT),
    ]
)
STAGES = ["prepare", "embed", "find_candidates", "verify", "judge"]
LISTING_FIELDS = ["title", "url", "marketplace", "brand_claimed", "price", "currency", "quantity"]
SCHEMA = T.StructType(
    [
        T.StructField("listing_id", TEXT),
        T.StructField("photo", TEXT),
        T.StructField("sha256", TEXT),
        T.StructField("verdict", TEXT),
        T.StructField("findings", T.ArrayType(FINDING)),
        T.StructField("photo_width", T.IntegerType()),
        T.StructField("photo_height", T.IntegerType()),
        T.StructField("timings_ms", T.StructType([T.StructField(stage, T.DoubleType()) for stage in STAGES])),
        T.StructField("error", TEXT),
        *[T.StructField(name, TEXT) for name in LISTING_FIELDS],
        *[T.StructField(name, TEXT) for name in ("seller_id", "seller_name", "seller_country")],
        *[T.StructField(name, TEXT) for name in ("listing", "key", "model", "registry")],
        T.StructField("registry_revision", T.LongType()),
        T.StructField("mark", TEXT),
        T.StructField("work", TEXT),
        T.StructField("read_ms", T.DoubleType()),
    ]
)


def as_text(value):
    """Texts as they are, everything else as JSON; None stays None."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def columns_of(line):
    """A row of the program in the form of SCHEMA."""
    row = json.loads(line)
    listing = row["listing"]
    seller = listing.get("seller") or {}
    width, height = row["photo_size"] or (None, None)
    findings = [
        {**finding, "measurements": as_text(finding["measurements"])} for finding in row["findings"]
    ]
    row.update({name: as_text(listing.get(name)) for name in LISTING_FIELDS})
    row.update(
        findings=findings,
        photo_width=width,
        photo_height=height,
        seller_id=seller.get("id"),
        seller_name=seller.get("name"),
        seller_country=seller.get("country"),
        listing=as_text(listing),
    )
    return {field.name: row[field.name] for field in SCHEMA.fields}


def scan_partition(command, folder):
    """A function that sends the lines of a partition through the program."""

    def scan(lines):
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        told, failed = [], []

        def feed():
            try:
                for line in lines:
                    process.stdin.write(line.encode() + b"\n")
            except BrokenPipeError:
                pass  # The exit code says why.
            except BaseException as error:  # The program must not take what came for all there is.
                failed.append(error)
                process.kill()
            finally:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()

        def listen():
            for line in process.stderr:
                told.append(line.decode(errors="replace"))
                del told[:-20]

        threads = [threading.Thread(target=target, daemon=True) for target in (feed, listen)]
        for thread in threads:
            thread.start()
        try:
            for line in process.stdout:
                yield columns_of(line)
            for thread in threads:
                thread.join()
            code = process.wait()
            if failed:
                raise failed[0]
        finally:
            if process.poll() is None:
                process.kill()
        # 1: some photos failed, and their rows say so.
        if code not in (0, 1):
            raise RuntimeError(f"touchstone ended with {code}: {''.join(told)}")

    return scan


def lines_of(spark, path):
    """The listings of a JSONL or Parquet data set, a JSON object a line."""
    is_parquet = path.rstrip("/").endswith(".parquet")
    if is_parquet:
        rows = spark.read.parquet(path)
        return rows.select(F.to_json(F.struct(*rows.columns)).alias("value"))
    return spark.read.text(path).where(F.trim("value") != "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="JSONL or Parquet data set of listings")
    parser.add_argument("--out", required=True, help="Parquet data set to write; must not exist")
    parser.add_argument("--home", required=True, help="touchstone's data folder, a copy on every worker")
    parser.add_argument("--touchstone", default="touchstone", help="the program, on every worker")
    parser.add_argument("--folder", default="/", help="where the program runs: relative photos are found from here")
    parser.add_argument("--partitions", type=int, help="how many [default: four for each core of the cluster]")
    parser.add_argument("--threads", type=int, default=1, help="photos worked on at once by each task [default: 1]")
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="further flags of touchstone, last")
    arguments = parser.parse_args()

    spark = SparkSession.builder.appName("touchstone scan").getOrCreate()
    n_partitions = arguments.partitions or 4 * spark.sparkContext.defaultParallelism
    command = [
        *(arguments.touchstone, "--home", arguments.home, "--threads", str(arguments.threads), "--quiet"),
        *("scan", "-", "--out", "-", *arguments.flags),
    ]
    lines = lines_of(spark, arguments.source).repartition(n_partitions)
    scan = scan_partition(command, os.fspath(arguments.folder))
    rows = lines.rdd.map(lambda row: row.value).mapPartitions(scan)
    spark.createDataFrame(rows, SCHEMA).write.mode("errorifexists").parquet(arguments.out)

    written = spark.read.parquet(arguments.out)
    made_with = written.select("model", "registry", "registry_revision").distinct().collect()
    n_photos, n_failed = written.select(F.count("*"), F.count("error")).first()
    print(json.dumps({"out": arguments.out, "n_photos": n_photos, "n_failed": n_failed}))
    spark.stop()
    if len(made_with) > 1:
        stands = sorted(row.registry_revision for row in made_with)
        sys.exit(f"something was registered during the scan: rows are of revisions {stands}; scan again")


if __name__ == "__main__":
    main()
