//! A scan that nobody waits for: of what was handed in, into a folder of its own, to be gone on with after a
//! restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;

use super::{Document, Documents, identity, is_next, summarised};
use crate::engine::manifest::{
    self, ManifestError, PhotoFinder, PhotoPlace, Source, read_listings,
};
use crate::engine::{Engine, EngineError, ScanOptions, ScanUnit, scan_units};
use crate::fetch::BlockingFetcher;
use crate::report::{ReportError, ReportFormat, ScanIdentity, Spool, Summary, SummaryFile};

/// Why a job came to no end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// Whoever watches it said so; what is done is kept.
    #[error("the scan was stopped")]
    Stopped,
    /// What was handed in cannot be read at all.
    #[error(transparent)]
    Source(#[from] ManifestError),
    /// Looking at photos failed, on this side.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Rows or results cannot be written, or another process writes them.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// The files of a job: results in each format, and what is beside them while it is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFiles {
    folder: PathBuf,
}

impl JobFiles {
    /// The formats in which results are given.
    pub const FORMATS: [ReportFormat; 4] = [
        ReportFormat::Jsonl,
        ReportFormat::Csv,
        ReportFormat::Parquet,
        ReportFormat::Html,
    ];

    /// Those in `folder`, which is there.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where results are, once the job is done.
    pub fn results(&self, format: ReportFormat) -> PathBuf {
        self.folder.join(format!("results.{format}"))
    }

    fn rows(&self) -> PathBuf {
        self.results(ReportFormat::Jsonl)
    }
}

/// The photos of what was handed in. Files of this machine are none of them, whatever a manifest says, and
/// no name tells where the source lies here.
fn units(source: &Path) -> Result<impl Iterator<Item = ScanUnit> + Send + use<>, ManifestError> {
    let here = format!("{}/", source.parent().unwrap_or(Path::new("")).display());
    let plain = move |text: &str| text.strip_prefix(&here).unwrap_or(text).to_owned();
    let listings = read_listings(source)?.map(move |found| match found {
        Ok((mut listing, places)) => {
            listing.listing_id = plain(&listing.listing_id);
            for photo in &mut listing.photos {
                *photo = plain(photo);
            }
            Ok((listing, places))
        }
        Err(error) => Err(ManifestError::BadLine {
            source_name: plain(&error.place()),
            reason: plain_reason(&error),
        }),
    });
    Ok(
        scan_units(Box::new(listings), None).map(|unit| match unit.place {
            PhotoPlace::File(_) => ScanUnit {
                place: PhotoPlace::Nowhere(
                    "photos must lie in the archive, or be given by web addresses".to_owned(),
                ),
                ..unit
            },
            _ => unit,
        }),
    )
}

/// What is wrong with what was handed in, without where it lies here.
pub fn plain_reason(error: &ManifestError) -> String {
    match error {
        ManifestError::Unreadable { cause, .. } => cause.to_string(),
        other => other.reason(),
    }
}

/// Photos of what was handed in, and lines that cannot be read.
///
/// # Errors
/// [`ManifestError`] when it cannot be read at all, or is made to take long.
pub fn count_photos(source: &Path) -> Result<u64, ManifestError> {
    manifest::count_photos(source)
}

/// Scans `source`, which people call `name`, into `files`, or goes on with it; `goes_on` is told the number of rows after each, and says
/// whether more are wanted. Rows that were made with another registry or other networks are made anew.
///
/// All are made with the registry of the beginning, by an engine of the job's own on the same home: requests
/// bring `engine` up to date whenever they like. It shares the networks and holds a second copy of the registry.
///
/// # Errors
/// [`JobError`].
pub fn run_job(
    engine: &Engine,
    source: &Path,
    name: &str,
    files: &JobFiles,
    fetcher: Option<Arc<BlockingFetcher>>,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<Summary, JobError> {
    let started = Instant::now();
    let engine = &engine.open_beside(engine.settings().home.clone())?;
    let rows = files.rows();
    let handed_in = Arc::new(Source::Here(source.to_owned()));
    let identity = identity(engine, &handed_in, None, fetcher.as_deref())?;
    let mut n_resumed = 0;
    let is_published = Spool::is_published(&rows, &identity)?;
    let spool = if is_published {
        None
    } else {
        let (mut spool, units) = begin(source, &rows, &identity)?;
        n_resumed = spool.n_rows();
        let options = ScanOptions {
            fetcher: fetcher.clone(),
            ..ScanOptions::default()
        };
        engine.scan(units, &options, |scanned| {
            spool.write(&scanned)?;
            if goes_on(spool.n_rows()) {
                Ok(())
            } else {
                Err(JobError::Stopped)
            }
        })?;
        spool.sync()?;
        Some(spool)
    };
    let rows_at = spool.as_ref().map_or(rows.as_path(), |spool| spool.path());
    let documents = documents(files);
    let finder = PhotoFinder::new(handed_in, None).without_folder();
    let documents = Documents::open(Some(engine), finder, name, documents)?;
    let summary = summarised(rows_at, documents, started.elapsed(), n_resumed)?;
    if let Some(mut spool) = spool {
        spool.publish(&rows)?;
        SummaryFile::new(identity, &summary, &[]).write(&rows)?;
        spool.close();
    } else {
        SummaryFile::new(identity, &summary, &[]).write(&rows)?;
        Spool::clear(&rows);
    }
    Ok(summary)
}

/// The rows so far, and the photos that are left.
fn begin(
    source: &Path,
    rows: &Path,
    identity: &ScanIdentity,
) -> Result<(Spool, impl Iterator<Item = ScanUnit> + Send + use<>), JobError> {
    let mut left = units(source)?;
    match Spool::resume(rows, identity, |row| is_next(&mut left, row)) {
        Ok(spool) => Ok((spool, left)),
        Err(ReportError::OtherScan { .. } | ReportError::OtherListings { .. }) => {
            Spool::clear(rows);
            Ok((Spool::begin(rows, identity)?, units(source)?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Everything but the rows themselves.
fn documents(files: &JobFiles) -> Vec<Document> {
    let made = JobFiles::FORMATS.into_iter();
    made.filter(|format| *format != ReportFormat::Jsonl)
        .map(|format| Document {
            path: files.results(format),
            format,
        })
        .collect()
}
