//! Every index against the plain comparison of everything with everything.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use proptest::prelude::*;

use super::links::Neighbours;
use super::*;
use crate::domain::Embedding;

/// A small generator of its own, so that figures do not move when a crate changes its.
struct Random(u64);

impl Random {
    /// Roughly normal, mean 0, deviation 1.
    fn normal(&mut self) -> f32 {
        let sum: f32 = (0..12).map(|_| self.uniform()).sum();
        sum - 6.0
    }

    /// `0..1`.
    fn uniform(&mut self) -> f32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }
}

fn embedding(values: Vec<f32>) -> Embedding {
    Embedding::new(values).expect("a direction")
}

/// Vectors around centres, as descriptors are.
fn clustered(n: usize, dim: usize, seed: u64) -> Vec<Embedding> {
    let mut random = Random(seed);
    let centres: Vec<Vec<f32>> = (0..n / 20 + 1)
        .map(|_| (0..dim).map(|_| random.normal()).collect())
        .collect();
    let mut around = |i: usize| {
        let centre = &centres[i % centres.len()];
        embedding(centre.iter().map(|c| c + 0.6 * random.normal()).collect())
    };
    (0..n).map(&mut around).collect()
}

fn exact(vectors: &[Embedding]) -> ExactIndex {
    let mut index = ExactIndex::new(vectors[0].dim());
    for (entry, vector) in (0..).zip(vectors) {
        index.insert(EntryId(entry), vector).unwrap();
    }
    index
}

type Truth = BTreeMap<u64, Embedding>;

/// The `k` nearest by the domain's own cosine.
fn nearest(truth: &Truth, query: &Embedding, k: usize) -> Vec<(f32, u64)> {
    let mut all: Vec<_> = truth
        .iter()
        .map(|(&entry, vector)| (query.similarity(vector).unwrap().0, entry))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.truncate(k);
    all
}

/// Every place holds as near a vector as the truth has there, correctly measured.
fn assert_nearest(answer: &[Neighbour], truth: &Truth, query: &Embedding, k: usize) {
    let expected = nearest(truth, query, k);
    assert_eq!(answer.len(), expected.len());
    for (neighbour, (cosine, _)) in answer.iter().zip(&expected) {
        let own = query.similarity(&truth[&neighbour.entry.0]).unwrap().0;
        assert!((neighbour.similarity.0 - own).abs() < 1e-5);
        assert!((own - cosine).abs() < 1e-5, "{own} where {cosine} is");
    }
    assert!(answer.is_sorted_by(|a, b| a.best_first(b).is_lt()));
}

fn recall(answers: &[Vec<Neighbour>], truth: &Truth, queries: &[Embedding], k: usize) -> f64 {
    let mut n_found = 0;
    for (answer, query) in answers.iter().zip(queries) {
        let found: HashSet<u64> = answer.iter().map(|n| n.entry.0).collect();
        let expected = nearest(truth, query, k);
        n_found += expected
            .iter()
            .filter(|(_, entry)| found.contains(entry))
            .count();
    }
    n_found as f64 / (queries.len() * k) as f64
}

fn truth_of(vectors: &[Embedding]) -> Truth {
    (0..).zip(vectors.iter().cloned()).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u64, u64),
    Remove(u64),
    Settle,
    Search(u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0u64..60, 0u64..40).prop_map(|(entry, seed)| Step::Insert(entry, seed)),
        4 => (0u64..60).prop_map(Step::Remove),
        1 => Just(Step::Settle),
        3 => (0u64..40, 0usize..8).prop_map(|(seed, k)| Step::Search(seed, k)),
    ];
    prop::collection::vec(step, 1..120)
}

/// Few seeds, so that equal vectors under several entries are common.
fn seeded(seed: u64, dim: usize) -> Embedding {
    let mut random = Random(seed + 1);
    embedding((0..dim).map(|_| random.normal()).collect())
}

