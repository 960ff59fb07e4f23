//! The index that walks a graph.

use std::collections::HashMap;

use super::builder;
use super::links::Graph;
use super::vectors::{Query, Vectors, n_candidates};
use super::walk::{MAX_SLOTS, Target, Walker};
use super::{Allow, EntryId, ExactIndex, IndexError, Neighbour};
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

/// Compares a query with the vectors along a walk through a graph of near ones (HNSW: Malkov and
/// Yashunin 2016), by 8-bit codes first, the best of those by `f32`.
///
/// Built once from many vectors; vectors can be taken out, not added.
#[derive(Debug, Clone)]
pub struct GraphIndex {
    pub(super) vectors: Vectors,
    pub(super) graph: Graph,
    slots: HashMap<EntryId, u32>,
    /// Taken out, but still walked through, shape `[n]`.
    is_dead: Vec<bool>,
    n_dead: usize,
}

impl GraphIndex {
    /// Links all vectors of `index`, on all cores; which links come out depends on entries and vectors
    /// alone.
    ///
    /// # Panics
    /// Where there are more than [`MAX_SLOTS`] vectors.
    pub fn build(index: ExactIndex) -> Self {
        let mut vectors = index.into_vectors();
        assert!(vectors.len() <= MAX_SLOTS, "slots have 30 bits");
        vectors.reorder(&builder::shuffled(vectors.entries()));
        let graph = builder::build(&vectors);
        Self::from_parts(vectors, graph)
    }

    pub(super) fn from_parts(vectors: Vectors, graph: Graph) -> Self {
        let slots = vectors.entries().iter().copied().zip(0..).collect();
        let is_dead = vec![false; vectors.len()];
        Self {
            vectors,
            graph,
            slots,
            is_dead,
            n_dead: 0,
        }
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.vectors.dim()
    }

    pub(super) fn is_dead(&self) -> &[bool] {
        &self.is_dead
    }

    /// Vectors held, without those taken out.
    pub fn len(&self) -> usize {
        self.vectors.len() - self.n_dead
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Vectors taken out that searches still walk through.
    pub fn n_dead(&self) -> usize {
        self.n_dead
    }

    /// Bytes of memory that vectors and links take up, about.
    pub fn size_bytes(&self) -> usize {
        let per_slot = size_of::<(EntryId, u32)>() + size_of::<bool>();
        self.vectors.size_bytes() + self.graph.size_bytes() + per_slot * self.vectors.len()
    }

    /// Takes a vector out; `false` if there was none.
    pub fn remove(&mut self, entry: EntryId) -> bool {
        let Some(slot) = self.slots.remove(&entry) else {
            return false;
        };
        self.is_dead[slot as usize] = true;
        self.n_dead += 1;
        true
    }

    /// The numbers kept under `entry`.
    pub(super) fn values(&self, entry: EntryId) -> Option<&[f32]> {
        let slot = self.slots.get(&entry)?;
        Some(self.vectors.values(*slot as usize))
    }

    /// Every entry with its numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryId, &[f32])> {
        let all = self.vectors.entries().iter().zip(&self.is_dead).enumerate();
        let alive = all.filter(|(_, (_, is_dead))| !**is_dead);
        alive.map(|(slot, (&entry, _))| (entry, self.vectors.values(slot)))
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
        let entries = self.vectors.entries();
        let may = |slot: u32| {
            let slot = slot as usize;
            !self.is_dead[slot] && allow.is_none_or(|allow| allow(entries[slot]))
        };
        let limit = n_candidates(k);
        let is_all = self.n_dead == 0 && allow.is_none();
        let search = |query: &Embedding| {
            let query = self.vectors.query(query)?;
            let ef = ef.max(k);
            let walked = match is_all {
                true => self.walk(&query, ef, limit, usize::MAX, |_| true),
                false => self.walk(&query, ef, limit, n_visits, &may),
            };
            let slots = walked.unwrap_or_else(|| self.scan(&query, limit, &may));
            Ok(self.vectors.rerank(&query, slots, k))
        };
        queries.iter().map(search).collect()
    }

    fn scan(&self, query: &Query<'_>, limit: usize, may: &impl Fn(u32) -> bool) -> Vec<u32> {
        let mut lists = self.vectors.scan(std::slice::from_ref(query), limit, may);
        lists
            .pop()
            .map_or_else(Vec::new, |list| list.slots().collect())
    }

    /// At most `limit` slots to compare by `f32`; `None` when the walk would have seen more than
    /// `n_visits` vectors.
    fn walk(
        &self,
        query: &Query<'_>,
        ef: usize,
        limit: usize,
        n_visits: usize,
        may: impl Fn(u32) -> bool,
    ) -> Option<Vec<u32>> {
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
            let near = walker.walk(target, base, start, ef, n_visits, may)?;
            let answers = near.iter().filter(|key| key.counts());
            Some(answers.take(limit).map(|key| key.slot()).collect())
        })
    }
}
