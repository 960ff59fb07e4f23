//! How kinds, numbers and places are put for people; the same words on the terminal and the page.

use std::time::Duration;

use serde_json::Value;

use crate::domain::{FindingKind, Listing, Measurements, Promise, Region, StageTimings, percent};
use crate::matching::teaching::Grounds;

/// A kind of finding in lower case words.
pub fn kind_words(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::StolenPhoto => "stolen photo",
        FindingKind::LogoPresent => "logo present",
        FindingKind::AlteredLogo => "altered logo",
        FindingKind::LookalikeProduct => "lookalike product",
    }
}

/// From where on a brand's findings are flagged by what it was promised, and what that rests on.
pub fn promise_words(promise: &Promise, grounds: &Grounds) -> String {
    let right = format!("{} of {} right", grounds.n_right, grounds.n_decided);
    match promise.flag_at {
        Some(flag_at) => format!(
            "flagged from {} on: {right}, so at least {} with 90 % confidence",
            percent(flag_at),
            percent(grounds.bound)
        ),
        None if grounds.n_decided < grounds.n_needed => format!(
            "nothing is flagged yet: {right}; it takes {}, all right, at least",
            counted(grounds.n_needed as u64, "decision", "decisions")
        ),
        None => format!(
            "nothing is flagged: {right}, which bears out no more than {}",
            percent(grounds.bound)
        ),
    }
}

/// `part` of `whole` in percent, 0 of nothing.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// A count with its thousands set apart: `1,204,000`.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with its noun: `1 photo`, `2,000 photos`.
pub(super) fn counted(n: u64, singular: &str, plural: &str) -> String {
    format!("{} {}", count(n), if n == 1 { singular } else { plural })
}

/// How long something took, to about three digits: `850 ms`, `38.2 s`, `4 min 05 s`, `2 h 14 min`.
pub(super) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    if elapsed < Duration::from_secs(1) {
        format!("{} ms", elapsed.as_millis())
    } else if seconds < 60 {
        format!("{:.1} s", elapsed.as_secs_f64())
    } else if seconds < 3600 {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {:02} min", count(seconds / 3600), seconds / 60 % 60)
    }
}

/// A box in whole pixels: `at 120, 80; 520 × 820 px`.
pub fn place(region: &Region) -> String {
    format!(
        "at {:.0}, {:.0}; {:.0} × {:.0} px",
        region.x, region.y, region.w, region.h
    )
}

/// The stages in their order, with the names they have in the pipeline.
pub(super) fn stages(timings: &StageTimings) -> [(&'static str, f64); 5] {
    [
        ("prepare", timings.prepare),
        ("embed", timings.embed),
        ("find_candidates", timings.find_candidates),
        ("verify", timings.verify),
        ("judge", timings.judge),
    ]
}

/// `34.1 ms: prepare 3.1, embed 20.3, …`, short enough for one line of a terminal.
pub(super) fn stage_line(timings: &StageTimings) -> String {
    let parts: Vec<_> = stages(timings)
        .iter()
        .map(|(name, ms)| format!("{} {ms:.1}", name.trim_end_matches("_candidates")))
        .collect();
    format!("{:.1} ms: {}", timings.total(), parts.join(", "))
}

/// What was measured, in the order of [`Measurements`]: `("window similarity", "0.812")`.
pub(super) fn measured(measurements: &Measurements) -> Vec<(String, String)> {
    // By way of the JSON form, so that a measurement added later cannot be forgotten here.
    let Ok(Value::Object(fields)) = serde_json::to_value(measurements) else {
        return Vec::new();
    };
    fields
        .iter()
        .filter_map(|(name, value)| Some((name.replace('_', " "), number(value.as_f64()?))))
        .collect()
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

/// A field of a listing as text: strings as they are, everything else as JSON; `None` for null.
pub(super) fn listing_field(listing: &Listing, name: &str) -> Option<String> {
    listing.other.get(name).and_then(value_words)
}

/// The listing's fields that have a column of their own.
pub(super) const LISTING_COLUMNS: [&str; 7] = [
    "title",
    "url",
    "marketplace",
    "brand_claimed",
    "price",
    "currency",
    "quantity",
];

/// A JSON value as text: strings as they are, everything else as JSON; `None` for null.
pub(super) fn value_words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (n, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_204_000, "1,204,000"),
        ] {
            assert_eq!(count(n), expected);
        }
        assert_eq!(counted(1, "photo", "photos"), "1 photo");
    }

    #[test]
    fn durations_keep_about_three_digits() {
        for (ms, expected) in [
            (850, "850 ms"),
            (38_240, "38.2 s"),
            (245_000, "4 min 05 s"),
            (8_040_000, "2 h 14 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn only_what_was_measured_is_listed() {
        let measurements = Measurements {
            window_similarity: Some(0.81234),
            inliers: Some(41.0),
            ncc: Some(f32::NAN),
            ..Measurements::default()
        };
        assert_eq!(
            measured(&measurements),
            [
                ("window similarity".into(), "0.812".into()),
                ("inliers".to_string(), "41".to_string()),
            ]
        );
    }
}
