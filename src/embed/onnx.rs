//! Networks in ONNX form, described by a model card.

use std::path::Path;

use image::RgbImage;
use ort::session::SessionOutputs;
use ort::value::TensorRef;

use super::windows::{crops_of, level_size, windows_of};
use super::{EmbedError, Embedder, ModelCard, WindowsCard};
use crate::domain::{Embedding, ModelId, Region};
use crate::imaging::{self, Filter};
use crate::runtime::{RuntimeError, SessionPool};

/// Crops that are shown to a network at once: more gains nothing on one thread and costs memory.
const MAX_BATCH: usize = 8;

/// Times as long as wide from which a photo is a banner.
const BANNER: u32 = 2;

/// An embedder whose network and rules come from a model card.
pub struct OnnxEmbedder {
    card: ModelCard,
    model: ModelId,
    sessions: SessionPool,
    /// Describes whole pictures, where the card names another network for that.
    whole: Option<Box<OnnxEmbedder>>,
}

impl OnnxEmbedder {
    /// Loads the network described by the card at `card_path`, `n_sessions` times (one per core).
    ///
    /// # Errors
    /// [`EmbedError`] when the card or the network is missing, changed or unusable.
    pub fn open(card_path: &Path, n_sessions: usize) -> Result<Self, EmbedError> {
        let card = ModelCard::read(card_path)?;
        let whole = match &card.output.whole {
            Some(other) => Some(Box::new(Self::open_plain(
                ModelCard::read(&card_path.with_file_name(other))?,
                &card_path.with_file_name(other),
                n_sessions,
            )?)),
            None => None,
        };
        let windows = Self::open_plain(card, card_path, n_sessions)?;
        Ok(Self { whole, ..windows })
    }

    /// The network of `card` alone.
    fn open_plain(
        card: ModelCard,
        card_path: &Path,
        n_sessions: usize,
    ) -> Result<Self, EmbedError> {
        let bytes = card.model_bytes(card_path)?;
        Ok(Self {
            model: card.model_id(),
            sessions: SessionPool::open(&bytes, n_sessions)?,
            card,
            whole: None,
        })
    }

