//! touchstone's side of the comparison with other indexes (`benches/python/index.py` starts it):
//!
//! - `peers describe N OUT`: writes `N` vectors of windows of the fixtures' photos and of crops of them,
//!   made by the network that ships, `f32`, one after the other.
//! - `peers search VECTORS QUERIES TRUTH DIM`: builds the graph of all vectors and searches with one
//!   thread; prints one line of JSON. `TRUTH` holds the ten nearest of each query as `u32`.
//! - `peers hnsw_rs VECTORS QUERIES TRUTH DIM`: builds with `hnsw_rs` and with our own builder.
//!
//! Times are CPU seconds, so that they can be compared on a machine that does other work, too.

use std::collections::HashSet;
use std::fs;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use cpu_time::{ProcessTime, ThreadTime};
use hnsw_rs::anndists::dist::distances::DistDot;
use hnsw_rs::hnsw::Hnsw;
use image::{RgbImage, imageops};
use rayon::prelude::*;
use serde_json::{Value, json};
use touchstone::domain::Embedding;
use touchstone::embed::{Embedder, OnnxEmbedder};
use touchstone::index::{Allow, DEFAULT_EF, EntryId, ExactIndex, GraphIndex, LiveIndex, Neighbour};

const K: usize = 10;
/// Candidates that a walk keeps.
const EFS: [usize; 9] = [10, 16, 24, 32, 48, 64, 96, 160, 320];
/// Windows of a photo, searched in one call.
const N_WINDOWS: usize = 65;
/// Queries in one call as the engine asks them.
const BATCHES: [usize; 2] = [N_WINDOWS, 300];
/// Each figure is the best of so many passes over the queries.
const N_PASSES: usize = 3;
/// Queries with a filter.
const N_FILTERED: usize = 500;
/// `hnsw_rs` takes minutes for more.
const N_HNSW_RS: usize = 20_000;
/// Share of a photo's sides that a crop shows.
const CROP: [f32; 2] = [0.5, 1.0];

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["describe", n, out] => describe(n.parse().expect("a number"), Path::new(out)),
        [what @ ("search" | "hnsw_rs"), vectors, queries, truth, dim] => {
            let dim = dim.parse().expect("a number");
            let mut data = Data::read(vectors, queries, truth, dim);
            match what {
                "search" => search(&data),
                _ => beside_hnsw_rs(&mut data),
            }
        }
        _ => eprintln!("peers: nothing to do; `make bench-index` starts this with arguments"),
    }
}

fn describe(n: usize, out: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let card = root.join("models/lite0-windows.toml");
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let network = OnnxEmbedder::open(&card, n_threads).expect("the network that ships");
    let photos = photos(&root.join("fixtures"));
    let mut file = BufWriter::new(fs::File::create(out).expect("a file to write"));
    let mut n_written = 0;
    for round in 0u32.. {
        let found: Vec<Vec<Embedding>> = photos
            .par_iter()
            .enumerate()
            .map(|(at, photo)| {
                let part = crop(
                    photo,
                    round.wrapping_mul(8191).wrapping_add(at as u32),
                    round > 0,
                );
                let described = network.embed_windows(&part).expect("a photo");
                described.windows.into_iter().map(|w| w.embedding).collect()
            })
            .collect();
        for embedding in found.iter().flatten().take(n - n_written) {
            for value in embedding.as_slice() {
                file.write_all(&value.to_le_bytes())
                    .expect("room on the disk");
            }
            n_written += 1;
        }
        if n_written == n {
            break;
        }
    }
    file.flush().expect("room on the disk");
}