proptest! {
    #[test]
    fn any_history_leaves_the_true_neighbours(
        steps in steps(),
        dim in prop::sample::select(vec![3usize, 64, 70]),
    ) {
        let mut truth = Truth::new();
        let mut exact = ExactIndex::new(dim);
        let live = LiveIndex::with_limit(dim, 20);
        for step in steps {
            match step {
                Step::Insert(entry, seed) => {
                    let vector = seeded(seed, dim);
                    exact.insert(EntryId(entry), &vector).unwrap();
                    live.insert(EntryId(entry), &vector).unwrap();
                    truth.insert(entry, vector);
                }
                Step::Remove(entry) => {
                    let was_there = truth.remove(&entry).is_some();
                    prop_assert_eq!(exact.remove(EntryId(entry)), was_there);
                    prop_assert_eq!(live.remove(EntryId(entry)), was_there);
                }
                Step::Settle => live.settle(),
                Step::Search(seed, k) => {
                    let query = seeded(seed, dim);
                    assert_nearest(&exact.search(&query, k).unwrap(), &truth, &query, k);
                    // So few vectors that every walk ends in a scan: nothing may be missed.
                    let found = live.search_many(std::slice::from_ref(&query), k, None).unwrap();
                    assert_nearest(&found[0], &truth, &query, k);
                }
            }
            prop_assert_eq!(exact.len(), truth.len());
            prop_assert_eq!(live.len(), truth.len());
        }
    }

    #[test]
    fn many_queries_are_answered_as_each_alone(n in 1usize..200, n_queries in 0usize..40) {
        let vectors = clustered(n, 32, 5);
        let index = exact(&vectors);
        let queries = clustered(n_queries + 1, 32, 6);
        let together = index.search_many(&queries, 5, None).unwrap();
        for (query, answer) in queries.iter().zip(together) {
            prop_assert_eq!(index.search(query, 5).unwrap(), answer);
        }
    }
}

#[test]
fn codes_and_reranking_find_what_f32_finds() {
    let mut vectors = clustered(3_200, 256, 1);
    let queries = vectors.split_off(3_000);
    let answers = exact(&vectors).search_many(&queries, 10, None).unwrap();
    let recall = recall(&answers, &truth_of(&vectors), &queries, 10);
    assert!(recall >= 0.999, "recall@10 {recall}");
}

#[test]
fn walks_find_nearly_all() {
    let mut vectors = clustered(1_600, 48, 2);
    let queries = vectors.split_off(1_500);
    let graph = GraphIndex::build(exact(&vectors));
    let mut truth = truth_of(&vectors);
    // No scan may come to the walks' aid.
    let walked = |graph: &GraphIndex, ef, allow| {
        graph
            .search_within(usize::MAX, &queries, 5, ef, allow)
            .unwrap()
    };
    let few = recall(&walked(&graph, 1, None), &truth, &queries, 5);
    let all = recall(&walked(&graph, 100, None), &truth, &queries, 5);
    assert!(
        few >= 0.9 && all >= 0.98 && few <= all,
        "recall@5 {few}, {all}"
    );

    for entry in (0..1_500).step_by(3) {
        assert!(graph.remove(EntryId(entry)));
        truth.remove(&entry);
    }
    assert_eq!((graph.len(), graph.n_dead()), (1_000, 500));
    let rest = recall(&walked(&graph, 100, None), &truth, &queries, 5);
    assert!(rest >= 0.98, "recall@5 after removals {rest}");

    // So few that a walk for them must go through all the others.
    let is_rare = |entry: EntryId| entry.0.is_multiple_of(250);
    truth.retain(|&entry, _| is_rare(EntryId(entry)));
    let allow = Some(Allow::Where(&is_rare));
    let scanned = graph.search_many(&queries, 5, 1, allow).unwrap();
    assert_eq!(walked(&graph, 1, allow), scanned);
    for (answer, query) in scanned.iter().zip(&queries) {
        assert_nearest(answer, &truth, query, 5);
    }
}

#[test]
fn filters_leave_the_nearest_that_pass() {
    const N: u64 = 6_000;
    let mut vectors = clustered(N as usize + 60, 40, 3);
    let queries = vectors.split_off(N as usize);
    let exact = exact(&vectors);
    let graph = GraphIndex::build(exact.clone());
    let live = LiveIndex::with_limit(40, 1_000);
    for (entry, vector) in (0..).zip(&vectors) {
        live.insert(EntryId(entry), vector).unwrap();
    }
    live.settle();
    let all = truth_of(&vectors);
    for share in [1, 2, 10, 100, 1_000] {
        let mut truth = all.clone();
        truth.retain(|entry, _| entry % share == 0);
        // Out of order, some of them twice, some that nobody has.
        let listed: Vec<EntryId> = (0..N + 500)
            .rev()
            .chain(0..200)
            .filter(|entry| entry % share == 0)
            .map(EntryId)
            .collect();
        let test = |entry: EntryId| entry.0.is_multiple_of(share);
        for allow in [Allow::Among(&listed), Allow::Where(&test)] {
            let answers = exact.search_many(&queries, 5, Some(allow)).unwrap();
            for (answer, query) in answers.iter().zip(&queries) {
                assert_nearest(answer, &truth, query, 5);
            }
            let walked = graph.search_many(&queries, 5, 64, Some(allow)).unwrap();
            let lived = live.search_many(&queries, 5, Some(allow)).unwrap();
            for answers in [walked, lived] {
                assert!(answers.iter().flatten().all(|n| test(n.entry)));
                let recall = recall(&answers, &truth, &queries, 5);
                assert!(recall >= 0.97, "recall@5 of one in {share}: {recall}");
            }
        }
    }
    // What was taken out passes no filter.
    let listed: Vec<EntryId> = (0..60).map(EntryId).collect();
    for &entry in &listed[..50] {
        graph.remove(entry);
    }
    let left = graph.search_many(&queries, 60, 64, Some(Allow::Among(&listed)));
    assert!(left.unwrap().iter().all(|answer| answer.len() == 10));
}

