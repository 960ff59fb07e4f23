//! The index that walks a graph.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::links::Graph;
use super::values::{RowFile, Values};
use super::vectors::{Near, Query, Shortlist, Vectors, n_candidates};
use super::walk::{MAX_SLOTS, Target, Walker};
use super::{Allow, EntryId, ExactIndex, IndexError, Neighbour, builder, order, saved};
use crate::domain::Embedding;

/// Candidates that a walk keeps, at least.
///
/// Of 100,000 vectors of 256 numbers in clusters of 20, walks of 48, 128 and 256 found 0.9996, 1.0000
/// and 1.0000 of the ten nearest in 0.12, 0.30 and 0.61 ms; a scan took 1.76 ms
/// (`benches/search.rs`, November 2026). Real descriptors are less tidy, hence not 48.
pub const DEFAULT_EF: usize = 128;

/// A walk that has seen this share of the vectors, one in so many, is given up for a scan: a vector
/// met on the way costs about eight times what it costs in passing.
const SCAN_SHARE: usize = 8;

/// Vectors that a walk sees for each whose links it follows, about: 1,107 with 48 to follow among the
/// 100,000 of [`DEFAULT_EF`].
const SEEN_PER_STEP: u64 = 20;

/// Compares a query with the vectors along a walk through a graph of near ones (HNSW: Malkov and
/// Yashunin 2016), by 8-bit codes first, the best of those by `f32`.
///
/// Built once from many vectors; vectors can be taken out, not added.
#[derive(Debug)]
pub struct GraphIndex {
    /// In the order of [`order::shuffled`].
    pub(super) vectors: Vectors,
    pub(super) graph: Graph,
    /// Taken out, but still walked through, shape `[n]`. (Set while others read the rest: whoever takes vectors
    /// out keeps them from being searched meanwhile.)
    is_dead: Vec<AtomicBool>,
    n_dead: AtomicUsize,
}

impl GraphIndex {
    /// Links all vectors of `index`, on all cores; which links come out depends on entries and vectors
    /// alone.
    ///
    /// # Panics
    /// Where there are more than 2³⁰ vectors.
    pub fn build(index: ExactIndex) -> Self {
        let mut vectors = index.into_vectors();
        assert!(vectors.len() <= MAX_SLOTS, "slots have 30 bits");
        vectors.reorder(&order::shuffled(vectors.entries()));
        let graph = builder::build(&vectors);
        let is_dead = vec![false; vectors.len()];
        Self::from_parts(vectors, graph, is_dead)
    }

    /// Saves the graph in `folder`, in place of the one saved there before, under a `stamp` that says what
    /// it is of; from then on its `f32` numbers are read from there.
    ///
    /// # Errors
    /// [`IndexError::Io`]; what was saved before then still stands.
    pub fn save(&mut self, folder: &Path, stamp: &str) -> Result<(), IndexError> {
        let rows = saved::save(self, folder, stamp)?;
        self.keep_values_in(rows);
        Ok(())
    }

    /// The graph that was saved in `folder` under `stamp`, with its `f32` numbers left in the file.
    ///
    /// # Errors
    /// [`IndexError::NotSaved`], [`IndexError::Stale`], [`IndexError::Damaged`], [`IndexError::Io`].
    pub fn open(folder: &Path, stamp: &str) -> Result<Self, IndexError> {
        saved::load(folder, stamp)
    }

    /// A graph of `vectors` in their order, of which some were taken out, `is_dead` of shape `[n]`.
    pub(super) fn from_parts(vectors: Vectors, graph: Graph, is_dead: Vec<bool>) -> Self {
        let n_dead = is_dead.iter().filter(|dead| **dead).count();
        Self {
            vectors,
            graph,
            is_dead: is_dead.into_iter().map(AtomicBool::new).collect(),
            n_dead: AtomicUsize::new(n_dead),
        }
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.vectors.dim()
    }

    /// Whether the vector at `slot` was taken out.
    #[inline]
    pub(super) fn is_dead(&self, slot: usize) -> bool {
        self.is_dead[slot].load(Ordering::Relaxed)
    }

