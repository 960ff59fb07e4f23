//! Vectors with norm 1, and how close two of them are.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

/// Why numbers are not an embedding.
#[derive(Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// A NaN or an infinity.
    #[error("embedding holds {value} at position {position}")]
    NotFinite {
        /// Where it stands.
        position: usize,
        /// The value itself.
        value: f32,
    },
    /// All zeros, or nothing at all: it has no direction.
    #[error("embedding of dimension {dim} has no length")]
    ZeroNorm {
        /// Numbers in it.
        dim: usize,
    },
    /// Two vectors of different length or model cannot be compared.
    #[error("embedding of {actual} numbers where {expected} were expected")]
    DimensionMismatch {
        /// Dimension wanted.
        expected: usize,
        /// Dimension found.
        actual: usize,
    },
}

/// Names a network and its version, e.g. `lite0-windows@1`; vectors of two models are never compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ModelId(pub String);

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Cosine of two embeddings, `-1..=1`, greater is closer.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Similarity(pub f32);

/// An `f32` vector, shape `[dim]`, finite, Euclidean norm 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Box<[f32]>);

impl Embedding {
    /// Scales `values` to norm 1.
    ///
    /// # Errors
    /// [`EmbeddingError::NotFinite`] for a NaN or infinity, [`EmbeddingError::ZeroNorm`] for nothing
    /// or all zeros.
    pub fn new(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if let Some(position) = values.iter().position(|v| !v.is_finite()) {
            let value = values[position];
            return Err(EmbeddingError::NotFinite { position, value });
        }
        // In f64: the squares of large f32 overflow f32, those of tiny ones vanish.
        let norm = values
            .iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 {
            return Err(EmbeddingError::ZeroNorm { dim: values.len() });
        }
        for v in &mut values {
            *v = (f64::from(*v) / norm) as f32;
        }
        Ok(Self(values.into_boxed_slice()))
    }

    /// The numbers, shape `[dim]`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How many numbers there are.
    pub fn dim(&self) -> usize {
        self.0.len()
    }

    /// Cosine with `other`.
    ///
    /// # Errors
    /// [`EmbeddingError::DimensionMismatch`] when the lengths differ.
    pub fn similarity(&self, other: &Self) -> Result<Similarity, EmbeddingError> {
        if self.dim() != other.dim() {
            return Err(EmbeddingError::DimensionMismatch {
                expected: self.dim(),
                actual: other.dim(),
            });
        }
        let dot: f32 = self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum();
        Ok(Similarity(dot.clamp(-1.0, 1.0)))
    }
}

/// Sum of products of the numbers that both have, in eight lanes, which compilers turn into vector
/// instructions: the cosine of two unit vectors.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
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
    use proptest::prelude::*;

    #[test]
    fn dot_takes_the_rest_along() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&a, &a), a.iter().map(|v| v * v).sum::<f32>());
    }

    #[test]
    fn refuses_what_has_no_direction() {
        assert_eq!(
            Embedding::new(vec![0.0; 3]),
            Err(EmbeddingError::ZeroNorm { dim: 3 })
        );
        assert!(matches!(
            Embedding::new(vec![1.0, f32::NAN]),
            Err(EmbeddingError::NotFinite { position: 1, .. })
        ));
        assert!(Embedding::new(vec![f32::INFINITY]).is_err());
        assert!(Embedding::new(vec![]).is_err());
    }

    #[test]
    fn compares_only_equal_lengths() {
        let a = Embedding::new(vec![1.0, 0.0]).expect("a direction");
        let b = Embedding::new(vec![1.0]).expect("a direction");
        assert!(a.similarity(&b).is_err());
        assert_eq!(a.similarity(&a), Ok(Similarity(1.0)));
    }

    proptest! {
        #[test]
        fn norm_is_one(values in prop::collection::vec(-1e30f32..1e30, 1..64)) {
            prop_assume!(values.iter().any(|v| *v != 0.0));
            let embedding = Embedding::new(values).expect("finite, not zero");
            let norm: f32 = embedding.as_slice().iter().map(|v| v * v).sum::<f32>().sqrt();
            prop_assert!((norm - 1.0).abs() < 1e-4);
        }
    }
}
