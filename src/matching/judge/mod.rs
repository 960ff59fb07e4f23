//! From measurements to a probability: one small calibrated model per finding kind.
//!
//! Each model is a logistic regression whose weights cannot be negative, so that more evidence never
//! lowers a probability. A measurement that is missing is not a zero: it has an offset of its own.

mod features;
mod fit;
mod logistic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::{AssetKind, FindingKind, Measurements};

pub use features::{Feature, features_of};
pub use fit::{FitError, LabelledRow, fit_judge};
pub use logistic::{Logistic, Term};

/// Why a judge file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JudgeError {
    /// Not the JSON of a judge.
    #[error("reading the judge: {0}")]
    Malformed(#[from] serde_json::Error),
    /// A number that is no number, or a negative weight.
    #[error(
        "the judge of {kind} has the weight {weight} for {feature:?}: it must be finite and not negative"
    )]
    BadWeight {
        /// Finding kind it belongs to.
        kind: FindingKind,
        /// Feature it belongs to.
        feature: Feature,
        /// The number.
        weight: f64,
    },
}

/// A model per finding kind, with where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judge {
    /// The data it was fitted on, in words.
    pub provenance: String,
    /// One model for each kind that can be found.
    pub models: BTreeMap<FindingKind, Logistic>,
}

impl Judge {
    /// Reads and checks the JSON form (`models/judge.json`).
    ///
    /// # Errors
    /// [`JudgeError::Malformed`], [`JudgeError::BadWeight`].
    pub fn from_json(text: &str) -> Result<Self, JudgeError> {
        let judge: Self = serde_json::from_str(text)?;
        for (&kind, model) in &judge.models {
            for term in &model.terms {
                if !term.weight.is_finite() || term.weight < 0.0 {
                    return Err(JudgeError::BadWeight {
                        kind,
                        feature: term.feature,
                        weight: term.weight,
                    });
                }
            }
        }
        Ok(judge)
    }

    /// Log-odds that the photo uses the asset in the way `kind` says; `None` when no model is fitted.
    pub fn log_odds(&self, kind: FindingKind, measured: &Measurements) -> Option<f64> {
        self.models.get(&kind).map(|model| model.log_odds(measured))
    }

    /// The likeliest kind for an asset of `asset_kind` and its log-odds; a copy of the brand's own picture
    /// only if it `may_be_copy`.
    ///
    /// A mark is called an imitation when a clearly read word misses its word by a letter or two, but
    /// no surer than the mark itself would be: many words miss some registered word by two letters,
    /// and as evidence of its own that raised more false alarms than it found imitations. An altered
    /// symbol is reported as the mark; nothing measured so far tells them apart.
    pub fn best_kind(
        &self,
        asset_kind: AssetKind,
        measured: &Measurements,
        may_be_copy: bool,
    ) -> Option<(FindingKind, f64)> {
        if asset_kind == AssetKind::Logo {
            let is_misspelt = measured
                .word_near_miss
                .is_some_and(|likeness| likeness > 0.0);
            let kind = if is_misspelt {
                FindingKind::AlteredLogo
            } else {
                FindingKind::LogoPresent
            };
            return Some((kind, self.log_odds(FindingKind::LogoPresent, measured)?));
        }
        let likeliest = |measured: &Measurements| {
            kinds_for(asset_kind)
                .iter()
                .filter(|kind| may_be_copy || **kind != FindingKind::StolenPhoto)
                .filter_map(|&kind| Some((kind, self.log_odds(kind, measured)?)))
                .max_by(|a, b| a.1.total_cmp(&b.1))
        };
        // Which of several packs it is says nothing of whether the picture is a copy.
        let (kind, _) = likeliest(&Measurements {
            rival_lead: None,
            ..*measured
        })?;
        Some((kind, likeliest(measured)?.1))
    }
}

/// The ways in which a photo can use a registered thing.
pub fn kinds_for(asset_kind: AssetKind) -> &'static [FindingKind] {
    match asset_kind {
        AssetKind::Logo => &[FindingKind::LogoPresent, FindingKind::AlteredLogo],
        AssetKind::Product | AssetKind::Packaging => {
            &[FindingKind::StolenPhoto, FindingKind::LookalikeProduct]
        }
    }
}

/// Probability for log-odds, `0..=1`.
pub fn probability(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge() -> Judge {
        let model = |bias| Logistic {
            bias,
            terms: Vec::new(),
        };
        let models = [(FindingKind::LogoPresent, model(1.0))];
        Judge {
            provenance: "test".into(),
            models: models.into(),
        }
    }

    #[test]
    fn a_misspelt_word_makes_it_an_imitation() {
        let mut measured = Measurements::default();
        let best = judge().best_kind(AssetKind::Logo, &measured, true);
        assert_eq!(best, Some((FindingKind::LogoPresent, 1.0)));
        measured.word_near_miss = Some(0.86);
        let best = judge().best_kind(AssetKind::Logo, &measured, true);
        assert_eq!(best, Some((FindingKind::AlteredLogo, 1.0)));
        let best = judge().best_kind(AssetKind::Product, &measured, true);
        assert_eq!(best, None);
    }

    #[test]
    fn what_can_be_no_copy_is_called_none() {
        let model = |bias| Logistic {
            bias,
            terms: Vec::new(),
        };
        let judge = Judge {
            provenance: "test".into(),
            models: [
                (FindingKind::StolenPhoto, model(2.0)),
                (FindingKind::LookalikeProduct, model(1.0)),
            ]
            .into(),
        };
        let best = |may_be_copy| {
            let measured = Measurements::default();
            let best = judge.best_kind(AssetKind::Product, &measured, may_be_copy);
            best.expect("models for both")
        };
        assert_eq!(best(true), (FindingKind::StolenPhoto, 2.0));
        assert_eq!(best(false), (FindingKind::LookalikeProduct, 1.0));
    }

    #[test]
    fn negative_weights_are_refused() {
        let text = r#"{"provenance":"x","models":{"LogoPresent":{"bias":0,"terms":[{"feature":"word","weight":-1,"missing":0}]}}}"#;
        assert!(matches!(
            Judge::from_json(text),
            Err(JudgeError::BadWeight { .. })
        ));
        assert!(Judge::from_json("{}").is_err());
    }
}
