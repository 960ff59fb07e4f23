"""touchstone's index beside hnswlib, usearch and faiss: the same vectors, the same links, one thread.

    index.py [--real N] [--synthetic N]

`--real`: windows of licensed photos described by the network that ships, 512 numbers; `--synthetic`: clusters of twenty, 256 numbers.
Queries a second at a recall of ten of 0.95 and 0.99 are read off each library's curve over its `ef`. Prints a table for each set of
vectors, then one line of JSON (of the first set) with the names that scripts rely on.
"""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

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
    path = DATA / f"windows-{count + N_QUERIES}.f32"
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
    """Recall and queries a second, one query at a time, the best of some passes."""
    answers = [search(query) for query in queries]
    found = sum(len(set(a.tolist()) & set(r.tolist())) for a, r in zip(answers, right, strict=True))
    best = float("inf")
    for _ in range(PASSES):
        started = time.perf_counter()
        for query in queries:
            search(query)
        best = min(best, time.perf_counter() - started)
    return found / (K * len(queries)), len(queries) / best


def curves(vectors: np.ndarray, queries: np.ndarray, right: np.ndarray) -> dict:
    """For each library: seconds to build on all cores, and (recall, queries a second) for each `ef`."""
    result = {}
    count, dim = vectors.shape

    index = hnswlib.Index("ip", dim)
    index.init_index(count, ef_construction=EF_CONSTRUCTION, M=LINKS)
    started = time.perf_counter()
    index.add_items(vectors, num_threads=CORES)
    built = time.perf_counter() - started
    points = []
    for ef in EFS:
        index.set_ef(ef)
        points.append(measured(lambda q: index.knn_query(q, K, num_threads=1)[0][0], queries, right))
    result["hnswlib"] = (built, points)
    del index

    index = Index(ndim=dim, metric="ip", dtype="f32", connectivity=LINKS, expansion_add=EF_CONSTRUCTION)
    started = time.perf_counter()
    index.add(np.arange(count), vectors, threads=CORES)
    built = time.perf_counter() - started
    points = []
    for ef in EFS:
        index.expansion_search = ef
        points.append(measured(lambda q: index.search(q, K, threads=1).keys, queries, right))
    result["usearch"] = (built, points)
    del index

    index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EF_CONSTRUCTION
    faiss.omp_set_num_threads(CORES)
    started = time.perf_counter()
    index.add(vectors)
    built = time.perf_counter() - started
    faiss.omp_set_num_threads(1)
    points = []
    for ef in EFS:
        index.hnsw.efSearch = ef
        points.append(measured(lambda q: index.search(q[None], K)[1][0], queries, right))
    result["faiss"] = (built, points)
    return result


def at_recall(points: list[tuple[float, float]], wanted: float) -> float | None:
    """Queries a second at a recall, between the two points about it; `None` where it is not reached."""
    points = sorted(points)
    for (low, slow), (high, fast) in zip(points, points[1:]):
        if low < wanted <= high:
            share = (wanted - low) / (high - low)
            return float(np.exp(np.log(slow) * (1 - share) + np.log(fast) * share))
    reached = [speed for recall, speed in points if recall >= wanted]
    return max(reached) if reached else None


def compare(name: str, everything: np.ndarray) -> dict:
    vectors, queries = np.ascontiguousarray(everything[:-N_QUERIES]), np.ascontiguousarray(everything[-N_QUERIES:])
    right = truth(vectors, queries)
    files = {key: DATA / f"index-{key}.bin" for key in ("vectors", "queries", "truth")}
    for key, array in (("vectors", vectors), ("queries", queries), ("truth", right)):
        array.tofile(files[key])
    ours = json.loads(own("search", *(str(files[key]) for key in ("vectors", "queries", "truth")), str(vectors.shape[1])))
    table = curves(vectors, queries, right)
    table["touchstone"] = (ours["build_s"], [(run["recall"], run["qps"]) for run in ours["runs"]])
    batches = [(run["recall"], run["qps_batch"]) for run in ours["runs"]]
    for file in files.values():
        file.unlink()

    def shown(value: float | None) -> str:
        return f"{value:12,.0f}" if value else "           –"

    print(f"\n{name}: {len(vectors):,} vectors of {vectors.shape[1]} numbers, {len(queries):,} queries, {LINKS} links, ef of {EF_CONSTRUCTION} when built")
    print(f"{'':24}{'build, s':>10}{'QPS at 0.95':>14}{'QPS at 0.99':>14}{'best recall':>13}")
    for library, (built, points) in table.items():
        print(f"{library:24}{built:10.1f}  {shown(at_recall(points, 0.95))}  {shown(at_recall(points, 0.99))}{max(points)[0]:13.4f}")
    print(f"{'touchstone, 65 at once':24}{'':10}  {shown(at_recall(batches, 0.95))}  {shown(at_recall(batches, 0.99))}")

    def ratio(mine: float | None, other: float | None) -> float | None:
        return round(mine / other, 3) if mine and other else None

    hnsw, own_points = table["hnswlib"], table["touchstone"][1]
    return {
        "qps_ratio_hnswlib_r95": ratio(at_recall(own_points, 0.95), at_recall(hnsw[1], 0.95)),
        "qps_ratio_hnswlib_r99": ratio(at_recall(own_points, 0.99), at_recall(hnsw[1], 0.99)),
        "batch_ratio_r95": ratio(at_recall(batches, 0.95), at_recall(own_points, 0.95)),
        "build_ratio_hnswlib": ratio(table["touchstone"][0], hnsw[0]),
        "memory_ratio_int8": round(ours["bytes"] / (vectors.size), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--real", type=int, default=100_000)
    parser.add_argument("--synthetic", type=int, default=100_000)
    options = parser.parse_args()
    DATA.mkdir(parents=True, exist_ok=True)
    results = {}
    if options.real:
        results["real"] = compare("windows of photos", real(options.real))
    if options.synthetic:
        results["synthetic"] = compare("synthetic clusters", synthetic(options.synthetic))
    first = next(iter(results.values()))
    print(json.dumps(first | {f"{key}_{name}": value for name, some in results.items() if some is not first for key, value in some.items()}))


if __name__ == "__main__":
    main()
