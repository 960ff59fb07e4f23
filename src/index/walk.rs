//! Walks through a graph of near vectors (HNSW: Malkov and Yashunin 2016), the same for a graph that
//! is searched and for one that still grows.

use std::cell::Cell;

use super::kernel::QueryCodes;
use super::links::Neighbours;
use super::vectors::Vectors;

/// The most slots that an index with a graph can have: two bits of a [`Key`] are taken.
pub(super) const MAX_SLOTS: usize = 1 << 30;

/// Vectors that a walk may hold for each candidate that it is to keep: where fewer pass the filter, each of
/// the many passed through on the way to them costs more than a look at all vectors.
const MAX_PASSED: usize = 64;

/// A slot and how near it is in one number: the smaller, the nearer; the smaller slot first among
/// equals.
///
/// From the top: the score, turned about (32 bits), the slot (30), whether the slot is only passed
/// through (1), whether its links have been followed (1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

const FOLLOWED: u64 = 1;
const PASSED: u64 = 2;

impl Key {
    #[inline]
    fn new(score: f32, slot: u32) -> Self {
        let bits = score.to_bits();
        // Floats in the order of their bits: negative ones are stored the other way round.
        let rising = bits ^ ((((bits as i32) >> 31) as u32) | 0x8000_0000);
        Self((u64::from(!rising) << 32) | (u64::from(slot) << 2))
    }

    /// The score that the key was made of.
    #[inline]
    pub(super) fn score(self) -> f32 {
        let rising = !((self.0 >> 32) as u32);
        let mask = !(((rising as i32) >> 31) as u32) | 0x8000_0000;
        f32::from_bits(rising ^ mask)
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        (self.0 as u32) >> 2
    }

    /// Whether the slot may be answered.
    #[inline]
    pub(super) fn counts(self) -> bool {
        self.0 & PASSED == 0
    }
}

/// The nearest slots seen, best first: so many that may be answered, and those passed through on the
/// way to them.
#[derive(Default)]
struct Pool {
    keys: Vec<Key>,
    /// How many that count are kept.
    limit: usize,
    n_counting: usize,
    /// No key before this one is still to be followed.
    next: usize,
}

impl Pool {
    fn clear(&mut self, limit: usize) {
        self.keys.clear();
        self.limit = limit.max(1);
        (self.n_counting, self.next) = (0, 0);
    }

    /// Whether `key` would be kept.
    #[inline]
    fn would_take(&self, key: Key) -> bool {
        self.n_counting < self.limit || self.keys.last().is_some_and(|last| key < *last)
    }

    #[inline]
    fn insert(&mut self, key: Key) {
        let at = self.keys.partition_point(|kept| *kept < key);
        self.keys.insert(at, key);
        self.next = self.next.min(at);
        self.n_counting += usize::from(key.counts());
        if self.n_counting >= self.limit {
            self.trim();
        }
    }

    /// Drops what is beyond the last that counts.
    fn trim(&mut self) {
        while let Some(last) = self.keys.last() {
            let is_needed = self.n_counting == self.limit && last.counts();
            if is_needed || self.n_counting < self.limit {
                break;
            }
            self.n_counting -= usize::from(last.counts());
            self.keys.pop();
        }
    }

    /// The nearest slot whose links have not been followed, which from now on have.
    #[inline]
    fn follow(&mut self) -> Option<u32> {
        let rest = self.keys.get_mut(self.next..)?;
        let at = rest.iter().position(|key| key.0 & FOLLOWED == 0)?;
        rest[at].0 |= FOLLOWED;
        let slot = rest[at].slot();
        self.next += at + 1;
        Some(slot)
    }
}

/// Which slots a walk has seen; kept from walk to walk, so that none has to clear it.
#[derive(Default)]
struct Seen {
    /// In which walk a slot was last seen, counted from 1 to 255: a byte each, so that more of them
    /// stay in the cache.
    last: Vec<u8>,
    walk: u8,
}

