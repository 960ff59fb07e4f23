//! One try to tell one thing, and what follows from it.

use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;

use super::signature::signatures;
use crate::fetch::{FetchError, Fetcher, Posted, jittered};
use crate::store::{ClaimedDelivery, Outcome, Settled};

/// Time for a receiver to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// First pause; each further one is four times as long.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(4 * 3600);
/// Seconds after which what could not be told is given up.
const GIVEN_UP_AFTER_S: i64 = 24 * 3600;

/// Tells a receiver, and says what came of it.
pub(super) async fn attempt(fetcher: &Fetcher, delivery: &ClaimedDelivery) -> (Outcome, Settled) {
    let started = Instant::now();
    let answer = post(fetcher, delivery).await;
    let elapsed_ms = started.elapsed().as_secs_f64() * 1e3;
    let settled = what_follows(&answer, delivery.n_tries, delivery.age_s);
    let outcome = match answer {
        Ok(posted) => Outcome {
            status: Some(posted.status),
            error: (!is_taken(posted.status))
                .then(|| format!("the receiver answers {}", posted.status)),
            elapsed_ms,
        },
        Err(error) => Outcome {
            status: None,
            error: Some(error.to_string()),
            elapsed_ms,
        },
    };
    (outcome, settled)
}

async fn post(fetcher: &Fetcher, delivery: &ClaimedDelivery) -> Result<Posted, FetchError> {
    let url = fetcher.policy().check_url(&delivery.url)?;
    let now_s = Timestamp::now().as_second();
    let (id, body) = (&delivery.message_id, &delivery.body);
    let signed = signatures(&delivery.secrets, id, now_s, body);
    let text = |text: &str| HeaderValue::from_str(text).expect("ids and base64 are header values");
    let headers = HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::HeaderName::from_static("webhook-id"), text(id)),
        (
            header::HeaderName::from_static("webhook-timestamp"),
            now_s.into(),
        ),
        (
            header::HeaderName::from_static("webhook-signature"),
            text(&signed),
        ),
    ]);
    fetcher
        .post(&url, headers, body.clone().into_bytes(), PATIENCE)
        .await
}

/// Whether a status says that the receiver took it.
fn is_taken(status: u16) -> bool {
    (200..300).contains(&status)
}

/// What follows from an answer to try `n_tries + 1` of what happened `age_s` seconds ago.
fn what_follows(answer: &Result<Posted, FetchError>, n_tries: u32, age_s: i64) -> Settled {
    let retry_after = match answer {
        Ok(posted) if is_taken(posted.status) => return Settled::Delivered,
        Ok(Posted { status: 410, .. }) => {
            return Settled::GivenUp {
                reason: "the receiver answered 410: it wants nothing any more".to_owned(),
                is_gone: true,
            };
        }
        Ok(posted) => posted.retry_after.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    };
    let pause = FIRST_PAUSE
        .saturating_mul(4u32.saturating_pow(n_tries))
        .min(LONGEST_PAUSE);
    let pause = jittered(pause).max(retry_after.min(LONGEST_PAUSE));
    if age_s + pause.as_secs() as i64 > GIVEN_UP_AFTER_S {
        return Settled::GivenUp {
            reason: "the receiver took nothing for a day".to_owned(),
            is_gone: false,
        };
    }
    Settled::Again {
        after_ms: pause.as_millis() as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after_s: Option<u64>) -> Result<Posted, FetchError> {
        Ok(Posted {
            status,
            retry_after: retry_after_s.map(Duration::from_secs),
        })
    }

    #[test]
    fn pauses_grow_to_hours_and_end_after_a_day() {
        let failed = answer(500, None);
        let (mut age_s, mut n_tries, mut last_ms) = (0, 0, 0);
        while let Settled::Again { after_ms } = what_follows(&failed, n_tries, age_s) {
            assert!(after_ms > last_ms || after_ms > 3 * 3_600_000, "{after_ms}");
            last_ms = after_ms;
            age_s += after_ms / 1000;
            n_tries += 1;
        }
        assert!((9..=14).contains(&n_tries), "{n_tries} tries");
        assert!((16 * 3600..=24 * 3600).contains(&age_s), "{age_s} s");
        let unanswered = Err(FetchError::Unsendable);
        assert!(matches!(
            what_follows(&unanswered, 0, 0),
            Settled::Again {
                after_ms: 1500..2500
            }
        ));
    }

    #[test]
    fn receivers_are_heeded() {
        for status in [200, 204, 299] {
            assert_eq!(
                what_follows(&answer(status, None), 5, 0),
                Settled::Delivered
            );
        }
        for status in [199, 300, 302, 400, 404, 500] {
            let settled = what_follows(&answer(status, None), 0, 0);
            assert!(matches!(settled, Settled::Again { .. }), "{status}");
        }
        let gone = what_follows(&answer(410, None), 0, 0);
        assert!(matches!(gone, Settled::GivenUp { is_gone: true, .. }));
        let later = what_follows(&answer(503, Some(600)), 0, 0);
        assert_eq!(later, Settled::Again { after_ms: 600_000 });
        // Not so late that nothing would come of it.
        let never = what_follows(&answer(503, Some(u64::MAX)), 0, 0);
        assert_eq!(
            never,
            Settled::Again {
                after_ms: 4 * 3_600_000
            }
        );
    }
}