#[test]
fn every_vector_can_be_walked_to_even_among_copies() {
    let mut vectors = clustered(600, 16, 4);
    vectors.extend(vec![vectors[0].clone(); 400]);
    vectors.extend(vec![vectors[1].clone(); 400]);
    let graph = GraphIndex::build(exact(&vectors)).graph;
    for layer in &graph.layers {
        let mut is_reached = vec![false; layer.n_lists()];
        let mut waiting = vec![0];
        while let Some(slot) = waiting.pop() {
            if !std::mem::replace(&mut is_reached[slot as usize], true) {
                waiting.extend(layer.list(slot));
            }
        }
        assert!(is_reached.iter().all(|&is_reached| is_reached));
    }
}

#[test]
fn the_same_vectors_make_the_same_graph() {
    let vectors = clustered(1_500, 20, 11);
    let numbered: Vec<_> = (0..).map(EntryId).zip(&vectors).collect();
    let mut graphs = Vec::new();
    for (n_threads, is_backwards) in [(1, false), (2, true), (5, false), (5, true)] {
        let mut index = ExactIndex::new(20);
        let mut insert = |(entry, vector): &(EntryId, &Embedding)| {
            index.insert(*entry, vector).unwrap();
        };
        match is_backwards {
            true => numbered.iter().rev().for_each(&mut insert),
            false => numbered.iter().for_each(&mut insert),
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads);
        let built = pool.build().unwrap().install(|| GraphIndex::build(index));
        assert_eq!(built.graph.layers.len(), 3);
        graphs.push((built.graph, built.vectors.entries().to_vec()));
    }
    assert!(graphs.iter().all(|graph| *graph == graphs[0]));
}

#[test]
fn another_dimension_is_an_error_everywhere() {
    let vectors = clustered(10, 8, 1);
    let short = embedding(vec![1.0; 7]);
    let is_refused = |error: IndexError| {
        matches!(
            error,
            IndexError::Dimension {
                expected: 8,
                actual: 7
            }
        )
    };
    let mut index = exact(&vectors);
    assert!(is_refused(index.insert(EntryId(1), &short).unwrap_err()));
    assert_eq!(index.len(), 10, "the old vector stays");
    assert!(is_refused(index.search(&short, 1).unwrap_err()));
    let live = LiveIndex::new(8);
    assert!(is_refused(live.insert(EntryId(1), &short).unwrap_err()));
    let queries = [vectors[0].clone(), short.clone()];
    assert!(is_refused(live.search_many(&queries, 1, None).unwrap_err()));
    let graph = GraphIndex::build(index);
    assert!(is_refused(
        graph.search_many(&[short], 1, 1, None).unwrap_err()
    ));
}

#[test]
fn empty_indexes_answer_with_nothing() {
    let query = embedding(vec![1.0, 2.0]);
    let queries = std::slice::from_ref(&query);
    assert_eq!(ExactIndex::new(2).search(&query, 3).unwrap(), []);
    let graph = GraphIndex::build(ExactIndex::new(2));
    assert_eq!(graph.search_many(queries, 3, 9, None).unwrap(), [vec![]]);
    let live = LiveIndex::new(2);
    assert_eq!(live.search_many(queries, 3, None).unwrap(), [vec![]]);
    live.insert(EntryId(1), &query).unwrap();
    assert_eq!(live.search_many(queries, 0, None).unwrap(), [vec![]]);
    assert!(live.remove(EntryId(1)) && live.is_empty());
}

