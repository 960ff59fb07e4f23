//! What can go wrong with evidence.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::engine::EngineError;
use crate::imaging::ImagingError;

/// Why evidence was not written, or a bundle not checked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Something else has the name already.
    #[error("{path} is there already, with other content: move it away, or name another", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// No space, or no quota, is left; nothing of the file remains.
    #[error("the disk is full: {path} needs {n_bytes} bytes; free some space, or name another disk", path = path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_bytes: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other failure while writing; nothing of the file remains.
    #[error("writing {path}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bundle cannot be read.
    #[error("reading {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bundle is damaged or was tampered with, or is none.
    #[error("this bundle is refused: {0}")]
    Refused(#[from] BundleFault),
    /// The finding's registered picture was removed meanwhile.
    #[error(
        "the registered picture of {brand} / {asset} was removed meanwhile: match the photo again"
    )]
    ReferenceGone {
        /// Owner.
        brand: String,
        /// Name of the asset.
        asset: String,
    },
    /// The pipeline failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A picture could not be drawn.
    #[error("drawing the evidence: {0}")]
    Drawing(#[from] ImagingError),
    /// A picture could not be written as JPEG.
    #[error("writing a JPEG: {0}")]
    Jpeg(#[from] image::ImageError),
}

/// Why a file is not accepted as a bundle. Names are quoted with everything invisible made visible.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleFault {
    /// No zip archive, or a broken one.
    #[error("not a readable zip archive: {0}")]
    BadArchive(#[from] zip::result::ZipError),
    /// An entry breaks off, or its checksum is wrong.
    #[error("the entry {name:?} cannot be unpacked")]
    BadEntry {
        /// The entry.
        name: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// More than a bundle may hold.
    #[error("{what} has {actual} {unit}, at most {limit} are accepted")]
    TooLarge {
        /// What is too large.
        what: String,
        /// As declared, or as far as it was unpacked.
        actual: u64,
        /// Most that is accepted.
        limit: u64,
        /// Bytes or entries.
        unit: &'static str,
    },
    /// A path that leads elsewhere, or just a name that no bundle has.
    #[error("the entry {name:?} has a name that no bundle has")]
    BadName {
        /// The entry.
        name: String,
    },
    /// Two entries of one name.
    #[error("it has two entries of one name")]
    DuplicateName,
    /// A link, a folder, or something else than a plain file.
    #[error("the entry {name:?} is no plain file")]
    NoPlainFile {
        /// The entry.
        name: String,
    },
    /// Encrypted, or compressed in a way that bundles do not use.
    #[error("the entry {name:?} is encrypted or compressed in a way that bundles do not use")]
    BadMethod {
        /// The entry.
        name: String,
    },
    /// Bytes that belong to no entry: another program could find something else in the file.
    #[error("it holds bytes that belong to no entry")]
    HiddenBytes,
    /// The record names an entry that is not there.
    #[error("the entry {name:?} is missing")]
    Missing {
        /// The entry.
        name: String,
    },
    /// An entry that the record does not name.
    #[error("the entry {name:?} is not in the record")]
    Unlisted {
        /// The entry.
        name: String,
    },
    /// An entry is not the one that the record speaks of.
    #[error("the entry {name:?} has SHA-256 {actual}, its record says {recorded}")]
    WrongHash {
        /// The entry.
        name: String,
        /// As recorded.
        recorded: String,
        /// As found.
        actual: String,
    },
    /// Made by a later touchstone.
    #[error(
        "it has format version {found}, this touchstone reads {supported}: use a newer touchstone"
    )]
    UnknownVersion {
        /// As recorded.
        found: u64,
        /// As known here.
        supported: u32,
    },
    /// The record is no JSON of the expected form.
    #[error("its record is not understood: {0}")]
    BadJson(#[from] serde_json::Error),
    /// The record contradicts itself.
    #[error("its record cannot be right: {reason}")]
    BadRecord {
        /// What is wrong with it.
        reason: String,
    },
}
