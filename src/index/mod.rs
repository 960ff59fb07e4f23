//! Nearest neighbours among embeddings.
//!
//! [`LiveIndex`] is what to use: exact while that is quicker, a graph beyond. It knows vectors under
//! entry numbers and nothing of what they describe. Nothing here is the truth: any index can be made
//! anew from the registry. Distances stay in this folder; similarities come out of it.

mod builder;
mod error;
mod exact;
mod graph;
mod huge_pages;
mod kernel;
mod links;
mod live;
mod order;
mod saved;
mod tile;
mod values;
mod vectors;
mod walk;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::domain::Similarity;

pub use error::IndexError;
pub use exact::ExactIndex;
pub use graph::{DEFAULT_EF, GraphIndex};
pub use live::{EXACT_LIMIT, GraphState, IndexState, LiveIndex};

/// Under what number a vector is kept; what it stands for is the caller's matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

/// A vector near a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// Which vector.
    pub entry: EntryId,
    /// How near, from the `f32` vectors.
    pub similarity: Similarity,
}

impl Neighbour {
    /// More similar first, the smaller entry first among equals.
    fn best_first(&self, other: &Self) -> Ordering {
        let by_similarity = other.similarity.0.total_cmp(&self.similarity.0);
        by_similarity.then(self.entry.cmp(&other.entry))
    }
}

/// Which entries may be answered.
#[derive(Clone, Copy)]
pub enum Allow<'a> {
    /// Those that are listed, in any order; entries that are not there do no harm. Where they are few,
    /// one hundredth of the index for example, they are all looked at, which takes no longer than a
    /// search without a filter; the list is looked up once in a call.
    Among(&'a [EntryId]),
    /// Those that a test lets through, which is asked of many entries, of each often: for filters that
    /// most entries pass.
    Where(&'a (dyn Fn(EntryId) -> bool + Sync)),
}
