//! The index that walks a graph.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::builder::{self, Graph};
use super::kernel;
use super::vectors::{Candidate, Query, Shortlist, Vectors, n_candidates};
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
    /// Links all vectors of `index`, on all cores; 2.3 ms of one core for each of 100,000.
    pub fn build(index: ExactIndex) -> Self {
        let vectors = index.into_vectors();
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
        let search = |query: &Embedding| {
            let query = self.vectors.query(query)?;
            let list = match self.walk(&query, limit.max(ef), n_visits, &may) {
                Some(list) => list,
                None => self.scan(&query, limit, &may),
            };
            Ok(self.vectors.rerank(&query, list, k))
        };
        queries.iter().map(search).collect()
    }

    fn scan(&self, query: &Query<'_>, limit: usize, may: &impl Fn(u32) -> bool) -> Shortlist {
        let mut lists = self.vectors.scan(std::slice::from_ref(query), limit, may);
        lists.pop().unwrap_or_else(|| Shortlist::new(limit))
    }

    /// `None` when the walk would have seen more than `n_visits` vectors.
    fn walk(
        &self,
        query: &Query<'_>,
        ef: usize,
        n_visits: usize,
        may: &impl Fn(u32) -> bool,
    ) -> Option<Shortlist> {
        let mut list = Shortlist::new(ef);
        if self.vectors.len() == 0 {
            return Some(list);
        }
        // Taken, not borrowed: `may` runs the caller's code, which may search on its own.
        let mut visits = VISITS.take();
        visits.begin(self.vectors.len());
        let start = self.descend(query);
        visits.is_first(start.slot);
        let mut waiting = BinaryHeap::from([Reverse(start)]);
        if may(start.slot) {
            list.push(start);
        }
        let mut n_visited = 1;
        while let Some(Reverse(nearest)) = waiting.pop() {
            if !list.would_take(&nearest) || n_visited > n_visits {
                break;
            }
            self.look_around(query, nearest.slot, &mut visits);
            n_visited += visits.near.len();
            for (&slot, &product) in visits.near.iter().zip(&visits.products) {
                let candidate = self.vectors.candidate(query, slot, product);
                if list.would_take(&candidate) {
                    waiting.push(Reverse(candidate));
                    if may(slot) {
                        list.push(candidate);
                    }
                }
            }
        }
        VISITS.set(visits);
        (n_visited <= n_visits).then_some(list)
    }

    /// The nearest slot that steps through the upper layers lead to.
    fn descend(&self, query: &Query<'_>) -> Candidate {
        let mut products = Vec::new();
        self.products(query, &[self.graph.entry_slot], &mut products);
        let mut best = self
            .vectors
            .candidate(query, self.graph.entry_slot, products[0]);
        for layer in self.graph.upper.iter().rev() {
            loop {
                let near = layer.list(best.slot);
                self.products(query, near, &mut products);
                let nearest = near
                    .iter()
                    .zip(&products)
                    .map(|(&slot, &product)| self.vectors.candidate(query, slot, product))
                    .min();
                match nearest {
                    Some(nearest) if nearest < best => best = nearest,
                    _ => break,
                }
            }
        }
        best
    }

    /// Compares the query with the slots linked from `slot` that the walk has not seen.
    fn look_around(&self, query: &Query<'_>, slot: u32, visits: &mut Visits) {
        visits.near.clear();
        for &next in self.graph.base.list(slot as usize) {
            if visits.is_first(next) {
                kernel::prefetch(self.vectors.rows(), next);
                visits.near.push(next);
            }
        }
        self.products(query, &visits.near, &mut visits.products);
    }

    fn products(&self, query: &Query<'_>, slots: &[u32], products: &mut Vec<i32>) {
        let rows = self.vectors.rows();
        self.vectors
            .kernel()
            .gather(&query.codes, rows, slots, products);
    }
}

thread_local! {
    static VISITS: RefCell<Visits> = RefCell::default();
}

/// What a walk has seen; kept from walk to walk, so that none has to clear it.
#[derive(Default)]
struct Visits {
    /// In which walk a slot was last seen.
    last_seen: Vec<u32>,
    walk: u32,
    near: Vec<u32>,
    products: Vec<i32>,
}

impl Visits {
    fn begin(&mut self, n_slots: usize) {
        if self.last_seen.len() < n_slots {
            self.last_seen.resize(n_slots, 0);
        }
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.last_seen.fill(0);
            self.walk = 1;
        }
    }

    #[inline]
    fn is_first(&mut self, slot: u32) -> bool {
        let last_seen = &mut self.last_seen[slot as usize];
        std::mem::replace(last_seen, self.walk) != self.walk
    }
}
