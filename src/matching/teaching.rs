//! What people's decisions on a brand's findings teach: how far its probabilities are off, and from
//! which one its findings may be flagged so that a promise on their precision is kept.
//!
//! Pure: decided findings in, numbers out. Which decisions count is the store's to say, what is done
//! with the numbers the engine's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::judge::probability;
use crate::domain::{Decided, Promise};

/// What is learnt of a brand, as it is applied to its findings.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lesson {
    /// What is added to the log-odds of its findings.
    pub bias: f64,
    /// What it was promised, and from which probability that is kept.
    pub promise: Option<Promise>,
}

/// Standard deviation of the prior of a brand's bias, in log-odds: of most brands the odds are right within
/// a factor of 1.6. Two rejections of findings of 0.9 then make 0.85 of the next one, ten 0.64, and a
/// hundred 0.16.
const PRIOR_SD: f64 = 0.5;
/// Biases are told apart in such steps of log-odds (at most 1.3 points of a probability), so that a further
/// decision seldom changes answers that were given before.
const BIAS_STEP: f64 = 0.05;
/// Log-odds beyond which probabilities are all but certain; those of 0 and 1 are taken to lie here.
const MAX_LOG_ODDS: f64 = 12.0;

/// What is to be added to the log-odds of a brand's findings, in steps of 0.05.
///
/// The most probable one under a Gaussian prior around 0 of standard deviation 0.5: few decisions move it
/// a little, many as far as they say. A bias only, no slope: with the tens of decisions that a brand has
/// a slope is not known well enough to be worth its variance. One number also keeps the order of the brand's
/// findings, so that nothing that was surer becomes less sure than another.
pub fn bias(decided: &[Decided]) -> f64 {
    let precision = PRIOR_SD.powi(-2);
    // The derivative of the log-posterior falls strictly, from above 0 to below, between these bounds.
    let bound = decided.len() as f64 / precision + 1.0;
    let slope = |bias: f64| {
        let errors = decided.iter().map(|one| {
            f64::from(u8::from(one.is_right)) - probability(log_odds(one.probability) + bias)
        });
        errors.sum::<f64>() - precision * bias
    };
    let root = bisect(-bound, bound, |bias| slope(bias) > 0.0);
    // Not -0.
    (root / BIAS_STEP).round() * BIAS_STEP + 0.0
}

/// A probability with `bias` added to its log-odds; exactly the same where there is none.
pub fn shifted(probability_before: f64, bias: f64) -> f64 {
    if bias == 0.0 {
        return probability_before;
    }
    probability(log_odds(probability_before) + bias)
}

fn log_odds(probability: f64) -> f64 {
    (probability / (1.0 - probability))
        .ln()
        .clamp(-MAX_LOG_ODDS, MAX_LOG_ODDS)
}

/// Where `is_below` turns from true to false between `low` and `high`.
fn bisect(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// One promise in ten may rest on luck.
pub const LUCK: f64 = 0.1;
/// Probabilities, as the judge gives them, from which flagging is tried. Fixed before anything was decided:
/// thresholds chosen between the very decisions that they are tested on would promise too much.
const THRESHOLDS: [f64; 7] = [0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99];

/// From where a brand's findings may be flagged, and what that rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Grounds {
    /// Decided findings from the threshold on; from the lowest one tried where none keeps the promise.
    pub n_decided: usize,
    /// Of these, those that were confirmed.
    pub n_right: usize,
    /// The precision above the threshold is at least this, one time in ten aside; `0..=1`.
    pub bound: f64,
    /// Decided findings, all confirmed, that would be enough.
    pub n_needed: usize,
}

/// The lowest of the thresholds from which findings were right often enough that their precision is at
/// least `precision` (`0..1`), as a [`Promise`] whose threshold is that of probabilities with `bias`
/// added; without a threshold where the decisions do not bear the promise out.
///
/// The bound is that of Clopper and Pearson: with a few dozen decisions, nearly all right, Wilson's
/// interval and the like promise more than they keep, and this one never does. Several thresholds are
/// tried on the same decisions, so each is allowed only its part of [`LUCK`] (Bonferroni); those that have too few
/// decisions to pass whatever these say are not tried and take no part. That assumes decisions that do
/// not depend on each other, and future findings like the decided ones.
pub fn keep_promise(decided: &[Decided], precision: f64, bias: f64) -> (Promise, Grounds) {
    let above = |threshold: f64| {
        let counted = decided.iter().filter(|one| one.probability >= threshold);
        let (n, n_right) = counted.fold((0, 0), |(n, right), one| {
            (n + 1, right + usize::from(one.is_right))
        });
        (threshold, n, n_right)
    };
    // The same findings from two thresholds are one test.
    let mut tests: Vec<(f64, usize, usize)> = THRESHOLDS.into_iter().map(above).collect();
    tests.dedup_by_key(|(_, n, _)| *n);
    // Thresholds rise, so that counts fall: the first `n_tests` are those with the most decisions.
    let n_tests = (1..=tests.len())
        .rev()
        .find(|&n_tests| tests[n_tests - 1].1 >= n_enough(precision, LUCK / n_tests as f64));
    let luck = LUCK / n_tests.unwrap_or(1) as f64;
    let tried = &tests[..n_tests.unwrap_or(0)];
    let kept = tried
        .iter()
        .find(|(_, n, n_right)| least_precision(*n_right, *n, luck) >= precision);
    let (_, n_decided, n_right) = *kept.unwrap_or(&tests[0]);
    let promise = Promise {
        precision,
        flag_at: kept.map(|(threshold, ..)| shifted(*threshold, bias)),
    };
    let grounds = Grounds {
        n_decided,
        n_right,
        bound: least_precision(n_right, n_decided, luck),
        n_needed: n_enough(precision, luck),
    };
    (promise, grounds)
}

