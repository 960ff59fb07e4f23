//! What a photo reaches by chance: how similar it is to pictures that are surely not on it. A busy
//! photo resembles everything a little; only what exceeds that says something.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ndarray::{Array2, ArrayView1, ArrayView2};
use serde::Deserialize;

use super::{EngineError, PhotoDescription};
use crate::domain::{AssetKind, FileDigest, dot};
use crate::embed::Embedder;
use crate::matching::similarities::stacked;

/// The most similar pictures of the background whose mean counts as chance. Measured on real photos:
/// more dilute it, fewer make it a matter of luck.
const N_NEAREST: usize = 20;

/// Descriptors of pictograms that nobody has registered; the pictures themselves are not kept.
#[derive(Debug, Clone, Default)]
pub struct Background {
    /// Unit vectors below each other, `[count, windows_dimension]`, compared with windows.
    windows: Array2<f32>,
    /// Unit vectors, compared with the whole photo.
    wholes: Vec<Vec<f32>>,
}

/// The cosines that a photo's windows reach by chance.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowChance {
    /// For each window, the best that any of its size reaches: there are more small ones, each of them
    /// shows less, and together they resemble any mark.
    of_size: Vec<f32>,
    /// The best that any window reaches.
    of_all: f32,
}

impl WindowChance {
    /// For a window, by its position, compared with an asset of `kind`. Packs are not taken for one by
    /// the small windows that resemble marks: with the chance of each size `products` loses a fiftieth
    /// of its right answers, and `logos` gains as much (`benches/RESULTS.md`, 28 November 2026).
    pub fn of(&self, window_idx: usize, kind: AssetKind) -> f32 {
        match kind {
            AssetKind::Logo => self.of_size[window_idx],
            AssetKind::Product | AssetKind::Packaging => self.of_all,
        }
    }
}

/// The card beside the descriptors, `background.toml`.
#[derive(Debug, Deserialize)]
struct BackgroundCard {
    file: String,
    sha256: String,
    model: String,
    count: usize,
    windows_dimension: usize,
    whole_dimension: usize,
}

impl Background {
    /// No background: nothing is said of chance.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the card at `path` (made by `models/export/make_background.py`) and the descriptors
    /// beside it: `[count, windows_dimension]` and `[count, whole_dimension]`, `i8`. A background of
    /// another network than `embedder`'s, and no card at all, are no background.
    ///
    /// # Errors
    /// [`EngineError::Unreadable`], [`EngineError::BadBackground`].
    pub fn load(path: &Path, embedder: &dyn Embedder) -> Result<Self, EngineError> {
        if !path.exists() {
            return Ok(Self::none());
        }
        let bad = |reason: String| EngineError::BadBackground {
            path: path.to_owned(),
            reason,
        };
        let unreadable = |cause| EngineError::Unreadable {
            path: path.to_owned(),
            cause,
        };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let card: BackgroundCard = toml::from_str(&text).map_err(|cause| bad(cause.to_string()))?;
        let network = embedder.model().0.split('@').next().unwrap_or_default();
        if card.model != network {
            return Ok(Self::none());
        }
        let bytes = fs::read(path.with_file_name(&card.file)).map_err(unreadable)?;
        let actual = FileDigest::of(&bytes).to_hex();
        if actual != card.sha256 {
            return Err(bad(format!(
                "{} has SHA-256 {actual}, not {}",
                card.file, card.sha256
            )));
        }
        let dims = [card.windows_dimension, card.whole_dimension];
        if dims != [embedder.window_dim(), embedder.whole_dim()] {
            return Err(bad(format!(
                "vectors of {dims:?} numbers do not fit {}",
                embedder.model()
            )));
        }
        Self::parse(&bytes, card.count, dims).ok_or_else(|| {
            bad(format!(
                "{} bytes do not hold {} pictures",
                bytes.len(),
                card.count
            ))
        })
    }

    fn parse(bytes: &[u8], count: usize, [window_dim, whole_dim]: [usize; 2]) -> Option<Self> {
        let n_windows = count.checked_mul(window_dim)?;
        if bytes.len() != count.checked_mul(whole_dim)?.checked_add(n_windows)? || count == 0 {
            return None;
        }
        let (windows, wholes) = bytes.split_at(n_windows);
        let windows: Vec<_> = windows.chunks_exact(window_dim).map(unit).collect();
        Some(Self {
            windows: stacked(window_dim, windows.iter().map(Vec::as_slice)),
            wholes: wholes.chunks_exact(whole_dim).map(unit).collect(),
        })
    }

