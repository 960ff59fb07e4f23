//! Builds the links of a graph (HNSW: Malkov and Yashunin 2016) on all cores, the same ones for the same
//! vectors, whatever the cores do.
//!
//! Slots are linked in batches. The slots of a batch look for neighbours side by side in what the
//! batches before have left, which nobody changes meanwhile; then those that were found are led back
//! to them, each list in one hand (as ParlayANN does: Manohar and others 2024). Slots of one batch do
//! not see each other, so a batch is small beside what is linked already, and slots must stand in an
//! order that has nothing to do with their vectors ([`shuffled`](super::order::shuffled)).

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use super::kernel::{self, QueryCodes};
use super::links::{Graph, Links, NOBODY, Neighbours};
use super::vectors::Vectors;
use super::walk::{Key, Target, Walker};

/// The most links of a slot in the upper layers, and of a new one in the lowest.
const N_LINKS: usize = 16;
/// The most links in the lowest layer: two cache lines.
const N_BASE_LINKS: usize = 2 * N_LINKS;
/// Vectors looked at for the links of a new one.
const EF_CONSTRUCTION: usize = 160;
/// A layer holds one in so many of the slots in the layer below.
const LAYER_SHARE: usize = 16;
/// A batch is at most one in so many of the slots linked before, and never more than [`MAX_BATCH`].
const BATCH_SHARE: usize = 32;
const MAX_BATCH: usize = 16_384;

/// Links all vectors with each other.
pub(super) fn build(vectors: &Vectors) -> Graph {
    if vectors.len() == 0 {
        return Graph::default();
    }
    let growing = Growing::new(vectors);
    // The first slot is there, with nothing to be linked to.
    let mut n_linked = 1;
    while n_linked < vectors.len() {
        let n_batch = (n_linked / BATCH_SHARE).clamp(1, MAX_BATCH);
        let end = (n_linked + n_batch).min(vectors.len());
        growing.link(n_linked as u32..end as u32);
        n_linked = end;
    }
    growing.finished()
}

struct Growing<'v> {
    vectors: &'v Vectors,
    /// The lowest first.
    layers: Vec<Layer>,
}

/// Rows as in [`Links`], which may be written while others are read. Nothing else is told by what a
/// place holds, so the loosest order does; `rayon` keeps searching and leading back apart.
struct Layer {
    width: usize,
    targets: Vec<AtomicU32>,
}

/// A slot that a new one has been linked to, and the new one.
type Backlink = (u32, u32);

impl Layer {
    fn new(n_slots: usize, width: usize) -> Self {
        let targets = (0..n_slots * width).map(|_| AtomicU32::new(NOBODY));
        Self {
            width,
            targets: targets.collect(),
        }
    }

    fn n_slots(&self) -> usize {
        self.targets.len() / self.width
    }

    fn row(&self, slot: u32) -> &[AtomicU32] {
        &self.targets[slot as usize * self.width..][..self.width]
    }

    fn set(&self, slot: u32, links: &[u32]) {
        let links = links.iter().chain(std::iter::repeat(&NOBODY));
        for (place, &link) in self.row(slot).iter().zip(links) {
            place.store(link, Ordering::Relaxed);
        }
    }

    fn finished(self) -> Links {
        let targets = self.targets.into_iter().map(AtomicU32::into_inner);
        let mut links = Links {
            width: self.width,
            targets: targets.collect(),
        };
        links.connect();
        links
    }
}

impl Neighbours for Layer {
    #[inline]
    fn list(&self, slot: u32) -> impl Iterator<Item = u32> {
        let row = self.row(slot).iter();
        let targets = row.map(|place| place.load(Ordering::Relaxed));
        targets.take_while(|&target| target != NOBODY)
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        kernel::prefetch(self.row(slot));
    }
}

impl<'v> Growing<'v> {
    fn new(vectors: &'v Vectors) -> Self {
        let mut layers = vec![Layer::new(vectors.len(), N_BASE_LINKS)];
        let mut n_slots = vectors.len() / LAYER_SHARE;
        while n_slots > 1 {
            layers.push(Layer::new(n_slots, N_LINKS));
            n_slots /= LAYER_SHARE;
        }
        Self { vectors, layers }
    }

    fn finished(self) -> Graph {
        Graph {
            layers: self.layers.into_iter().map(Layer::finished).collect(),
        }
    }

    fn link(&self, slots: std::ops::Range<u32>) {
        let found: Vec<Vec<Vec<Backlink>>> = slots
            .into_par_iter()
            .map(|slot| Walker::lend(|walker| self.find_links(slot, walker)))
            .collect();
        for (at, layer) in self.layers.iter().enumerate() {
            let of_layer = found.iter().filter_map(|layers| layers.get(at));
            let mut backlinks: Vec<Backlink> = of_layer.flatten().copied().collect();
            backlinks.par_sort_unstable();
            backlinks
                .par_chunk_by(|a, b| a.0 == b.0)
                .for_each(|group| self.lead_back(layer, group));
        }
    }

    /// Gives a new slot its links, and answers with what has to be led back to it in each of its
    /// layers, the lowest first. No other slot is touched.
    fn find_links(&self, slot: u32, walker: &mut Walker) -> Vec<Vec<Backlink>> {
        let codes = self.vectors.codes(slot as usize);
        let target = Target {
            vectors: self.vectors,
            codes: &codes,
        };
        let mut start = 0;
        let mut backlinks = Vec::new();
        for layer in self.layers.iter().rev() {
            if slot as usize >= layer.n_slots() {
                start = walker.descend(target, layer, start);
                continue;
            }
            let near = walker.walk(target, layer, start, EF_CONSTRUCTION, usize::MAX, |_| true);
            let near = near.unwrap_or_default();
            let links = self.diverse(slot, near, N_LINKS);
            layer.set(slot, &links);
            start = near.first().map_or(start, |nearest| nearest.slot());
            backlinks.push(links.into_iter().map(|link| (link, slot)).collect());
        }
        backlinks.reverse();
        backlinks
    }

    /// Adds links from one slot to new ones; the best and most diverse stay where there are too many.
    fn lead_back(&self, layer: &Layer, group: &[Backlink]) {
        let slot = group[0].0;
        let mut links: Vec<u32> = layer.list(slot).collect();
        links.extend(group.iter().map(|(_, new)| new));
        if links.len() > layer.width {
            let codes: QueryCodes = self.vectors.codes(slot as usize);
            let target = Target {
                vectors: self.vectors,
                codes: &codes,
            };
            let mut keys: Vec<Key> = target.keys(&links, &mut Vec::new()).collect();
            keys.sort_unstable();
            links = self.diverse(slot, &keys, layer.width);
        }
        layer.set(slot, &links);
    }

    /// At most `limit` of `near`, nearest first: each is nearer to `slot` than to any before it, so that
    /// links go out in all directions (algorithm 4 of the paper).
    fn diverse(&self, slot: u32, near: &[Key], limit: usize) -> Vec<u32> {
        let scale = self.vectors.scale(slot as usize);
        let mut chosen: Vec<u32> = Vec::with_capacity(limit);
        for key in near {
            let (candidate, score) = (key.slot(), key.score() * scale);
            let is_nearer =
                |&other: &u32| self.vectors.pair_score(candidate as usize, other as usize) > score;
            if !chosen.iter().any(is_nearer) {
                chosen.push(candidate);
                if chosen.len() == limit {
                    break;
                }
            }
        }
        chosen
    }
}