/// Decisions, all right, from which on a precision is borne out: `luck` is at least its n-th power.
fn n_enough(precision: f64, luck: f64) -> usize {
    (luck.ln() / precision.ln() - 1e-9).ceil().max(1.0) as usize
}

/// The lower bound of Clopper and Pearson on a share of which `n_right` of `n` were seen: were it any less,
/// so many would be seen with a probability of less than `luck`. 0 where nothing was seen.
pub fn least_precision(n_right: usize, n: usize, luck: f64) -> f64 {
    if n_right == 0 {
        return 0.0;
    }
    bisect(0.0, 1.0, |share| at_least(n_right, n, share) < luck)
}

/// Probabilities, as the judge gives them, between which findings are alike enough to be counted together.
const BANDS: [f64; 6] = [0.0, 0.5, 0.8, 0.9, 0.97, 1.0];

/// How findings of a brand that were about as probable as one turned out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reliability {
    /// Probabilities of those counted: from the first to the second, as the judge gives them.
    pub band: [f64; 2],
    /// Of these, those that were decided.
    pub n_decided: usize,
    /// Of these, those that were confirmed.
    pub n_right: usize,
    /// The share that is right lies between these, one time in ten aside (Clopper and Pearson); `0..=1`.
    pub range: [f64; 2],
}

/// How the findings among `decided` that were about as probable as `probability` (as the judge gives it) turned
/// out.
pub fn reliability(decided: &[Decided], probability: f64) -> Reliability {
    let band_of = |probability: f64| {
        let above = BANDS[1..BANDS.len() - 1].iter();
        above.filter(|&&edge| probability >= edge).count()
    };
    let place = band_of(probability);
    let counted = decided
        .iter()
        .filter(|one| band_of(one.probability) == place);
    let (n_decided, n_right) = counted.fold((0, 0), |(n, right), one| {
        (n + 1, right + usize::from(one.is_right))
    });
    let low = least_precision(n_right, n_decided, LUCK / 2.0);
    let high = 1.0 - least_precision(n_decided - n_right, n_decided, LUCK / 2.0);
    Reliability {
        band: [BANDS[place], BANDS[place + 1]],
        n_decided,
        n_right,
        range: [low, high],
    }
}

