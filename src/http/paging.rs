//! What lists have in common: how long a page is, where the next one begins, since when.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::problem::{Problem, ProblemKind};
use crate::domain::FindingId;
use crate::store::{FindingCursor, FindingOrder, FindingRecord};

/// Entries on a page, unless the client says otherwise.
const DEFAULT_PAGE: u32 = 100;
/// Most entries on a page.
const MAX_PAGE: u32 = 1000;

/// The length of a page, `1..=1000`, 100 when the client does not say.
pub(super) fn page_length(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(DEFAULT_PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(malformed(format!(
        "limit is {limit}, it must lie within 1 and {MAX_PAGE}"
    )))
}

/// Entries to ask the store for: one more than a page shows tells whether there is a next one.
pub(super) fn with_one_more(length: u32) -> u32 {
    length + 1
}

/// Cuts off what was asked for beyond a page of `length`; of the last entry then left, the place where the
/// next page begins, if there is one.
pub(super) fn cut<T, N>(
    entries: &mut Vec<T>,
    length: u32,
    place: impl FnOnce(&T) -> N,
) -> Option<N> {
    let length = length as usize;
    let has_more = entries.len() > length;
    entries.truncate(length);
    entries.last().filter(|_| has_more).map(place)
}

/// The place of a finding in a list, as clients hand it back.
pub(super) fn cursor_text(order: FindingOrder, last: &FindingRecord) -> String {
    let rank = match order {
        FindingOrder::Priority => last.priority,
        FindingOrder::Newest => 0.0,
        FindingOrder::Probability => last.finding.probability,
    };
    format!("{:x}-{}", rank.to_bits(), last.id.0)
}

/// Reads what [`cursor_text`] wrote.
pub(super) fn cursor(text: &str) -> Result<FindingCursor, Problem> {
    let parsed = text.split_once('-').and_then(|(rank, id)| {
        let rank = f64::from_bits(u64::from_str_radix(rank, 16).ok()?);
        let id = FindingId(id.parse().ok()?);
        rank.is_finite().then_some(FindingCursor { rank, id })
    });
    parsed.ok_or_else(|| {
        malformed(format!(
            "after is {text:?}, it must be the \"next\" of a page before"
        ))
    })
}

/// A time or a day, UTC, as the store writes times.
pub(super) fn since(text: &str) -> Result<String, Problem> {
    let at: Option<Timestamp> = text.parse().ok().or_else(|| {
        let day: Date = text.parse().ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    match at {
        Some(at) => Ok(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        None => Err(malformed(format!(
            "since is {text:?}, it must be a day or a time, such as 2026-01-31 or 2026-01-31T08:00:00Z"
        ))),
    }
}

pub(super) fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Malformed, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone_and_nothing_else_is() {
        let read = |text| since(text).ok();
        assert_eq!(read("2026-01-31").as_deref(), Some("2026-01-31T00:00:00Z"));
        assert_eq!(
            read("2026-01-31T02:30:00+02:00").as_deref(),
            Some("2026-01-31T00:30:00Z")
        );
        assert_eq!(read("yesterday"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_page_has_a_next_one_only_if_more_came() {
        let paged = |n: u32| {
            let mut entries: Vec<u32> = (1..=n).collect();
            let next = cut(&mut entries, 3, |last| *last);
            (entries.len(), next)
        };
        assert_eq!(paged(with_one_more(3)), (3, Some(3)));
        assert_eq!([paged(3), paged(0)], [(3, None), (0, None)]);
    }

    #[test]
    fn cursors_are_exact_and_others_refused() {
        let read = cursor(&format!("{:x}-7", 0.1f64.to_bits())).expect("a place");
        assert_eq!((read.rank, read.id), (0.1, FindingId(7)));
        for text in ["", "7", "x-7", "7ff8000000000000-7", "0-x"] {
            assert!(cursor(text).is_err(), "{text}");
        }
    }
}