#[test]
fn searches_and_changes_go_side_by_side() {
    let mut vectors = clustered(1_250, 24, 7);
    let queries = vectors.split_off(1_200);
    let live = LiveIndex::with_limit(24, 200);
    thread::scope(|scope| {
        for part in 0..2 {
            let (live, vectors) = (&live, &vectors);
            scope.spawn(move || {
                for at in (part..vectors.len()).step_by(2) {
                    let entry = EntryId(at as u64);
                    live.insert(entry, &vectors[at]).unwrap();
                    let found = live.search_many(&vectors[at..=at], 1, None).unwrap();
                    assert_eq!(found[0][0].entry, entry, "inserted is found at once");
                    if at % 3 == 0 {
                        assert!(live.remove(entry));
                        let found = live.search_many(&vectors[at..=at], 1, None).unwrap();
                        assert!(found[0].first().is_none_or(|n| n.entry != entry));
                    }
                }
            });
        }
    });
    live.settle();
    assert!(live.has_graph());
    let mut truth = truth_of(&vectors);
    truth.retain(|entry, _| entry % 3 != 0);
    assert_eq!(live.len(), truth.len());
    let answers = live.search_many(&queries, 5, None).unwrap();
    assert!(recall(&answers, &truth, &queries, 5) > 0.98);
}

/// A saved graph of 300 vectors with every fifth removed, and where its file is.
fn saved_graph(folder: &Path) -> (LiveIndex, PathBuf) {
    let live = LiveIndex::with_limit(12, 200);
    for (entry, vector) in (0..).zip(clustered(300, 12, 9)) {
        live.insert(EntryId(entry), &vector).unwrap();
    }
    live.settle();
    // More could still be among the recent ones, which are not saved.
    live.retain(|entry| entry.0 % 5 != 0);
    assert!(live.save(folder, "a registry").unwrap());
    let file = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("graph.bin"))
        .find(|path| path.exists());
    (live, file.expect("the graph's file"))
}

fn open(folder: &Path) -> Result<LiveIndex, IndexError> {
    LiveIndex::open(12, folder, "a registry")
}

#[test]
fn a_saved_graph_and_the_registry_make_the_same_index() {
    let folder = tempfile::tempdir().unwrap();
    let (live, _) = saved_graph(folder.path());
    let opened = open(folder.path()).unwrap();
    assert!(opened.has_graph());
    let vectors = clustered(300, 12, 9);
    for (entry, vector) in (0..).zip(&vectors).filter(|(entry, _)| entry % 5 != 0) {
        opened.insert(EntryId(entry), vector).unwrap();
    }
    assert_eq!(opened.len(), live.len());
    opened.retain(|entry| entry.0 != 1);
    live.remove(EntryId(1));
    assert_eq!(
        opened.search_many(&vectors, 4, None).unwrap(),
        live.search_many(&vectors, 4, None).unwrap()
    );
    assert!(!LiveIndex::new(12).save(folder.path(), "nothing").unwrap());
}

#[test]
fn saving_again_replaces_even_after_a_cut_off_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let (live, first) = saved_graph(folder.path());
    fs::create_dir(folder.path().join("generation-7")).unwrap();
    fs::write(folder.path().join("generation-7/graph.bin"), "half").unwrap();
    assert!(open(folder.path()).is_ok(), "the attempt does not count");
    live.save(folder.path(), "a registry").unwrap();
    assert!(!first.exists());
    assert!(folder.path().join("generation-8/graph.bin").exists());
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_graph_with_a_home_is_saved_as_soon_as_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let live = LiveIndex::with_limit(12, 200).saved_in(folder.path(), "a registry");
    let vectors = clustered(300, 12, 9);
    for (entry, vector) in (0..).zip(&vectors) {
        live.insert(EntryId(entry), vector).unwrap();
    }
    live.settle();
    let graph = live.state().graph.expect("a graph");
    assert!(graph.saved_in.is_some());
    let opened = open(folder.path()).unwrap();
    assert_eq!(
        opened.state().graph.map(|g| g.n_vectors),
        Some(graph.n_vectors)
    );
    // Nothing new, nothing to write.
    live.settle();
    assert_eq!(live.state().graph, Some(graph));
}

/// The generations that a folder holds.
fn n_generations(folder: &Path) -> usize {
    let names = fs::read_dir(folder).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("generation-")).count()
}

#[test]
fn several_that_save_in_one_folder_leave_one_whole_index() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (live, _) = saved_graph(tempfile::tempdir().unwrap().path());
                for _ in 0..5 {
                    assert!(live.save(folder.path(), "a registry").unwrap());
                }
            });
        }
    });
    assert_eq!(n_generations(folder.path()), 1);
    assert!(open(folder.path()).is_ok());
}

#[test]
fn a_save_that_fails_leaves_what_was_saved_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (live, _) = saved_graph(folder.path());
    // Where the new manifest is to be written.
    let in_the_way = folder.path().join("manifest.json.new");
    fs::create_dir(&in_the_way).unwrap();
    for _ in 0..2 {
        let saved = live.save(folder.path(), "a registry");
        assert!(matches!(saved, Err(IndexError::Io { .. })));
        assert_eq!(n_generations(folder.path()), 1);
        assert!(open(folder.path()).is_ok());
    }
    fs::remove_dir(&in_the_way).unwrap();
    assert!(live.save(folder.path(), "a registry").unwrap());
    assert!(open(folder.path()).is_ok());
}

