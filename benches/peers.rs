//! touchstone's side of the comparison with other indexes (`benches/python/index.py` starts it):
//!
//! - `peers describe N OUT`: writes `N` vectors of windows of the fixtures' photos and of crops of them,
//!   made by the network that ships, `f32`, one after the other.
//! - `peers search VECTORS QUERIES TRUTH DIM`: builds the graph of all vectors and searches with one
//!   thread; prints one line of JSON. `TRUTH` holds the ten nearest of each query as `u32`.

use std::collections::HashSet;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use image::{RgbImage, imageops};
use rayon::prelude::*;
use serde_json::json;
use touchstone::domain::Embedding;
use touchstone::embed::{Embedder, OnnxEmbedder};
use touchstone::index::{EntryId, ExactIndex, GraphIndex, Neighbour};

const K: usize = 10;
/// Candidates that a walk keeps.
const EFS: [usize; 9] = [10, 16, 24, 32, 48, 64, 96, 160, 320];
/// Windows of a photo, searched in one call.
const N_WINDOWS: usize = 65;
/// Each figure is the best of so many passes over the queries.
const N_PASSES: usize = 3;
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
        ["search", vectors, queries, truth, dim] => {
            search(vectors, queries, truth, dim.parse().expect("a number"));
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

fn search(vectors: &str, queries: &str, truth: &str, dim: usize) {
    let queries = embeddings(queries, dim);
    let truths: Vec<HashSet<u64>> = words(truth)
        .chunks_exact(K)
        .map(|near| near.iter().map(|&entry| u64::from(entry)).collect())
        .collect();
    let mut exact = ExactIndex::new(dim);
    for (entry, vector) in (0..).zip(embeddings(vectors, dim)) {
        exact
            .insert(EntryId(entry), &vector)
            .expect("one dimension");
    }
    let n = exact.len();
    let started = Instant::now();
    let graph = GraphIndex::build(exact);
    let build_s = started.elapsed().as_secs_f64();
    let runs: Vec<_> = EFS
        .iter()
        .map(|&ef| {
            let one_by_one = || -> Vec<Vec<Neighbour>> {
                let answers = queries.iter().map(|query| {
                    let query = std::slice::from_ref(query);
                    graph.search_many(query, K, ef, None).expect("one dimension").remove(0)
                });
                answers.collect()
            };
            let together = || -> Vec<Vec<Neighbour>> {
                let batches = queries.chunks(N_WINDOWS).map(|batch| {
                    graph.search_many(batch, K, ef, None).expect("one dimension")
                });
                batches.flatten().collect()
            };
            let recall = recall(&one_by_one(), &truths);
            let [single, batch] = [best_s(one_by_one), best_s(together)];
            let per_second = |seconds: f64| queries.len() as f64 / seconds;
            json!({ "ef": ef, "recall": recall, "qps": per_second(single), "qps_batch": per_second(batch) })
        })
        .collect();
    println!(
        "{}",
        json!({ "n": n, "dim": dim, "build_s": build_s, "bytes": graph.size_bytes(), "runs": runs })
    );
}

fn best_s<T>(pass: impl Fn() -> T) -> f64 {
    let times = (0..N_PASSES).map(|_| {
        let started = Instant::now();
        std::hint::black_box(pass());
        started.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
}

fn recall(answers: &[Vec<Neighbour>], truths: &[HashSet<u64>]) -> f64 {
    let found = answers
        .iter()
        .zip(truths)
        .map(|(answer, truth)| answer.iter().filter(|n| truth.contains(&n.entry.0)).count());
    found.sum::<usize>() as f64 / (truths.len() * K) as f64
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
