//! `/scans`: handing in many listings at once, how far each scan is, what came of it, ending and forgetting
//! it.

use std::fs;
use std::io;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;

use super::super::HttpState;
use super::super::access::Caller;
use super::super::ids::scan_id;
use super::super::paging::{cut, with_one_more};
use super::super::pieces::body_of_file;
use super::super::problem::{Problem, ProblemKind};
use super::super::scans::{forget, hand_in, note_export, report_page, results_gone};
use super::super::workers::Lane;
use super::page::{Page, Shell, moment};
use crate::domain::{ScanId, ScanState};
use crate::report::ReportFormat;
use crate::store::ScanRecord;

/// Scans on a page.
const PAGE: u32 = 40;

/// A report runs its own script and shows the pictures in it, and is nothing to the console: a sandbox has no
/// origin, so whatever a listing smuggled into it cannot ask for anything with the reader's session.
const REPORT_POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data:; style-src 'unsafe-inline'; \
     script-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// A scan as a page shows it.
struct Row {
    scan: ScanRecord,
    class: &'static str,
    /// `0..=100`.
    bar: String,
    done: String,
    asked: String,
    ended: Option<String>,
    /// Photos by what was said of them, once it is done.
    counts: Vec<(&'static str, &'static str, u64)>,
}

impl Row {
    fn of(scan: ScanRecord) -> Self {
        let share = scan.n_done as f64 / scan.n_photos.max(1) as f64;
        let summary = scan.summary.as_ref();
        let count = |name| summary.and_then(|summary| summary.get(name)?.as_u64());
        let named = [
            ("flagged", "flagged", "n_flagged"),
            ("review", "to review", "n_review"),
            ("clear", "clear", "n_clear"),
            ("failed", "failed", "n_failed"),
        ];
        let counts = named.map(|(class, words, name)| Some((class, words, count(name)?)));
        Self {
            class: match scan.state {
                ScanState::Waiting | ScanState::Running => "review",
                ScanState::Done => "clear",
                ScanState::Failed => "failed",
            },
            bar: format!("{:.1}", 100.0 * share.clamp(0.0, 1.0)),
            done: format!("{} of {} photos", scan.n_done, scan.n_photos),
            asked: moment(&scan.created_at),
            ended: scan.ended_at.as_deref().map(moment),
            counts: counts.into_iter().flatten().collect(),
            scan,
        }
    }

    fn is_under_way(&self) -> bool {
        matches!(self.scan.state, ScanState::Waiting | ScanState::Running)
    }

    fn is_done(&self) -> bool {
        self.scan.state == ScanState::Done
    }

    /// Photos a second, of a scan that is done.
    fn speed(&self) -> Option<String> {
        let speed = self.scan.summary.as_ref()?.get("photos_per_s")?;
        speed
            .as_f64()
            .map(|speed| format!("{speed:.1} photos a second"))
    }

    /// Findings by brand, those with the most first.
    fn brands(&self) -> Vec<(String, u64)> {
        let brands = self.scan.summary.as_ref().and_then(|s| s.get("by_brand"));
        let brands = brands.and_then(Value::as_object).into_iter().flatten();
        let mut counts: Vec<(String, u64)> = brands
            .filter_map(|(brand, n)| Some((brand.clone(), n.as_u64()?)))
            .collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        counts
    }
}

/// What led to the page, and where it begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    done: String,
    after: Option<i64>,
}

#[derive(Template)]
#[template(path = "scans.html")]
struct ScansPage {
    shell: Shell,
    outcome: Option<&'static str>,
    fetches: bool,
    keep_days: usize,
    max_mib: usize,
    rows: Vec<Row>,
    next: Option<i64>,
}

/// `GET /scans`: newest first.
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Page, Problem> {
    let read = caller.run(Lane::Reads, move |engine| {
        let after = asked.after.map(ScanId);
        Ok(engine.store().scans(after, with_one_more(PAGE))?)
    });
    let mut scans = read.await?;
    let next = cut(&mut scans, PAGE, |last| last.id.0);
    Page::of(&ScansPage {
        shell: Shell::new(&caller, "scans", "Scans"),
        outcome: match asked.done.as_str() {
            "removed" => Some("Forgotten, with its files."),
            "cancelled" => Some("Ended: what was done of it is forgotten."),
            _ => None,
        },
        fetches: state.photo_fetcher().is_some(),
        keep_days: state.limits.keep_scans_days as usize,
        max_mib: state.limits.max_body_bytes >> 20,
        rows: scans.into_iter().map(Row::of).collect(),
        next,
    })
}

/// `POST /scans`: leads to the scan's page.
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    request: Request,
) -> Result<Redirect, Problem> {
    let record = hand_in(&state, &caller, request).await?;
    Ok(Redirect::to(&format!("/scans/{}", record.id.0)))
}

#[derive(Template)]
#[template(path = "scan.html")]
struct ScanPage {
    shell: Shell,
    row: Row,
    keep_days: usize,
}

/// `GET /scans/{id}`.
pub(super) async fn show(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Page, Problem> {
    let scan = scan(&caller, &id).await?;
    Page::of(&ScanPage {
        shell: Shell::new(&caller, "scans", format!("Scan of {}", scan.name)),
        row: Row::of(scan),
        keep_days: state.limits.keep_scans_days as usize,
    })
}

async fn scan(caller: &Caller, id: &str) -> Result<ScanRecord, Problem> {
    let id = scan_id(id)?;
    let read = caller.run(Lane::Reads, move |engine| Ok(engine.store().scan(id)?));
    read.await
}

/// `POST /scans/{id}/remove`: ends it if it is under way, and forgets it.
pub(super) async fn remove(caller: Caller, Path(id): Path<String>) -> Result<Redirect, Problem> {
    let id = scan_id(&id)?;
    let write = caller.run(Lane::Writes, move |engine| forget(engine, id));
    let was = write.await?;
    let done = match was {
        ScanState::Waiting | ScanState::Running => "cancelled",
        ScanState::Done | ScanState::Failed => "removed",
    };
    Ok(Redirect::to(&format!("/scans?done={done}")))
}

/// The page that a report begins with.
const FIRST_PAGE: &str = "results.html";

/// `GET /scans/{id}/report/{page}`: pages with pictures; the first is `results.html`, the others lie in the
/// folder that its links name.
pub(super) async fn report(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Path((id, page)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let id = scan_id(&id)?;
    let place = state.downloads.begin()?;
    // The others are reached from it.
    let is_first = page == FIRST_PAGE;
    let read = caller.run(Lane::Reads, move |engine| {
        let scan = engine.store().scan(id)?;
        let path = report_page(engine, &scan, &page)?;
        fs::File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => results_gone(),
            _ => Problem::hidden(ProblemKind::Internal, &error),
        })
    });
    let file = read.await?;
    if is_first {
        note_export(&caller, id, ReportFormat::Html).await?;
    }
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, body_of_file(place, file)).into_response())
}
