//! In which order the vectors of a graph stand: one that has nothing to do with what they look like, is the
//! same for the same entries, and in which an entry can be looked up without a table.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::EntryId;

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

/// Where `entry` stands among `entries` in that order. The numbers are spread evenly, so that the place can
/// be guessed from the number: each guess comes about as near as the root of how far off the last one was.
pub(super) fn slot_of(entries: &[EntryId], entry: EntryId) -> Option<u32> {
    let wanted = scattered(entry);
    let slots_within = |span: u64| ((u128::from(span) * entries.len() as u128) >> 64) as usize;
    let (mut low, mut high) = (0, entries.len());
    let mut guess = slots_within(wanted);
    while low < high {
        guess = guess.clamp(low, high - 1);
        let found = scattered(entries[guess]);
        match found.cmp(&wanted) {
            Ordering::Equal => return Some(guess as u32),
            Ordering::Less => {
                low = guess + 1;
                guess += slots_within(wanted - found);
            }
            Ordering::Greater => {
                high = guess;
                guess = guess.saturating_sub(slots_within(found - wanted));
            }
        }
    }
    None
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
        assert!(!is_shuffled(&[EntryId(7), EntryId(7)]));
    }
}
