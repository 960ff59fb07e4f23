//! What a photo reaches by chance: how similar its windows are to marks that are surely not on it.
//! A busy photo resembles everything a little; only what exceeds that says something.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{EngineError, PhotoDescription};
use crate::embed::Embedder;

/// Mean and spread of the similarity of one photo to the cohort.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    /// Mean cosine, `-1..=1`.
    pub mean: f32,
    /// Standard deviation, more than 0.
    pub spread: f32,
}

/// Least spread: keeps a photo that resembles nothing from infinite deviations.
const MIN_SPREAD: f32 = 0.02;
/// Fewest marks whose mean says something.
const MIN_COHORT: usize = 8;

impl Chance {
    /// `similarity` in standard deviations above the mean.
    pub fn deviations(&self, similarity: f32) -> f32 {
        (similarity - self.mean) / self.spread
    }

    fn of(similarities: &[f32]) -> Option<Self> {
        let n = similarities.len() as f32;
        if similarities.len() < MIN_COHORT {
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

/// Descriptors of marks that nobody has registered; the pictures themselves are not kept.
#[derive(Debug, Clone, Default)]
pub struct Cohort {
    windows: Vec<Vec<f32>>,
    wholes: Vec<Vec<f32>>,
}

/// First bytes of a cohort file.
const MAGIC: &[u8; 8] = b"TSTNCO01";

impl Cohort {
    /// No cohort: nothing is said of chance.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the file made by `models/export/make_cohort.py` for the network of `embedder`; no file
    /// is no cohort.
    ///
    /// Layout, little endian: 8 bytes `TSTNCO01`, u32 marks, u32 window dimension, u32 whole
    /// dimension; then for each mark its window vector and its whole vector, each as an `f32` scale
    /// and `i8` numbers.
    ///
    /// # Errors
    /// [`EngineError::Unreadable`], [`EngineError::BadCohort`].
    pub fn load(path: &Path, embedder: &dyn Embedder) -> Result<Self, EngineError> {
        if !path.exists() {
            return Ok(Self::none());
        }
        let bytes = fs::read(path).map_err(|cause| EngineError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        let dims = [embedder.window_dim(), embedder.whole_dim()];
        Self::parse(&bytes, dims).ok_or_else(|| EngineError::BadCohort {
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
        let n_marks = number()?;
        if [number()?, number()?] != [window_dim, whole_dim] {
            return None;
        }
        let mark_bytes = window_dim + whole_dim + 8;
        if rest.len() != n_marks.checked_mul(mark_bytes)? {
            return None;
        }
        let mut cohort = Self::default();
        for mark in rest.chunks_exact(mark_bytes) {
            let (window, whole) = mark.split_at(window_dim + 4);
            cohort.windows.push(dequantised(window).collect());
            cohort.wholes.push(dequantised(whole).collect());
        }
        Some(cohort)
    }

    /// What marks of the cohort reach as the best of the photo's windows.
    pub fn window_chance(&self, photo: &PhotoDescription) -> Option<Chance> {
        let best_of = |mark: &Vec<f32>| {
            let similarities = photo.windows.iter().map(|(_, w)| dot(w.as_slice(), mark));
            similarities.fold(-1.0, f32::max)
        };
        Chance::of(&self.windows.iter().map(best_of).collect::<Vec<_>>())
    }

    /// What whole pictures of the cohort reach.
    pub fn whole_chance(&self, photo: &PhotoDescription) -> Option<Chance> {
        let similarity = |whole: &Vec<f32>| dot(whole, photo.whole.as_slice());
        Chance::of(&self.wholes.iter().map(similarity).collect::<Vec<_>>())
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

    fn file(n_marks: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [n_marks, 2, 1] {
            bytes.extend(number.to_le_bytes());
        }
        for i in 0..n_marks {
            for vector in [&[100i8, 10 * i as i8][..], &[50]] {
                bytes.extend(0.01f32.to_le_bytes());
                bytes.extend(vector.iter().map(|&v| v as u8));
            }
        }
        bytes
    }

    #[test]
    fn files_round_trip() {
        let cohort = Cohort::parse(&file(3), [2, 1]).expect("a good file");
        assert_eq!(cohort.windows[2], [1.0, 0.2]);
        assert_eq!(cohort.wholes, vec![vec![0.5]; 3]);
    }

    #[test]
    fn damaged_files_and_other_dimensions_are_refused() {
        let good = file(2);
        assert!(Cohort::parse(&good[..good.len() - 1], [2, 1]).is_none());
        assert!(Cohort::parse(&good, [3, 1]).is_none());
        assert!(Cohort::parse(MAGIC, [2, 1]).is_none());
        let mut lying = good;
        lying[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Cohort::parse(&lying, [2, 1]).is_none());
    }

    #[test]
    fn chance_is_mean_and_spread_and_needs_a_few_marks() {
        assert_eq!(Chance::of(&[0.1; 4]), None);
        let chance = Chance::of(&[0.0, 0.2, 0.0, 0.2, 0.0, 0.2, 0.0, 0.2]).expect("eight marks");
        assert!((chance.mean - 0.1).abs() < 1e-6);
        assert!((chance.deviations(0.1 + chance.spread) - 1.0).abs() < 1e-5);
        assert_eq!(
            Chance::of(&[0.3; 8]).expect("eight marks").spread,
            MIN_SPREAD
        );
    }

    #[test]
    fn dot_takes_the_rest_along() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), a.iter().map(|v| v * v).sum::<f32>());
    }
}
