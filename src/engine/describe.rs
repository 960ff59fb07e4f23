//! Stage 2: pixels → everything that is compared later.

use std::sync::OnceLock;

use image::RgbImage;
use ndarray::Array2;

use super::{Engine, EngineError};
use crate::domain::{AssetKind, CellMap, Embedding};
use crate::embed::{DescribedPhoto, Window};
use crate::imaging::{self, Picture};
use crate::matching::features::{FeatureLimits, LocalFeatures};
use crate::matching::hash::PictureHash;
use crate::matching::similarities::stacked;
use crate::ocr::Word;

/// Space of the vectors that windows are compared in.
pub(super) const SPACE_WINDOW: &str = "window";
/// Space of the vectors that whole pictures are compared in.
pub(super) const SPACE_WHOLE: &str = "whole";

/// A photo in numbers.
pub struct PhotoDescription {
    /// Windows of the photo, in its prepared pixels, each with its vector.
    pub windows: Vec<Window>,
    /// The photo's cells at several sizes; windows lie on them.
    pub maps: Vec<CellMap>,
    /// The whole photo.
    pub whole: Embedding,
    /// Perceptual hashes of the photo, and of what is inside an even border, each in eight flips and
    /// turns; `None` when the stage is off.
    pub hashes: Option<Vec<PictureHash>>,
    /// Words read in it; `None` when the stage is off.
    pub words: Option<Vec<Word>>,
    /// Local features, found when first asked for: only a few candidates need them.
    features: OnceLock<LocalFeatures>,
}

impl PhotoDescription {
    /// Perceptual hash of the photo as it stands; made from its `pixels` when the stage is off.
    pub(super) fn upright_hash(&self, pixels: &RgbImage) -> PictureHash {
        match self.hashes.as_deref() {
            Some([upright, ..]) => *upright,
            _ => PictureHash::of(pixels),
        }
    }

    /// The vectors of its windows below each other, `[n, dim]`.
    pub(super) fn window_vectors(&self, dim: usize) -> Array2<f32> {
        let vectors = self
            .windows
            .iter()
            .map(|window| window.embedding.as_slice());
        stacked(dim, vectors)
    }

    /// A description whose local features are not found yet.
    pub(super) fn new(
        windows: Vec<Window>,
        maps: Vec<CellMap>,
        whole: Embedding,
        hashes: Option<Vec<PictureHash>>,
        words: Option<Vec<Word>>,
    ) -> Self {
        Self {
            windows,
            maps,
            whole,
            hashes,
            words,
            features: OnceLock::new(),
        }
    }

    /// Local features of the photo.
    pub fn features(&self, photo: &RgbImage) -> &LocalFeatures {
        self.features.get_or_init(|| {
            LocalFeatures::extract(&image::imageops::grayscale(photo), &FeatureLimits::PHOTO)
        })
    }
}

impl Engine {
    /// Stage 2: describes a photo by vectors, hash and words.
    ///
    /// # Errors
    /// [`EngineError`] when a network fails.
    #[tracing::instrument(level = "info", name = "embed", skip_all)]
    pub fn embed(&self, photo: &Picture) -> Result<PhotoDescription, EngineError> {
        let DescribedPhoto { windows, maps } = self.embedder.embed_windows(&photo.pixels)?;
        let whole = self.embedder.embed_whole(&photo.pixels)?;
        let words = self.read_words(&photo.pixels)?;
        let hashes = self.settings.stages.hash.then(|| hashes(&photo.pixels));
        Ok(PhotoDescription::new(windows, maps, whole, hashes, words))
    }

    /// The words in a picture; `None` when the stage is off.
    #[tracing::instrument(level = "info", skip_all)]
    pub(super) fn read_words(&self, picture: &RgbImage) -> Result<Option<Vec<Word>>, EngineError> {
        let words = self.reader.as_ref().map(|reader| reader.read(picture));
        Ok(words.transpose()?)
    }
}

fn hashes(photo: &RgbImage) -> Vec<PictureHash> {
    let mut hashes = PictureHash::variants(photo).to_vec();
    let trimmed = imaging::trim(photo);
    if trimmed.dimensions() != photo.dimensions() {
        hashes.extend(PictureHash::variants(&trimmed));
    }
    hashes
}

/// The version in which a mark is given.
pub(super) const AS_GIVEN: &str = "plain";

/// The versions in which a picture of something is registered, the one given first. Marks are also
/// printed white on black; nobody sells a product in negative colours.
pub(super) fn versions(picture: &RgbImage, kind: AssetKind) -> Vec<(&'static str, RgbImage)> {
    let mut versions = vec![(AS_GIVEN, picture.clone())];
    if kind == AssetKind::Logo {
        let dark = imaging::on_dark_ground(picture);
        versions.push(("inverted", imaging::invert(picture)));
        // A mark on dark ground comes back as it is; a grey one as its negative.
        if versions.iter().all(|(_, version)| *version != dark) {
            versions.push(("dark", dark));
        }
    }
    versions
}