#[test]
fn what_is_not_the_index_asked_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(IndexError::NotSaved { .. })
    ));
    saved_graph(folder.path());
    assert!(matches!(
        LiveIndex::open(12, folder.path(), "another registry"),
        Err(IndexError::Stale { .. })
    ));
    assert!(matches!(
        LiveIndex::open(13, folder.path(), "a registry"),
        Err(IndexError::Dimension {
            expected: 13,
            actual: 12
        })
    ));
    fs::write(folder.path().join("manifest.json"), "{").unwrap();
    assert!(matches!(
        open(folder.path()),
        Err(IndexError::Damaged { .. })
    ));
}

/// How many vectors of [`saved_graph`] are in its file: the last ones may have been recent still.
fn n_saved(file: &[u8]) -> usize {
    u64::from_ne_bytes(file[16..24].try_into().unwrap()) as usize
}

/// Where their numbers begin, at the end of the file.
fn start_of_values(file: &[u8]) -> usize {
    file.len() - n_saved(file) * 12 * size_of::<f32>()
}

#[test]
fn damage_is_seen_before_anything_is_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, file) = saved_graph(folder.path());
    let good = fs::read(&file).unwrap();
    let check = |bytes: Option<&[u8]>| {
        match bytes {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let opened = open(folder.path());
        assert!(matches!(opened, Err(IndexError::Damaged { .. })));
    };
    for length in [0, 1, 7, good.len() / 2, good.len() - 1] {
        check(Some(&good[..length]));
    }
    check(Some(&[&good[..], &[0]].concat()));
    let n_head = start_of_values(&good);
    for at in (0..n_head).step_by(n_head / 50) {
        let mut flipped = good.clone();
        flipped[at] ^= 1 << (at % 8);
        check(Some(&flipped));
    }
    let other_folder = tempfile::tempdir().unwrap();
    let (live, _) = saved_graph(other_folder.path());
    live.remove(EntryId(2));
    live.save(other_folder.path(), "a registry").unwrap();
    let other = fs::read(other_folder.path().join("generation-2/graph.bin")).unwrap();
    assert_ne!(other, good);
    check(Some(&other));
    check(None);
    fs::write(&file, &good).unwrap();
    assert!(open(folder.path()).is_ok());
}

#[test]
fn vectors_damaged_in_the_file_come_from_the_registry_again() {
    let folder = tempfile::tempdir().unwrap();
    let (live, file) = saved_graph(folder.path());
    let good = fs::read(&file).unwrap();
    let vectors = clustered(300, 12, 9);
    let truth = live.search_many(&vectors, 4, None).unwrap();
    let n = n_saved(&good);
    for n_damaged in [1, 7, n] {
        let mut bytes = good.clone();
        for vector in (0..n).step_by(n / n_damaged) {
            bytes[start_of_values(&good) + vector * 48 + vector % 48] ^= 64;
        }
        // Not in place: another index may be reading the old file.
        fs::remove_file(&file).unwrap();
        fs::write(&file, &bytes).unwrap();
        let opened = open(folder.path()).unwrap();
        for (entry, vector) in (0..).zip(&vectors).filter(|(entry, _)| entry % 5 != 0) {
            opened.insert(EntryId(entry), vector).unwrap();
        }
        assert_eq!(opened.search_many(&vectors, 4, None).unwrap(), truth);
    }
}

#[test]
fn a_file_cut_short_under_an_open_index_costs_precision_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (live, file) = saved_graph(folder.path());
    let vectors = clustered(300, 12, 9);
    let before = live.search_many(&vectors, 4, None).unwrap();
    let head = start_of_values(&fs::read(&file).unwrap()) as u64;
    let file = fs::File::options().write(true).open(&file).unwrap();
    file.set_len(head + 100).unwrap();
    let after = live.search_many(&vectors, 4, None).unwrap();
    for (before, after) in before.iter().flatten().zip(after.iter().flatten()) {
        let difference = (before.similarity.0 - after.similarity.0).abs();
        assert!(difference < 0.02, "off by {difference}");
    }
    for (entry, vector) in (0..).zip(&vectors).filter(|(entry, _)| entry % 5 != 0) {
        live.insert(EntryId(entry), vector).unwrap();
    }
    assert_eq!(live.search_many(&vectors, 4, None).unwrap(), before);
}