impl Seen {
    fn begin(&mut self, n_slots: usize) {
        if self.last.len() < n_slots {
            self.last.resize(n_slots, 0);
        }
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.last.fill(0);
            self.walk = 1;
        }
    }

    #[inline]
    fn is_first(&mut self, slot: u32) -> bool {
        let last = &mut self.last[slot as usize];
        std::mem::replace(last, self.walk) != self.walk
    }
}

/// What is compared: a vector's codes, with the vectors of the graph.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) vectors: &'a Vectors,
    pub(super) codes: &'a QueryCodes,
}

impl Target<'_> {
    /// Keys of `slots`, of a score that is the cosine but for a factor that all have in common.
    pub(super) fn keys(self, slots: &[u32], products: &mut Vec<i32>) -> impl Iterator<Item = Key> {
        let vectors = self.vectors;
        let rows = vectors.rows();
        vectors.kernel().gather(self.codes, rows, slots, products);
        let scored = slots.iter().zip(products.iter());
        scored.map(|(&slot, &product)| {
            let score = product as f32 * vectors.scale(slot as usize);
            Key::new(score, slot)
        })
    }
}

/// What walks need, kept from one to the next.
#[derive(Default)]
pub(super) struct Walker {
    seen: Seen,
    pool: Pool,
    near: Vec<u32>,
    products: Vec<i32>,
    n_seen: usize,
}

thread_local! {
    static WALKER: Cell<Walker> = Cell::default();
}

impl Walker {
    /// Lends this thread's walker. (Taken, not borrowed: what a walk asks its caller may be a search
    /// of its own.)
    pub(super) fn lend<T>(walk: impl FnOnce(&mut Self) -> T) -> T {
        let mut walker = WALKER.take();
        let result = walk(&mut walker);
        WALKER.set(walker);
        result
    }

    /// Steps from `start` through one layer to ever nearer slots, and answers with the nearest.
    pub(super) fn descend(
        &mut self,
        target: Target<'_>,
        layer: &impl Neighbours,
        start: u32,
    ) -> u32 {
        let first = target.keys(&[start], &mut self.products).next();
        let mut best = first.unwrap_or_else(|| Key::new(0.0, start));
        loop {
            self.near.clear();
            self.near.extend(layer.list(best.slot()));
            for &next in &self.near {
                target.vectors.prefetch(next);
            }
            let nearest = target.keys(&self.near, &mut self.products).min();
            match nearest {
                Some(nearest) if nearest < best => best = nearest,
                _ => return best.slot(),
            }
        }
    }

    /// Walks from `start` until the `ef` nearest that `counts` lets through have no nearer neighbours,
    /// and answers with them, best first; between them stand some that do not count.
    ///
    /// `None` when more than `n_visits` slots would have been seen, or next to nothing counts.
    pub(super) fn walk(
        &mut self,
        target: Target<'_>,
        layer: &impl Neighbours,
        start: u32,
        ef: usize,
        n_visits: usize,
        counts: impl Fn(u32) -> bool,
    ) -> Option<&[Key]> {
        self.begin(target, start, ef, &counts);
        while let Some(slot) = self.pool.follow() {
            self.near.clear();
            for next in layer.list(slot) {
                if self.seen.is_first(next) {
                    target.vectors.prefetch(next);
                    self.near.push(next);
                }
            }
            self.n_seen += self.near.len();
            if self.n_seen > n_visits || self.pool.keys.len() > MAX_PASSED * ef {
                return None;
            }
            for key in target.keys(&self.near, &mut self.products) {
                if self.pool.would_take(key) {
                    let passed = if counts(key.slot()) { 0 } else { PASSED };
                    self.pool.insert(Key(key.0 | passed));
                }
            }
            if let Some(key) = self.pool.keys.get(self.pool.next) {
                layer.prefetch(key.slot());
            }
        }
        Some(&self.pool.keys)
    }

    fn begin(&mut self, target: Target<'_>, start: u32, ef: usize, counts: &impl Fn(u32) -> bool) {
        self.seen.begin(target.vectors.len());
        self.pool.clear(ef);
        self.n_seen = 1;
        self.seen.is_first(start);
        for key in target.keys(&[start], &mut self.products) {
            let passed = if counts(start) { 0 } else { PASSED };
            self.pool.insert(Key(key.0 | passed));
        }
    }
}
