//! Scans as jobs: a manifest or an archive is handed in, looked at when its turn comes, and its results are
//! fetched later. `working` does the work.
//!
//! Photos lie in the archive or at web addresses; no manifest leads to a file of this machine.

mod working;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path as Place, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::access::Caller;
use super::fetching;
use super::ids::scan_id;
use super::openapi::{BinaryBody, IdempotencyKey, ScanForm};
use super::paging::{cut, page_length, with_one_more};
use super::pieces::body_of_file;
use super::problem::{Problem, ProblemKind};
use super::screening::check_values;
use super::uploads::{
    Form, FormFields, Offered, Sent, Upload, invalid, parse_json, receive_file_or,
};
use super::workers::Lane;
use crate::domain::{ScanId, ScanState};
use crate::engine::Engine;
use crate::report::ReportFormat;
use crate::scanning::{JobFiles, count_photos, plain_reason};
use crate::store::{NewScan, ScanRecord};

pub(super) use working::Scanning;

/// Folder within a tenant's home that holds the folders of scans.
const SCANS: &str = "scans";

const FIELDS: FormFields = FormFields {
    file: "source",
    url: Some("source_url"),
    texts: &[],
};
/// Values that one listing in JSON may hold, brackets and names counted too: each takes a hundred bytes
/// while it is read, whatever it takes in the text.
const MAX_LISTING_VALUES: usize = 1 << 18;
/// Listings in one object rather than one a line.
const JSON: &str = "application/json";
/// Content types that a source may come with, and the ending of its file.
const KINDS: [(&str, &str); 10] = [
    (JSON, "jsonl"),
    ("text/csv", "csv"),
    ("application/jsonl", "jsonl"),
    ("application/x-ndjson", "jsonl"),
    ("application/x-jsonlines", "jsonl"),
    ("application/zip", "zip"),
    ("application/x-zip-compressed", "zip"),
    ("application/x-tar", "tar"),
    ("application/gzip", "tar.gz"),
    ("application/x-gzip", "tar.gz"),
];
/// Endings that a file's name in a form may have.
const ENDINGS: [(&str, &str); 7] = [
    (".csv", "csv"),
    (".jsonl", "jsonl"),
    (".ndjson", "jsonl"),
    (".zip", "zip"),
    (".tar", "tar"),
    (".tar.gz", "tar.gz"),
    (".tgz", "tar.gz"),
];

fn folder_of(engine: &Engine, scan: &ScanRecord) -> PathBuf {
    engine.settings().home.join(SCANS).join(&scan.folder)
}

fn source_of(engine: &Engine, scan: &ScanRecord) -> PathBuf {
    folder_of(engine, scan).join(source_name(&scan.kind))
}

fn source_name(kind: &str) -> String {
    format!("source.{kind}")
}

/// Takes a scan into the queue: a manifest of listings (CSV or JSON lines, photos by web addresses), or an
/// archive of photos (zip, tar, tar.gz; members whose names are the same up to the first dot are a listing).
///
/// One scan is done at a time. It goes on where it was after a restart; if something was registered
/// meanwhile, from the beginning.
#[utoipa::path(
    post, path = "/v1/scans", tag = "scans", params(IdempotencyKey),
    request_body(content(
        (ScanBody = "application/json", example = json!({
            "listings": [{ "listing_id": "L1", "photos": ["https://cdn.example/1.jpg"] }]
        })),
        (ScanForm = "multipart/form-data"),
        (String = "text/csv", example = "listing_id,photos\nL1,https://cdn.example/1.jpg\n"),
        (String = "application/jsonl",
            example = "{\"listing_id\":\"L1\",\"photos\":[\"https://cdn.example/1.jpg\"]}\n"),
        (BinaryBody = "application/zip"),
        (BinaryBody = "application/x-tar"),
        (BinaryBody = "application/gzip"),
    )),
    responses((status = 202, description = "It waits for its turn", body = ScanRecord,
        headers(("Location" = String)))),
)]
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let record = hand_in(&state, &caller, request).await?;
    let location = [(header::LOCATION, format!("/v1/scans/{}", record.id.0))];
    Ok((StatusCode::ACCEPTED, location, Json(record)).into_response())
}

