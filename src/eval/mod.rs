//! How good the answers are: recall, precision, µAP and calibration error, as defined for the DISC21
//! image-similarity challenge. Pure: answers in, numbers out; ties always count against us.

use serde::Serialize;

/// One photo's one answer: its best-scoring label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// What answers are ranked by; greater is surer. Not NaN.
    pub score: f64,
    /// Probability reported with it, `0..=1`.
    pub probability: f64,
    /// Whether the label is the expected one; never true without an expected label.
    pub is_right: bool,
    /// Whether the photo has an expected label at all.
    pub has_label: bool,
}

/// The figures that can be computed from answers alone. Shares are `0..=1`; `None` where there is
/// nothing to divide by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quality {
    /// Right answers over photos with an expected label.
    pub recall_at_1: Option<f64>,
    /// Area under precision–recall, recall over photos with an expected label.
    pub micro_ap: Option<f64>,
    /// Largest recall at precision ≥ 0.90.
    pub recall_at_p90: Option<f64>,
    /// Largest recall at precision ≥ 0.99.
    pub recall_at_p99: Option<f64>,
    /// Share of the labelled photos that are right and score above the 99th percentile of the photos
    /// without a label: the recall at 1 % false alarms.
    pub recall_at_fa1: Option<f64>,
    /// Photos with an expected label.
    pub n_positive: usize,
    /// Photos without one.
    pub n_negative: usize,
    /// Expected calibration error of the probability, 15 equal-mass bins.
    pub calibration_error: Option<f64>,
}

impl Quality {
    /// Measures `answers`, one per photo, in any order.
    pub fn of(answers: &[Answer]) -> Self {
        let n_positive = answers.iter().filter(|a| a.has_label).count();
        let ranked = ranked_pessimistically(answers);
        let share = |n: usize| (n_positive > 0).then(|| n as f64 / n_positive as f64);
        Self {
            recall_at_1: share(answers.iter().filter(|a| a.is_right).count()),
            micro_ap: (n_positive > 0).then(|| average_precision(&ranked, n_positive)),
            recall_at_p90: share(right_at_precision(&ranked, 0.90)),
            recall_at_p99: share(right_at_precision(&ranked, 0.99)),
            recall_at_fa1: false_alarm_threshold(answers, 0.99).and_then(|threshold| {
                share(
                    answers
                        .iter()
                        .filter(|a| a.is_right && a.score > threshold)
                        .count(),
                )
            }),
            n_positive,
            n_negative: answers.len() - n_positive,
            calibration_error: calibration_error(answers, 15),
        }
    }
}

/// Best score first; among equals the wrong answers come first.
fn ranked_pessimistically(answers: &[Answer]) -> Vec<Answer> {
    let mut ranked = answers.to_vec();
    ranked.sort_by(|a, b| {
        b.score
            .total_cmp(&a.score)
            .then(a.is_right.cmp(&b.is_right))
    });
    ranked
}

fn average_precision(ranked: &[Answer], n_positive: usize) -> f64 {
    let mut n_right = 0usize;
    let mut sum = 0.0;
    for (position, answer) in ranked.iter().enumerate() {
        if answer.is_right {
            n_right += 1;
            sum += n_right as f64 / (position + 1) as f64;
        }
    }
    sum / n_positive as f64
}

/// Most right answers in any prefix of the ranking whose precision is at least `precision`.
fn right_at_precision(ranked: &[Answer], precision: f64) -> usize {
    let mut n_right = 0usize;
    let mut best = 0;
    for (position, answer) in ranked.iter().enumerate() {
        n_right += usize::from(answer.is_right);
        // The small slack keeps 9 of 10 at 0.90 despite rounding.
        if n_right as f64 + 1e-9 >= precision * (position + 1) as f64 {
            best = best.max(n_right);
        }
    }
    best
}

/// The score that a share `quantile` of the photos without a label does not exceed (nearest rank).
fn false_alarm_threshold(answers: &[Answer], quantile: f64) -> Option<f64> {
    let mut scores: Vec<f64> = answers
        .iter()
        .filter(|a| !a.has_label)
        .map(|a| a.score)
        .collect();
    scores.sort_by(f64::total_cmp);
    let rank = (quantile * scores.len() as f64 - 1e-9).ceil() as usize;
    scores.get(rank.saturating_sub(1)).copied()
}

