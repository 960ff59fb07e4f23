//! Networks in ONNX form, described by a model card.

use std::path::Path;

use image::{GenericImageView, Rgb, RgbImage};
use ort::session::SessionOutputs;
use ort::value::TensorRef;

use super::windows::{crops_of, level_size, windows_of};
use super::{
    CellsCard, DescribedPhoto, DescribedReference, EmbedError, Embedder, MapPlace, ModelCard,
    Window, WindowsCard,
};
use crate::domain::{CellMap, Embedding, ModelId, ReferenceCells, Region};
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

    /// The cells of the first picture, where the network gives them.
    fn cells(&self, outputs: &SessionOutputs<'_>) -> Result<Option<CellMap>, EmbedError> {
        let Some(card) = &self.card.cells else {
            return Ok(None);
        };
        let wrong_shape = |actual: Vec<i64>| EmbedError::OutputShape {
            model: self.model.clone(),
            expected: [1, card.dimension],
            actual,
        };
        let tensor = outputs
            .get(&card.name)
            .ok_or_else(|| wrong_shape(Vec::new()))?;
        let (shape, values) = tensor
            .try_extract_tensor::<f32>()
            .map_err(RuntimeError::from)?;
        let &[1, rows, columns, dim] = &shape[..] else {
            return Err(wrong_shape(shape.to_vec()));
        };
        if dim != card.dimension as i64 {
            return Err(wrong_shape(shape.to_vec()));
        }
        let size = [columns as usize, rows as usize];
        Ok(Some(CellMap::new(size, card.dimension, values.to_vec())?))
    }

    /// Runs the network on one picture, with one box around all of it.
    fn embed_one(&self, picture: RgbImage) -> Result<(Embedding, Option<CellMap>), EmbedError> {
        let whole = Region::new(0.0, 0.0, picture.width() as f32, picture.height() as f32);
        self.run(&[picture], &[whole], |outputs| {
            let mut vectors = self.vectors(outputs, 1)?;
            Ok((vectors.remove(0), self.cells(outputs)?))
        })
    }

    /// A picture as a registered one is shown to the network: letterboxed on its edge colour, and
    /// trimmed where it has a ground; and that colour.
    fn laid_out(&self, picture: &RgbImage, has_ground: bool) -> (RgbImage, Rgb<u8>) {
        let rules = &self.card.reference;
        let trimmed = has_ground.then(|| imaging::trim(picture));
        let content = trimmed.as_ref().unwrap_or(picture);
        let ground = imaging::edge_colour(picture);
        let square = imaging::letterbox(content, rules.side, rules.margin, ground);
        (square, ground)
    }

    /// Whether there is a ground that can be cut away. A photo has none; a mark's own edge may touch the
    /// border here and there.
    fn has_ground(&self, picture: &RgbImage) -> bool {
        imaging::even_edge_share(picture) >= self.card.reference.uniform_edge
    }

    fn embed_pyramid(
        &self,
        photo: &RgbImage,
        card: &WindowsCard,
    ) -> Result<DescribedPhoto, EmbedError> {
        let size = [photo.width(), photo.height()];
        let mut described = DescribedPhoto::default();
        let has_ground = self.has_ground(photo);
        // Square windows show only parts of a banner, and take in the ground about other pictures:
        // these are also described as a registered picture is.
        if has_ground || size[0].max(size[1]) >= BANNER * size[0].min(size[1]) {
            described.add_whole(size, self.embed_one(self.laid_out(photo, has_ground).0)?);
        }
        for &side in card.sides_for(size[0].max(size[1])) {
            let level = level_size(size, side, card.cell);
            let regions = windows_of(level, card);
            let picture = [imaging::resize(photo, level[0], level[1], Filter::Bilinear)];
            let found = self.run(&picture, &regions, |outputs| {
                Ok((self.vectors(outputs, regions.len())?, self.cells(outputs)?))
            })?;
            described.add_level(size, level, &regions, found);
        }
        Ok(described)
    }

    fn embed_crops(&self, photo: &RgbImage) -> Result<DescribedPhoto, EmbedError> {
        let input = &self.card.input;
        let whole = Region::new(0.0, 0.0, photo.width() as f32, photo.height() as f32);
        let mut regions = vec![whole];
        regions.extend(crops_of([photo.width(), photo.height()]));
        let mut described = DescribedPhoto::default();
        for batch in regions.chunks(MAX_BATCH) {
            let crops: Vec<RgbImage> = batch
                .iter()
                .map(|&r| {
                    let crop = imaging::crop(photo, r);
                    imaging::resize(&crop, input.width, input.height, Filter::Bilinear)
                })
                .collect();
            let vectors = self.run(&crops, &[], |outputs| self.vectors(outputs, batch.len()))?;
            let windows = batch
                .iter()
                .zip(vectors)
                .map(|(&region, embedding)| Window {
                    region,
                    embedding,
                    place: None,
                });
            described.windows.extend(windows);
        }
        Ok(described)
    }
}

