//! In which order the vectors of a graph stand: one that has nothing to do with what they look like, is the
//! same for the same entries, and in which an entry can be looked up without a table.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::exact::ascending;
use super::{EntryId, kernel};

/// A number that is as good as random, another one for each entry (Steele, Lea and Flood 2014).
fn scattered(entry: EntryId) -> u64 {
    let mixed = entry.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// At each slot, the position in `entries` of the one that belongs there.
pub(super) fn shuffled(entries: &[EntryId]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..entries.len() as u32).collect();
    order.par_sort_unstable_by_key(|&at| scattered(entries[at as usize]));
    order
}

/// Whether `entries` stand in that order, each once.
pub(super) fn is_shuffled(entries: &[EntryId]) -> bool {
    entries.is_sorted_by(|&a, &b| scattered(a) < scattered(b))
}

/// Lookups under way at a time in [`slots_of`]: what each needs next comes from memory meanwhile.
const TOGETHER: usize = 48;

/// Where `entry` stands among `entries` in that order.
pub(super) fn slot_of(entries: &[EntryId], entry: EntryId) -> Option<u32> {
    let mut lookup = Lookup::new(entries, entry);
    loop {
        if let Probe::Ended(slot) = lookup.probe(entries) {
            return slot;
        }
    }
}

/// Where those of `listed` that are among `entries` stand in that order, in ascending order, each once.
pub(super) fn slots_of(entries: &[EntryId], listed: &[EntryId]) -> Vec<u32> {
    let mut slots = Vec::with_capacity(listed.len());
    let mut under_way = Vec::with_capacity(TOGETHER);
    for some in listed.chunks(TOGETHER) {
        under_way.extend(some.iter().map(|&entry| Lookup::new(entries, entry)));
        while !under_way.is_empty() {
            under_way.retain_mut(|lookup| match lookup.probe(entries) {
                Probe::Ended(slot) => {
                    slots.extend(slot);
                    false
                }
                Probe::Further => true,
            });
        }
    }
    ascending(slots)
}

/// An entry that is looked for. The numbers of entries are spread evenly, so that the place can be guessed from
/// the number: each guess comes about as near as the root of how far off the last one was.
struct Lookup {
    wanted: u64,
    /// Slots that it can still be at: from here,
    low: usize,
    /// up to here.
    high: usize,
    guess: usize,
}

/// What a guess has shown.
enum Probe {
    /// Where it stands, or that it stands nowhere.
    Ended(Option<u32>),
    Further,
}

impl Lookup {
    fn new(entries: &[EntryId], entry: EntryId) -> Self {
        let wanted = scattered(entry);
        let lookup = Self {
            wanted,
            low: 0,
            high: entries.len(),
            guess: slots_within(entries, wanted),
        };
        lookup.prefetch(entries);
        lookup
    }

    /// Looks where it was guessed to be, and guesses anew.
    fn probe(&mut self, entries: &[EntryId]) -> Probe {
        if self.low >= self.high {
            return Probe::Ended(None);
        }
        let at = self.guess.clamp(self.low, self.high - 1);
        let found = scattered(entries[at]);
        match found.cmp(&self.wanted) {
            Ordering::Equal => return Probe::Ended(Some(at as u32)),
            Ordering::Less => {
                self.low = at + 1;
                self.guess = at + slots_within(entries, self.wanted - found);
            }
            Ordering::Greater => {
                self.high = at;
                self.guess = at.saturating_sub(slots_within(entries, found - self.wanted));
            }
        }
        self.prefetch(entries);
        Probe::Further
    }

    fn prefetch(&self, entries: &[EntryId]) {
        if let Some(next) = entries.get(self.guess..=self.guess) {
            kernel::prefetch(next);
        }
    }
}

/// Slots that a difference of numbers stands for.
fn slots_within(entries: &[EntryId], span: u64) -> usize {
    ((u128::from(span) * entries.len() as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_where_it_stands() {
        let entries: Vec<EntryId> = (0..1_000).map(|i| EntryId(i * i)).collect();
        let order = shuffled(&entries);
        let standing: Vec<EntryId> = order.iter().map(|&at| entries[at as usize]).collect();
        assert!(is_shuffled(&standing) && !is_shuffled(&entries));
        for (slot, &entry) in (0..).zip(&standing) {
            assert_eq!(slot_of(&standing, entry), Some(slot));
        }
        for missing in (0..1_000).map(|i| EntryId(i * i + 2)) {
            assert_eq!(slot_of(&standing, missing), None);
        }
        assert_eq!(slot_of(&[], EntryId(2)), None);
        let listed: Vec<EntryId> = (0..100).chain(50..1_100).map(|i| EntryId(i * i)).collect();
        let all: Vec<u32> = (0..1_000).collect();
        assert_eq!(slots_of(&standing, &listed), all);
        assert!(slots_of(&standing, &[EntryId(2)]).is_empty());
        assert!(slots_of(&[], &listed).is_empty());
        assert!(!is_shuffled(&[EntryId(7), EntryId(7)]));
    }
}
