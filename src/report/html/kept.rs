//! The most probable findings so far, with all that their cards need.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::domain::{Finding, Listing, PhotoVerdict, ScannedPhoto, Verdict};

/// A finding and where it was found.
#[derive(Debug)]
pub(super) struct KeptFinding {
    pub listing: Arc<Listing>,
    pub photo: String,
    pub sha256: Option<String>,
    pub verdict: Verdict,
    pub photo_size: [u32; 2],
    pub finding: Finding,
    /// Position among all findings of the scan.
    serial: u64,
}

impl KeptFinding {
    /// Greater is more probable; among equals, earlier.
    fn rank(&self) -> (f64, Reverse<u64>) {
        (self.finding.probability, Reverse(self.serial))
    }
}

impl Ord for KeptFinding {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.rank(), other.rank());
        a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
    }
}

impl PartialOrd for KeptFinding {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeptFinding {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for KeptFinding {}

/// The `limit` most probable findings of those added.
#[derive(Debug, Default)]
pub(super) struct MostProbable {
    limit: usize,
    n_added: u64,
    /// The least probable is on top.
    heap: BinaryHeap<Reverse<KeptFinding>>,
}

impl MostProbable {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Adds the findings of `photo`.
    pub(super) fn add(&mut self, scanned: &ScannedPhoto, photo: &PhotoVerdict) {
        for finding in &photo.findings {
            let serial = self.n_added;
            self.n_added += 1;
            if !self.has_room_for(finding.probability) {
                continue;
            }
            self.heap.push(Reverse(KeptFinding {
                listing: Arc::clone(&scanned.listing),
                photo: scanned.photo.clone(),
                sha256: scanned.sha256.clone(),
                verdict: photo.verdict,
                photo_size: photo.photo_size,
                finding: finding.clone(),
                serial,
            }));
            if self.heap.len() > self.limit {
                self.heap.pop();
            }
        }
    }

    fn has_room_for(&self, probability: f64) -> bool {
        let least = self
            .heap
            .peek()
            .map(|Reverse(kept)| kept.finding.probability);
        self.heap.len() < self.limit
            || least.is_some_and(|least| probability.total_cmp(&least).is_gt())
    }

    /// Most probable first.
    pub(super) fn into_sorted(self) -> Vec<KeptFinding> {
        let ascending = self.heap.into_sorted_vec();
        ascending.into_iter().map(|Reverse(kept)| kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::samples;
    use super::*;

    fn photo_with(probabilities: &[f64]) -> ScannedPhoto {
        let mut scanned = samples::scan().remove(0);
        let photo = scanned.outcome.as_mut().expect("a verdict");
        photo.findings = probabilities
            .iter()
            .map(|&probability| Finding {
                probability,
                ..samples::finding()
            })
            .collect();
        scanned
    }

    fn add(kept: &mut MostProbable, scanned: &ScannedPhoto) {
        let photo = scanned.outcome.as_ref().expect("a verdict");
        kept.add(scanned, photo);
    }

    #[test]
    fn nothing_may_be_kept() {
        let mut none = MostProbable::new(0);
        add(&mut none, &photo_with(&[1.0]));
        assert!(none.into_sorted().is_empty());
    }

    proptest! {
        #[test]
        fn the_most_probable_stay(
            photos in prop::collection::vec(prop::collection::vec(0u8..20, 0..4), 0..30),
            limit in 0usize..20,
        ) {
            let mut kept = MostProbable::new(limit);
            let mut all = Vec::new();
            for photo in &photos {
                let probabilities: Vec<_> = photo.iter().map(|&p| f64::from(p) / 20.0).collect();
                add(&mut kept, &photo_with(&probabilities));
                all.extend(probabilities);
            }
            let mut expected: Vec<_> = all.iter().copied().enumerate().collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(limit);
            let found: Vec<_> = kept
                .into_sorted()
                .iter()
                .map(|kept| (kept.serial as usize, kept.finding.probability))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
