//! Networks in ONNX form, described by a model card.

use std::path::Path;

use image::RgbImage;
use ort::value::TensorRef;

use super::windows::{crops_of, level_size, windows_of};
use super::{EmbedError, Embedder, ModelCard, WindowsCard};
use crate::domain::{Embedding, ModelId, Region, View, ViewKind};
use crate::imaging;
use crate::runtime::{RuntimeError, SessionPool};

/// Crops that are shown to a network at once: more gains nothing on one thread and costs memory.
const MAX_BATCH: usize = 8;

/// An embedder whose network and rules come from a model card.
pub struct OnnxEmbedder {
    card: ModelCard,
    model: ModelId,
    sessions: SessionPool,
}

impl OnnxEmbedder {
    /// Loads the network described by the card at `card_path`, `n_sessions` times (one per core).
    ///
    /// # Errors
    /// [`EmbedError`] when the card or the network is missing, changed or unusable.
    pub fn open(card_path: &Path, n_sessions: usize) -> Result<Self, EmbedError> {
        let card = ModelCard::read(card_path)?;
        let bytes = card.model_bytes(card_path)?;
        Ok(Self {
            model: card.model_id(),
            sessions: SessionPool::open(&bytes, n_sessions)?,
            card,
        })
    }

    /// The card it was loaded from.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// The whole picture as the network sees a reference: shape kept, centred on a square.
    fn letterboxed(&self, picture: &RgbImage, padding: f32) -> RgbImage {
        imaging::letterbox(picture, self.card.input.side, padding)
    }

    /// Runs the network on pictures of one size and, for window networks, boxes of the first.
    fn run(&self, pictures: &[RgbImage], boxes: Option<&[Region]>) -> Result<Vec<Embedding>, EmbedError> {
        let Some(first) = pictures.first() else {
            return Ok(Vec::new());
        };
        let input = &self.card.input;
        let [width, height] = [first.width() as usize, first.height() as usize];
        let pixels: Vec<f32> = pictures
            .iter()
            .flat_map(|picture| imaging::to_tensor(picture, input.mean, input.scale))
            .collect();
        let shape = [pictures.len(), 3, height, width];
        let pixels = TensorRef::from_array_view((shape, pixels.as_slice())).map_err(RuntimeError::from)?;
        let mut session = self.sessions.acquire();
        let outputs = match (&self.card.windows, boxes) {
            (Some(windows), Some(boxes)) => {
                let corners: Vec<f32> = boxes
                    .iter()
                    .flat_map(|b| [b.x, b.y, b.x + b.w, b.y + b.h])
                    .collect();
                let corners = TensorRef::from_array_view(([boxes.len(), 4], corners.as_slice()))
                    .map_err(RuntimeError::from)?;
                session.run(ort::inputs![
                    input.name.as_str() => pixels,
                    windows.boxes_input.as_str() => corners,
                ])
            }
            _ => session.run(ort::inputs![input.name.as_str() => pixels]),
        }
        .map_err(RuntimeError::from)?;
        let n_expected = boxes.map_or(pictures.len(), <[Region]>::len);
        self.read_output(&outputs, n_expected)
    }

    fn read_output(
        &self,
        outputs: &ort::session::SessionOutputs<'_>,
        n_expected: usize,
    ) -> Result<Vec<Embedding>, EmbedError> {
        let expected = [n_expected, self.card.output.dim];
        let wrong_shape = |actual: Vec<i64>| EmbedError::OutputShape {
            model: self.model.clone(),
            expected,
            actual,
        };
        let output = outputs
            .get(self.card.output.name.as_str())
            .ok_or_else(|| wrong_shape(Vec::new()))?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(RuntimeError::from)?;
        // Networks that end in a pooling may keep trailing axes of length 1.
        let squeezed = shape.get(2..).is_some_and(|rest| rest.iter().all(|&d| d == 1));
        let is_right = shape.len() >= 2
            && shape[..2] == expected.map(|d| d as i64)
            && (shape.len() == 2 || squeezed);
        if !is_right {
            return Err(wrong_shape(shape.to_vec()));
        }
        values
            .chunks_exact(expected[1])
            .map(|vector| Ok(Embedding::new(vector.to_vec())?))
            .collect()
    }

    fn embed_windows(
        &self,
        photo: &RgbImage,
        windows: &WindowsCard,
    ) -> Result<Vec<(View, Embedding)>, EmbedError> {
        let size = [photo.width(), photo.height()];
        let mut described = vec![self.embed_whole(photo)?];
        for &side in &windows.photo_sides {
            let level = level_size(size, side, windows.stride);
            let regions = windows_of(level, windows);
            let picture = imaging::resize(photo, level[0], level[1]);
            let embeddings = self.run(&[picture], Some(&regions))?;
            let [across, down] = [0, 1].map(|i| size[i] as f32 / level[i] as f32);
            for (region, embedding) in regions.iter().zip(embeddings) {
                let region = Region::new(
                    region.x * across,
                    region.y * down,
                    region.w * across,
                    region.h * down,
                );
                let region = region.clipped(size[0] as f32, size[1] as f32);
                let kind = ViewKind::Window;
                described.push((View { kind, region }, embedding));
            }
        }
        Ok(described)
    }

    fn embed_crops(&self, photo: &RgbImage) -> Result<Vec<(View, Embedding)>, EmbedError> {
        let side = self.card.input.side;
        let mut described = vec![self.embed_whole(photo)?];
        let regions = crops_of([photo.width(), photo.height()]);
        for batch in regions.chunks(MAX_BATCH) {
            let pictures: Vec<RgbImage> = batch
                .iter()
                .map(|&region| imaging::resize(&imaging::crop(photo, region), side, side))
                .collect();
            let views = batch.iter().map(|&region| View {
                kind: ViewKind::Window,
                region,
            });
            described.extend(views.zip(self.run(&pictures, None)?));
        }
        Ok(described)
    }

    fn embed_whole(&self, photo: &RgbImage) -> Result<(View, Embedding), EmbedError> {
        let region = Region::new(0.0, 0.0, photo.width() as f32, photo.height() as f32);
        let kind = ViewKind::Whole;
        Ok((View { kind, region }, self.embed_square(&self.letterboxed(photo, 0.0))?))
    }

    fn embed_square(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        let side = picture.width() as f32;
        let whole = [Region::new(0.0, 0.0, side, side)];
        let boxes = self.card.windows.as_ref().map(|_| whole.as_slice());
        let mut embeddings = self.run(std::slice::from_ref(picture), boxes)?;
        Ok(embeddings.remove(0))
    }
}

impl Embedder for OnnxEmbedder {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn dim(&self) -> usize {
        self.card.output.dim
    }

    fn embed_reference(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        let trimmed = imaging::trim(picture);
        self.embed_square(&self.letterboxed(&trimmed, self.card.input.reference_padding))
    }

    fn embed_photo(&self, photo: &RgbImage) -> Result<Vec<(View, Embedding)>, EmbedError> {
        match &self.card.windows {
            Some(windows) => self.embed_windows(photo, windows),
            None => self.embed_crops(photo),
        }
    }
}