/// Probability of at least `k` of `n`, each of probability `share`.
fn at_least(k: usize, n: usize, share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return f64::from(u8::from(k == 0 || share >= 1.0));
    }
    let (with, without) = (share.ln(), (1.0 - share).ln());
    // Logarithm of the probability of exactly n, then n - 1, and so on down to k.
    let mut exactly = n as f64 * with;
    let mut sum = exactly.exp();
    for right in (k..n).rev() {
        exactly += ((right + 1) as f64).ln() - ((n - right) as f64).ln() + without - with;
        sum += exactly.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decided(probability: f64, n_right: usize, n_wrong: usize) -> Vec<Decided> {
        let one = |is_right| Decided {
            probability,
            is_right,
        };
        let mut all = vec![one(true); n_right];
        all.extend(vec![one(false); n_wrong]);
        all
    }

    #[test]
    fn few_decisions_move_a_probability_a_little_and_many_as_far_as_they_say() {
        let after = |n_right, n_wrong| shifted(0.9, bias(&decided(0.9, n_right, n_wrong)));
        assert_eq!(bias(&[]), 0.0);
        assert!((after(0, 2) - 0.85).abs() < 0.01, "{}", after(0, 2));
        assert!((after(0, 10) - 0.64).abs() < 0.01, "{}", after(0, 10));
        assert!((after(400, 400) - 0.5).abs() < 0.02, "{}", after(400, 400));
        assert!((after(900, 100) - 0.9).abs() < 0.01, "{}", after(900, 100));
    }

    #[test]
    fn findings_about_as_probable_say_how_far_a_probability_can_be_relied_on() {
        let all = [
            decided(0.95, 9, 1),
            decided(0.99, 50, 0),
            decided(0.6, 1, 3),
        ]
        .concat();
        let near = reliability(&all, 0.9);
        assert_eq!(
            (near.band, near.n_decided, near.n_right),
            ([0.9, 0.97], 10, 9)
        );
        // R: binom.test(9, 10, conf.level = 0.9)$conf.int
        assert!((near.range[0] - 0.606).abs() < 0.001 && (near.range[1] - 0.995).abs() < 0.001);
        let sure = reliability(&all, 1.0);
        assert_eq!((sure.n_decided, sure.range[1]), (50, 1.0));
        let none = reliability(&all, 0.85);
        assert_eq!((none.n_decided, none.range), (0, [0.0, 1.0]));
        assert_eq!(reliability(&all, 0.0).band, [0.0, 0.5]);
    }

    #[test]
    fn the_bound_is_that_of_clopper_and_pearson() {
        // R: binom.test(k, n, alternative = "greater", conf.level = 0.9)$conf.int[1]
        for (n_right, n, bound) in [
            (45, 45, 0.1f64.powf(1.0 / 45.0)),
            (1, 1, 0.1),
            (9, 10, 0.663_152_3),
            (95, 100, 0.909_183_0),
            (0, 10, 0.0),
        ] {
            let found = least_precision(n_right, n, 0.1);
            assert!((found - bound).abs() < 1e-4, "{n_right} of {n}: {found}");
        }
    }

    #[test]
    fn a_promise_is_kept_from_the_lowest_threshold_that_bears_it_out() {
        let (promise, grounds) = keep_promise(&decided(0.97, 44, 0), 0.95, 0.0);
        assert_eq!((promise.flag_at, grounds.n_needed), (None, 45));
        let (promise, grounds) = keep_promise(&decided(0.97, 45, 0), 0.95, 0.0);
        assert_eq!(
            promise.flag_at,
            Some(0.5),
            "all of one probability: one test"
        );
        assert!(grounds.bound >= 0.95);
        // Where the less sure ones are often wrong, only the surer are flagged.
        let mut mixed = decided(0.6, 10, 30);
        mixed.extend(decided(0.99, 120, 0));
        let (promise, grounds) = keep_promise(&mixed, 0.95, 0.0);
        assert_eq!(promise.flag_at, Some(0.65));
        assert_eq!((grounds.n_decided, grounds.n_right), (120, 120));
        let (promise, _) = keep_promise(&mixed, 0.95, 1.0);
        assert_eq!(promise.flag_at, Some(shifted(0.65, 1.0)));
        let (promise, grounds) = keep_promise(&decided(0.99, 150, 50), 0.95, 0.0);
        assert_eq!(promise.flag_at, None);
        assert_eq!((grounds.n_decided, grounds.n_right), (200, 150));
    }

    #[test]
    fn promises_are_broken_no_more_often_than_luck_allows() {
        // A brand whose findings are right just less often than promised, whatever their probability.
        let (precision, truth, n_trials) = (0.9, 0.89, 2000);
        let mut state = 7u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let n_broken = (0..n_trials)
            .filter(|_| {
                let findings: Vec<Decided> = (0..150)
                    .map(|_| Decided {
                        probability: 0.4 + 0.6 * uniform(),
                        is_right: uniform() < truth,
                    })
                    .collect();
                keep_promise(&findings, precision, 0.0).0.flag_at.is_some()
            })
            .count();
        let share = n_broken as f64 / f64::from(n_trials);
        assert!(share <= LUCK, "{share}");
        assert!(share > 0.0, "never flagging would keep every promise");
    }

    prop_compose! {
        fn some_decided()(p in 0f64..=1.0, is_right: bool) -> Decided {
            Decided { probability: p, is_right }
        }
    }

    proptest! {
        #[test]
        fn a_confirmation_never_lowers_and_a_rejection_never_raises(
            mut all in prop::collection::vec(some_decided(), 0..40), p in 0f64..=1.0
        ) {
            let before = bias(&all);
            all.push(Decided { probability: p, is_right: true });
            let confirmed = bias(&all);
            all.pop();
            all.push(Decided { probability: p, is_right: false });
            prop_assert!(confirmed >= before && bias(&all) <= before);
        }

        #[test]
        fn shifting_keeps_order_and_range(a in 0f64..=1.0, b in 0f64..=1.0, bias in -8f64..8.0) {
            let (low, high) = (shifted(a.min(b), bias), shifted(a.max(b), bias));
            prop_assert!(0.0 <= low && low <= high && high <= 1.0);
        }

        #[test]
        fn more_right_ones_raise_the_bound(n in 1usize..300, k in 0usize..300, luck in 0.01f64..0.5) {
            let k = k % n;
            let (fewer, more) = (least_precision(k, n, luck), least_precision(k + 1, n, luck));
            prop_assert!(fewer <= more);
            prop_assert!(fewer <= (k as f64 / n as f64) + 1e-9);
        }
    }
}