/// Takes what a request brings, or names, into the queue.
pub(super) async fn hand_in(
    state: &HttpState,
    caller: &Caller,
    request: Request,
) -> Result<ScanRecord, Problem> {
    let source = receive_source(state, request).await?;
    let asked_by = caller.who().to_owned();
    // Nobody's writing waits for what may take long.
    let counted = caller.run(Lane::Pictures, move |engine| count(engine, source));
    let counted = counted.await?;
    let taken = caller.run(Lane::Writes, move |engine| {
        take_in(engine, counted, asked_by)
    });
    taken.await
}

/// What was handed in.
struct Source {
    upload: Upload,
    /// The ending of its file.
    kind: &'static str,
    /// Whether it is one object that holds listings, to be made lines of.
    is_object: bool,
}

/// A source on the disk, with its length. It vanishes with its folder if it is not taken in.
struct Counted {
    folder: tempfile::TempDir,
    name: String,
    kind: &'static str,
    n_photos: u64,
}

/// The one source of a form. Browsers send fields that were left alone as empty ones.
fn source_of_form(mut form: Form) -> Result<Offered, Problem> {
    let is_given = |offered: &Offered| match offered {
        Offered::Here(upload) => !upload.bytes.is_empty(),
        Offered::Elsewhere { url, .. } => !url.trim().is_empty(),
    };
    if form.pictures.len() > 1 {
        form.pictures.retain(is_given);
    }
    let mut offered = form.pictures.into_iter();
    match (offered.next(), offered.next()) {
        (Some(source), None) => Ok(source),
        _ => Err(invalid(
            "the form needs one source: a field \"source\" with a file, or \"source_url\" with its address",
        )),
    }
}

async fn receive_source(state: &HttpState, request: Request) -> Result<Source, Problem> {
    let types = KINDS.map(|(kind, _)| kind);
    match receive_file_or(request, &FIELDS, &types).await? {
        (Sent::Form(form), _) => {
            let offered = source_of_form(form)?;
            // Known before anything is fetched. What stands behind ? or # is not the name of a file.
            let path = match &offered {
                Offered::Here(upload) => upload.name.as_str(),
                Offered::Elsewhere { url, .. } => url.split(['?', '#']).next().unwrap_or(url),
            };
            let name = path.to_ascii_lowercase();
            let known = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
            let (_, kind) = known.ok_or_else(|| {
                invalid(format!(
                    "{path:?} is no manifest and no archive by its name: use .csv, .jsonl, .zip, .tar or .tar.gz"
                ))
            })?;
            let mut sources = fetching::uploads(state, vec![offered]).await?;
            Ok(Source {
                upload: sources.pop().expect("one was asked for"),
                kind,
                is_object: false,
            })
        }
        (Sent::Raw(bytes) | Sent::Json(bytes), found) => {
            let known = KINDS.iter().find(|(kind, _)| *kind == found);
            let (_, kind) = known.expect("no other type is received");
            let upload = Upload {
                name: source_name(kind),
                bytes: bytes.into(),
            };
            Ok(Source {
                upload,
                kind,
                is_object: found == JSON,
            })
        }
    }
}

/// Listings to scan, each as a line of a manifest.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScanBody {
    #[schema(value_type = Vec<Map<String, Value>>)]
    listings: Lines,
}

/// Listings as lines of JSON, made one after the other: no more than one is held in values.
struct Lines(Vec<u8>);

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Lines(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Lines {
    type Value = Self;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut listings: A) -> Result<Self, A::Error> {
        while let Some(listing) = listings.next_element::<Map<String, Value>>()? {
            serde_json::to_writer(&mut self.0, &listing).expect("plain values are JSON");
            self.0.push(b'\n');
        }
        Ok(self)
    }
}

