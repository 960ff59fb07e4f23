//! Fitting a judge to labelled measurements.
//!
//! Why not a library's logistic regression: none that we found keeps weights non-negative, and
//! without that a judge fitted on one kind of picture learns that less evidence is better.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Feature, Judge, Logistic, Term, features_of, kinds_for, probability};
use crate::domain::{AssetKind, FindingKind, Measurements};

/// What a person said of one candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelledRow {
    /// Rows of one photo share this number.
    pub photo_idx: usize,
    /// What the asset is.
    pub asset_kind: AssetKind,
    /// What was measured.
    pub measured: Measurements,
    /// The way in which the photo uses this asset; `None`: it does not.
    pub truth: Option<FindingKind>,
    /// How much it counts, more than 0; 1 for an ordinary row.
    pub weight: f64,
}

/// Why nothing could be fitted.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FitError {
    /// There are no rows at all of one of the two classes, for every kind.
    #[error("no finding kind has both right and wrong candidates among {n_rows} labelled rows")]
    OneClassOnly {
        /// Rows given.
        n_rows: usize,
    },
}

/// Fewest right candidates from which a model is fitted.
const MIN_RIGHT: usize = 8;
/// Pull of every weight towards zero, per row. Drawn pictures are not photos: a strong pull spreads the
/// weight over all that agrees instead of what happens to be cleanest in the drawings. On real photos
/// results are alike from 0.005 to 0.04, and worse below (`benches/RESULTS.md`, 28 November 2026).
const RIDGE: f64 = 0.015;
const MAX_STEPS: usize = 4000;

/// Fits one model for each kind that has enough rows of both classes.
///
/// The weights come from all candidates, and tell the kinds apart. Then slope and shift are set on each
/// photo's best candidate alone, since that is what is reported, and the best of many looks better
/// than it is; there a candidate is right when the photo uses the asset in any way: which kind it is
/// is for the kinds' log-odds to settle among themselves.
///
/// # Errors
/// [`FitError::OneClassOnly`] when no kind can be fitted.
pub fn fit_judge(rows: &[LabelledRow], provenance: &str) -> Result<Judge, FitError> {
    let models: std::collections::BTreeMap<_, _> = FindingKind::ALL
        .into_iter()
        .filter_map(|kind| Some((kind, fit_kind(kind, rows)?)))
        .collect();
    if models.is_empty() {
        return Err(FitError::OneClassOnly { n_rows: rows.len() });
    }
    Ok(Judge {
        provenance: provenance.to_owned(),
        models,
    })
}

fn fit_kind(kind: FindingKind, rows: &[LabelledRow]) -> Option<Logistic> {
    let relevant: Vec<&LabelledRow> = rows
        .iter()
        .filter(|row| kinds_for(row.asset_kind).contains(&kind))
        .collect();
    let is_right = |row: &LabelledRow| row.truth.map(judged_as) == Some(kind);
    let n_right = relevant.iter().filter(|row| is_right(row)).count();
    if features_of(kind).is_empty() || n_right < MIN_RIGHT || n_right == relevant.len() {
        return None;
    }
    let examples: Vec<Example> = relevant
        .iter()
        .filter(|row| says_something_of(kind, row.truth))
        .map(|row| Example {
            measured: &row.measured,
            is_right: is_right(row),
            weight: row.weight,
        })
        .collect();
    let model = fit_weights(features_of(kind), &examples);
    let best = best_of_each_photo(&model, &relevant);
    let (slope, shift) = fit_scale(
        &best
            .iter()
            .map(|row| {
                (
                    model.log_odds(&row.measured),
                    row.truth.is_some(),
                    row.weight,
                )
            })
            .collect::<Vec<_>>(),
    );
    Some(model.rescaled(slope, shift))
}

/// Whether a candidate of which `truth` is known is an example for or against `kind`. A copy of the brand's
/// picture shows the product, and agrees with it better than any other photo does: counted as no lookalike, it
/// teaches that agreement is no evidence. The other way it holds: another photo of the product is no copy.
fn says_something_of(kind: FindingKind, truth: Option<FindingKind>) -> bool {
    !(kind == FindingKind::LookalikeProduct && truth == Some(FindingKind::StolenPhoto))
}

