//! A logistic model with non-negative weights and offsets for what is missing.

use serde::{Deserialize, Serialize};

use super::Feature;
use crate::domain::Measurements;

/// How one feature counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// What is weighed.
    pub feature: Feature,
    /// Log-odds per unit, not negative.
    pub weight: f64,
    /// Log-odds when the feature is missing.
    pub missing: f64,
}

/// Log-odds as a weighted sum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logistic {
    /// Log-odds when every feature is present and zero.
    pub bias: f64,
    /// One term for each feature.
    pub terms: Vec<Term>,
}

impl Logistic {
    /// Log-odds for `measured`.
    pub fn log_odds(&self, measured: &Measurements) -> f64 {
        self.terms
            .iter()
            .map(|term| match term.feature.value(measured) {
                Some(value) => term.weight * value,
                None => term.missing,
            })
            .sum::<f64>()
            + self.bias
    }

    /// The model whose log-odds are `slope` times these plus `shift` (`slope` > 0).
    pub(super) fn rescaled(mut self, slope: f64, shift: f64) -> Self {
        self.bias = self.bias * slope + shift;
        for term in &mut self.terms {
            term.weight *= slope;
            term.missing *= slope;
        }
        self
    }
}
