//! What can go wrong between bytes and verdict.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::domain::{FindingId, ModelId};
use crate::embed::EmbedError;
use crate::imaging::ImagingError;
use crate::index::IndexError;
use crate::matching::judge::JudgeError;
use crate::ocr::OcrError;
use crate::store::StoreError;

/// Why the engine could not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The bytes are no picture, or one that is refused.
    #[error(transparent)]
    Imaging(#[from] ImagingError),
    /// The embedding network failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The networks that read words failed.
    #[error(transparent)]
    Ocr(#[from] OcrError),
    /// The database failed, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index refused a vector.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The judge file cannot be used.
    #[error(transparent)]
    Judge(#[from] JudgeError),
    /// A file that is needed cannot be read.
    #[error("reading {path}: {cause}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The background is damaged.
    #[error("the background {path} cannot be used: {reason}; restore it, or make it anew", path = path.display())]
    BadBackground {
        /// Its card.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry was made with another network.
    #[error(
        "this registry was made with the network {registry}, not {given}: name that network's card with --model, or run `touchstone assets reembed --model CARD`"
    )]
    ModelMismatch {
        /// Network of the registry.
        registry: ModelId,
        /// Network in use.
        given: ModelId,
    },
    /// Too many photos wait in the background.
    #[error("{n_waiting} photos are still being checked: try again later")]
    Backlog {
        /// Photos not done.
        n_waiting: usize,
    },
    /// What was kept of a photo is damaged, or of a later version.
    #[error("the description kept of a photo cannot be read: {reason}")]
    BadDescription {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The photo of a finding was not kept, or for no longer.
    #[error("the photo of finding {} was not kept: nothing can be learnt from it", id.0)]
    PhotoNotKept {
        /// The finding.
        id: FindingId,
    },
    /// A registered picture is blank: it would match everything or nothing.
    #[error("the picture is blank: it shows no mark")]
    BlankReference,
}

impl EngineError {
    /// Whether the caller's picture is at fault, and not this side.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::Imaging(_) | Self::BlankReference)
    }
}
