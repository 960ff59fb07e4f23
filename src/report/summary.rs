//! What a scan comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::{FindingKind, PhotoVerdict, ScannedPhoto, StageTimings, Verdict};

/// Counts over the photos of a scan. Its size depends on the number of registered brands, not on the
/// length of the scan.
///
/// Findings at authorised sellers raise no verdict; they have a count of their own and stand in none
/// of the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Photos, failed ones included.
    pub n_photos: u64,
    /// Photos with the verdict `Flagged`.
    pub n_flagged: u64,
    /// Photos with the verdict `Review`.
    pub n_review: u64,
    /// Photos with the verdict `Clear`.
    pub n_clear: u64,
    /// Photos without a verdict.
    pub n_failed: u64,
    /// Findings.
    pub n_findings: u64,
    /// Findings at sellers that may use the asset.
    pub n_authorised: u64,
    /// Findings of each kind.
    pub by_kind: BTreeMap<FindingKind, u64>,
    /// Findings of each brand.
    pub by_brand: BTreeMap<String, u64>,
    /// Milliseconds over all photos with a verdict.
    pub stage_sums_ms: StageTimings,
    /// Wall clock of the scan; set by the caller.
    pub elapsed: Duration,
}

impl Summary {
    /// Counts one photo.
    pub fn add(&mut self, scanned: &ScannedPhoto) {
        self.n_photos += 1;
        match &scanned.outcome {
            Ok(photo) => self.add_verdict(photo),
            Err(_) => self.n_failed += 1,
        }
    }

    fn add_verdict(&mut self, photo: &PhotoVerdict) {
        *match photo.verdict {
            Verdict::Flagged => &mut self.n_flagged,
            Verdict::Review => &mut self.n_review,
            Verdict::Clear => &mut self.n_clear,
        } += 1;
        for finding in &photo.findings {
            if finding.authorised_seller {
                self.n_authorised += 1;
                continue;
            }
            self.n_findings += 1;
            *self.by_kind.entry(finding.kind).or_default() += 1;
            match self.by_brand.get_mut(&finding.brand) {
                Some(n) => *n += 1,
                None => drop(self.by_brand.insert(finding.brand.clone(), 1)),
            }
        }
        self.stage_sums_ms.prepare += photo.timings_ms.prepare;
        self.stage_sums_ms.embed += photo.timings_ms.embed;
        self.stage_sums_ms.find_candidates += photo.timings_ms.find_candidates;
        self.stage_sums_ms.verify += photo.timings_ms.verify;
        self.stage_sums_ms.judge += photo.timings_ms.judge;
    }

    /// Photos a second of wall clock; 0 before any time has passed.
    pub fn photos_per_s(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.n_photos as f64 / seconds
        } else {
            0.0
        }
    }

    /// Mean milliseconds of a photo with a verdict, by stage; `None` when there is none.
    pub fn mean_ms(&self) -> Option<StageTimings> {
        let n = self.n_photos - self.n_failed;
        let mean = |sum: f64| sum / n as f64;
        let sums = &self.stage_sums_ms;
        (n > 0).then(|| StageTimings {
            prepare: mean(sums.prepare),
            embed: mean(sums.embed),
            find_candidates: mean(sums.find_candidates),
            verify: mean(sums.verify),
            judge: mean(sums.judge),
        })
    }

    /// The `limit` brands with the most findings, most first, by name among equals.
    pub fn top_brands(&self, limit: usize) -> Vec<(&str, u64)> {
        let mut brands: Vec<_> = self
            .by_brand
            .iter()
            .map(|(b, &n)| (b.as_str(), n))
            .collect();
        brands.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        brands.truncate(limit);
        brands
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_photo_is_counted_once() {
        let mut summary = Summary::default();
        for scanned in samples::scan() {
            summary.add(&scanned);
        }
        let parts = [
            summary.n_flagged,
            summary.n_review,
            summary.n_clear,
            summary.n_failed,
        ];
        assert_eq!(parts, [1, 1, 2, 1]);
        assert_eq!(summary.n_photos, parts.iter().sum::<u64>());
        assert_eq!((summary.n_findings, summary.n_authorised), (3, 1));
        assert_eq!(summary.by_kind.values().sum::<u64>(), summary.n_findings);
        assert_eq!(summary.top_brands(1), [("Oatly", 2)]);
        let mean = summary.mean_ms().expect("photos with a verdict");
        assert!((mean.total() - samples::TIMINGS.total()).abs() < 1e-9);
    }

    #[test]
    fn an_empty_scan_divides_by_nothing() {
        let summary = Summary::default();
        assert_eq!(summary.photos_per_s(), 0.0);
        assert_eq!(summary.mean_ms(), None);
    }
}
