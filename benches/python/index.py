"""touchstone's index beside hnswlib, usearch and faiss: the same vectors, the same links, one thread.

    index.py [--real N] [--synthetic N] [--million]

`--real`: windows of licensed photos described by the network that ships, 512 numbers; `--synthetic`: clusters of twenty, 256 numbers, ten
thousand and N of them, with `--million` a million, too. The peers are handed all queries in one call, so that Python costs them nothing.
Times are CPU seconds, so that they can be compared on a machine that does other work, too; of a build, those of all cores. Queries a second
at a recall of ten of 0.95 and 0.99 are read off each library's curve over its `ef`. Prints a table for each set of vectors, then one line of
JSON (of the first set) with the names that scripts rely on.
"""

import argparse
import hashlib
import json
import os
import subprocess
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Threads of faiss that wait would use up CPU time.
os.environ["OMP_WAIT_POLICY"] = "passive"

import faiss  # noqa: E402
import hnswlib  # noqa: E402
import numpy as np  # noqa: E402
from usearch.index import Index  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "benches" / "data"
K = 10
N_QUERIES = 2_000
# The graph's own settings (src/index/builder.rs).
LINKS = 16
EF_CONSTRUCTION = 160
EFS = (10, 16, 24, 32, 48, 64, 96, 160, 320)
PASSES = 3
CORES = os.cpu_count() or 1