/// The kind whose model says how sure a finding of `kind` is: an altered mark is judged as the mark.
fn judged_as(kind: FindingKind) -> FindingKind {
    match kind {
        FindingKind::AlteredLogo => FindingKind::LogoPresent,
        other => other,
    }
}

fn best_of_each_photo<'a>(model: &Logistic, rows: &[&'a LabelledRow]) -> Vec<&'a LabelledRow> {
    let mut best: std::collections::BTreeMap<usize, (f64, &LabelledRow)> =
        std::collections::BTreeMap::new();
    for &row in rows {
        let log_odds = model.log_odds(&row.measured);
        let entry = best.entry(row.photo_idx).or_insert((log_odds, row));
        if log_odds > entry.0 {
            *entry = (log_odds, row);
        }
    }
    best.into_values().map(|(_, row)| row).collect()
}

/// One row for one kind.
struct Example<'a> {
    measured: &'a Measurements,
    is_right: bool,
    weight: f64,
}

/// A design row: the standardised value where present, and whether it is missing.
struct Design {
    values: Vec<f64>,
    missing: Vec<f64>,
    is_right: bool,
    weight: f64,
}

/// Mean and spread of each feature where it is present.
fn moments(features: &[Feature], examples: &[Example<'_>]) -> Vec<(f64, f64)> {
    let moment = |feature: &Feature| {
        let present: Vec<f64> = examples
            .iter()
            .filter_map(|example| feature.value(example.measured))
            .collect();
        let n = present.len().max(1) as f64;
        let mean = present.iter().sum::<f64>() / n;
        let variance = present.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt().max(1e-6))
    };
    features.iter().map(moment).collect()
}

