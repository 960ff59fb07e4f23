//! Vectors side by side: the `f32` truth, and 8-bit codes of it to look through quickly.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::kernel::{self, Kernel, QueryCodes, ROW_ALIGN, Rows};
use super::tile::{TILE, TOGETHER, Tile};
use super::values::{ReadRows, RowFile, Values};
use super::{EntryId, IndexError, Neighbour, huge_pages};
use crate::domain::{Embedding, Similarity};

// [`TILE`]: rows looked through at a time, 16 KiB of codes at 256 numbers, which stay in the first-level
// cache while all queries pass over them.

/// So many queries make it worth while to lay out codes anew for them.
const MANY_QUERIES: usize = 12;

/// How many of the best by code may be compared anew by `f32` to get the best `k` right, at most.
///
/// With 20 or twice `k` the codes' error (0.0006 of cosine, one sigma, at 256 numbers) swaps a true
/// neighbour out in fewer than 1 of 1,000 places; `benches/search.rs` prints the figure.
pub(super) fn n_candidates(k: usize) -> usize {
    k.saturating_mul(2).max(k.saturating_add(20))
}

/// A neighbour by code, not yet compared by `f32`. Its order is worst last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Candidate {
    pub(super) score: f32,
    pub(super) entry: EntryId,
    pub(super) slot: u32,
}

impl Eq for Candidate {}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_score = other.score.total_cmp(&self.score);
        by_score.then(self.entry.cmp(&other.entry))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A slot and its cosine by code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    pub(super) slot: u32,
    pub(super) score: f32,
}

/// The best so many candidates seen.
pub(super) struct Shortlist {
    limit: usize,
    worst_first: BinaryHeap<Candidate>,
}

impl Shortlist {
    pub(super) fn new(limit: usize) -> Self {
        let worst_first = BinaryHeap::new();
        Self { limit, worst_first }
    }

    pub(super) fn is_full(&self) -> bool {
        self.worst_first.len() >= self.limit
    }

    /// Whether `candidate` is among the best so far.
    #[inline]
    pub(super) fn would_take(&self, candidate: &Candidate) -> bool {
        !self.is_full()
            || self
                .worst_first
                .peek()
                .is_some_and(|worst| candidate < worst)
    }

    pub(super) fn push(&mut self, candidate: Candidate) {
        self.worst_first.push(candidate);
        if self.worst_first.len() > self.limit {
            self.worst_first.pop();
        }
    }

    /// What is on the list, best first.
    pub(super) fn best_first(self) -> Vec<Near> {
        let sorted = self.worst_first.into_sorted_vec().into_iter();
        sorted
            .map(|Candidate { slot, score, .. }| Near { slot, score })
            .collect()
    }

    /// The score that a candidate must reach, or just equal.
    fn bar(&self) -> f32 {
        match self.worst_first.peek() {
            Some(worst) if self.is_full() => worst.score,
            _ => f32::NEG_INFINITY,
        }
    }
}

/// A query with its codes.
pub(super) struct Query<'q> {
    values: &'q [f32],
    pub(super) codes: QueryCodes,
    pub(super) scale: f32,
}

/// Vectors of one dimension, each at a slot `0..len`.
#[derive(Debug, Clone)]
pub(super) struct Vectors {
    pub(super) dim: usize,
    pub(super) stride: usize,
    kernel: Kernel,
    /// Shape `[n]`.
    pub(super) entries: Vec<EntryId>,
    /// Shape `[n, dim]`.
    pub(super) values: Values,
    /// Shape `[n, stride]`.
    pub(super) codes: Vec<i8>,
    /// What a code of 1 stands for, shape `[n]`.
    pub(super) scales: Vec<f32>,
    /// Sum of each row of codes, shape `[n]`.
    pub(super) sums: Vec<i32>,
}

impl Vectors {
    pub(super) fn new(dim: usize) -> Self {
        Self {
            dim,
            stride: dim.next_multiple_of(ROW_ALIGN),
            kernel: Kernel::detect(),
            entries: Vec::new(),
            values: Values::Memory(Vec::new()),
            codes: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
        }
    }

    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes in memory of entries, codes and, unless they are in a file, `f32` values.
    pub(super) fn size_bytes(&self) -> usize {
        let per_slot = size_of::<EntryId>() + size_of::<f32>() + size_of::<i32>();
        let values = match &self.values {
            Values::Memory(values) => size_of::<f32>() * values.len(),
            Values::File(rows) => size_of::<u32>() * rows.checksums.len(),
        };
        self.len() * (per_slot + self.stride) + values
    }

