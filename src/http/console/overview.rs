//! `GET /`: where a first-time user starts, and where the work stands.

use askama::Template;
use axum::Form;
use axum::extract::Path;
use axum::response::Redirect;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;

use super::super::access::Caller;
use super::super::ids::brand_id;
use super::super::problem::Problem;
use super::super::teaching::set_promise;
use super::super::uploads::invalid;
use super::super::workers::Lane;
use super::page::{Page, Shell};
use super::phrases::counted;
use crate::domain::{Brand, percent};
use crate::engine::{BrandTeaching, Engine};
use crate::matching::teaching::shifted;
use crate::report::promise_words;
use crate::store::{BrandStatistics, CaseStatistics};

/// Days in the chart, today included.
const N_DAYS: i64 = 30;

/// A day in the chart; places within a picture of 3 × [`N_DAYS`] by 40.
struct Day {
    day: String,
    n: u64,
    x: i64,
    y: String,
    height: String,
}

struct BrandRow {
    statistics: BrandStatistics,
    /// Share of right ones among the decided, with its range.
    precision: Option<String>,
    /// What decisions changed of its probabilities.
    learnt: Option<String>,
    /// What was promised, and what comes of it.
    promise: Option<String>,
    /// Its id; `None` of a brand that is gone.
    id: Option<i64>,
    /// Promises that can be chosen, the one that holds marked.
    choices: Vec<Choice>,
}

/// A promise that can be chosen.
struct Choice {
    value: String,
    words: String,
    is_chosen: bool,
}

/// Precisions that are offered; others are promised over HTTP or by command.
const OFFERED: [f64; 5] = [0.8, 0.9, 0.95, 0.98, 0.99];

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    n_brands: usize,
    n_assets: u64,
    model: String,
    statistics: CaseStatistics,
    n_decided: u64,
    queue_age: Option<String>,
    days: Vec<Day>,
    n_lately: u64,
    brands: Vec<BrandRow>,
}

pub(super) async fn show(caller: Caller) -> Result<Page, Problem> {
    let asking = caller.clone();
    let look = move |engine: &Engine| look(engine, &asking);
    let overview = caller.run(Lane::Reads, look).await?;
    Page::of(&overview)
}

fn look(engine: &Engine, caller: &Caller) -> Result<Overview, Problem> {
    let brands = caller.scope.seen_brands(engine.store())?;
    let used = brands.iter().filter(|brand| brand.n_assets > 0);
    let now = Timestamp::now();
    let today = now.to_zoned(TimeZone::UTC).date();
    let first = today.saturating_sub(Span::new().days(N_DAYS - 1));
    let statistics = engine
        .store()
        .case_statistics(&first.to_string(), caller.scope.brands().as_deref())?;
    engine.refresh()?;
    let lessons = engine.lessons();
    let decided = |b: &BrandStatistics| b.n_confirmed + b.n_rejected + b.n_unsure;
    Ok(Overview {
        shell: Shell::new(caller, "overview", "Overview"),
        n_brands: used.count(),
        n_assets: brands.iter().map(|brand| brand.n_assets).sum(),
        model: engine.model().to_string(),
        n_decided: statistics.brands.iter().map(decided).sum(),
        queue_age: statistics
            .oldest_open
            .as_deref()
            .and_then(|oldest| age(oldest, now)),
        days: days(&statistics.n_by_day, first),
        n_lately: statistics.n_by_day.iter().map(|(_, n)| n).sum(),
        brands: statistics
            .brands
            .iter()
            .map(|row| {
                let known = brands.iter().find(|brand| brand.name == row.brand);
                let taught = lessons.brands().get(&row.brand).cloned();
                brand_row(row, known, &taught.unwrap_or_default())
            })
            .collect(),
        statistics,
    })
}

fn age(since: &str, now: Timestamp) -> Option<String> {
    let since: Timestamp = since.parse().ok()?;
    let minutes = usize::try_from(now.duration_since(since).as_secs() / 60).unwrap_or(0);
    Some(match minutes {
        0 => "less than a minute".to_owned(),
        1..60 => counted(minutes, "minute", "minutes"),
        60..2880 => counted(minutes / 60, "hour", "hours"),
        _ => counted(minutes / 1440, "day", "days"),
    })
}

fn days(n_by_day: &[(String, u64)], first: Date) -> Vec<Day> {
    let most = n_by_day.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
    (0..N_DAYS)
        .map(|i| {
            let day = first.saturating_add(Span::new().days(i)).to_string();
            let found = n_by_day.iter().find(|(known, _)| *known == day);
            let n = found.map_or(0, |(_, n)| *n);
            let height = 40.0 * n as f64 / most as f64;
            Day {
                day,
                n,
                x: 3 * i,
                y: format!("{:.2}", 40.0 - height),
                height: format!("{height:.2}"),
            }
        })
        .collect()
}