/// Mean distance between the reported probability and the share of right answers, over bins that
/// hold equally many answers.
fn calibration_error(answers: &[Answer], n_bins: usize) -> Option<f64> {
    if answers.is_empty() {
        return None;
    }
    let mut by_probability = answers.to_vec();
    // Right answers last among equals: which bin a tie falls in must not depend on the input order.
    by_probability.sort_by(|a, b| {
        a.probability
            .total_cmp(&b.probability)
            .then(a.is_right.cmp(&b.is_right))
    });
    let n = by_probability.len();
    let gap = |bin: &[Answer]| {
        let stated: f64 = bin.iter().map(|a| a.probability).sum();
        let seen = bin.iter().filter(|a| a.is_right).count() as f64;
        (stated - seen).abs()
    };
    let total: f64 = (0..n_bins)
        .map(|i| gap(&by_probability[i * n / n_bins..(i + 1) * n / n_bins]))
        .sum();
    Some(total / n as f64)
}

/// The value below which a share `quantile` of `values` lies (nearest rank); `None` for no values.
pub fn percentile(values: &[f64], quantile: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(score: f64, is_right: bool, has_label: bool) -> Answer {
        Answer {
            score,
            probability: score,
            is_right,
            has_label,
        }
    }

    #[test]
    fn perfect_answers_score_one_everywhere() {
        let mut answers: Vec<_> = (0..50)
            .map(|i| answer(1.0 + f64::from(i), true, true))
            .collect();
        answers.extend((0..200).map(|i| answer(-f64::from(i), false, false)));
        let quality = Quality::of(&answers);
        for figure in [
            quality.recall_at_1,
            quality.micro_ap,
            quality.recall_at_p90,
            quality.recall_at_p99,
            quality.recall_at_fa1,
        ] {
            assert_eq!(figure, Some(1.0));
        }
        assert_eq!((quality.n_positive, quality.n_negative), (50, 200));
    }

    #[test]
    fn figures_of_a_small_ranking_by_hand() {
        // right, wrong (no label), right, and one labelled photo answered wrongly.
        let answers = [
            answer(0.9, true, true),
            answer(0.8, false, false),
            answer(0.7, true, true),
            answer(0.1, false, true),
        ];
        let quality = Quality::of(&answers);
        assert_eq!(quality.recall_at_1, Some(2.0 / 3.0));
        assert!((quality.micro_ap.expect("positives") - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
        assert_eq!(quality.recall_at_p90, Some(1.0 / 3.0));
        assert_eq!(quality.recall_at_fa1, Some(1.0 / 3.0));
    }

    #[test]
    fn ties_count_against_us() {
        let answers = [answer(0.5, true, true), answer(0.5, false, false)];
        let quality = Quality::of(&answers);
        assert_eq!(quality.micro_ap, Some(0.5));
        assert_eq!(quality.recall_at_p90, Some(0.0));
        assert_eq!(quality.recall_at_fa1, Some(0.0));
    }

    #[test]
    fn nothing_to_divide_by_is_no_figure() {
        let quality = Quality::of(&[]);
        assert_eq!(quality.recall_at_1, None);
        assert_eq!(quality.calibration_error, None);
        assert_eq!(Quality::of(&[answer(0.5, true, true)]).recall_at_fa1, None);
    }

    #[test]
    fn calibration_error_is_the_gap_between_word_and_deed() {
        // 15 answers at 0.8 of which 12 are right would be honest; here 9 are.
        let answers: Vec<_> = (0..150)
            .map(|i| Answer {
                score: 0.0,
                probability: 0.8,
                is_right: i % 15 < 9,
                has_label: true,
            })
            .collect();
        let error = calibration_error(&answers, 1).expect("answers");
        assert!((error - 0.2).abs() < 1e-9);
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), Some(50.0));
        assert_eq!(percentile(&values, 0.99), Some(99.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    proptest! {
        #[test]
        fn figures_are_shares_and_ordered(
            raw in prop::collection::vec((0u8..20, any::<bool>(), any::<bool>()), 1..80)
        ) {
            let answers: Vec<_> = raw
                .iter()
                .map(|&(score, right, label)| answer(f64::from(score) / 20.0, right && label, label))
                .collect();
            let quality = Quality::of(&answers);
            if let (Some(r1), Some(p90), Some(p99), Some(ap)) = (
                quality.recall_at_1,
                quality.recall_at_p90,
                quality.recall_at_p99,
                quality.micro_ap,
            ) {
                prop_assert!(p99 <= p90 && p90 <= r1 && ap <= r1 + 1e-12);
            }
            let error = quality.calibration_error.expect("answers");
            prop_assert!((0.0..=1.0).contains(&error));
        }
    }
}
