//! How often a key may ask.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::super::problem::{Problem, ProblemKind};

/// Requests of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRate {
    /// In the long run, a second.
    pub per_second: NonZeroU32,
    /// At once, after a pause.
    pub burst: NonZeroU32,
}

/// Requests after which keys that have long been quiet are forgotten.
const SWEEP_EVERY: u32 = 10_000;

/// Counts the requests of each key.
pub(super) struct Meter {
    limiter: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
    n_asked: AtomicU32,
}

impl Meter {
    pub fn new(rate: KeyRate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            limiter: RateLimiter::keyed(quota),
            clock: DefaultClock::default(),
            n_asked: AtomicU32::new(0),
        }
    }

    /// Counts a request of `key`, or refuses it, saying when to come again.
    pub fn check(&self, key: &str) -> Result<(), Problem> {
        if self.n_asked.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let Err(too_soon) = self.limiter.check_key(&key.to_owned()) else {
            return Ok(());
        };
        let wait = too_soon.wait_time_from(self.clock.now());
        let detail = "this key asks more often than it may: wait, then go on more slowly";
        Err(Problem {
            // Rounded up: a client that waits so long is let in.
            retry_after_s: Some(wait.as_secs() + 1),
            ..Problem::new(ProblemKind::TooManyRequests, detail)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_a_rate_of_its_own() {
        let n = |n| NonZeroU32::new(n).expect("not 0");
        let meter = Meter::new(KeyRate {
            per_second: n(1),
            burst: n(3),
        });
        let n_let_in = (0..5).filter(|_| meter.check("a").is_ok()).count();
        assert_eq!(n_let_in, 3);
        let refused = meter.check("a").expect_err("too many");
        assert_eq!(refused.kind, ProblemKind::TooManyRequests);
        assert!(matches!(refused.retry_after_s, Some(1..=2)));
        assert!(meter.check("b").is_ok());
    }
}
