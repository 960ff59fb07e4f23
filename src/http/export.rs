//! All findings that pass the filters, for spreadsheets and programs, written while they are read.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::HttpState;
use super::access::{BrandScope, Caller};
use super::findings::FindingQuery;
use super::paging::{cursor, cursor_text, malformed};
use super::pieces::{Piece, body_of};
use super::problem::Problem;
use super::workers::Lane;
use crate::domain::AuditAction;
use crate::engine::Engine;
use crate::report::guarded;
use crate::store::{FindingFilter, FindingOrder, FindingRecord, StoreError};

/// Findings read at a time.
const PAGE: u32 = 256;

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExportFormat {
    /// A header and a row for each finding. A text that a spreadsheet could take for a formula gets a
    /// `'` in front.
    Csv,
    /// A JSON object a line, as in lists.
    Jsonl,
}

/// All findings that pass the filters, as a file.
///
/// Newest first, whatever `order` says. A text that a spreadsheet could take for a formula gets a `'` in front. An
/// answer that is cut off is not whole.
#[utoipa::path(
    get, path = "/v1/findings/export", tag = "findings", params(FindingQuery),
    responses((status = 200, description = "The findings", content(
        (String = "text/csv", example = "finding_id,status,priority\n1,open,0.931200\n"),
        (FindingRecord = "application/jsonl"),
    ))),
)]
pub(super) async fn export(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Query(query): Query<FindingQuery>,
) -> Result<Response, Problem> {
    let format = query.format.unwrap_or(ExportFormat::Csv);
    let scope = caller.scope.clone();
    let mut filter = query.filter(&scope)?;
    if filter.after.is_some() {
        return Err(malformed("an export has no pages: leave out after"));
    }
    filter.limit = Some(PAGE);
    // What findings are ranked by changes while others come in, and one that rises above the page would be in none.
    filter.order = FindingOrder::Newest;
    let place = state.downloads.begin()?;
    // The first page is read before the head of the answer goes out: until then errors can be told.
    let first_filter = filter.clone();
    let first = caller.run(Lane::Reads, move |engine| {
        Ok(engine.store().findings(&first_filter)?)
    });
    let first = first.await?;
    let asked = filter.clone();
    let note = caller.run(Lane::Writes, move |engine| {
        Ok(note_export(engine, format, &asked)?)
    });
    note.await?;
    let engine = caller.engine();
    let body = body_of(place, move |send| {
        write_all(&engine, &scope, filter, first, format, send);
    });
    let (kind, name) = match format {
        ExportFormat::Csv => ("text/csv; charset=utf-8", "findings.csv"),
        ExportFormat::Jsonl => ("application/jsonl", "findings.jsonl"),
    };
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, body).into_response())
}

/// Writes down that findings leave, before the first of them does.
fn note_export(
    engine: &Engine,
    format: ExportFormat,
    filter: &FindingFilter,
) -> Result<(), StoreError> {
    let details = json!({
        "format": match format {
            ExportFormat::Csv => "csv",
            ExportFormat::Jsonl => "jsonl",
        },
        "status": filter.status, "brand": filter.brand, "kind": filter.kind,
        "asset_id": filter.asset, "listing_id": filter.listing_id, "since": filter.since,
    });
    engine
        .store()
        .audit(AuditAction::Exported, "findings", Some(&details))
}

/// Ends early when nobody reads any more; a read that fails cuts the answer off, so that half an
/// export is not taken for a whole one.
fn write_all(
    engine: &Engine,
    scope: &BrandScope,
    mut filter: FindingFilter,
    mut page: Vec<FindingRecord>,
    format: ExportFormat,
    send: &mpsc::Sender<Piece>,
) {
    let mut head = match format {
        ExportFormat::Csv => csv_rows([COLUMNS.map(str::to_owned).to_vec()]),
        ExportFormat::Jsonl => Vec::new(),
    };
    loop {
        page = page.into_iter().map(|f| scope.narrowed(f)).collect();
        let mut text = std::mem::take(&mut head);
        text.extend(match format {
            ExportFormat::Csv => csv_rows(page.iter().map(row)),
            ExportFormat::Jsonl => lines(&page),
        });
        if !text.is_empty() && send.blocking_send(Ok(text.into())).is_err() {
            return;
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE as usize) else {
            return;
        };
        let place = cursor_text(filter.order, last);
        filter.after = Some(cursor(&place).expect("what was written is read"));
        page = match engine.store().findings(&filter) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "an export was cut off");
                // Nobody may be listening.
                let _ = send.blocking_send(Err(axum::Error::new(error)));
                return;
            }
        };
    }
}

/// The header of a CSV export. New columns come last.
const COLUMNS: [&str; 26] = [
    "finding_id",
    "status",
    "priority",
    "probability",
    "brand",
    "asset",
    "asset_id",
    "asset_kind",
    "kind",
    "listing_id",
    "seller_id",
    "seller_name",
    "seller_country",
    "photo",
    "photo_sha256",
    "box_x",
    "box_y",
    "box_w",
    "box_h",
    "reasons",
    "source",
    "decision_reason",
    "decided_by",
    "decided_at",
    "created_at",
    "model",
];

fn row(record: &FindingRecord) -> Vec<String> {
    let finding = &record.finding;
    let seller = record.listing.as_ref().and_then(|l| l.seller.as_ref());
    let text = |text: Option<&String>| guarded(text.map_or("", String::as_str));
    let decision = record.decision.as_ref();
    let region = &finding.region;
    vec![
        record.id.0.to_string(),
        record.status.to_string(),
        format!("{:.6}", record.priority),
        format!("{:.6}", finding.probability),
        guarded(&finding.brand),
        guarded(&finding.asset),
        finding.asset_id.to_string(),
        finding.asset_kind.to_string(),
        finding.kind.to_string(),
        text(record.listing.as_ref().map(|l| &l.listing_id)),
        text(seller.and_then(|s| s.id.as_ref())),
        text(seller.and_then(|s| s.name.as_ref())),
        text(seller.and_then(|s| s.country.as_ref())),
        guarded(&record.photo.name),
        record.photo.sha256.to_hex(),
        region.x.to_string(),
        region.y.to_string(),
        region.w.to_string(),
        region.h.to_string(),
        guarded(&finding.reasons.join(" | ")),
        record.source.to_string(),
        text(decision.and_then(|d| d.reason.as_ref())),
        text(decision.map(|d| &d.decided_by)),
        decision.map_or_else(String::new, |d| d.created_at.clone()),
        record.created_at.clone(),
        guarded(&record.model.0),
    ]
}

fn csv_rows(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(&row)
            .expect("memory takes every row of the same length");
    }
    writer.into_inner().expect("memory takes everything")
}

fn lines(page: &[FindingRecord]) -> Vec<u8> {
    let mut text = Vec::new();
    for record in page {
        serde_json::to_writer(&mut text, record).expect("plain values are JSON");
        text.push(b'\n');
    }
    text
}