/// What a form says of a promise: a share, or nothing for none.
#[derive(Deserialize)]
pub(super) struct Promised {
    #[serde(default)]
    precision: String,
}

/// `POST /brands/{id}/promise`.
pub(super) async fn promise(
    caller: Caller,
    Path(id): Path<String>,
    Form(promised): Form<Promised>,
) -> Result<Redirect, Problem> {
    let precision = match promised.precision.trim() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|_| invalid(format!("precision is {text:?}, no share")))?,
        ),
    };
    set_promise(&caller, brand_id(&id)?, precision).await?;
    Ok(Redirect::to("/#brands"))
}

/// How the decisions moved the brand's probabilities, by what becomes of one of 90 %.
fn learnt_words(taught: &BrandTeaching) -> Option<String> {
    let moved = shifted(0.9, taught.bias);
    (taught.bias != 0.0).then(|| format!("what would be 90 % is {}", percent(moved)))
}

fn promised_words(taught: &BrandTeaching) -> Option<String> {
    let (promise, grounds) = taught.promise.zip(taught.grounds)?;
    Some(promise_words(&promise, &grounds))
}

fn choices(promised: Option<f64>) -> Vec<Choice> {
    let mut shares: Vec<f64> = OFFERED.to_vec();
    shares.extend(promised.filter(|p| !OFFERED.contains(p)));
    let none = Choice {
        value: String::new(),
        words: "no promise".to_owned(),
        is_chosen: promised.is_none(),
    };
    let of = |share: f64| Choice {
        value: share.to_string(),
        words: format!("{} right", percent(share)),
        is_chosen: promised == Some(share),
    };
    std::iter::once(none)
        .chain(shares.into_iter().map(of))
        .collect()
}

fn brand_row(
    statistics: &BrandStatistics,
    brand: Option<&Brand>,
    taught: &BrandTeaching,
) -> BrandRow {
    let (right, wrong) = (statistics.n_confirmed, statistics.n_rejected);
    let n = right + wrong;
    let precision = (n > 0).then(|| {
        let [low, high] = wilson(right, n);
        let share = right as f64 / n as f64;
        format!("{} ({} to {})", percent(share), percent(low), percent(high))
    });
    BrandRow {
        statistics: statistics.clone(),
        precision,
        learnt: learnt_words(taught),
        promise: promised_words(taught),
        id: brand.map(|brand| brand.id.0),
        choices: choices(taught.promise.map(|promise| promise.precision)),
    }
}

/// Where the share behind `right` of `n` lies with 95 % confidence (Wilson 1927), `n` at least 1.
fn wilson(right: u64, n: u64) -> [f64; 2] {
    const Z: f64 = 1.96;
    let (n, share) = (n as f64, right as f64 / n as f64);
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    [(middle - half) / whole, (middle + half) / whole].map(|v| v.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_decisions_leave_a_wide_range() {
        // Checked with statsmodels' proportion_confint(method="wilson").
        for (right, n, expected) in [(1, 1, [0.207, 1.0]), (9, 10, [0.596, 0.982])] {
            let found = wilson(right, n);
            for (found, expected) in found.iter().zip(expected) {
                assert!((found - expected).abs() < 0.001, "{found} {expected}");
            }
        }
    }

    #[test]
    fn every_day_has_a_bar_and_the_highest_is_full() {
        let first: Date = "2026-01-30".parse().expect("a day");
        let days = days(&[("2026-02-01".to_owned(), 4)], first);
        assert_eq!(days.len(), N_DAYS as usize);
        assert_eq!((days[2].n, days[2].height.as_str()), (4, "40.00"));
        assert_eq!((days[0].n, days[0].height.as_str()), (0, "0.00"));
    }

    #[test]
    fn ages_are_told_in_the_largest_unit_that_fits() {
        let now: Timestamp = "2026-02-01T12:00:00Z".parse().expect("a time");
        for (since, told) in [
            ("2026-02-01T11:59:30Z", "less than a minute"),
            ("2026-02-01T11:59:00Z", "1 minute"),
            ("2026-01-31T12:00:00Z", "24 hours"),
            ("2026-01-20T12:00:00Z", "12 days"),
        ] {
            assert_eq!(age(since, now).as_deref(), Some(told));
        }
    }
}
