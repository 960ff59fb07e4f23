//! What is made of the rows of a scan when all are there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::{AssetId, ScannedPhoto};
use crate::engine::Engine;
use crate::engine::manifest::PhotoFinder;
use crate::report::{
    HtmlOptions, MAX_FINDINGS, PAGE_FINDINGS, ReportError, ReportFormat, Reuse, ScanWriter,
    Summary, THUMBNAIL_SIDE_PX, Thumbnails, open_report, read_rows, thumbnail,
};

/// Groups of photos that come again, in the summary.
pub const MAX_GROUPS: usize = 20;

/// A document to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where.
    pub path: PathBuf,
    /// In which form.
    pub format: ReportFormat,
}

/// Documents that are being made, and the summary.
pub struct Documents<'a> {
    writers: Vec<Box<dyn ScanWriter + 'a>>,
    summary: Summary,
    reuse: Reuse,
}

impl<'a> Documents<'a> {
    /// Without an engine there are no pictures in them.
    ///
    /// # Errors
    /// [`ReportError`] when one of them cannot be written.
    pub fn open(
        engine: Option<&'a Engine>,
        finder: PhotoFinder,
        source: &str,
        documents: Vec<Document>,
    ) -> Result<Self, ReportError> {
        let finder = Arc::new(finder);
        let mut writers = Vec::new();
        for document in documents {
            let options = HtmlOptions {
                source: source.to_owned(),
                made_at: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
                max_findings: MAX_FINDINGS,
                page_findings: PAGE_FINDINGS,
            };
            let finder = Arc::clone(&finder);
            let thumbnails = Thumbnails {
                photos: Box::new(move |photo: &str| {
                    thumbnail_of_photo(engine?, &finder.bytes(photo)?)
                }),
                assets: Box::new(move |asset| thumbnail_of_asset(engine?, asset)),
            };
            let (format, path) = (document.format, &document.path);
            writers.push(open_report(format, path, options, thumbnails)?);
        }
        Ok(Self {
            writers,
            summary: Summary::default(),
            reuse: Reuse::default(),
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`ReportError`] when a document cannot be written.
    pub fn add(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError> {
        self.summary.add(scanned);
        self.reuse.add(scanned);
        for writer in &mut self.writers {
            writer.write(scanned)?;
        }
        Ok(())
    }

    /// Completes them, of a scan that took `elapsed` since it began, or went on behind `n_resumed` rows.
    ///
    /// # Errors
    /// [`ReportError`] when a document cannot be written.
    pub fn finish(mut self, elapsed: Duration, n_resumed: u64) -> Result<Summary, ReportError> {
        self.summary.elapsed = elapsed;
        self.summary.n_resumed = n_resumed;
        self.summary.reuse = self.reuse.largest(MAX_GROUPS);
        self.summary.n_reuse_forgotten = self.reuse.n_forgotten();
        for writer in self.writers {
            writer.finish(&self.summary)?;
        }
        Ok(self.summary)
    }
}

/// Makes the documents of a file of rows.
///
/// # Errors
/// [`ReportError`] when the rows cannot be read or a document cannot be written.
pub fn summarised(
    rows: &Path,
    mut documents: Documents<'_>,
    elapsed: Duration,
    n_resumed: u64,
) -> Result<Summary, ReportError> {
    for row in read_rows(rows)? {
        documents.add(&row?)?;
    }
    documents.finish(elapsed, n_resumed)
}

fn thumbnail_of_photo(engine: &Engine, bytes: &[u8]) -> Option<Vec<u8>> {
    let picture = engine.prepare(bytes).ok()?;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}

/// The first picture of an asset, on the ground that shows it.
fn thumbnail_of_asset(engine: &Engine, asset: AssetId) -> Option<Vec<u8>> {
    let picture = engine.reference_picture(asset).ok()??;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}
