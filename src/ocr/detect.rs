//! The detector: picture in, boxes of text out.

use image::RgbImage;
use ort::value::TensorRef;

use super::boxes::{TextMap, text_boxes};
use super::card::{DetectorCard, Model};
use super::crop;
use super::{OcrError, ReadOptions, TextBox};
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

    pub fn boxes(
        &self,
        picture: &RgbImage,
        options: &ReadOptions,
    ) -> Result<Vec<TextBox>, OcrError> {
        let (width, height) = input_size(picture.dimensions(), options, self.card.multiple);
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
        Ok(text_boxes(&map, &self.card, picture.dimensions()))
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

/// Size at which the detector sees a picture: its longest side within the options, both sides
/// multiples of `multiple`.
fn input_size((width, height): (u32, u32), options: &ReadOptions, multiple: u32) -> (u32, u32) {
    let longest = width.max(height) as f32;
    let scale = if longest > options.max_side_px as f32 {
        options.max_side_px as f32 / longest
    } else {
        (options.min_side_px as f32 / longest).clamp(1.0, MAX_ENLARGEMENT)
    };
    let side = |pixels: u32| {
        let scaled = (pixels as f32 * scale).floor();
        ((scaled / multiple as f32).round_ties_even() as u32).max(1) * multiple
    };
    (side(width), side(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detector_sees_multiples_of_32_within_the_limits() {
        let options = ReadOptions::default();
        let enlarging = ReadOptions {
            min_side_px: 640,
            ..options
        };
        struct Case(ReadOptions, (u32, u32), (u32, u32));
        for Case(options, picture, expected) in [
            Case(options, (1280, 960), (640, 480)),
            Case(options, (348, 464), (352, 448)),
            Case(options, (640, 10), (640, 32)),
            Case(options, (1, 1), (32, 32)),
            Case(enlarging, (348, 464), (480, 640)),
            Case(enlarging, (100, 50), (192, 96)),
            Case(enlarging, (4000, 1000), (640, 160)),
        ] {
            assert_eq!(input_size(picture, &options, 32), expected, "{picture:?}");
        }
    }
}