def own(*arguments: str) -> str:
    command = ["cargo", "bench", "--quiet", "--locked", "--bench", "peers", "--", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def real(count: int) -> np.ndarray:
    network = hashlib.sha256((ROOT / "models/lite0-windows.onnx").read_bytes()).hexdigest()[:8]
    path = DATA / f"windows-{network}-{count + N_QUERIES}.f32"
    if not path.exists():
        part = path.with_suffix(".part")
        own("describe", str(count + N_QUERIES), str(part))
        part.rename(path)
    return np.fromfile(path, np.float32).reshape(-1, 512)


def synthetic(count: int) -> np.ndarray:
    random = np.random.default_rng(20_261_128)
    centres = random.standard_normal((count // 20, 256), np.float32)
    which = random.integers(0, len(centres), count + N_QUERIES)
    vectors = centres[which] + 0.8 * random.standard_normal((count + N_QUERIES, 256), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def truth(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    nearest = []
    for some in np.array_split(queries, 20):
        scores = some @ vectors.T
        best = np.argpartition(-scores, K, axis=1)[:, :K]
        nearest.append(best)
    return np.concatenate(nearest).astype(np.uint32)


def measured(search, queries: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Recall and queries a second, the best of some passes; `search` goes through all queries on one thread."""
    found = sum(len(set(a.tolist()) & set(r.tolist())) for a, r in zip(search(queries), right, strict=True))
    best = float("inf")
    for _ in range(PASSES):
        started = time.process_time()
        search(queries)
        best = min(best, time.process_time() - started)
    return found / (K * len(queries)), len(queries) / best


def with_hnswlib(vectors: np.ndarray):
    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=EF_CONSTRUCTION, M=LINKS)
    index.add_items(vectors, num_threads=CORES)
    return index.set_ef, lambda queries: index.knn_query(queries, K, num_threads=1)[0]


def with_usearch(vectors: np.ndarray):
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f32", connectivity=LINKS, expansion_add=EF_CONSTRUCTION)
    index.add(np.arange(len(vectors)), vectors, threads=CORES)
    return lambda ef: setattr(index, "expansion_search", ef), lambda queries: index.search(queries, K, threads=1).keys


def with_faiss(vectors: np.ndarray):
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    faiss.omp_set_num_threads(CORES)
    index.add(vectors)
    faiss.omp_set_num_threads(1)
    return lambda ef: setattr(index.hnsw, "efSearch", ef), lambda queries: index.search(queries, K)[1]


def curve(build, vectors: np.ndarray, queries: np.ndarray, right: np.ndarray) -> tuple[float, list]:
    """CPU seconds to build on all cores, and (recall, queries a second) for each `ef`."""
    started = time.process_time()
    set_ef, search = build(vectors)
    built = time.process_time() - started
    points = []
    for ef in EFS:
        set_ef(ef)
        points.append(measured(search, queries, right))
    return built, points


def at_recall(points: list[tuple[float, float]], wanted: float) -> float | None:
    """Queries a second at a recall, between the two points about it; `None` where it is not reached."""
    points = sorted(points)
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if low < wanted <= high:
            share = (wanted - low) / (high - low)
            return float(np.exp(np.log(slow) * (1 - share) + np.log(fast) * share))
    reached = [speed for recall, speed in points if recall >= wanted]
    return max(reached) if reached else None


def compare(name: str, everything: np.ndarray, peers: dict) -> dict:
    vectors, queries = np.ascontiguousarray(everything[:-N_QUERIES]), np.ascontiguousarray(everything[-N_QUERIES:])
    right = truth(vectors, queries)
    files = {key: DATA / f"index-{key}.bin" for key in ("vectors", "queries", "truth")}
    for key, array in (("vectors", vectors), ("queries", queries), ("truth", right)):
        array.tofile(files[key])
    arguments = [*(str(files[key]) for key in ("vectors", "queries", "truth")), str(vectors.shape[1])]
    ours = json.loads(own("search", *arguments))
    table = {library: curve(build, vectors, queries, right) for library, build in peers.items()}
    # As it is served: saved and opened, its f32 numbers in the file.
    opened = ours["opened"]
    table["touchstone"] = (ours["build_s"], [(run["recall"], run["qps"]) for run in opened["runs"]])
    table["touchstone, not saved yet"] = (ours["build_s"], [(run["recall"], run["qps"]) for run in ours["runs"]])
    batches = [(run["recall"], run["qps_batch"]) for run in opened["runs"]]

    def shown(value: float | None) -> str:
        return f"{value:12,.0f}" if value else "           –"

    print(f"\n{name}: {len(vectors):,} vectors of {vectors.shape[1]} numbers, {len(queries):,} queries, {LINKS} links, ef of {EF_CONSTRUCTION} when built")
    print(f"{'':24}{'build, CPU s':>14}{'QPS at 0.95':>14}{'QPS at 0.99':>14}{'best recall':>13}")
    for library, (built, points) in table.items():
        print(f"{library:24}{built:14.1f}  {shown(at_recall(points, 0.95))}  {shown(at_recall(points, 0.99))}{max(points)[0]:13.4f}")
    print(f"{'touchstone, 65 at once':24}{'':14}  {shown(at_recall(batches, 0.95))}  {shown(at_recall(batches, 0.99))}")
    print(f"as the engine asks: p50 {ours['p50_ms']:.3f} ms, p99 {ours['p99_ms']:.3f} ms; {ours['bytes_built'] / 1e6:,.0f} MB; built in {ours['build_wall_s']:.1f} s")
    print(f"saved in {opened['save_s']:.2f} s, opened in {opened['open_ms']:.0f} ms; p50 {opened['p50_ms']:.3f} ms, p99 {opened['p99_ms']:.3f} ms; {opened['bytes'] / 1e6:,.0f} MB")
    for batch in ours["batches"]:
        print(f"{batch['n']} in one call as the engine asks: {batch['ms']:.2f} ms, {batch['ratio']:.2f} times as quick as one by one; recall {batch['recall']:.4f}, one by one {batch['recall_single']:.4f}")
    print(f"one entry in a hundred passes a filter: recall {ours['filtered']['recall']:.4f} at {ours['filtered']['cost_ratio']:.2f} of the cost without")

    for batch in opened["alone"]:
        print(f"{batch['n']} in one call on {CORES} cores, by the clock: {batch['ms']:.2f} ms, {batch['ratio']:.2f} times as quick as one by one")

    def ratio(mine: float | None, other: float | None) -> float | None:
        return round(mine / other, 3) if mine and other else None

    own_points = table["touchstone"][1]
    result = {
        "batch_ratio_r95": ratio(at_recall(batches, 0.95), at_recall(own_points, 0.95)),
        **{f"batch_ratio_{batch['n']}": round(batch["ratio"], 3) for batch in ours["batches"]},
        **{f"batch_ratio_{batch['n']}_wall": round(batch["ratio"], 3) for batch in opened["alone"]},
        # Of a graph that was saved, as every one is: its f32 numbers are in the file.
        "memory_ratio_int8": round(opened["bytes"] / vectors.size, 3),
        "memory_ratio_int8_built": round(ours["bytes_built"] / vectors.size, 3),
        "open_ms": round(opened["open_ms"], 1),
        "filter_recall": ours["filtered"]["recall"],
        "filter_cost_ratio": round(ours["filtered"]["cost_ratio"], 3),
        "p50_ms": ours["p50_ms"],
        "p99_ms": ours["p99_ms"],
        "build_s": round(ours["build_s"], 2),
    }
    if "hnswlib" in table:
        built, points = table["hnswlib"]
        result["build_ratio_hnswlib"] = ratio(ours["build_s"], built)
        for recall in (0.95, 0.99):
            key = f"qps_ratio_hnswlib_r{recall * 100:.0f}"
            result[key] = ratio(at_recall(own_points, recall), at_recall(points, recall))
    if len(peers) == len(PEERS):
        beside = json.loads(own("hnsw_rs", *arguments))
        print(f"built from the first {beside['n']:,}: {beside['build_s']:.1f} CPU s, hnsw_rs {beside['hnsw_rs_build_s']:.1f}")
        result["build_ratio_hnsw_rs"] = ratio(beside["build_s"], beside["hnsw_rs_build_s"])
    for file in files.values():
        file.unlink()
    return result


PEERS = {"hnswlib": with_hnswlib, "usearch": with_usearch, "faiss": with_faiss}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=int, default=100_000)
    parser.add_argument("--synthetic", type=int, default=100_000)
    parser.add_argument("--million", action="store_true")
    options = parser.parse_args()
    DATA.mkdir(parents=True, exist_ok=True)
    only_hnswlib = {"hnswlib": with_hnswlib}
    results = {}
    if options.real:
        results["real"] = compare("windows of photos", real(options.real), PEERS)
    sizes = [10_000, options.synthetic] if options.synthetic else []
    for size in sizes + [1_000_000] * options.million:
        results[f"synthetic_{size}"] = compare("synthetic clusters", synthetic(size), only_hnswlib)
    first = next(iter(results.values()))
    rest = {f"{key}_{name}": value for name, some in results.items() if some is not first for key, value in some.items()}
    print(json.dumps(first | rest))


if __name__ == "__main__":
    main()
