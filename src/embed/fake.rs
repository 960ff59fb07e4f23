//! An embedder by arithmetic, so that most tests need no network.

use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::windows::crops_of;
use super::{DescribedPhoto, DescribedReference, EmbedError, Embedder, Window};
use crate::domain::{Embedding, ModelId, Region};
use crate::imaging;

/// Cells per side of the fake's colour map.
const CELLS: u32 = 4;
const DIM: usize = (CELLS * CELLS * 3 + 1) as usize;

/// Describes a picture by the mean colour of 4 × 4 cells, less mid-grey: 48 numbers. Finds equal and
/// lightly edited pictures, and nothing else; deterministic.
pub struct FakeEmbedder {
    model: ModelId,
}

impl FakeEmbedder {
    /// A fake that calls itself `name`.
    pub fn new(name: &str) -> Self {
        Self {
            model: ModelId(name.to_owned()),
        }
    }

    fn describe(picture: &RgbImage) -> Result<Embedding, EmbedError> {
        let cells = resize(picture, CELLS, CELLS, FilterType::Triangle);
        // The last number keeps a mid-grey picture from having no direction.
        let mut values: Vec<f32> = cells
            .as_raw()
            .iter()
            .map(|&v| f32::from(v) - 127.5)
            .collect();
        values.push(1.0);
        Ok(Embedding::new(values)?)
    }
}

impl Default for FakeEmbedder {
    fn default() -> Self {
        Self::new("fake@1")
    }
}

impl Embedder for FakeEmbedder {
    fn model(&self) -> &ModelId {
        &self.model
    }

    fn window_dim(&self) -> usize {
        DIM
    }

    fn whole_dim(&self) -> usize {
        DIM
    }

    fn embed_reference(&self, picture: &RgbImage) -> Result<DescribedReference, EmbedError> {
        Ok(DescribedReference {
            embedding: Self::describe(picture)?,
            cells: None,
        })
    }

    fn embed_whole(&self, picture: &RgbImage) -> Result<Embedding, EmbedError> {
        Self::describe(picture)
    }

    fn embed_windows(&self, photo: &RgbImage) -> Result<DescribedPhoto, EmbedError> {
        let whole = Region::new(0.0, 0.0, photo.width() as f32, photo.height() as f32);
        let regions = std::iter::once(whole).chain(crops_of([photo.width(), photo.height()]));
        let described = regions.map(|region| {
            Ok(Window {
                region,
                embedding: Self::describe(&imaging::crop(photo, region))?,
                place: None,
            })
        });
        Ok(DescribedPhoto {
            windows: described.collect::<Result<_, EmbedError>>()?,
            maps: Vec::new(),
        })
    }
}
