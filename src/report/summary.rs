//! What a scan comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ReuseGroup;
use crate::domain::{FindingKind, PhotoVerdict, ScannedPhoto, StageTimings, Verdict, Work};

/// Reasons of failures that are counted apart; others are counted together.
const MAX_REASONS: usize = 50;
/// Characters of such a reason.
const MAX_REASON_CHARS: usize = 120;
/// Under which other reasons are counted.
const OTHER_REASONS: &str = "other reasons";

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
    /// Why photos failed, with how often; of many reasons the first.
    pub failures: BTreeMap<String, u64>,
    /// Photos that went through all stages, or failed on the way.
    pub n_computed: u64,
    /// Photos whose bytes had gone through shortly before.
    pub n_cached: u64,
    /// Photos whose answer an earlier scan gave.
    pub n_earlier: u64,
    /// Milliseconds of reading, over all photos.
    pub read_sum_ms: f64,
    /// Milliseconds over all photos with a verdict.
    pub stage_sums_ms: StageTimings,
    /// Photos that were done when a scan that had been cut off went on; set by the caller.
    pub n_resumed: u64,
    /// Wall clock of the scan since it began or went on; set by the caller.
    pub elapsed: Duration,
    /// The largest groups of photos that come again; set by the caller.
    pub reuse: Vec<ReuseGroup>,
    /// Photos that were left out of these groups because there were too many; set by the caller.
    pub n_reuse_forgotten: u64,
}

/// What one stage costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageCost {
    /// Its name: `read`, `decode`, `embed`, `search`, `verify`, `judge`.
    pub stage: &'static str,
    /// Seconds of one core, over all photos.
    pub core_seconds: f64,
    /// Of all stages together, `0..=1`.
    pub share: f64,
}

impl Summary {
    /// Counts one photo.
    pub fn add(&mut self, scanned: &ScannedPhoto) {
        self.n_photos += 1;
        match &scanned.outcome {
            Ok(photo) => self.add_verdict(photo),
            Err(reason) => self.add_failure(reason),
        }
        *match scanned.work {
            _ if scanned.outcome.is_err() => &mut self.n_computed,
            Work::Computed => &mut self.n_computed,
            Work::Cached => &mut self.n_cached,
            Work::Earlier => &mut self.n_earlier,
        } += 1;
        self.read_sum_ms += scanned.read_ms;
    }

    fn add_failure(&mut self, reason: &str) {
        self.n_failed += 1;
        let clipped: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let is_full = self.failures.len() >= MAX_REASONS && !self.failures.contains_key(&clipped);
        let counted_as = if is_full {
            OTHER_REASONS.to_owned()
        } else {
            clipped
        };
        *self.failures.entry(counted_as).or_default() += 1;
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

    /// Photos a second of wall clock, since the scan began or went on; 0 before any time has passed.
    pub fn photos_per_s(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.n_photos.saturating_sub(self.n_resumed) as f64 / seconds
        } else {
            0.0
        }
    }

    /// What each stage costs. A photo is worked on by one thread from beginning to end; with a thread a core
    /// on a machine that does nothing else, its seconds are seconds of a core.
    pub fn stage_costs(&self) -> [StageCost; 6] {
        let sums = &self.stage_sums_ms;
        let costs = [
            ("read", self.read_sum_ms),
            ("decode", sums.prepare),
            ("embed", sums.embed),
            ("search", sums.find_candidates),
            ("verify", sums.verify),
            ("judge", sums.judge),
        ];
        let whole: f64 = costs.iter().map(|(_, ms)| ms).sum();
        costs.map(|(stage, ms)| StageCost {
            stage,
            core_seconds: ms / 1e3,
            share: if whole > 0.0 { ms / whole } else { 0.0 },
        })
    }

    /// Hours of one core for a million photos like these; `None` of none.
    pub fn core_hours_per_million(&self) -> Option<f64> {
        let seconds: f64 = self
            .stage_costs()
            .iter()
            .map(|cost| cost.core_seconds)
            .sum();
        (self.n_photos > 0).then(|| seconds / self.n_photos as f64 * 1e6 / 3600.0)
    }

    /// Mean milliseconds of a photo that went through all stages, by stage; `None` when there is none.
    pub fn mean_ms(&self) -> Option<StageTimings> {
        let n = self.n_photos - self.n_failed;
        // What failed counts as computed.
        let n = n.saturating_sub(self.n_cached + self.n_earlier);
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
        assert_eq!(
            (summary.n_computed, summary.n_cached, summary.n_earlier),
            (5, 0, 0)
        );
        assert_eq!(summary.failures.values().sum::<u64>(), summary.n_failed);
        let costs = summary.stage_costs();
        assert!((costs.iter().map(|cost| cost.share).sum::<f64>() - 1.0).abs() < 1e-9);
        let per_photo_ms = (4.0 * samples::TIMINGS.total() + 5.0 * 0.5) / 5.0;
        let hours = summary.core_hours_per_million().expect("photos");
        assert!(
            (hours - per_photo_ms * 1e3 / 3600.0).abs() < 1e-9,
            "{hours}"
        );
        let mean = summary.mean_ms().expect("photos with a verdict");
        assert!((mean.total() - samples::TIMINGS.total()).abs() < 1e-9);
    }

    #[test]
    fn reasons_are_counted_without_end() {
        let mut summary = Summary::default();
        for idx in 0..MAX_REASONS + 7 {
            summary.add_failure(&format!("reason {idx}"));
        }
        assert_eq!(summary.failures.len(), MAX_REASONS + 1);
        assert_eq!(summary.failures[OTHER_REASONS], 7);
    }

    #[test]
    fn an_empty_scan_divides_by_nothing() {
        let summary = Summary::default();
        assert_eq!(summary.photos_per_s(), 0.0);
        assert_eq!(summary.mean_ms(), None);
    }
}