    /// What windows of this photo reach by chance; `None` without a background or windows. `vectors` are
    /// those of the windows, `[n, windows_dimension]`.
    pub fn window_chance(
        &self,
        photo: &PhotoDescription,
        vectors: ArrayView2<f32>,
    ) -> Option<WindowChance> {
        if self.windows.is_empty() {
            return None;
        }
        let mut by_size: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (position, window) in photo.windows.iter().enumerate() {
            let size = window.region.w.to_bits();
            by_size.entry(size).or_default().push(position);
        }
        let similarities = self.windows.dot(&vectors.t());
        let mut of_size = vec![0.0; photo.windows.len()];
        let mut best_of_all = vec![-1.0; self.windows.nrows()];
        for positions in by_size.values() {
            let best = best_of(similarities.view(), positions);
            for (of_all, best) in best_of_all.iter_mut().zip(&best) {
                *of_all = f32::max(*of_all, *best);
            }
            let chance = mean_of_nearest(best)?;
            for &position in positions {
                of_size[position] = chance;
            }
        }
        Some(WindowChance {
            of_size,
            of_all: mean_of_nearest(best_of_all)?,
        })
    }

    /// The cosine that the whole photo reaches by chance; `None` without a background.
    pub fn whole_chance(&self, photo: &PhotoDescription) -> Option<f32> {
        let similarity = |whole: &Vec<f32>| dot(whole, photo.whole.as_slice());
        mean_of_nearest(self.wholes.iter().map(similarity).collect())
    }
}

/// For each picture of the background, the best cosine of the windows at `positions`; `similarities` are
/// `[pictures, windows]`.
fn best_of(similarities: ArrayView2<f32>, positions: &[usize]) -> Vec<f32> {
    let best_of = |row: ArrayView1<f32>| positions.iter().map(|&at| row[at]).fold(-1.0, f32::max);
    similarities.rows().into_iter().map(best_of).collect()
}

fn mean_of_nearest(mut similarities: Vec<f32>) -> Option<f32> {
    similarities.sort_by(|a, b| b.total_cmp(a));
    similarities.truncate(N_NEAREST);
    let n = similarities.len();
    (n > 0).then(|| similarities.iter().sum::<f32>() / n as f32)
}

/// The direction of a quantised vector.
fn unit(bytes: &[u8]) -> Vec<f32> {
    let values: Vec<f32> = bytes.iter().map(|&v| f32::from(v as i8)).collect();
    let norm = dot(&values, &values).sqrt().max(f32::MIN_POSITIVE);
    values.iter().map(|v| v / norm).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::domain::{Embedding, Region};
    use crate::embed::Window;
    use crate::embed::fake::FakeEmbedder;

    #[test]
    fn two_blocks_of_unit_vectors() {
        let bytes = [3i8, 4, 0, 5, 7, -7].map(|v| v as u8);
        let background = Background::parse(&bytes, 2, [2, 1]).expect("a good file");
        assert_eq!(background.windows, array![[0.6, 0.8], [0.0, 1.0]]);
        assert_eq!(background.wholes, [[1.0], [-1.0]]);
        assert!(Background::parse(&bytes[..5], 2, [2, 1]).is_none());
        assert!(Background::parse(&bytes, usize::MAX, [2, 1]).is_none());
    }

    #[test]
    fn chance_is_the_mean_of_the_nearest() {
        let mut similarities = vec![0.5; N_NEAREST];
        similarities.extend([0.1; 50]);
        assert_eq!(mean_of_nearest(similarities), Some(0.5));
        assert_eq!(mean_of_nearest(vec![]), None);
    }

    #[test]
    fn marks_meet_the_chance_of_windows_of_one_size_and_packs_that_of_all() {
        let window = |size: f32, vector: [f32; 2]| Window {
            region: Region::new(size, 0.0, size, size),
            embedding: Embedding::new(vector.to_vec()).expect("a direction"),
            place: None,
        };
        let windows = vec![
            window(10.0, [1.0, 0.0]),
            window(20.0, [0.0, 1.0]),
            window(10.0, [0.6, 0.8]),
        ];
        let whole = Embedding::new(vec![1.0]).expect("a direction");
        let photo = PhotoDescription::new(windows, Vec::new(), whole, None, None);
        let background = Background {
            windows: array![[1.0, 0.0], [0.0, 1.0]],
            wholes: Vec::new(),
        };
        let vectors = photo.window_vectors(2);
        let chance = background.window_chance(&photo, vectors.view());
        let chance = chance.expect("a background");
        let of = |kind| [0, 1, 2].map(|at| (chance.of(at, kind) * 1000.0).round());
        assert_eq!(of(AssetKind::Logo), [900.0, 500.0, 900.0]);
        assert_eq!(of(AssetKind::Product), [1000.0; 3]);
        let chance = Background::none().window_chance(&photo, vectors.view());
        assert_eq!(chance, None);
    }

    #[test]
    fn a_changed_file_is_refused_and_another_networks_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let card = folder.path().join("background.toml");
        fs::write(folder.path().join("b.bin"), [1, 2]).expect("a file");
        let write = |model: &str| {
            let text = format!(
                "file='b.bin'\nsha256='00'\nmodel='{model}'\ncount=1\nwindows_dimension=1\nwhole_dimension=1\n"
            );
            fs::write(&card, text).expect("a file");
        };
        write("fake");
        let error = Background::load(&card, &FakeEmbedder::default()).expect_err("another hash");
        assert!(error.to_string().contains("SHA-256"), "{error}");
        write("stranger");
        let none = Background::load(&card, &FakeEmbedder::default()).expect("no background");
        assert!(none.windows.is_empty());
    }
}
