//! Why a report cannot be written.

use std::io;

use thiserror::Error;

/// Why a report cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// No report is written in this format.
    #[error("unknown report format {found:?}: use jsonl, csv, parquet or html")]
    UnknownFormat {
        /// The word that was given.
        found: String,
    },
    /// The destination's folder is missing, closed to us, or the like.
    #[error("creating the report {destination}: {source}")]
    Create {
        /// Where it should have appeared.
        destination: String,
        /// What the system said.
        source: io::Error,
    },
    /// No space, or no quota, is left.
    #[error(
        "the disk is full: the report {destination} had grown to {written_bytes} bytes and is removed \
         again; free some space, or choose another disk with --out"
    )]
    DiskFull {
        /// Where it should have appeared.
        destination: String,
        /// Length of the report so far, bytes.
        written_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// No space, or no quota, is left for a scan under way, which can be continued.
    #[error(
        "the disk is full: {partial} has grown to {written_bytes} bytes and is kept; free some space, \
         then run the same command with --resume"
    )]
    ScanDiskFull {
        /// The unfinished rows.
        partial: String,
        /// Length of them so far, bytes.
        written_bytes: u64,
        /// What the system said.
        source: io::Error,
    },
    /// An unfinished scan is there that would be lost.
    #[error(
        "{partial} holds {n_bytes} bytes of an unfinished scan: continue it with --resume, or delete it"
    )]
    Unfinished {
        /// The unfinished rows.
        partial: String,
        /// Their length, bytes.
        n_bytes: u64,
    },
    /// Another process writes there.
    #[error("{partial} is being written by another scan")]
    InUse {
        /// The unfinished rows.
        partial: String,
    },
    /// The unfinished scan was another one.
    #[error(
        "{partial} cannot be continued: {difference}; go back to that, or delete {partial} to begin anew"
    )]
    OtherScan {
        /// The unfinished rows.
        partial: String,
        /// What differs, in words.
        difference: String,
    },
    /// The listings are not those that the unfinished scan began with.
    #[error(
        "{partial} cannot be continued: row {row} is of photo {found:?} of listing {found_listing:?}, but \
         the source has {expected} there now; restore the source, or delete {partial} to begin anew"
    )]
    OtherListings {
        /// The unfinished rows.
        partial: String,
        /// Number of the row, from 1.
        row: u64,
        /// Its listing.
        found_listing: String,
        /// Its photo.
        found: String,
        /// What the source has in its place, in words.
        expected: String,
    },
    /// A file of rows cannot be read.
    #[error("reading {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A line of a file of rows is none.
    #[error("{path} line {line}: {reason}")]
    BadRow {
        /// The file.
        path: String,
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows cannot be put into columns.
    #[error("writing the report {destination} as Parquet: {reason}")]
    Columns {
        /// Where it should have appeared.
        destination: String,
        /// What is wrong.
        reason: String,
    },
    /// Whoever read standard output has gone; not worth a message.
    #[error("the reader of {destination} has gone")]
    ReaderGone {
        /// The destination.
        destination: String,
    },
    /// Any other failure while writing.
    #[error("writing the report {destination}: {source}")]
    Write {
        /// Where it should have appeared.
        destination: String,
        /// What the system said.
        source: io::Error,
    },
    /// A small picture could not be made.
    #[error("making a thumbnail of a picture of {width} × {height} pixels: {source}")]
    Thumbnail {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// What went wrong.
        source: image::ImageError,
    },
}

impl ReportError {
    /// As [`from_write`](Self::from_write), of rows that are kept.
    pub(super) fn from_spool(partial: &str, written_bytes: u64, source: io::Error) -> Self {
        let partial = partial.to_owned();
        match Self::from_write(&partial, written_bytes, source) {
            Self::DiskFull { source, .. } => Self::ScanDiskFull {
                partial,
                written_bytes,
                source,
            },
            other => other,
        }
    }

    /// Sorts a failure to write by what a caller can do about it.
    pub(super) fn from_write(destination: &str, written_bytes: u64, source: io::Error) -> Self {
        let destination = destination.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::DiskFull {
                destination,
                written_bytes,
                source,
            },
            io::ErrorKind::BrokenPipe => Self::ReaderGone { destination },
            _ => Self::Write {
                destination,
                source,
            },
        }
    }
}
