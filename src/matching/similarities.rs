//! Many vectors compared with many, as one product of matrices: several times as quick as one scalar
//! product after the other.

use ndarray::Array2;

/// Vectors below each other, `[n, dim]`; where one is longer or shorter, only what both have counts.
/// The cosines of two such tables of unit vectors are `a.dot(&b.t())`, `[n of a, n of b]`.
pub fn stacked<'a>(dim: usize, vectors: impl IntoIterator<Item = &'a [f32]>) -> Array2<f32> {
    let mut values = Vec::new();
    let mut n = 0;
    for vector in vectors {
        n += 1;
        values.extend_from_slice(&vector[..dim.min(vector.len())]);
        values.resize(n * dim, 0.0);
    }
    Array2::from_shape_vec([n, dim], values).expect("n rows of dim numbers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::dot;

    #[test]
    fn products_of_tables_are_those_of_their_rows() {
        let vector = |seed: usize| -> Vec<f32> {
            let value = |i: usize| (((seed * 31 + i * 17) % 23) as f32 - 11.0) / 11.0;
            (0..67).map(value).collect()
        };
        let (left, right): (Vec<_>, Vec<_>) =
            ((0..9).map(vector).collect(), (9..21).map(vector).collect());
        let [a, b] = [&left, &right].map(|rows| stacked(67, rows.iter().map(Vec::as_slice)));
        let products = a.dot(&b.t());
        assert_eq!(products.dim(), (9, 12));
        for ((i, j), product) in products.indexed_iter() {
            let expected = dot(&left[i], &right[j]);
            assert!((product - expected).abs() < 1e-4, "{product} {expected}");
        }
    }

    #[test]
    fn no_vectors_and_vectors_of_another_length_are_borne() {
        assert_eq!(stacked(3, []).dim(), (0, 3));
        let table = stacked(2, [[1.0, 2.0, 3.0].as_slice(), &[4.0]]);
        assert_eq!(table, ndarray::array![[1.0, 2.0], [4.0, 0.0]]);
    }
}
