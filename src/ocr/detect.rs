//! The detector: picture in, boxes of text out.

use image::RgbImage;
use ort::value::TensorRef;

use super::boxes::{TextMap, text_boxes};
use super::card::{DetectorCard, Model};
use super::crop;
use super::{OcrError, TextBox};
use crate::domain::Region;
use crate::runtime::SessionPool;

/// Small pictures are enlarged at most this much: beyond it there is nothing more to see.
const MAX_ENLARGEMENT: f32 = 2.0;
/// Probability from which a pixel may belong to text that a closer look shows: nine tenths of what is found
/// at 1,000 pixels lie within the extent of what has this much at 448 (.89) or at 640 (.90).
const FAINT: f32 = 0.05;

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

    /// Where text stands in `picture`, seen `scale` times as large as it is.
    pub fn find(&self, picture: &RgbImage, scale: f32) -> Result<Found, OcrError> {
        let (width, height) = seen_size(picture.dimensions(), scale, self.card.multiple);
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
        Ok(Found {
            boxes: text_boxes(&map, &self.card, picture.dimensions()),
            faint: map.extent(FAINT, picture.dimensions()),
        })
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

/// What one look at a picture shows, in its pixels.
pub(super) struct Found {
    /// In reading order.
    pub boxes: Vec<TextBox>,
    /// What holds everything that looks like text, if only faintly; `None` where nothing does.
    pub faint: Option<Region>,
}

/// How much larger than it is a picture of `size` is seen, so that its longest side is `side` pixels: at
/// most [`MAX_ENLARGEMENT`].
pub(super) fn scale_to(side: u32, size: (u32, u32)) -> f32 {
    (side as f32 / size.0.max(size.1) as f32).min(MAX_ENLARGEMENT)
}

/// Width and height at which the detector sees a picture, both multiples of `multiple`.
fn seen_size((width, height): (u32, u32), scale: f32, multiple: u32) -> (u32, u32) {
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
    fn the_detector_sees_multiples_of_32_at_most_twice_as_large() {
        struct Case(u32, (u32, u32), (u32, u32));
        for Case(side, picture, expected) in [
            Case(640, (1280, 960), (640, 480)),
            Case(640, (640, 10), (640, 32)),
            Case(640, (1, 1), (32, 32)),
            Case(640, (348, 464), (480, 640)),
            Case(640, (100, 50), (192, 96)),
            Case(640, (4000, 1000), (640, 160)),
        ] {
            let scale = scale_to(side, picture);
            assert_eq!(seen_size(picture, scale, 32), expected, "{picture:?}");
        }
    }
}
