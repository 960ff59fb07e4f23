//! Verdicts for people and programs: terminal text, JSON lines, CSV, Parquet and HTML pages; the rows of a
//! scan under way, and reading them again.
//!
//! Nothing is judged here and no photo is opened: what is written was decided before, and small
//! pictures are made by the caller (with [`thumbnail()`]). Everything that came from outside — titles,
//! seller names, file names, words read in photos — is escaped for the place where it ends up.

mod csv;
mod earlier;
mod error;
mod html;
mod jsonl;
mod output;
mod parquet;
mod reuse;
mod rows;
mod spool;
mod summary;
mod summary_file;
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
pub use self::parquet::{ParquetReport, parquet_schema};
pub use earlier::EarlierRows;
pub use error::ReportError;
pub use html::{
    AssetThumbnails, HtmlOptions, HtmlReport, MAX_FINDINGS, PAGE_FINDINGS, PhotoThumbnails,
    Thumbnails,
};
pub use jsonl::{JsonlReport, PhotoRecord, read_record};
pub use output::{Output, folder_of, sync_folder};
pub use reuse::{Reuse, ReuseGroup};
pub use rows::read_rows;
pub use spool::{ScanIdentity, SourceState, Spool, beside, read_json, write_json};
pub use summary::{StageCost, Summary};
pub use summary_file::SummaryFile;
pub use table::{TextStyle, write_photo, write_summary};
pub use text::{visible, wrap};
pub use thumbnail::{THUMBNAIL_SIDE_PX, thumbnail};
pub use words::{kind_words, place, promise_words};

/// Takes the photos of a scan one by one, in any order, and makes one document of them.
///
/// The document appears under its name at [`finish`](Self::finish) and not before; a writer that is
/// dropped unfinished leaves nothing behind (standard output excepted, which is written at once).
pub trait ScanWriter: Send {
    /// Adds one photo.
    ///
    /// # Errors
    /// [`ReportError`] when the document cannot be written; the scan should stop then.
    fn write(&mut self, scanned: &ScannedPhoto) -> Result<(), ReportError>;

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
    /// A row for each photo, in columns.
    Parquet,
    /// Pages with pictures that need nothing else.
    Html,
}

impl ReportFormat {
    /// The word used in flags, which is also the file name's ending.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
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
            "parquet" => Ok(Self::Parquet),
            "html" | "htm" => Ok(Self::Html),
            _ => Err(ReportError::UnknownFormat {
                found: text.to_owned(),
            }),
        }
    }
}

/// Opens a document of `format` at `destination` (`-`: standard output). `html` and `thumbnails` concern
/// pages alone.
///
/// # Errors
/// [`ReportError`] when nothing can be written there.
pub fn open_report<'a>(
    format: ReportFormat,
    destination: &Path,
    html: HtmlOptions,
    thumbnails: Thumbnails<'a>,
) -> Result<Box<dyn ScanWriter + 'a>, ReportError> {
    Ok(match format {
        ReportFormat::Jsonl => Box::new(JsonlReport::new(Output::create(destination)?)),
        ReportFormat::Csv => Box::new(CsvReport::new(Output::create(destination)?)?),
        ReportFormat::Parquet => Box::new(ParquetReport::new(Output::create(destination)?)?),
        ReportFormat::Html => Box::new(HtmlReport::new(destination, html, thumbnails)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_follow_the_ending_and_round_trip() {
        for format in [
            ReportFormat::Jsonl,
            ReportFormat::Csv,
            ReportFormat::Parquet,
            ReportFormat::Html,
        ] {
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
        let error = "xlsx"
            .parse::<ReportFormat>()
            .expect_err("not written here");
        assert!(error.to_string().contains("\"xlsx\""));
    }
}