    /// Vectors held, without those taken out.
    pub fn len(&self) -> usize {
        self.vectors.len() - self.n_dead()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Vectors taken out that searches still walk through.
    pub fn n_dead(&self) -> usize {
        self.n_dead.load(Ordering::Relaxed)
    }

    /// Bytes that vectors and links take up in memory, about: the `f32` numbers only until the graph is saved.
    pub fn size_bytes(&self) -> usize {
        self.vectors.size_bytes() + self.graph.size_bytes() + self.is_dead.len()
    }

    /// Links between vectors.
    pub fn n_links(&self) -> usize {
        self.graph.n_links()
    }

    /// The file that `f32` numbers are read from, once the graph is saved.
    pub(super) fn rows(&self) -> Option<&RowFile> {
        match &self.vectors.values {
            Values::Memory(_) => None,
            Values::File(rows) => Some(rows),
        }
    }

    /// Takes a vector out; `false` if there was none.
    pub fn remove(&self, entry: EntryId) -> bool {
        let Some(slot) = order::slot_of(self.vectors.entries(), entry) else {
            return false;
        };
        let was_dead = self.is_dead[slot as usize].swap(true, Ordering::Relaxed);
        self.n_dead
            .fetch_add(usize::from(!was_dead), Ordering::Relaxed);
        !was_dead
    }

    /// Where the vector of `entry` stands, unless it was taken out.
    fn slot_of(&self, entry: EntryId) -> Option<u32> {
        let slot = order::slot_of(self.vectors.entries(), entry)?;
        (!self.is_dead(slot as usize)).then_some(slot)
    }

    /// Reads numbers from a file from now on; answers with those that were in memory.
    pub(super) fn keep_values_in(&mut self, rows: RowFile) -> Values {
        std::mem::replace(&mut self.vectors.values, Values::File(Arc::new(rows)))
    }

    /// The numbers kept under `entry`.
    pub(super) fn values(&self, entry: EntryId) -> Option<Cow<'_, [f32]>> {
        let slot = self.slot_of(entry)?;
        Some(self.vectors.values(slot as usize))
    }

    /// Every entry with its slot.
    fn alive(&self) -> impl Iterator<Item = (usize, EntryId)> {
        let all = self.vectors.entries().iter().copied().enumerate();
        all.filter(|&(slot, _)| !self.is_dead(slot))
    }

