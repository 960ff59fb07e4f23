//! Why a report cannot be written.

use std::io;

use thiserror::Error;

/// Why a report cannot be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// No report is written in this format.
    #[error("unknown report format {found:?}: use jsonl, csv or html")]
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