impl DescribedPhoto {
    /// Adds the whole photo of `size` pixels, described as a registered picture.
    fn add_whole(&mut self, size: [u32; 2], (embedding, map): (Embedding, Option<CellMap>)) {
        self.windows.push(Window {
            region: Region::new(0.0, 0.0, size[0] as f32, size[1] as f32),
            embedding,
            place: map.is_some().then_some(MapPlace {
                map_idx: self.maps.len(),
                frame: Region::new(0.0, 0.0, 1.0, 1.0),
            }),
        });
        self.maps.extend(map);
    }

    /// Adds `regions` of the photo of `size` pixels as seen at `level` pixels.
    fn add_level(
        &mut self,
        size: [u32; 2],
        level: [u32; 2],
        regions: &[Region],
        (vectors, map): (Vec<Embedding>, Option<CellMap>),
    ) {
        let [width, height] = size.map(|side| side as f32);
        let [across, down] = [width / level[0] as f32, height / level[1] as f32];
        let map_idx = self.maps.len();
        for (r, embedding) in regions.iter().zip(vectors) {
            let region = Region::new(r.x * across, r.y * down, r.w * across, r.h * down);
            let share = |v: f32, side: u32| v / side as f32;
            let frame = Region::new(
                share(r.x, level[0]),
                share(r.y, level[1]),
                share(r.w, level[0]),
                share(r.h, level[1]),
            );
            self.windows.push(Window {
                region: region.clipped(width, height),
                embedding,
                place: map.is_some().then_some(MapPlace { map_idx, frame }),
            });
        }
        self.maps.extend(map);
    }
}

/// Which cells of a laid-out picture show more than its ground, rows from the top.
fn shown_cells(square: &RgbImage, ground: Rgb<u8>, card: &CellsCard) -> Vec<bool> {
    let is_far = |pixel: &Rgb<u8>| {
        let channels = pixel.0.iter().zip(ground.0);
        channels
            .into_iter()
            .any(|(&a, b)| a.abs_diff(b) > card.tolerance)
    };
    let least = card.shown * (card.side * card.side) as f32;
    let [columns, rows] = [square.width() / card.side, square.height() / card.side];
    let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    cells
        .map(|(column, row)| {
            let pixels = square.view(column * card.side, row * card.side, card.side, card.side);
            pixels
                .pixels()
                .filter(|(_, _, pixel)| is_far(pixel))
                .count() as f32
                > least
        })
        .collect()
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

    fn embed_reference(&self, picture: &RgbImage) -> Result<DescribedReference, EmbedError> {
        let (square, ground) = self.laid_out(picture, self.has_ground(picture));
        let shown = self
            .card
            .cells
            .as_ref()
            .map(|card| shown_cells(&square, ground, card));
        let (embedding, map) = self.embed_one(square)?;
        let cells = match (map, shown) {
            (Some(map), Some(shown)) => Some(ReferenceCells::new(map, shown)?),
            _ => None,
        };
        Ok(DescribedReference { embedding, cells })
    }

    fn embed_whole(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        if let Some(network) = &self.whole {
            return network.embed_whole(picture);
        }
        // Squashed to the input size, its shape not kept.
        let input = &self.card.input;
        let squashed = imaging::resize(picture, input.width, input.height, Filter::Bilinear);
        Ok(self.embed_one(squashed)?.0)
    }

    fn embed_windows(&self, photo: &RgbImage) -> Result<DescribedPhoto, EmbedError> {
        match &self.card.windows {
            Some(windows) => self.embed_pyramid(photo, windows),
            None => self.embed_crops(photo),
        }
    }
}
