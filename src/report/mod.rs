//! Verdicts for people and programs: terminal text, JSON lines, CSV and one HTML page.
//!
//! Nothing is judged here and no photo is opened: what is written was decided before, and small
//! pictures are made by the caller (with [`thumbnail()`]). Everything that came from outside — titles,
//! seller names, file names, words read in photos — is escaped for the place where it ends up.

mod csv;
mod error;
mod html;
mod jsonl;
mod output;
mod summary;
mod table;
mod text;
mod thumbnail;
mod words;

#[cfg(test)]
mod samples;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::domain::ScannedPhoto;

pub use self::csv::{CSV_COLUMNS, CsvReport, guarded};
pub use error::ReportError;
pub use html::{AssetThumbnails, HtmlOptions, HtmlReport, MAX_FINDINGS};
pub use jsonl::{JsonlReport, PhotoRecord};
pub use output::Output;
pub use summary::Summary;
pub use table::{TextStyle, write_photo, write_summary};
pub use text::{visible, wrap};
pub use thumbnail::{THUMBNAIL_SIDE_PX, thumbnail};
pub use words::{kind_words, percent, place};

/// Takes the photos of a scan one by one, in any order, and makes one document of them.
///
/// The document appears under its name at [`finish`](Self::finish) and not before; a writer that is
/// dropped unfinished leaves nothing behind (standard output excepted, which is written at once).
pub trait ScanWriter: Send {
    /// Adds one photo. `photo_thumbnail` is called at most once, and only by a document that shows
    /// this very photo; it gives a JPEG of the whole upright photo, or `None` when there is none.
    ///
    /// # Errors
    /// [`ReportError`] when the document cannot be written; the scan should stop then.
    fn write(
        &mut self,
        scanned: &ScannedPhoto,
        photo_thumbnail: &mut dyn FnMut() -> Option<Vec<u8>>,
    ) -> Result<(), ReportError>;

    /// Completes the document and lets it appear under its name.
    ///
    /// # Errors
    /// [`ReportError`]; whatever stood under the name before is still there, unchanged.
    fn finish(self: Box<Self>, summary: &Summary) -> Result<(), ReportError>;
}

/// The documents that a scan can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// One JSON object a line for each photo.
    Jsonl,
    /// A row for each finding.
    Csv,
    /// One self-contained page with pictures.
    Html,
}

impl ReportFormat {
    /// The word used in flags, which is also the file name's ending.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// The format that a file name's ending stands for (`htm` and `ndjson` too, in any case).
    pub fn of_path(path: &Path) -> Option<Self> {
        path.extension()?.to_str()?.parse().ok()
    }
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ReportFormat {
    type Err = ReportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "csv" => Ok(Self::Csv),
            "html" | "htm" => Ok(Self::Html),
            _ => Err(ReportError::UnknownFormat {
                found: text.to_owned(),
            }),
        }
    }
}

/// Opens a document of `format` at `destination` (`-`: standard output). `html` and
/// `asset_thumbnail` concern the page alone.
///
/// # Errors
/// [`ReportError`] when nothing can be written there.
pub fn open_report<'a>(
    format: ReportFormat,
    destination: &Path,
    html: HtmlOptions,
    asset_thumbnail: AssetThumbnails<'a>,
) -> Result<Box<dyn ScanWriter + 'a>, ReportError> {
    let output = Output::create(destination)?;
    Ok(match format {
        ReportFormat::Jsonl => Box::new(JsonlReport::new(output)),
        ReportFormat::Csv => Box::new(CsvReport::new(output)?),
        ReportFormat::Html => Box::new(HtmlReport::new(output, html, asset_thumbnail)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_follow_the_ending_and_round_trip() {
        for format in [ReportFormat::Jsonl, ReportFormat::Csv, ReportFormat::Html] {
            assert_eq!(
                format.as_str().parse::<ReportFormat>().expect("own word"),
                format
            );
        }
        assert_eq!(
            ReportFormat::of_path(Path::new("a/b.HTM")),
            Some(ReportFormat::Html)
        );
        assert_eq!(ReportFormat::of_path(Path::new("jsonl")), None);
        let error = "parquet"
            .parse::<ReportFormat>()
            .expect_err("not written here");
        assert!(error.to_string().contains("\"parquet\""));
    }
}
