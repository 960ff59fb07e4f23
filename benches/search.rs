//! How long a search takes, and how much of the truth it finds: exact scan against graph, one query
//! and the 65 windows of a photo at once.
//!
//! `cargo bench --bench search`. Recall is printed once per index, beside criterion's times.

use std::collections::HashSet;
use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use touchstone::domain::Embedding;
use touchstone::index::{EntryId, ExactIndex, GraphIndex, Neighbour};

const DIM: usize = 256;
const SIZES: [usize; 2] = [10_000, 100_000];
/// Windows of a photo.
const N_WINDOWS: usize = 65;
const K: usize = 10;
/// Candidates that a walk keeps.
const EFS: [usize; 3] = [48, 128, 256];
/// Vectors around one centre, as the pictures and versions of one mark are.
const PER_CLUSTER: usize = 20;
/// Deviation from the centre, in deviations of the centres. Neighbours are then at a cosine of
/// about 0.6, as two photos of one mark are.
const SPREAD: f32 = 0.8;
const SEED: u64 = 20_261_124;

/// `n` vectors to register and as many queries from the same clusters as asked.
fn vectors(n: usize, n_queries: usize) -> (Vec<Embedding>, Vec<Embedding>) {
    let mut random = SplitMix(SEED);
    let centres: Vec<Vec<f32>> = (0..n / PER_CLUSTER)
        .map(|_| (0..DIM).map(|_| random.normal()).collect())
        .collect();
    let mut around = |_| {
        let centre = &centres[(random.uniform() * centres.len() as f32) as usize];
        let values = centre.iter().map(|c| c + SPREAD * random.normal());
        Embedding::new(values.collect()).expect("no zero among normal numbers")
    };
    let registered = (0..n).map(&mut around).collect();
    (registered, (0..n_queries).map(&mut around).collect())
}

/// Steele, Lea and Flood 2014: the same numbers whatever becomes of a crate.
struct SplitMix(u64);

impl SplitMix {
    /// `0..1`.
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    /// Roughly normal, mean 0, deviation 1.
    fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }
}

fn truth(registered: &[Embedding], query: &Embedding) -> HashSet<EntryId> {
    let mut all: Vec<_> = (0..)
        .map(EntryId)
        .zip(registered)
        .map(|(entry, vector)| (query.similarity(vector).expect("one dimension").0, entry))
        .collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    all[..K].iter().map(|&(_, entry)| entry).collect()
}

fn recall(answers: &[Vec<Neighbour>], truths: &[HashSet<EntryId>]) -> f64 {
    let found = answers.iter().zip(truths).map(|(answer, truth)| {
        let answered: HashSet<_> = answer.iter().map(|n| n.entry).collect();
        answered.intersection(truth).count()
    });
    found.sum::<usize>() as f64 / (truths.len() * K) as f64
}

fn bench_search(c: &mut Criterion) {
    for n in SIZES {
        let (registered, queries) = vectors(n, 4 * N_WINDOWS);
        let truths: Vec<_> = queries.iter().map(|q| truth(&registered, q)).collect();
        let mut exact = ExactIndex::new(DIM);
        for (entry, vector) in (0..).zip(&registered) {
            exact.insert(EntryId(entry), vector).expect("one dimension");
        }
        let started = Instant::now();
        let graph = GraphIndex::build(exact.clone());
        println!(
            "{n} vectors: graph built in {:.1} s",
            started.elapsed().as_secs_f64()
        );

        let scan = |queries: &[Embedding]| exact.search_many(queries, K, None);
        measure(c, n, "exact", &queries, &truths, scan);
        for ef in EFS {
            let walk = |queries: &[Embedding]| graph.search_many(queries, K, ef, None);
            measure(c, n, &format!("graph ef {ef}"), &queries, &truths, walk);
        }
    }
}

fn measure<E: std::fmt::Debug>(
    c: &mut Criterion,
    n: usize,
    name: &str,
    queries: &[Embedding],
    truths: &[HashSet<EntryId>],
    search: impl Fn(&[Embedding]) -> Result<Vec<Vec<Neighbour>>, E>,
) {
    let answers = search(queries).expect("one dimension");
    println!(
        "{n} vectors, {name}: recall@{K} {:.4}",
        recall(&answers, truths)
    );
    let mut group = c.benchmark_group(format!("search/{n}"));
    for n_queries in [1, N_WINDOWS] {
        group.throughput(Throughput::Elements(n_queries as u64));
        group.bench_function(BenchmarkId::new(name, n_queries), |b| {
            let mut batches = queries.chunks_exact(n_queries).cycle();
            b.iter(|| black_box(search(batches.next().expect("an endless cycle"))));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = bench_search
}
criterion_main!(benches);
