//! The detector: picture in, boxes of text out.

use image::RgbImage;
use ort::value::TensorRef;

use super::boxes::{TextMap, text_boxes};
use super::card::{DetectorCard, Model};
use super::crop;
use super::{OcrError, TextBox};
use crate::runtime::SessionPool;

/// Small pictures are enlarged at most this much: beyond it there is nothing more to see.
const MAX_ENLARGEMENT: f32 = 2.0;

pub(super) struct Detector {
    sessions: SessionPool,
    card: DetectorCard,
}

impl Detector {
    pub fn open(model: &Model, n_sessions: usize) -> Result<Self, OcrError> {
        Ok(Self {
            sessions: SessionPool::open(&model.detector, n_sessions)?,
            card: model.card.detector.clone(),
        })
    }

    /// Where text stands, in reading order; `None` where no pixel looks like text.
    pub fn boxes(&self, picture: &RgbImage, look: Look) -> Result<Option<Vec<TextBox>>, OcrError> {
        let (width, height) = look.size(picture.dimensions(), self.card.multiple);
        let input = self.input(picture, width, height);
        let shape = [1, 3, height as usize, width as usize];
        let mut session = self.sessions.acquire();
        let outputs = session.run(ort::inputs![TensorRef::from_array_view((shape, &*input))?])?;
        let (shape, values) = outputs[0].try_extract_tensor::<f32>()?;
        let expected = [1, 1, i64::from(height), i64::from(width)];
        if **shape != expected {
            return Err(OcrError::UnexpectedShape {
                network: "detector",
                expected: format!("{expected:?}"),
                actual: shape.iter().map(|&n| n as usize).collect(),
            });
        }
        let map = TextMap {
            width,
            height,
            values,
        };
        let shows_text = map.values.iter().any(|&value| value > self.card.threshold);
        Ok(shows_text.then(|| text_boxes(&map, &self.card, picture.dimensions())))
    }

    /// `[1, 3, height, width]`: blue, green, red, normalised.
    fn input(&self, picture: &RgbImage, width: u32, height: u32) -> Vec<f32> {
        let resized = crop::resize(picture, width, height);
        let n_pixels = (width * height) as usize;
        let mut input = vec![0.0; 3 * n_pixels];
        for (plane, values) in input.chunks_exact_mut(n_pixels).enumerate() {
            let scale = 1.0 / (255.0 * self.card.std[plane]);
            let shift = -self.card.mean[plane] / self.card.std[plane];
            for (value, pixel) in values.iter_mut().zip(resized.pixels()) {
                *value = f32::from(pixel[2 - plane]) * scale + shift;
            }
        }
        input
    }
}

/// Between which longest sides, pixels, the detector sees a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Smaller pictures are enlarged to this, by [`MAX_ENLARGEMENT`] at most.
    least: u32,
    /// Larger ones are scaled down to this.
    most: u32,
}

impl Look {
    /// Scaled down to `side`; smaller pictures as they are.
    pub fn down_to(side: u32) -> Self {
        Self {
            least: 0,
            most: side,
        }
    }

    /// Scaled down or enlarged to `side`.
    pub fn at(side: u32) -> Self {
        Self {
            least: side,
            most: side,
        }
    }

    /// Width and height at which the detector sees a picture, both multiples of `multiple`.
    fn size(self, (width, height): (u32, u32), multiple: u32) -> (u32, u32) {
        let longest = width.max(height) as f32;
        let scale = if longest > self.most as f32 {
            self.most as f32 / longest
        } else {
            (self.least as f32 / longest).clamp(1.0, MAX_ENLARGEMENT)
        };
        let side = |pixels: u32| {
            let scaled = (pixels as f32 * scale).floor();
            ((scaled / multiple as f32).round_ties_even() as u32).max(1) * multiple
        };
        (side(width), side(height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detector_sees_multiples_of_32_within_the_limits() {
        struct Case(Look, (u32, u32), (u32, u32));
        let (down, at) = (Look::down_to(640), Look::at(640));
        for Case(look, picture, expected) in [
            Case(down, (1280, 960), (640, 480)),
            Case(down, (348, 464), (352, 448)),
            Case(down, (640, 10), (640, 32)),
            Case(down, (1, 1), (32, 32)),
            Case(at, (348, 464), (480, 640)),
            Case(at, (100, 50), (192, 96)),
            Case(at, (4000, 1000), (640, 160)),
        ] {
            assert_eq!(look.size(picture, 32), expected, "{picture:?}");
        }
    }
}
