//! How long to wait before the next try.

use std::time::{Duration, SystemTime};

/// First pause after a busy host that does not say how long; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The pause before try `n_tries + 1`, when `n_tries` have failed: what the host asks for, else longer
/// each time, 0.8 to 1.2 times as long so that many that failed together do not come back together.
pub(super) fn pause(n_tries: u32, retry_after: Option<Duration>) -> Duration {
    match retry_after {
        Some(asked) => asked,
        None => jittered(FIRST_PAUSE * 2u32.saturating_pow(n_tries.saturating_sub(1)).min(64)),
    }
}

/// `span`, 0.8 to 1.2 times.
pub fn jittered(span: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without random numbers all come back at once, which is no reason to fail.
    let _ = getrandom::fill(&mut byte);
    span.mul_f64(0.8 + 0.4 * f64::from(byte[0]) / 255.0)
}

/// `Retry-After` as a span from `now`: seconds, or a date.
pub fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_say_when_to_come_back() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(23)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let span = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(text, now), span, "{text}");
        }
    }

    #[test]
    fn pauses_grow_and_differ_by_a_fifth_at_most() {
        for n_tries in 1..40 {
            let plain = FIRST_PAUSE * (1 << (n_tries - 1).min(6));
            let pause = pause(n_tries, None);
            assert!(pause >= plain.mul_f64(0.79) && pause <= plain.mul_f64(1.21));
        }
        let asked = Duration::from_secs(3);
        assert_eq!(pause(9, Some(asked)), asked);
    }
}