fn photos(folder: &Path) -> Vec<RgbImage> {
    let mut paths: Vec<PathBuf> = walk(folder);
    paths.sort();
    let readable = paths.iter().filter_map(|path| image::open(path).ok());
    readable.map(|picture| picture.to_rgb8()).collect()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the fixtures");
    let entries = entries.map(|entry| entry.expect("the fixtures").path());
    entries
        .flat_map(|path| match path.is_dir() {
            true if path.ends_with("hostile") => Vec::new(),
            true => walk(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|e| e == "jpg"))
        .collect()
}

/// A part of the photo, mirrored every other time: not the same windows again.
fn crop(photo: &RgbImage, seed: u32, is_part: bool) -> RgbImage {
    if !is_part {
        return photo.clone();
    }
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let share = CROP[0] + (CROP[1] - CROP[0]) * uniform();
    let [width, height] =
        [photo.width(), photo.height()].map(|v| ((v as f32 * share) as u32).max(64.min(v)));
    let x = ((photo.width() - width) as f32 * uniform()) as u32;
    let y = ((photo.height() - height) as f32 * uniform()) as u32;
    let part = imageops::crop_imm(photo, x, y, width, height).to_image();
    if seed.is_multiple_of(2) {
        imageops::flip_horizontal(&part)
    } else {
        part
    }
}

/// What is compared: vectors to find, queries, and the ten nearest of each.
struct Data {
    vectors: Vec<Embedding>,
    queries: Vec<Embedding>,
    truths: Vec<HashSet<u64>>,
}

impl Data {
    fn read(vectors: &str, queries: &str, truth: &str, dim: usize) -> Self {
        let truths = words(truth);
        let truths = truths.chunks_exact(K);
        Self {
            vectors: embeddings(vectors, dim),
            queries: embeddings(queries, dim),
            truths: truths
                .map(|near| near.iter().map(|&entry| u64::from(entry)).collect())
                .collect(),
        }
    }

    fn exact(&self) -> ExactIndex {
        let mut exact = ExactIndex::new(self.vectors[0].dim());
        for (entry, vector) in (0..).zip(&self.vectors) {
            exact.insert(EntryId(entry), vector).expect("one dimension");
        }
        exact
    }
}

fn search(data: &Data) {
    let exact = data.exact();
    let (wall, cpu) = (Instant::now(), ProcessTime::now());
    let mut graph = GraphIndex::build(exact.clone());
    let (build_wall_s, build_s) = (wall.elapsed().as_secs_f64(), cpu.elapsed().as_secs_f64());
    let runs: Vec<_> = EFS
        .iter()
        .map(|&ef| curve_point(&graph, data, ef))
        .collect();
    let [p50, p99] = latencies(&graph, data);
    let batches = BATCHES.map(|n| batch(&graph, data, n));
    let filtered = filtered(&exact, &graph, data);
    let bytes_built = graph.size_bytes();
    println!(
        "{}",
        json!({
            "build_s": build_s, "build_wall_s": build_wall_s, "bytes_built": bytes_built, "runs": runs,
            "p50_ms": p50, "p99_ms": p99, "filtered": filtered, "batches": batches,
            "opened": opened(&mut graph, data),
        })
    );
}

/// What many queries in one call cost, beside as many calls, with as many candidates as the engine keeps.
fn batch(graph: &GraphIndex, data: &Data, n_queries: usize) -> Value {
    let queries = &data.queries[..data.queries.len() / n_queries * n_queries];
    let together = || -> Vec<Vec<Neighbour>> {
        let batches = queries.chunks(n_queries);
        let answers = batches.map(|batch| graph.search_many(batch, K, DEFAULT_EF, None));
        answers.flat_map(|a| a.expect("one dimension")).collect()
    };
    let one_by_one = || -> Vec<Vec<Neighbour>> {
        let answers = queries
            .iter()
            .map(|query| one(graph, query, DEFAULT_EF, None));
        answers.collect()
    };
    let [single, batch] = [best_s(one_by_one), best_s(together)];
    json!({
        "n": n_queries, "ratio": single / batch, "ms": batch * 1e3 / (queries.len() / n_queries) as f64,
        "recall": recall(&together(), &data.truths), "recall_single": recall(&one_by_one(), &data.truths),
    })
}

/// The graph saved and opened again: how long that takes (by the clock, the file being in the system's
/// cache), and what it costs to read `f32` numbers from the file.
fn opened(graph: &mut GraphIndex, data: &Data) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/data/index-saved");
    let started = Instant::now();
    graph.save(&folder, "a bench").expect("room on the disk");
    let save_s = started.elapsed().as_secs_f64();
    let open = || GraphIndex::open(&folder, "a bench").expect("what was just saved");
    let open_ms = (0..N_PASSES).map(|_| {
        let started = Instant::now();
        black_box(open());
        started.elapsed().as_secs_f64() * 1e3
    });
    let open_ms = open_ms.fold(f64::INFINITY, f64::min);
    let opened = open();
    let runs = EFS.map(|ef| curve_point(&opened, data, ef));
    let [p50, p99] = latencies(&opened, data);
    let live = LiveIndex::open(data.vectors[0].dim(), &folder, "a bench").expect("just saved");
    let alone = BATCHES.map(|n| batch_alone(&live, data, n));
    fs::remove_dir_all(&folder).expect("what was just saved");
    json!({ "save_s": save_s, "open_ms": open_ms, "bytes": opened.size_bytes(), "p50_ms": p50, "p99_ms": p99, "alone": alone, "runs": runs })
}

/// As [`batch`], by the clock, where nobody else searches: the index takes all cores then.
fn batch_alone(live: &LiveIndex, data: &Data, n_queries: usize) -> Value {
    let queries = &data.queries[..data.queries.len() / n_queries * n_queries];
    let pass = |n_together: usize| {
        let passes = (0..N_PASSES).map(|_| {
            let started = Instant::now();
            for some in queries.chunks(n_together) {
                black_box(live.search_many(some, K, None).expect("one dimension"));
            }
            started.elapsed().as_secs_f64()
        });
        passes.fold(f64::INFINITY, f64::min)
    };
    let [single, batch] = [pass(1), pass(n_queries)];
    let n_batches = (queries.len() / n_queries) as f64;
    json!({ "n": n_queries, "ratio": single / batch, "ms": batch * 1e3 / n_batches })
}