    pub(super) fn entries(&self) -> &[EntryId] {
        &self.entries
    }

    /// The numbers at `slot`, shape `[dim]`. Where the file that held them is damaged, they are what the
    /// codes stand for: off by half a code at most, so that answers are still right to some thousandths.
    pub(super) fn values(&self, slot: usize) -> Cow<'_, [f32]> {
        match &self.values {
            Values::Memory(values) => Cow::Borrowed(&values[slot * self.dim..][..self.dim]),
            Values::File(rows) => {
                let mut row = vec![0.0; self.dim];
                self.read_values(rows, slot, &mut row);
                Cow::Owned(row)
            }
        }
    }

    fn read_values(&self, rows: &RowFile, slot: usize, row: &mut [f32]) {
        if !rows.read(slot, row) {
            let codes = &self.codes[slot * self.stride..][..self.dim];
            for (value, &code) in row.iter_mut().zip(codes) {
                *value = f32::from(code) * self.scales[slot];
            }
        }
    }

    /// # Panics
    /// Where the numbers are in a file: only vectors of a graph are, and none is added to these.
    fn values_mut(&mut self) -> &mut Vec<f32> {
        match &mut self.values {
            Values::Memory(values) => values,
            Values::File(_) => unreachable!("vectors of a saved graph stay as they are"),
        }
    }

    /// What a code of 1 stands for at `slot`.
    #[inline]
    pub(super) fn scale(&self, slot: usize) -> f32 {
        self.scales[slot]
    }

    /// The codes at `slot`, to compare others with.
    pub(super) fn codes(&self, slot: usize) -> QueryCodes {
        QueryCodes::new(self.codes[slot * self.stride..][..self.stride].to_vec())
    }

    /// Asks for what a comparison by codes needs, ahead of it.
    #[inline]
    pub(super) fn prefetch(&self, slot: u32) {
        let slot = slot as usize;
        kernel::prefetch(&self.scales[slot..=slot]);
        kernel::prefetch(&self.codes[slot * self.stride..][..self.stride]);
    }

    /// Puts the vector at `order[slot]` at `slot`, for all slots.
    pub(super) fn reorder(&mut self, order: &[u32]) {
        let dim = self.dim;
        reorder_rows(self.values_mut(), order, dim);
        reorder_rows(&mut self.codes, order, self.stride);
        reorder_rows(&mut self.scales, order, 1);
        reorder_rows(&mut self.sums, order, 1);
        reorder_rows(&mut self.entries, order, 1);
    }

    pub(super) fn rows(&self) -> Rows<'_> {
        Rows {
            codes: &self.codes,
            sums: &self.sums,
            stride: self.stride,
        }
    }

    pub(super) fn kernel(&self) -> Kernel {
        self.kernel
    }

    pub(super) fn require_dim(&self, actual: usize) -> Result<(), IndexError> {
        match actual == self.dim {
            true => Ok(()),
            false => Err(IndexError::Dimension {
                expected: self.dim,
                actual,
            }),
        }
    }

    /// Adds a vector of the right length, at the slot after the last.
    pub(super) fn push(&mut self, entry: EntryId, values: &[f32]) {
        debug_assert_eq!(values.len(), self.dim);
        let (codes, scale) = encoded(values, self.stride);
        self.sums.push(codes.iter().map(|&c| i32::from(c)).sum());
        self.codes.extend_from_slice(&codes);
        self.scales.push(scale);
        self.values_mut().extend_from_slice(values);
        self.entries.push(entry);
    }

    /// Takes a vector out; the last one takes its slot.
    pub(super) fn swap_remove(&mut self, slot: usize) {
        let dim = self.dim;
        swap_remove_row(self.values_mut(), slot, dim);
        swap_remove_row(&mut self.codes, slot, self.stride);
        self.scales.swap_remove(slot);
        self.sums.swap_remove(slot);
        self.entries.swap_remove(slot);
    }

    pub(super) fn query<'q>(&self, embedding: &'q Embedding) -> Result<Query<'q>, IndexError> {
        self.require_dim(embedding.dim())?;
        let values = embedding.as_slice();
        let (codes, scale) = encoded(values, self.stride);
        Ok(Query {
            values,
            codes: QueryCodes::new(codes),
            scale,
        })
    }

    /// A candidate from a slot and the product of its codes with the query's.
    #[inline]
    pub(super) fn candidate(&self, query: &Query<'_>, slot: u32, product: i32) -> Candidate {
        let at = slot as usize;
        Candidate {
            score: product as f32 * (self.scales[at] * query.scale),
            entry: self.entries[at],
            slot,
        }
    }

    /// Approximate cosine of two of the vectors.
    #[inline]
    pub(super) fn pair_score(&self, a: usize, b: usize) -> f32 {
        let product = self.kernel.pair(self.rows(), a, b);
        product as f32 * (self.scales[a] * self.scales[b])
    }

    /// Looks through all vectors for the best `limit` by code of each query; `allow` is asked only
    /// about slots that would make the list.
    pub(super) fn scan(
        &self,
        queries: &[Query<'_>],
        limit: usize,
        allow: impl Fn(u32) -> bool,
    ) -> Vec<Shortlist> {
        let mut lists: Vec<_> = queries.iter().map(|_| Shortlist::new(limit)).collect();
        let first = self.scan_tiles(queries, &mut lists, &allow);
        let mut products = [0; TILE];
        for first in (first..self.len()).step_by(TILE) {
            let products = &mut products[..TILE.min(self.len() - first)];
            for (query, list) in queries.iter().zip(&mut lists) {
                self.kernel.scan(&query.codes, self.rows(), first, products);
                for (slot, &product) in (first..).zip(products.iter()) {
                    if product as f32 * (self.scales[slot] * query.scale) >= list.bar() {
                        self.offer(query, slot, product, list, &allow);
                    }
                }
            }
        }
        lists
    }

    /// Looks through as many of the first vectors as fill whole tiles, where there are queries enough to
    /// make that quicker, and answers with how many.
    fn scan_tiles(
        &self,
        queries: &[Query<'_>],
        lists: &mut [Shortlist],
        allow: &impl Fn(u32) -> bool,
    ) -> usize {
        let Some(mut tile) = self.tile(queries.len()) else {
            return 0;
        };
        let (tiles_of_scales, _) = self.scales.as_chunks::<TILE>();
        for (first, scales) in (0..).step_by(TILE).zip(tiles_of_scales) {
            tile.fill(self.rows(), first);
            let groups = queries.chunks(TOGETHER).zip(lists.chunks_mut(TOGETHER));
            for (queries, lists) in groups {
                let last = queries.len() - 1;
                let codes = std::array::from_fn(|at| &queries[at.min(last)].codes);
                let products = tile.products(codes);
                for ((query, list), products) in queries.iter().zip(lists).zip(&products) {
                    let mut bits = tile.reaching(products, scales, query.scale, list.bar());
                    while bits != 0 {
                        let at = bits.trailing_zeros() as usize;
                        bits &= bits - 1;
                        self.offer(query, first + at, products[at], list, allow);
                    }
                }
            }
        }
        self.len() / TILE * TILE
    }

    /// A tile for so many queries; `None` where it would not pay.
    fn tile(&self, n_queries: usize) -> Option<Tile> {
        match n_queries >= MANY_QUERIES {
            true => Tile::new(self.kernel, self.stride),
            false => None,
        }
    }

    /// Puts a slot on the list if it is good enough and `allow` lets it through.
    #[inline]
    fn offer(
        &self,
        query: &Query<'_>,
        slot: usize,
        product: i32,
        list: &mut Shortlist,
        allow: &impl Fn(u32) -> bool,
    ) {
        let candidate = self.candidate(query, slot as u32, product);
        if list.would_take(&candidate) && allow(candidate.slot) {
            list.push(candidate);
        }
    }

    /// Looks through the vectors at `slots` for the best `limit` by code of each query.
    pub(super) fn scan_slots(
        &self,
        queries: &[Query<'_>],
        slots: &[u32],
        limit: usize,
    ) -> Vec<Shortlist> {
        let mut lists: Vec<_> = queries.iter().map(|_| Shortlist::new(limit)).collect();
        let mut products = Vec::with_capacity(TILE);
        let mut tiles = slots.chunks(TILE).peekable();
        while let Some(tile) = tiles.next() {
            for &slot in tiles.peek().copied().unwrap_or_default() {
                self.prefetch(slot);
            }
            for (query, list) in queries.iter().zip(&mut lists) {
                self.kernel
                    .gather(&query.codes, self.rows(), tile, &mut products);
                for (&slot, &product) in tile.iter().zip(&products) {
                    let candidate = self.candidate(query, slot, product);
                    if list.would_take(&candidate) {
                        list.push(candidate);
                    }
                }
            }
        }
        lists
    }

    /// The best `k` of each query's list by `f32`, best first, the smaller entry first among equals. Lists stand
    /// best first by code; what cannot make it any more but by a rare error of its code is not looked at.
    pub(super) fn rerank(
        &self,
        queries: &[Query<'_>],
        lists: impl IntoIterator<Item = Vec<Near>>,
        k: usize,
    ) -> Vec<Vec<Neighbour>> {
        let mut read = ReadRows::default();
        let lists = queries.iter().zip(lists);
        lists
            .map(|(query, near)| self.rerank_one(query, &near, k, &mut read))
            .collect()
    }

    fn rerank_one(
        &self,
        query: &Query<'_>,
        near: &[Near],
        k: usize,
        read: &mut ReadRows,
    ) -> Vec<Neighbour> {
        let mut best: Vec<Neighbour> = Vec::with_capacity(near.len().min(k.saturating_add(1)));
        for (at, one) in near.iter().enumerate() {
            if best.len() == k {
                let Some(last) = best.last() else { break };
                if one.score + self.doubt(query, one.slot) < last.similarity.0 {
                    continue;
                }
            }
            if let Some(next) = near.get(at + 1) {
                self.prefetch_values(next.slot);
            }
            let slot = one.slot as usize;
            let values = match &self.values {
                Values::Memory(values) => &values[slot * self.dim..][..self.dim],
                Values::File(rows) => {
                    read.row(slot, self.dim, |row| self.read_values(rows, slot, row))
                }
            };
            let cosine = kernel::product_f32(query.values, values);
            let neighbour = Neighbour {
                entry: self.entries[slot],
                similarity: Similarity(cosine.clamp(-1.0, 1.0)),
            };
            let place = best.partition_point(|better| better.best_first(&neighbour).is_lt());
            best.insert(place, neighbour);
            best.truncate(k);
        }
        best
    }

    /// How far the cosine by code may be from the true one: each number of query and vector is off by up to
    /// half a code, independently, and this is five times the deviation that comes of it. (With four numbers
    /// and fewer it is more than can come of it at all.)
    fn doubt(&self, query: &Query<'_>, slot: u32) -> f32 {
        let own = self.scales[slot as usize];
        5.0 * ((query.scale * query.scale + own * own) / 12.0).sqrt()
    }

    fn prefetch_values(&self, slot: u32) {
        if let Values::Memory(values) = &self.values {
            kernel::prefetch(&values[slot as usize * self.dim..][..self.dim]);
        }
    }
}

/// Codes `-127..=127`, padded with zeros to `stride`, and what a code of 1 stands for.
fn encoded(values: &[f32], stride: usize) -> (Vec<i8>, f32) {
    let greatest = values.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = greatest / 127.0;
    let mut codes: Vec<i8> = values.iter().map(|v| (v / scale).round() as i8).collect();
    codes.resize(stride, 0);
    (codes, scale)
}

fn reorder_rows<T: Copy>(rows: &mut Vec<T>, order: &[u32], width: usize) {
    let mut ordered = Vec::with_capacity(rows.len());
    huge_pages::ask_for(&ordered);
    for &slot in order {
        ordered.extend_from_slice(&rows[slot as usize * width..][..width]);
    }
    *rows = ordered;
}

fn swap_remove_row<T: Copy>(rows: &mut Vec<T>, slot: usize, width: usize) {
    let last = rows.len() - width;
    rows.copy_within(last.., slot * width);
    rows.truncate(last);
}