    /// The card it was loaded from.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Runs the network on pictures of one size and hands its outputs to `read`. `boxes` are regions
    /// of the first picture, for networks that take them.
    fn run<T>(
        &self,
        pictures: &[RgbImage],
        boxes: &[Region],
        read: impl FnOnce(&SessionOutputs<'_>) -> Result<T, EmbedError>,
    ) -> Result<T, EmbedError> {
        let input = &self.card.input;
        let [width, height] = [pictures[0].width() as usize, pictures[0].height() as usize];
        let pixels: Vec<f32> = pictures
            .iter()
            .flat_map(|p| imaging::to_tensor(p, input.mean, input.scale.map(f32::recip)))
            .collect();
        let shape = [pictures.len(), 3, height, width];
        let pixels =
            TensorRef::from_array_view((shape, pixels.as_slice())).map_err(RuntimeError::from)?;
        let corners: Vec<f32> = boxes
            .iter()
            .flat_map(|b| [b.x, b.y, b.x + b.w, b.y + b.h])
            .collect();
        let mut session = self.sessions.acquire();
        let outputs = match &input.boxes {
            Some(name) => {
                let corners = TensorRef::from_array_view(([boxes.len(), 4], corners.as_slice()))
                    .map_err(RuntimeError::from)?;
                session.run(ort::inputs![input.name.as_str() => pixels, name.as_str() => corners])
            }
            None => session.run(ort::inputs![input.name.as_str() => pixels]),
        }
        .map_err(RuntimeError::from)?;
        read(&outputs)
    }

    /// The `n` vectors that the network gave.
    fn vectors(
        &self,
        outputs: &SessionOutputs<'_>,
        n: usize,
    ) -> Result<Vec<Embedding>, EmbedError> {
        let output = &self.card.output;
        let expected = [n, output.dimension];
        let wrong_shape = |actual: Vec<i64>| EmbedError::OutputShape {
            model: self.model.clone(),
            expected,
            actual,
        };
        let tensor = outputs
            .get(&output.name)
            .ok_or_else(|| wrong_shape(Vec::new()))?;
        let (shape, values) = tensor
            .try_extract_tensor::<f32>()
            .map_err(RuntimeError::from)?;
        // Networks that end in a pooling may keep trailing axes of length 1.
        let is_right = shape.len() >= 2
            && shape[..2] == expected.map(|d| d as i64)
            && shape[2..].iter().all(|&d| d == 1);
        if !is_right {
            return Err(wrong_shape(shape.to_vec()));
        }
        values
            .chunks_exact(output.dimension)
            .map(|vector| Ok(Embedding::new(vector.to_vec())?))
            .collect()
    }

    /// Runs the network on one picture, with one box around all of it.
    fn embed_one(&self, picture: RgbImage) -> Result<Embedding, EmbedError> {
        let whole = Region::new(0.0, 0.0, picture.width() as f32, picture.height() as f32);
        let mut vectors = self.run(&[picture], &[whole], |outputs| self.vectors(outputs, 1))?;
        Ok(vectors.remove(0))
    }

    /// Whether a photo is also described as a registered picture is: a banner, of which square windows
    /// show only parts, and a picture on an even ground, which the windows would take in.
    fn is_seen_best_whole(&self, photo: &RgbImage) -> bool {
        let (long, short) = (
            photo.width().max(photo.height()),
            photo.width().min(photo.height()),
        );
        long >= BANNER * short || self.has_ground(photo)
    }

    /// Whether there is a ground that can be cut away. A photo has none; a mark's own edge may touch the
    /// border here and there.
    fn has_ground(&self, picture: &RgbImage) -> bool {
        imaging::even_edge_share(picture) >= self.card.reference.uniform_edge
    }

    fn embed_pyramid(
        &self,
        photo: &RgbImage,
        windows: &WindowsCard,
    ) -> Result<Vec<(Region, Embedding)>, EmbedError> {
        let size = [photo.width(), photo.height()];
        let mut described = Vec::new();
        if self.is_seen_best_whole(photo) {
            let whole = Region::new(0.0, 0.0, size[0] as f32, size[1] as f32);
            described.push((whole, self.embed_reference(photo)?));
        }
        for &side in &windows.sides {
            let level = level_size(size, side, windows.cell);
            let regions = windows_of(level, windows);
            let picture = [imaging::resize(photo, level[0], level[1], Filter::Bilinear)];
            let vectors = self.run(&picture, &regions, |outputs| {
                self.vectors(outputs, regions.len())
            })?;
            let [across, down] = [0, 1].map(|i| size[i] as f32 / level[i] as f32);
            described.extend(regions.iter().zip(vectors).map(|(r, vector)| {
                let region = Region::new(r.x * across, r.y * down, r.w * across, r.h * down);
                (region.clipped(size[0] as f32, size[1] as f32), vector)
            }));
        }
        Ok(described)
    }

    fn embed_crops(&self, photo: &RgbImage) -> Result<Vec<(Region, Embedding)>, EmbedError> {
        let input = &self.card.input;
        let whole = Region::new(0.0, 0.0, photo.width() as f32, photo.height() as f32);
        let mut regions = vec![whole];
        regions.extend(crops_of([photo.width(), photo.height()]));
        let mut described = Vec::with_capacity(regions.len());
        for batch in regions.chunks(MAX_BATCH) {
            let crops: Vec<RgbImage> = batch
                .iter()
                .map(|&r| {
                    let crop = imaging::crop(photo, r);
                    imaging::resize(&crop, input.width, input.height, Filter::Bilinear)
                })
                .collect();
            let vectors = self.run(&crops, &[], |outputs| self.vectors(outputs, batch.len()))?;
            described.extend(batch.iter().copied().zip(vectors));
        }
        Ok(described)
    }
}

impl Embedder for OnnxEmbedder {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn window_dim(&self) -> usize {
        self.card.output.dimension
    }

    fn whole_dim(&self) -> usize {
        match &self.whole {
            Some(network) => network.whole_dim(),
            None => self.card.output.dimension,
        }
    }

    fn embed_reference(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        let rules = &self.card.reference;
        let trimmed = self.has_ground(picture).then(|| imaging::trim(picture));
        let content = trimmed.as_ref().unwrap_or(picture);
        let ground = imaging::edge_colour(picture);
        let square = imaging::letterbox(content, rules.side, rules.margin, ground);
        self.embed_one(square)
    }

    fn embed_whole(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        if let Some(network) = &self.whole {
            return network.embed_whole(picture);
        }
        // Squashed to the input size, its shape not kept.
        let input = &self.card.input;
        let squashed = imaging::resize(picture, input.width, input.height, Filter::Bilinear);
        self.embed_one(squashed)
    }

    fn embed_windows(&self, photo: &RgbImage) -> Result<Vec<(Region, Embedding)>, EmbedError> {
        match &self.card.windows {
            Some(windows) => self.embed_pyramid(photo, windows),
            None => self.embed_crops(photo),
        }
    }
}