fn lines_of(text: &[u8]) -> Result<Vec<u8>, Problem> {
    // A listing lies within the body's braces and the brackets of the list.
    check_values(text, 2, MAX_LISTING_VALUES)?;
    let body: ScanBody = parse_json(text)?;
    Ok(body.listings.0)
}

/// Puts the source on the disk, and looks how long it is.
fn count(engine: &Engine, source: Source) -> Result<Counted, Problem> {
    let Source {
        mut upload,
        kind,
        is_object,
    } = source;
    if is_object {
        upload.bytes = lines_of(&upload.bytes)?;
    }
    let all = engine.settings().home.join(SCANS);
    let on_disk = write_source(&all, &upload, kind);
    let folder = on_disk.map_err(|error| Problem::hidden(ProblemKind::Internal, &error))?;
    let n_photos = count_photos(&folder.path().join(source_name(kind)))
        .map_err(|error| invalid(format!("{}: {}", upload.name, plain_reason(&error))))?;
    if n_photos == 0 {
        return Err(invalid(format!("{}: there is no photo in it", upload.name)));
    }
    Ok(Counted {
        folder,
        name: upload.name,
        kind,
        n_photos,
    })
}

/// Takes what is on the disk into the queue, before the scan is acknowledged.
fn take_in(engine: &Engine, counted: Counted, asked_by: String) -> Result<ScanRecord, Problem> {
    let folder = counted.folder.path().file_name().unwrap_or_default();
    let record = engine.store().create_scan(&NewScan {
        folder: folder.to_string_lossy().into_owned(),
        name: counted.name,
        kind: counted.kind.to_owned(),
        n_photos: counted.n_photos,
        asked_by,
    })?;
    // Until here it vanishes with whatever went wrong.
    let _ = counted.folder.keep();
    Ok(record)
}

fn write_source(all: &Path, source: &Upload, kind: &str) -> io::Result<tempfile::TempDir> {
    fs::create_dir_all(all)?;
    let folder = tempfile::Builder::new().prefix("scan-").tempdir_in(all)?;
    let path = folder.path().join(source_name(kind));
    fs::write(&path, &source.bytes)?;
    fs::File::open(&path)?.sync_all()?;
    Ok(folder)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ScansQuery {
    /// `next` of the page before.
    after: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Scans {
    scans: Vec<ScanRecord>,
    /// What to ask for as `after`; `null` on the last page.
    next: Option<i64>,
}

/// A page of scans, newest first.
#[utoipa::path(
    get, path = "/v1/scans", tag = "scans", params(ScansQuery),
    responses((status = 200, description = "A page", body = Scans)),
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<ScansQuery>,
) -> Result<Json<Scans>, Problem> {
    let limit = page_length(query.limit)?;
    let read = caller.run(Lane::Reads, move |engine| {
        let after = query.after.map(ScanId);
        let mut scans = engine.store().scans(after, with_one_more(limit))?;
        let next = cut(&mut scans, limit, |last| last.id.0);
        Ok(Json(Scans { scans, next }))
    });
    read.await
}

/// One scan, with how far it is.
#[utoipa::path(
    get, path = "/v1/scans/{id}", tag = "scans",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 200, description = "The scan", body = ScanRecord)),
)]
pub(super) async fn show(
    caller: Caller,
    Place(id): Place<String>,
) -> Result<Json<ScanRecord>, Problem> {
    let id = scan_id(&id)?;
    let read = caller.run(Lane::Reads, move |engine| Ok(engine.store().scan(id)?));
    read.await.map(Json)
}

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ResultFormat {
    /// A JSON object a line for each photo.
    #[default]
    Jsonl,
    /// A row for each finding.
    Csv,
    /// A row for each photo, in columns.
    Parquet,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ResultQuery {
    /// `jsonl` unless it says otherwise.
    format: Option<ResultFormat>,
}

/// The results of a scan that is done, as `touchstone scan` writes them.
#[utoipa::path(
    get, path = "/v1/scans/{id}/result", tag = "scans",
    params(("id" = i64, Path, minimum = 1, example = 1), ResultQuery),
    responses((status = 200, description = "The results", content(
        (String = "application/jsonl"),
        (String = "text/csv"),
        (BinaryBody = "application/vnd.apache.parquet"),
    ))),
)]
pub(super) async fn result(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Place(id): Place<String>,
    Query(query): Query<ResultQuery>,
) -> Result<Response, Problem> {
    let id = scan_id(&id)?;
    let place = state.downloads.begin()?;
    let (format, kind) = match query.format.unwrap_or_default() {
        ResultFormat::Jsonl => (ReportFormat::Jsonl, "application/jsonl"),
        ResultFormat::Csv => (ReportFormat::Csv, "text/csv; charset=utf-8"),
        ResultFormat::Parquet => (ReportFormat::Parquet, "application/vnd.apache.parquet"),
    };
    let read = caller.run(Lane::Reads, move |engine| {
        let scan = engine.store().scan(id)?;
        let path = files_of_done(engine, &scan)?.results(format);
        let opened = fs::File::open(path).and_then(|file| {
            let n_bytes = file.metadata()?.len();
            Ok((file, n_bytes))
        });
        opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => results_gone(),
            _ => Problem::hidden(ProblemKind::Internal, &error),
        })
    });
    let (file, n_bytes) = read.await?;
    note_export(&caller, id, format).await?;
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_LENGTH, n_bytes.to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"scan-{}.{format}\"", id.0),
        ),
    ];
    Ok((headers, body_of_file(place, file)).into_response())
}

