//! From probabilities to a verdict.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{Finding, Verdict};

/// Why thresholds make no sense.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum PolicyError {
    /// Outside of `0..=1`, or swapped.
    #[error(
        "thresholds must satisfy 0 <= review_at <= flag_at <= 1, but review_at is {review_at} and flag_at {flag_at}"
    )]
    Disordered {
        /// Least probability for `Review`.
        review_at: f64,
        /// Least probability for `Flagged`.
        flag_at: f64,
    },
}

/// Which probability leads to which verdict.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    review_at: f64,
    flag_at: f64,
}

impl Default for Policy {
    /// Review from where 1 in 450 real photos with nothing registered on them arrives (measured on
    /// 2026-11-24; the probability is cautious on real photos); flag where one finding in ten may be
    /// wrong.
    fn default() -> Self {
        Self {
            review_at: 0.35,
            flag_at: 0.9,
        }
    }
}

impl Policy {
    /// Thresholds as probabilities.
    ///
    /// # Errors
    /// [`PolicyError::Disordered`] unless `0 <= review_at <= flag_at <= 1`.
    pub fn new(review_at: f64, flag_at: f64) -> Result<Self, PolicyError> {
        if 0.0 <= review_at && review_at <= flag_at && flag_at <= 1.0 {
            return Ok(Self { review_at, flag_at });
        }
        Err(PolicyError::Disordered { review_at, flag_at })
    }

    /// The least probability that a finding is reported with.
    pub fn review_at(&self) -> f64 {
        self.review_at
    }

    /// The least probability that flags a photo.
    pub fn flag_at(&self) -> f64 {
        self.flag_at
    }

    /// The verdict that a finding leads to: flagged from where its brand's promise is kept on, or without
    /// a promise from [`flag_at`](Self::flag_at) on. One of an authorised seller leads to none.
    pub fn verdict_on(&self, finding: &Finding) -> Verdict {
        if finding.authorised_seller || finding.probability < self.review_at {
            return Verdict::Clear;
        }
        let flag_at = match finding.promise {
            Some(promise) => promise.flag_at,
            None => Some(self.flag_at),
        };
        match flag_at {
            Some(flag_at) if finding.probability >= flag_at => Verdict::Flagged,
            _ => Verdict::Review,
        }
    }

    /// The gravest verdict that `findings` lead to.
    pub fn verdict(&self, findings: &[Finding]) -> Verdict {
        let verdicts = findings.iter().map(|finding| self.verdict_on(finding));
        verdicts.max().unwrap_or(Verdict::Clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AssetId, AssetKind, FindingKind, Measurements, Promise, Region};
    use proptest::prelude::*;

    fn finding(probability: f64) -> Finding {
        Finding {
            asset_id: AssetId(1),
            asset: "Star".into(),
            brand: "Acme".into(),
            asset_kind: AssetKind::Logo,
            kind: FindingKind::LogoPresent,
            region: Region::new(0.0, 0.0, 1.0, 1.0),
            probability,
            measurements: Measurements::default(),
            untaught_probability: None,
            promise: None,
            authorised_seller: false,
            reasons: Vec::new(),
        }
    }

    #[test]
    fn the_gravest_finding_decides_and_authorised_sellers_do_not_count() {
        let policy = Policy::default();
        assert_eq!(policy.verdict(&[]), Verdict::Clear);
        assert_eq!(
            policy.verdict(&[finding(0.6), finding(0.95)]),
            Verdict::Flagged
        );
        assert_eq!(policy.verdict(&[finding(0.6)]), Verdict::Review);
        let mut authorised = finding(0.99);
        authorised.authorised_seller = true;
        assert_eq!(policy.verdict(&[authorised]), Verdict::Clear);
    }

    #[test]
    fn a_promise_takes_the_place_of_the_threshold() {
        let policy = Policy::default();
        let verdict = |probability, flag_at| {
            let promise = Promise {
                precision: 0.95,
                flag_at,
            };
            policy.verdict_on(&Finding {
                promise: Some(promise),
                ..finding(probability)
            })
        };
        assert_eq!(verdict(0.99, None), Verdict::Review);
        assert_eq!(verdict(0.6, Some(0.5)), Verdict::Flagged);
        assert_eq!(verdict(0.95, Some(0.98)), Verdict::Review);
        assert_eq!(verdict(0.3, Some(0.2)), Verdict::Clear, "not even reported");
    }

    #[test]
    fn refuses_thresholds_that_are_swapped_or_no_numbers() {
        assert!(Policy::new(0.9, 0.5).is_err());
        assert!(Policy::new(f64::NAN, 0.5).is_err());
        assert!(Policy::new(0.0, 1.5).is_err());
    }

    proptest! {
        #[test]
        fn raising_a_threshold_never_makes_a_verdict_graver(
            p in 0f64..1.0, low in 0f64..1.0, high in 0f64..1.0, more in 0f64..1.0
        ) {
            prop_assume!(low <= high);
            let before = Policy::new(low, high).expect("ordered");
            let after = Policy::new((low + more).min(1.0), (high + more).min(1.0)).expect("ordered");
            prop_assert!(after.verdict(&[finding(p)]) <= before.verdict(&[finding(p)]));
        }
    }
}
