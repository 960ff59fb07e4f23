//! From pixels to vectors: the embedder trait, the networks behind it, and a fake for tests.
//!
//! Which regions of a photo are described is decided here, since it depends on the network; what the
//! vectors are compared with is not known here.

mod card;
pub mod fake;
mod onnx;
mod windows;

use std::io;
use std::path::PathBuf;

use image::RgbImage;
use thiserror::Error;

use crate::domain::{
    CellMap, CellsError, Embedding, EmbeddingError, ModelId, ReferenceCells, Region,
};
use crate::runtime::RuntimeError;

pub use card::{CellsCard, InputCard, ModelCard, OutputCard, ReferenceCard, WindowsCard};
pub use onnx::OnnxEmbedder;

/// Why a picture has no vector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The card is not there or not readable.
    #[error("reading the model card {path}: {cause}", path = path.display())]
    CardUnreadable {
        /// The card.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The card is no TOML, or lacks a field.
    #[error("the model card {path} is not usable: {cause}", path = path.display())]
    CardMalformed {
        /// The card.
        path: PathBuf,
        /// What the parser said.
        #[source]
        cause: Box<toml::de::Error>,
    },
    /// The card asks for something that is not built.
    #[error("the model card {path} has {field} = {found}, which is not supported", path = path.display())]
    CardUnsupported {
        /// The card.
        path: PathBuf,
        /// Which field.
        field: &'static str,
        /// Its value.
        found: String,
    },
    /// The ONNX file is not there or not readable.
    #[error("reading the network {path}: {cause}", path = path.display())]
    ModelUnreadable {
        /// The ONNX file.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The ONNX file is not the one that the card describes.
    #[error("the network {path} has SHA-256 {actual}, but its card says {expected}: restore the file or correct the card", path = path.display())]
    ModelChanged {
        /// The ONNX file.
        path: PathBuf,
        /// SHA-256 in the card.
        expected: String,
        /// SHA-256 of the file.
        actual: String,
    },
    /// The network gave another shape than its card says.
    #[error(
        "the network {model} gave {actual:?} where {expected:?} was expected: correct its card"
    )]
    OutputShape {
        /// Whose card.
        model: ModelId,
        /// Shape wanted, `[n, dim]`.
        expected: [usize; 2],
        /// Shape found.
        actual: Vec<i64>,
    },
    /// The network cannot run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The network gave numbers that are no embedding.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// The network gave another number of cells than its card says.
    #[error("the network's cells do not fit its card")]
    Cells(#[from] CellsError),
}

/// A registered picture as windows are compared with it.
#[derive(Debug, Clone, PartialEq)]
pub struct DescribedReference {
    /// All of it in one vector, `[window_dim]`.
    pub embedding: Embedding,
    /// Its parts; `None` when the network gives none.
    pub cells: Option<ReferenceCells>,
}

/// A photo's windows, and the maps that they lie on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DescribedPhoto {
    /// Regions of the photo.
    pub windows: Vec<Window>,
    /// Cells of the photo at several sizes; empty when the network gives none.
    pub maps: Vec<CellMap>,
}

/// A described region of a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Where, in the photo's pixels.
    pub region: Region,
    /// What it shows, `[window_dim]`.
    pub embedding: Embedding,
    /// Where on which map; `None` when there are none.
    pub place: Option<MapPlace>,
}

/// A part of one of a photo's maps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MapPlace {
    /// Position of the map in [`DescribedPhoto::maps`].
    pub map_idx: usize,
    /// In shares of the map's sides; may reach over its border.
    pub frame: Region,
}

/// Describes pictures by vectors that can be compared with each other.
pub trait Embedder: Send + Sync {
    /// Which network this is; vectors of two networks are never compared.
    fn model(&self) -> &ModelId;

    /// Numbers in the vector of a window.
    fn window_dim(&self) -> usize;

    /// Numbers in the vector of a whole picture.
    fn whole_dim(&self) -> usize;

    /// Describes a registered picture, sRGB, any size, for comparison with windows; the border around
    /// a mark is trimmed.
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails.
    fn embed_reference(&self, picture: &RgbImage) -> Result<DescribedReference, EmbedError>;

    /// Describes a whole picture, registered or not, for comparison with wholes. Shape `[whole_dim]`.
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails.
    fn embed_whole(&self, picture: &RgbImage) -> Result<Embedding, EmbedError>;

    /// Describes regions of a photo, in its pixels, for comparison with references.
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails.
    fn embed_windows(&self, photo: &RgbImage) -> Result<DescribedPhoto, EmbedError>;
}