/// Projected gradient ascent with momentum on the penalised likelihood; convex, so it cannot get stuck.
fn fit_weights(features: &[Feature], examples: &[Example<'_>]) -> Logistic {
    let moments = moments(features, examples);
    let design: Vec<Design> = examples
        .iter()
        .map(|example| {
            let values: Vec<Option<f64>> =
                features.iter().map(|f| f.value(example.measured)).collect();
            Design {
                missing: values
                    .iter()
                    .map(|v| f64::from(u8::from(v.is_none())))
                    .collect(),
                values: values
                    .iter()
                    .zip(&moments)
                    .map(|(v, (mean, spread))| v.map_or(0.0, |v| (v - mean) / spread))
                    .collect(),
                is_right: example.is_right,
                weight: example.weight,
            }
        })
        .collect();
    let n = features.len();
    // Parameters: weights, offsets for missing, bias.
    let mut parameters = vec![0.0; 2 * n + 1];
    let mut ahead = parameters.clone();
    let pulls = pulls(features, &design);
    // The logistic's curvature is at most a quarter of the mean squared row length.
    let mean_square = design
        .iter()
        .map(|d| d.weight * (1.0 + sum_of_squares(&d.values) + sum_of_squares(&d.missing)))
        .sum::<f64>()
        / design.iter().map(|d| d.weight).sum::<f64>();
    let step = 1.0 / (0.25 * mean_square + RIDGE);
    for i in 0..MAX_STEPS {
        let gradient = gradient(&ahead, &design, &pulls);
        let mut next: Vec<f64> = ahead
            .iter()
            .zip(&gradient)
            .map(|(p, g)| p + step * g)
            .collect();
        next[..n].iter_mut().for_each(|w| *w = w.max(0.0));
        let momentum = i as f64 / (i as f64 + 3.0);
        ahead = next
            .iter()
            .zip(&parameters)
            .map(|(new, old)| new + momentum * (new - old))
            .collect();
        parameters = next;
    }
    unstandardised(features, &moments, &parameters)
}

/// Pull of each parameter but the bias: weights, then offsets for missing. What is measured of few
/// candidates is pulled less, or its weight would say how often it is measured rather than what it
/// says.
fn pulls(features: &[Feature], design: &[Design]) -> Vec<f64> {
    let total: f64 = design.iter().map(|row| row.weight).sum();
    let of_weight = features.iter().enumerate().map(|(i, feature)| {
        let present: f64 = design
            .iter()
            .map(|row| row.weight * (1.0 - row.missing[i]))
            .sum();
        let share = present / total;
        RIDGE
            * if feature.is_contest() {
                share
            } else {
                share.sqrt()
            }
    });
    let of_missing = std::iter::repeat_n(RIDGE, features.len());
    of_weight.chain(of_missing).collect()
}

fn sum_of_squares(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}

fn gradient(parameters: &[f64], design: &[Design], pulls: &[f64]) -> Vec<f64> {
    let n = pulls.len() / 2;
    let mut gradient = vec![0.0; parameters.len()];
    for row in design {
        let mut log_odds = parameters[2 * n];
        for i in 0..n {
            log_odds += parameters[i] * row.values[i] + parameters[n + i] * row.missing[i];
        }
        let error = row.weight * (f64::from(u8::from(row.is_right)) - probability(log_odds));
        for i in 0..n {
            gradient[i] += error * row.values[i];
            gradient[n + i] += error * row.missing[i];
        }
        gradient[2 * n] += error;
    }
    let n_rows: f64 = design.iter().map(|row| row.weight).sum();
    for (i, g) in gradient.iter_mut().enumerate() {
        let pull = pulls.get(i).copied().unwrap_or(0.0);
        *g = *g / n_rows - pull * parameters[i];
    }
    gradient
}

fn unstandardised(features: &[Feature], moments: &[(f64, f64)], parameters: &[f64]) -> Logistic {
    let n = features.len();
    let mut bias = parameters[2 * n];
    let mut terms = Vec::with_capacity(n);
    for (i, &feature) in features.iter().enumerate() {
        let (mean, spread) = moments[i];
        let weight = parameters[i] / spread;
        bias -= weight * mean;
        // Present features carry `-weight * mean` in the bias; a missing one must not.
        terms.push(Term {
            feature,
            weight,
            missing: parameters[n + i] + weight * mean,
        });
    }
    Logistic { bias, terms }
}

/// Slope and shift of log-odds that fit `best` (Platt scaling with his smoothed targets).
fn fit_scale(best: &[(f64, bool, f64)]) -> (f64, f64) {
    let weight_of = |wanted: bool| -> f64 {
        best.iter()
            .filter(|(_, right, _)| *right == wanted)
            .map(|(_, _, weight)| weight)
            .sum()
    };
    let (n_right, n_wrong) = (weight_of(true), weight_of(false));
    if n_right < 1.0 || n_wrong < 1.0 {
        return (1.0, 0.0);
    }
    let target = |right: bool| {
        if right {
            (n_right + 1.0) / (n_right + 2.0)
        } else {
            1.0 / (n_wrong + 2.0)
        }
    };
    let (mut slope, mut shift) = (1.0, 0.0);
    for _ in 0..200 {
        let (mut g, mut h) = ([0.0; 2], [1e-9, 0.0, 1e-9]);
        for &(x, right, weight) in best {
            let p = probability(slope * x + shift);
            let (error, curvature) = (weight * (target(right) - p), weight * p * (1.0 - p));
            g[0] += error * x;
            g[1] += error;
            h[0] += curvature * x * x;
            h[1] += curvature * x;
            h[2] += curvature;
        }
        let determinant = (h[0] * h[2] - h[1] * h[1]).max(1e-9);
        // Damped: a full Newton step can leave the region where the likelihood is nearly quadratic.
        let step = [
            0.5 * (h[2] * g[0] - h[1] * g[1]) / determinant,
            0.5 * (h[0] * g[1] - h[1] * g[0]) / determinant,
        ];
        slope = (slope + step[0].clamp(-0.5, 0.5)).max(0.05);
        shift += step[1].clamp(-2.0, 2.0);
    }
    (slope, shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(photo_idx: usize, z: f32, inliers: Option<f32>, truth: bool) -> LabelledRow {
        LabelledRow {
            photo_idx,
            asset_kind: AssetKind::Logo,
            measured: Measurements {
                window_lift: Some(z),
                inliers,
                ..Measurements::default()
            },
            truth: truth.then_some(FindingKind::LogoPresent),
            weight: 1.0,
        }
    }

    fn noisy_rows() -> Vec<LabelledRow> {
        // A fixed pattern: z decides, with one exception in ten.
        (0..400)
            .map(|i| {
                let z = (i % 20) as f32 / 2.0;
                let truth = (z > 5.0) != (i % 10 == 3);
                row(i, z, (i % 3 == 0).then_some(z * 2.0), truth)
            })
            .collect()
    }

    #[test]
    fn finds_the_weight_that_explains_the_labels_and_states_honest_probabilities() {
        let rows = noisy_rows();
        let judge = fit_judge(&rows, "test").expect("both classes");
        let stated: f64 = rows
            .iter()
            .filter_map(|r| judge.log_odds(FindingKind::LogoPresent, &r.measured))
            .map(probability)
            .sum();
        let seen = rows.iter().filter(|r| r.truth.is_some()).count() as f64;
        assert!(
            (stated - seen).abs() / seen < 0.03,
            "{stated} against {seen}"
        );
        let low = judge.log_odds(FindingKind::LogoPresent, &row(0, 1.0, None, false).measured);
        let high = judge.log_odds(FindingKind::LogoPresent, &row(0, 9.0, None, false).measured);
        assert!(high > low);
    }

    #[test]
    fn refuses_one_class() {
        let rows: Vec<_> = (0..20).map(|i| row(i, 1.0, None, true)).collect();
        assert_eq!(
            fit_judge(&rows, "test"),
            Err(FitError::OneClassOnly { n_rows: 20 })
        );
    }

    #[test]
    fn missing_is_not_zero() {
        // Inliers are present only on right rows, with value 0: missing must then count against.
        let rows: Vec<_> = (0..200)
            .map(|i| row(i, 0.0, (i % 2 == 0).then_some(0.0), i % 2 == 0))
            .collect();
        let judge = fit_judge(&rows, "test").expect("both classes");
        let kind = FindingKind::LogoPresent;
        let present = judge.log_odds(kind, &rows[0].measured);
        let missing = judge.log_odds(kind, &rows[1].measured);
        assert!(present > missing);
    }

    #[test]
    fn a_copy_says_nothing_against_a_lookalike() {
        // Of copies more agrees than of the product taken again; of what is neither, little.
        let truths = [
            (Some(FindingKind::StolenPhoto), 40.0),
            (Some(FindingKind::LookalikeProduct), 12.0),
            (None, 4.0),
        ];
        let rows: Vec<_> = (0..300)
            .map(|i| {
                let (truth, inliers) = truths[i % 3];
                LabelledRow {
                    asset_kind: AssetKind::Packaging,
                    truth,
                    ..row(i, 0.0, Some(inliers + (i % 7) as f32), false)
                }
            })
            .collect();
        let judge = fit_judge(&rows, "test").expect("both classes");
        let log_odds = |row: &LabelledRow| {
            judge
                .log_odds(FindingKind::LookalikeProduct, &row.measured)
                .expect("a model")
        };
        assert!(log_odds(&rows[0]) > log_odds(&rows[1]));
        assert!(log_odds(&rows[1]) > 0.0 && log_odds(&rows[2]) < 0.0);
    }

    proptest! {
        #[test]
        fn more_evidence_never_lowers_the_probability(z in 0f32..10.0, more in 0f32..10.0) {
            static JUDGE: std::sync::OnceLock<Judge> = std::sync::OnceLock::new();
            let judge = JUDGE.get_or_init(|| fit_judge(&noisy_rows(), "test").expect("both classes"));
            let kind = FindingKind::LogoPresent;
            let before = judge.log_odds(kind, &row(0, z, Some(z), false).measured);
            let after = judge.log_odds(kind, &row(0, z + more, Some(z + more), false).measured);
            prop_assert!(after >= before);
        }
    }
}