/// Writes down that results leave, before the first byte does.
pub(super) async fn note_export(
    caller: &Caller,
    id: ScanId,
    format: ReportFormat,
) -> Result<(), Problem> {
    let note = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().note_scan_export(id, format.as_str())?)
    });
    note.await
}

/// The files of a scan that has results.
fn files_of_done(engine: &Engine, scan: &ScanRecord) -> Result<JobFiles, Problem> {
    if scan.state == ScanState::Done {
        return Ok(JobFiles::new(folder_of(engine, scan)));
    }
    let detail = format!("the scan is {}: there are no results", scan.state);
    Err(Problem::new(ProblemKind::Conflict, detail))
}

/// Said where a scan is done and its files are not there.
pub(super) fn results_gone() -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        "the results are not here any more: a backup does not hold them",
    )
}

/// Where a page of a scan's report is: `results.html`, or `results.pages/N.html`.
pub(super) fn report_page(
    engine: &Engine,
    scan: &ScanRecord,
    page: &str,
) -> Result<PathBuf, Problem> {
    let first = files_of_done(engine, scan)?.results(ReportFormat::Html);
    let further = page
        .strip_prefix("results.pages/")
        .and_then(|name| name.strip_suffix(".html"))
        .and_then(|number| number.parse::<u32>().ok());
    match (page, further) {
        ("results.html", _) => Ok(first),
        (_, Some(number)) => Ok(first.with_extension("pages").join(format!("{number}.html"))),
        _ => Err(Problem::new(
            ProblemKind::NotFound,
            format!("a report has no page {page:?}"),
        )),
    }
}

/// Forgets a scan with its source and results; one that waits or is at work is not done.
#[utoipa::path(
    delete, path = "/v1/scans/{id}", tag = "scans",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn remove(
    caller: Caller,
    Place(id): Place<String>,
) -> Result<StatusCode, Problem> {
    let id = scan_id(&id)?;
    let write = caller.run(Lane::Writes, move |engine| forget(engine, id));
    write.await.map(|_| StatusCode::NO_CONTENT)
}

/// Forgets a scan with its files; gives where it stood.
pub(super) fn forget(engine: &Engine, id: ScanId) -> Result<ScanState, Problem> {
    let scan = engine.store().remove_scan(id)?;
    // Whoever is at work on it sees that it is gone, and clears up.
    if scan.state != ScanState::Running {
        working::remove_files(engine, &scan);
    }
    Ok(scan.state)
}
