//! Words in a picture: where text stands, and what it says.
//!
//! Two networks described by `models/ocr/card.toml`: a detector that gives a map of text (DB, Liao et
//! al. 2020), and a recogniser that reads one line of it (CTC). This module knows nothing of brands:
//! `matching::words` compares what is read with registered words.

mod boxes;
mod card;
mod crop;
mod detect;
mod recognise;

use std::io;
use std::path::{Path, PathBuf};

use image::RgbImage;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::Region;
use crate::imaging;
use crate::runtime::RuntimeError;
use detect::{Detector, scale_to};
use recognise::Recogniser;

/// Around what looks like text a closer look takes in this share of the picture's longest side.
const SURROUNDINGS: f32 = 0.04;

/// Why words could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OcrError {
    /// A file of the model folder cannot be read.
    #[error("reading {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The card is not what this program understands.
    #[error("the model card {path} is not understood", path = path.display())]
    BadCard {
        /// The card.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A model file is not the one that its card describes.
    #[error(
        "{path} has sha256 {actual}, its card says {expected}: restore the file",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Hash in the card.
        expected: String,
        /// Hash of the file.
        actual: String,
    },
    /// A network answered with another shape than its card promises.
    #[error("the {network} answered with shape {actual:?}, expected {expected}")]
    UnexpectedShape {
        /// `detector` or `recogniser`.
        network: &'static str,
        /// What was expected, in words.
        expected: String,
        /// What came.
        actual: Vec<usize>,
    },
    /// The network could not be loaded or run.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl From<ort::Error> for OcrError {
    fn from(error: ort::Error) -> Self {
        Self::Runtime(error.into())
    }
}

/// A place that holds text, not read yet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TextBox {
    /// Corners in pixels of the picture: top left, top right, bottom right, bottom left.
    pub quad: [[f32; 2]; 4],
    /// Mean probability of text inside, `0..=1`.
    pub probability: f32,
}

/// One line of text as the recogniser reads it; may hold several words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Word {
    /// What it says, as written (case, diacritics and punctuation kept).
    pub text: String,
    /// Mean probability of its characters, `0..=1`.
    pub confidence: f32,
    /// Corners in pixels of the picture, in reading order: the text runs from the first corner to the
    /// second, and the fourth lies below the first.
    pub quad: [[f32; 2]; 4],
}

impl Word {
    /// Whether `other` is the same word in the same place.
    fn is_repeated_by(&self, other: &Self) -> bool {
        self.text == other.text
            && Region::around(&self.quad).is_same_place(&Region::around(&other.quad))
    }
}

/// How much effort reading takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ReadOptions {
    /// Longest side of the picture that the detector sees, pixels; larger pictures are scaled down.
    pub max_side_px: u32,
    /// Longest side at which it looks again, where the first look showed anything like text, for what is
    /// too small or too faint there: smaller pictures are enlarged to it, at most twofold. 0: it looks once.
    pub closer_side_px: u32,
    /// Lines that are read with less confidence are dropped.
    pub min_confidence: f32,
    /// Also try tall boxes turned the other way and unturned, and doubtful ones upside down.
    pub try_turned: bool,
    /// At most this many boxes of each look are read, the largest first.
    pub max_boxes: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            max_side_px: 448,
            closer_side_px: 1000,
            min_confidence: 0.5,
            try_turned: true,
            max_boxes: 24,
        }
    }
}

/// Reads words; one for all threads.
pub struct TextReader {
    detector: Detector,
    recogniser: Recogniser,
    options: ReadOptions,
}

impl TextReader {
    /// Loads the networks that `folder/card.toml` describes; `n_sessions` pictures are read at a time.
    ///
    /// # Errors
    /// [`OcrError::Read`], [`OcrError::BadCard`], [`OcrError::Damaged`] for the files,
    /// [`OcrError::Runtime`] when ONNX Runtime cannot load them.
    pub fn open(folder: &Path, n_sessions: usize) -> Result<Self, OcrError> {
        let model = card::load(folder)?;
        Ok(Self {
            detector: Detector::open(&model, n_sessions)?,
            recogniser: Recogniser::open(model, n_sessions)?,
            options: ReadOptions::default(),
        })
    }

    /// The same reader with other options.
    pub fn with_options(mut self, options: ReadOptions) -> Self {
        self.options = options;
        self
    }

    /// The lines of text in `picture` (sRGB, upright), from top to bottom, then left to right; then
    /// those that only a closer look shows, or shows otherwise, in the same order.
    ///
    /// # Errors
    /// [`OcrError::Runtime`], [`OcrError::UnexpectedShape`].
    pub fn read(&self, picture: &RgbImage) -> Result<Vec<Word>, OcrError> {
        if picture.width() == 0 || picture.height() == 0 {
            return Ok(Vec::new());
        }
        let size = picture.dimensions();
        // Enlarging is for the closer look.
        let scale = scale_to(self.options.max_side_px, size).min(1.0);
        let found = self.detector.find(picture, scale)?;
        let mut words = self.recognise(picture, found.boxes)?;
        if self.options.closer_side_px > 0
            && let Some(faint) = found.faint
        {
            let place = with_surroundings(&faint, size);
            let scale = scale_to(self.options.closer_side_px, size);
            let boxes = self.closer_boxes(picture, &place, scale)?;
            let mut added = self.recognise(picture, boxes)?;
            added.retain(|word| !words.iter().any(|known| known.is_repeated_by(word)));
            words.append(&mut added);
        }
        Ok(words)
    }

    /// Where text stands in `place`, seen `scale` times as large as it is; in pixels of `picture`.
    fn closer_boxes(
        &self,
        picture: &RgbImage,
        place: &Region,
        scale: f32,
    ) -> Result<Vec<TextBox>, OcrError> {
        let part = imaging::crop(picture, *place);
        let mut boxes = self.detector.find(&part, scale)?.boxes;
        for corner in boxes.iter_mut().flat_map(|found| &mut found.quad) {
            *corner = [corner[0] + place.x, corner[1] + place.y];
        }
        Ok(boxes)
    }

    fn recognise(
        &self,
        picture: &RgbImage,
        mut boxes: Vec<TextBox>,
    ) -> Result<Vec<Word>, OcrError> {
        if boxes.len() > self.options.max_boxes {
            boxes.sort_by(|a, b| boxes::area(&b.quad).total_cmp(&boxes::area(&a.quad)));
            boxes.truncate(self.options.max_boxes);
            boxes::sort_for_reading(&mut boxes);
        }
        self.recogniser.words(picture, &boxes, &self.options)
    }
}

/// `place` and as much around it as the detector needs to see that it ends there, in whole pixels of a
/// picture of `size`.
fn with_surroundings(place: &Region, (width, height): (u32, u32)) -> Region {
    let margin = SURROUNDINGS * width.max(height) as f32;
    let (left, top) = ((place.x - margin).max(0.0), (place.y - margin).max(0.0));
    let right = (place.x + place.w + margin).min(width as f32);
    let bottom = (place.y + place.h + margin).min(height as f32);
    let (left, top) = (left.floor(), top.floor());
    Region::new(left, top, right.ceil() - left, bottom.ceil() - top)
}

#[cfg(test)]
mod tests;
