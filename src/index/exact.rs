//! The index that looks at everything.

use std::borrow::Cow;
use std::collections::HashMap;

use super::vectors::{Query, Shortlist, Vectors, n_candidates};
use super::{Allow, EntryId, IndexError, Neighbour};
use crate::domain::Embedding;

/// Compares a query with every vector: by 8-bit codes first, the best of those by `f32`.
///
/// The quickest way up to some ten thousand vectors, and what other indexes are measured against.
#[derive(Debug, Clone)]
pub struct ExactIndex {
    vectors: Vectors,
    slots: HashMap<EntryId, u32>,
}

impl ExactIndex {
    /// An empty index for vectors of `dim` numbers.
    pub fn new(dim: usize) -> Self {
        Self {
            vectors: Vectors::new(dim),
            slots: HashMap::new(),
        }
    }

    /// Numbers in a vector.
    pub fn dim(&self) -> usize {
        self.vectors.dim()
    }

    /// Vectors held.
    pub fn len(&self) -> usize {
        self.vectors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is a vector under `entry`.
    pub fn contains(&self, entry: EntryId) -> bool {
        self.slots.contains_key(&entry)
    }

    /// Adds a vector, in place of the one that `entry` had.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn insert(&mut self, entry: EntryId, embedding: &Embedding) -> Result<(), IndexError> {
        self.vectors.require_dim(embedding.dim())?;
        self.remove(entry);
        self.push(entry, embedding.as_slice());
        Ok(())
    }

    /// Takes a vector out; `false` if there was none.
    pub fn remove(&mut self, entry: EntryId) -> bool {
        let Some(slot) = self.slots.remove(&entry) else {
            return false;
        };
        self.vectors.swap_remove(slot as usize);
        if let Some(&moved) = self.vectors.entries().get(slot as usize) {
            self.slots.insert(moved, slot);
        }
        true
    }

    /// The `k` nearest, best first, the smaller entry first among equals.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search(&self, query: &Embedding, k: usize) -> Result<Vec<Neighbour>, IndexError> {
        let mut answers = self.search_many(std::slice::from_ref(query), k, None)?;
        Ok(answers.pop().unwrap_or_default())
    }

    /// [`search`](Self::search) for many queries in one pass over the vectors, among the entries that
    /// `allow` lets through; shape of the answer `[n_queries, ≤ k]`.
    ///
    /// # Errors
    /// [`IndexError::Dimension`].
    pub fn search_many(
        &self,
        queries: &[Embedding],
        k: usize,
        allow: Option<Allow<'_>>,
    ) -> Result<Vec<Vec<Neighbour>>, IndexError> {
        let queries = queries.iter().map(|query| self.vectors.query(query));
        let queries = queries.collect::<Result<Vec<Query<'_>>, _>>()?;
        let entries = self.vectors.entries();
        let limit = n_candidates(k);
        let lists = match allow {
            None => self.vectors.scan(&queries, limit, |_| true),
            Some(Allow::Where(test)) => {
                let may = |slot: u32| test(entries[slot as usize]);
                self.vectors.scan(&queries, limit, may)
            }
            Some(Allow::Among(listed)) => {
                let found = listed.iter().filter_map(|entry| self.slots.get(entry));
                let slots = ascending(found.copied().collect());
                self.vectors.scan_slots(&queries, &slots, limit)
            }
        };
        let lists = lists.into_iter().map(Shortlist::best_first);
        Ok(self.vectors.rerank(&queries, lists, k))
    }

    pub(super) fn into_vectors(self) -> Vectors {
        self.vectors
    }

    /// The numbers kept under `entry`.
    pub(super) fn values(&self, entry: EntryId) -> Option<Cow<'_, [f32]>> {
        let slot = self.slots.get(&entry)?;
        Some(self.vectors.values(*slot as usize))
    }

    /// Every entry.
    pub(super) fn entries(&self) -> impl Iterator<Item = EntryId> {
        self.vectors.entries().iter().copied()
    }

    /// Every entry with its numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryId, Cow<'_, [f32]>)> {
        let entries = self.vectors.entries().iter().enumerate();
        entries.map(|(slot, &entry)| (entry, self.vectors.values(slot)))
    }

    /// Adds a vector of the right length under an entry that has none.
    pub(super) fn push(&mut self, entry: EntryId, values: &[f32]) {
        self.slots.insert(entry, self.vectors.len() as u32);
        self.vectors.push(entry, values);
    }
}

/// The same slots in ascending order, each once.
pub(super) fn ascending(mut slots: Vec<u32>) -> Vec<u32> {
    slots.sort_unstable();
    slots.dedup();
    slots
}