    /// Every entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = EntryId> {
        self.alive().map(|(_, entry)| entry)
    }

    /// Every entry with its numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryId, Cow<'_, [f32]>)> {
        self.alive()
            .map(|(slot, entry)| (entry, self.vectors.values(slot)))
    }

    /// About the `k` nearest of each query, best first, the smaller entry first among equals, among
    /// the entries that `allow` lets through; shape of the answer `[n_queries, ≤ k]`.
    ///
    /// `ef` is how many candidates a walk keeps: more of them find more and take longer
    /// ([`DEFAULT_EF`]).
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search_many(
        &self,
        queries: &[Embedding],
        k: usize,
        ef: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let n_visits = self.vectors.len() / SCAN_SHARE;
        self.search_within(n_visits, queries, k, ef, allow)
    }

    /// [`search_many`](Self::search_many) where a walk may see only `n_visits` vectors before a scan
    /// takes its place.
    pub(super) fn search_within(
        &self,
        n_visits: usize,
        queries: &[Embedding],
        k: usize,
        ef: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let queries = queries.iter().map(|query| self.vectors.query(query));
        let queries = queries.collect::<Result<Vec<Query<'_>>, _>>()?;
        let limit = n_candidates(k);
        let bounds = Bounds {
            ef: ef.max(k),
            limit,
            n_visits,
        };
        let entries = self.vectors.entries();
        let is_alive = |slot: u32| !self.is_dead(slot as usize);
        let lists = match self.passing(bounds.ef, allow) {
            Passing::All => self.walk_all(&queries, &bounds, |_| true),
            Passing::Alive => self.walk_all(&queries, &bounds, is_alive),
            Passing::Where(test) => self.walk_all(&queries, &bounds, |slot| {
                is_alive(slot) && test(entries[slot as usize])
            }),
            Passing::Marked(marks) => self.walk_all(&queries, &bounds, |slot| marks[slot as usize]),
            Passing::Few(slots) => {
                let lists = self.vectors.scan_slots(&queries, &slots, limit);
                lists.into_iter().map(Shortlist::best_first).collect()
            }
        };
        Ok(self.vectors.rerank(&queries, lists, k))
    }

    /// How to find those that may be answered.
    fn passing<'a>(&self, ef: usize, allow: Option<Allow<'a>>) -> Passing<'a> {
        match allow {
            None if self.n_dead() == 0 => Passing::All,
            None => Passing::Alive,
            Some(Allow::Where(test)) => Passing::Where(test),
            Some(Allow::Among(entries)) => {
                let mut slots = order::slots_of(self.vectors.entries(), entries);
                slots.retain(|&slot| !self.is_dead(slot as usize));
                if is_scan_cheaper(self.vectors.len(), slots.len(), ef) {
                    return Passing::Few(slots);
                }
                let mut marks = vec![false; self.vectors.len()];
                for slot in slots {
                    marks[slot as usize] = true;
                }
                Passing::Marked(marks)
            }
        }
    }

    /// For each query what to compare by `f32`: from a walk, or a scan where the walk would have
    /// seen too many vectors.
    fn walk_all(
        &self,
        queries: &[Query<'_>],
        bounds: &Bounds,
        may: impl Fn(u32) -> bool,
    ) -> Vec<Vec<Near>> {
        let search = |query| {
            let walked = self.walk(query, bounds, &may);
            walked.unwrap_or_else(|| self.scan(query, bounds.limit, &may))
        };
        queries.iter().map(search).collect()
    }

    fn scan(&self, query: &Query<'_>, limit: usize, may: &impl Fn(u32) -> bool) -> Vec<Near> {
        let mut lists = self.vectors.scan(std::slice::from_ref(query), limit, may);
        lists.pop().map_or_else(Vec::new, Shortlist::best_first)
    }

    fn walk(
        &self,
        query: &Query<'_>,
        bounds: &Bounds,
        may: impl Fn(u32) -> bool,
    ) -> Option<Vec<Near>> {
        let Some((base, upper)) = self.graph.layers.split_first() else {
            return Some(Vec::new());
        };
        let target = Target {
            vectors: &self.vectors,
            codes: &query.codes,
        };
        Walker::lend(|walker| {
            let start = upper.iter().rev();
            let start = start.fold(0, |start, layer| walker.descend(target, layer, start));
            let near = walker.walk(target, base, start, bounds.ef, bounds.n_visits, may)?;
            let answers = near.iter().filter(|key| key.counts()).take(bounds.limit);
            let answers = answers.map(|key| Near {
                slot: key.slot(),
                score: key.score() * query.scale,
            });
            Some(answers.collect())
        })
    }
}

/// How far a search goes.
struct Bounds {
    /// Candidates that a walk keeps.
    ef: usize,
    /// Candidates compared by `f32`.
    limit: usize,
    /// Vectors that a walk may see.
    n_visits: usize,
}

/// Which slots may be answered, in the form that finds them soonest.
enum Passing<'a> {
    All,
    /// Those not taken out.
    Alive,
    Where(&'a (dyn Fn(EntryId) -> bool + Sync)),
    /// Of each slot, whether it may.
    Marked(Vec<bool>),
    /// Those listed, in ascending order.
    Few(Vec<u32>),
}

/// Whether it is quicker to look at all of `n_passing` out of `n` vectors than to walk until `ef` of
/// them are found: the walk has to follow the links of `ef * n / n_passing` vectors, and sees about
/// [`SEEN_PER_STEP`] at each.
fn is_scan_cheaper(n: usize, n_passing: usize, ef: usize) -> bool {
    let (n, n_passing) = (n as u64, n_passing as u64);
    n_passing * n_passing <= n * ef as u64 * SEEN_PER_STEP
}