fn curve_point(graph: &GraphIndex, data: &Data, ef: usize) -> Value {
    let one_by_one = || -> Vec<Vec<Neighbour>> {
        let answers = data.queries.iter().map(|query| one(graph, query, ef, None));
        answers.collect()
    };
    let together = || -> Vec<Vec<Neighbour>> {
        let batches = data.queries.chunks(N_WINDOWS);
        let answers = batches.map(|batch| graph.search_many(batch, K, ef, None));
        answers.flat_map(|a| a.expect("one dimension")).collect()
    };
    let recall = recall(&one_by_one(), &data.truths);
    let [single, batch] = [best_s(one_by_one), best_s(together)];
    let per_second = |seconds: f64| data.queries.len() as f64 / seconds;
    json!({ "ef": ef, "recall": recall, "qps": per_second(single), "qps_batch": per_second(batch) })
}

fn one(
    graph: &GraphIndex,
    query: &Embedding,
    ef: usize,
    allow: Option<Allow<'_>>,
) -> Vec<Neighbour> {
    let query = std::slice::from_ref(query);
    let mut answers = graph
        .search_many(query, K, ef, allow)
        .expect("one dimension");
    answers.remove(0)
}

/// Milliseconds of one query as the engine asks it, median and 99th percentile.
fn latencies(graph: &GraphIndex, data: &Data) -> [f64; 2] {
    let mut times: Vec<f64> = data
        .queries
        .iter()
        .map(|query| {
            let started = ThreadTime::now();
            black_box(one(graph, query, DEFAULT_EF, None));
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    [0.5, 0.99].map(|share| times[(times.len() as f64 * share) as usize])
}

/// A filter that one entry in a hundred passes: its recall, and its cost over that of no filter.
fn filtered(exact: &ExactIndex, graph: &GraphIndex, data: &Data) -> Value {
    let listed: Vec<EntryId> = (0..data.vectors.len() as u64)
        .step_by(100)
        .map(EntryId)
        .collect();
    let allow = Some(Allow::Among(&listed));
    let queries = &data.queries[..N_FILTERED.min(data.queries.len())];
    let truths = exact.search_many(queries, K, allow).expect("one dimension");
    let truths: Vec<HashSet<u64>> = truths
        .iter()
        .map(|near| near.iter().map(|n| n.entry.0).collect())
        .collect();
    let pass = |allow| -> Vec<Vec<Neighbour>> {
        let answers = queries
            .iter()
            .map(|query| one(graph, query, DEFAULT_EF, allow));
        answers.collect()
    };
    json!({
        "recall": recall(&pass(allow), &truths),
        "cost_ratio": best_s(|| pass(allow)) / best_s(|| pass(None)),
    })
}

/// `hnsw_rs` on the first vectors of the same file, and our builder on no more than these.
fn beside_hnsw_rs(data: &mut Data) {
    data.vectors.truncate(N_HNSW_RS);
    let cpu = ProcessTime::now();
    black_box(GraphIndex::build(data.exact()));
    let own_s = cpu.elapsed().as_secs_f64();
    let numbered: Vec<_> = (0..).zip(&data.vectors).collect();
    let points: Vec<_> = numbered.iter().map(|(at, v)| (v.as_slice(), *at)).collect();
    let cpu = ProcessTime::now();
    let hnsw = Hnsw::<f32, DistDot>::new(16, points.len(), 16, 160, DistDot {});
    hnsw.parallel_insert_slice(&points);
    let hnsw_rs_s = cpu.elapsed().as_secs_f64();
    println!(
        "{}",
        json!({ "n": points.len(), "build_s": own_s, "hnsw_rs_build_s": hnsw_rs_s })
    );
}

/// CPU seconds of the best pass: other work on the machine does not count.
fn best_s<T>(pass: impl Fn() -> T) -> f64 {
    let times = (0..N_PASSES).map(|_| {
        let started = ThreadTime::now();
        black_box(pass());
        started.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn recall(answers: &[Vec<Neighbour>], truths: &[HashSet<u64>]) -> f64 {
    let found = answers
        .iter()
        .zip(truths)
        .map(|(answer, truth)| answer.iter().filter(|n| truth.contains(&n.entry.0)).count());
    found.sum::<usize>() as f64 / (answers.len() * K) as f64
}

fn words(path: &str) -> Vec<u32> {
    let bytes = fs::read(path).expect("a file of numbers");
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

fn embeddings(path: &str, dim: usize) -> Vec<Embedding> {
    let values: Vec<f32> = words(path).into_iter().map(f32::from_bits).collect();
    let vectors = values.chunks_exact(dim);
    vectors
        .map(|vector| Embedding::new(vector.to_vec()).expect("a direction"))
        .collect()
}
