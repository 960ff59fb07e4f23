//! What a registered picture reaches by chance: its similarity to pictures that show nothing
//! registered. A plain square resembles everything; only what exceeds that says something.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EngineError;
use crate::domain::Embedding;
use crate::embed::Embedder;

/// Mean and spread of a similarity over background pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// Mean cosine, `-1..=1`.
    pub mean: f32,
    /// Standard deviation, more than 0.
    pub spread: f32,
}

/// Least spread: keeps a reference that reacts to nothing from infinite deviations.
const MIN_SPREAD: f32 = 0.02;

impl Chance {
    /// `similarity` in standard deviations above the mean.
    pub fn deviations(&self, similarity: f32) -> f32 {
        (similarity - self.mean) / self.spread
    }

    fn of(similarities: &[f32]) -> Option<Self> {
        let n = similarities.len() as f32;
        if similarities.len() < 2 {
            return None;
        }
        let mean = similarities.iter().sum::<f32>() / n;
        let variance = similarities.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / (n - 1.0);
        Some(Self {
            mean,
            spread: variance.sqrt().max(MIN_SPREAD),
        })
    }
}

/// Descriptors of pictures that show nothing registered; the pictures themselves are not kept.
#[derive(Debug, Clone, Default)]
pub struct Background {
    /// Windows of each picture, unit vectors one after another.
    windows: Vec<Vec<f32>>,
    /// Whole pictures, unit vectors.
    wholes: Vec<Vec<f32>>,
}

/// First bytes of a background file.
const MAGIC: &[u8; 8] = b"TSTNBG01";

impl Background {
    /// No background: nothing is said of chance.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the file made by `models/export/make_background.py` for the network of `embedder`; no
    /// file is no background.
    ///
    /// Layout, little endian: 8 bytes `TSTNBG01`, u32 pictures, u32 windows a picture, u32 window
    /// dimension, u32 whole dimension; then for each picture its windows, then the whole picture,
    /// each as `f32` scale and `i8` numbers.
    ///
    /// # Errors
    /// [`EngineError::Unreadable`], [`EngineError::BadBackground`].
    pub fn load(path: &Path, embedder: &dyn Embedder) -> Result<Self, EngineError> {
        if !path.exists() {
            return Ok(Self::none());
        }
        let bytes = fs::read(path).map_err(|cause| EngineError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let dims = [embedder.window_dim(), embedder.whole_dim()];
        Self::parse(&bytes, dims).ok_or_else(|| EngineError::BadBackground {
            path: path.to_owned(),
            expected: dims,
        })
    }

    fn parse(bytes: &[u8], [window_dim, whole_dim]: [usize; 2]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let mut number = || -> Option<usize> {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            rest = tail;
            Some(u32::from_le_bytes(*head) as usize)
        };
        let (n_pictures, n_windows) = (number()?, number()?);
        if [number()?, number()?] != [window_dim, whole_dim] {
            return None;
        }
        let picture_bytes = n_windows
            .checked_mul(window_dim + 4)?
            .checked_add(whole_dim + 4)?;
        if rest.len() != n_pictures.checked_mul(picture_bytes)? {
            return None;
        }
        let mut background = Self::default();
        for picture in rest.chunks_exact(picture_bytes) {
            let (windows, whole) = picture.split_at(n_windows * (window_dim + 4));
            let windows = windows.chunks_exact(window_dim + 4).flat_map(dequantised);
            background.windows.push(windows.collect());
            background.wholes.push(dequantised(whole).collect());
        }
        Some(background)
    }

    /// What `reference` reaches as the best of a picture's windows.
    pub fn window_chance(&self, reference: &Embedding) -> Option<Chance> {
        let dim = reference.dim();
        let best_of = |windows: &Vec<f32>| {
            let similarities = windows
                .chunks_exact(dim)
                .map(|w| dot(w, reference.as_slice()));
            similarities.fold(-1.0, f32::max)
        };
        Chance::of(&self.windows.iter().map(best_of).collect::<Vec<_>>())
    }

    /// What `reference` reaches as a whole picture.
    pub fn whole_chance(&self, reference: &Embedding) -> Option<Chance> {
        let similarities: Vec<f32> = self
            .wholes
            .iter()
            .map(|whole| dot(whole, reference.as_slice()))
            .collect();
        Chance::of(&similarities)
    }
}

fn dequantised(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let (scale, values) = bytes.split_at(4);
    let scale = f32::from_le_bytes([scale[0], scale[1], scale[2], scale[3]]);
    values.iter().map(move |&v| f32::from(v as i8) * scale)
}

/// Sum of products in eight lanes, which compilers turn into vector instructions.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a_chunks
        .remainder()
        .iter()
        .zip(b_chunks.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..8 {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(n_pictures: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [n_pictures, 2, 2, 1] {
            bytes.extend(number.to_le_bytes());
        }
        for i in 0..n_pictures {
            for vector in [&[100i8, 0][..], &[0, 10 * i as i8], &[50]] {
                bytes.extend(0.01f32.to_le_bytes());
                bytes.extend(vector.iter().map(|&v| v as u8));
            }
        }
        bytes
    }

    #[test]
    fn the_best_window_of_each_picture_counts() {
        let background = Background::parse(&file(3), [2, 1]).expect("a good file");
        let along = Embedding::new(vec![1.0, 0.0]).expect("a direction");
        let chance = background.window_chance(&along).expect("three pictures");
        assert!((chance.mean - 1.0).abs() < 1e-6 && chance.spread == MIN_SPREAD);
        let across = Embedding::new(vec![0.0, 1.0]).expect("a direction");
        let chance = background.window_chance(&across).expect("three pictures");
        assert!((chance.mean - 0.1).abs() < 1e-6);
        assert!((chance.deviations(0.3) - 2.0).abs() < 1e-4);
    }

    #[test]
    fn damaged_files_and_other_dimensions_are_refused() {
        let good = file(2);
        assert!(Background::parse(&good[..good.len() - 1], [2, 1]).is_none());
        assert!(Background::parse(&good, [3, 1]).is_none());
        assert!(Background::parse(b"TSTNBG01", [2, 1]).is_none());
        let mut lying = good;
        lying[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Background::parse(&lying, [2, 1]).is_none());
    }

    #[test]
    fn nothing_is_said_without_a_background() {
        let reference = Embedding::new(vec![1.0]).expect("a direction");
        assert_eq!(Background::none().window_chance(&reference), None);
        assert_eq!(Background::none().whole_chance(&reference), None);
    }
}
