//! Stage 2: pixels → everything that is compared later.

use std::sync::OnceLock;

use image::RgbImage;

use super::{Engine, EngineError};
use crate::domain::{Embedding, Region};
use crate::imaging::{self, Picture};
use crate::matching::features::{FeatureLimits, LocalFeatures};
use crate::matching::hash::PictureHash;
use crate::ocr::Word;

/// Space of the vectors that windows are compared in.
pub(super) const SPACE_WINDOW: &str = "window";
/// Space of the vectors that whole pictures are compared in.
pub(super) const SPACE_WHOLE: &str = "whole";

/// A photo in numbers.
pub struct PhotoDescription {
    /// Windows of the photo, in its prepared pixels, each with its vector.
    pub windows: Vec<(Region, Embedding)>,
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
    /// A description whose local features are not found yet.
    pub(super) fn new(
        windows: Vec<(Region, Embedding)>,
        whole: Embedding,
        hashes: Option<Vec<PictureHash>>,
        words: Option<Vec<Word>>,
    ) -> Self {
        Self {
            windows,
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
    pub fn embed(&self, photo: &Picture) -> Result<PhotoDescription, EngineError> {
        let windows = self.embedder.embed_windows(&photo.pixels)?;
        let whole = self.embedder.embed_whole(&photo.pixels)?;
        let words = match &self.reader {
            Some(reader) => Some(reader.read(&photo.pixels)?),
            None => None,
        };
        let hashes = self.settings.stages.hash.then(|| hashes(&photo.pixels));
        Ok(PhotoDescription::new(windows, whole, hashes, words))
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

/// Further versions in which a mark is registered, beside the one given: people print it white on
/// black as well.
pub(super) fn further_versions(mark: &RgbImage) -> Vec<(&'static str, RgbImage)> {
    let mut versions = vec![("inverted", imaging::invert(mark))];
    let dark = imaging::on_dark_ground(mark);
    // A mark on dark ground comes back as it is; a grey one as its negative.
    if dark != *mark && dark != versions[0].1 {
        versions.push(("dark", dark));
    }
    versions
}
