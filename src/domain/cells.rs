//! What small parts of a picture show: a grid of unit vectors, for laying one picture over another.

use thiserror::Error;

/// Unit vectors of the cells of a picture, `[rows, columns, dim]`, `f32`; rows from the top.
#[derive(Debug, Clone, PartialEq)]
pub struct CellMap {
    columns: usize,
    rows: usize,
    dim: usize,
    values: Vec<f32>,
}

/// The cells of a registered picture, and which of them show it rather than the ground about it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceCells {
    map: CellMap,
    /// One for each cell, rows from the top.
    shown: Vec<bool>,
}

/// Why numbers are no cells.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CellsError {
    /// Too few or too many for the grid.
    #[error("cells of {actual} bytes or numbers where {expected} were expected")]
    WrongLength {
        /// Wanted.
        expected: usize,
        /// Found.
        actual: usize,
    },
}

/// Bytes before the numbers: columns, rows and numbers in a cell, `u16` each, little-endian.
const HEAD_LEN: usize = 6;
/// What 1 is stored as.
const ONE: f32 = 127.0;

impl CellMap {
    /// Cells as a network gives them: `[rows, columns, dim]`, norm 1 each.
    ///
    /// # Errors
    /// [`CellsError::WrongLength`].
    pub fn new(
        [columns, rows]: [usize; 2],
        dim: usize,
        values: Vec<f32>,
    ) -> Result<Self, CellsError> {
        let expected = columns * rows * dim;
        if values.len() != expected || expected == 0 {
            return Err(CellsError::WrongLength {
                expected,
                actual: values.len(),
            });
        }
        Ok(Self {
            columns,
            rows,
            dim,
            values,
        })
    }

    /// Cells across and down.
    pub fn size(&self) -> [usize; 2] {
        [self.columns, self.rows]
    }

    /// Numbers in a cell's vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The vector of a cell within the grid, `[dim]`.
    pub fn cell(&self, column: usize, row: usize) -> &[f32] {
        let first = (row * self.columns + column) * self.dim;
        &self.values[first..first + self.dim]
    }
}

impl ReferenceCells {
    /// Cells and which of them show the thing, one flag each. The numbers are rounded to what
    /// [`to_bytes`](Self::to_bytes) keeps, so that it makes no difference whether they were stored.
    ///
    /// # Errors
    /// [`CellsError::WrongLength`].
    pub fn new(mut map: CellMap, shown: Vec<bool>) -> Result<Self, CellsError> {
        let expected = map.columns * map.rows;
        if shown.len() != expected {
            let actual = shown.len();
            return Err(CellsError::WrongLength { expected, actual });
        }
        for value in &mut map.values {
            *value = (*value * ONE).round().clamp(-ONE, ONE) / ONE;
        }
        Ok(Self { map, shown })
    }

    /// The cells.
    pub fn map(&self) -> &CellMap {
        &self.map
    }

    /// Whether a cell within the grid shows the thing.
    pub fn is_shown(&self, column: usize, row: usize) -> bool {
        self.shown[row * self.map.columns + column]
    }

    /// Columns, rows, numbers in a cell (`u16`, little-endian), the numbers as `i8` of 1/127, and a byte
    /// for each cell: 1 where the thing is shown.
    pub fn to_bytes(&self) -> Vec<u8> {
        let map = &self.map;
        let mut bytes = Vec::with_capacity(HEAD_LEN + map.values.len() + self.shown.len());
        for side in [map.columns, map.rows, map.dim] {
            bytes.extend((side as u16).to_le_bytes());
        }
        bytes.extend(map.values.iter().map(|v| (v * ONE).round() as i8 as u8));
        bytes.extend(self.shown.iter().map(|&shown| u8::from(shown)));
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`CellsError::WrongLength`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CellsError> {
        let wrong = |expected| CellsError::WrongLength {
            expected,
            actual: bytes.len(),
        };
        let (head, rest) = bytes
            .split_first_chunk::<HEAD_LEN>()
            .ok_or_else(|| wrong(HEAD_LEN))?;
        let [columns, rows, dim] =
            [0, 2, 4].map(|i| usize::from(u16::from_le_bytes([head[i], head[i + 1]])));
        let n_values = columns * rows * dim;
        let expected = HEAD_LEN + n_values + columns * rows;
        if bytes.len() != expected {
            return Err(wrong(expected));
        }
        let (values, shown) = rest.split_at(n_values);
        let values = values.iter().map(|&b| f32::from(b as i8) / ONE).collect();
        let map = CellMap::new([columns, rows], dim, values)?;
        Self::new(map, shown.iter().map(|&b| b == 1).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_grid_has_as_many_numbers_as_its_sides_say() {
        let map = CellMap::new([2, 1], 2, vec![1.0, 0.0, 0.6, 0.8]).expect("fits");
        assert_eq!(map.cell(1, 0), [0.6, 0.8]);
        assert!(CellMap::new([2, 2], 2, vec![1.0; 4]).is_err());
        assert!(ReferenceCells::new(map, vec![true]).is_err());
    }

    proptest! {
        #[test]
        fn stored_cells_come_back_as_they_are(values in prop::collection::vec(-1f32..1.0, 12), shown in prop::collection::vec(any::<bool>(), 4)) {
            let map = CellMap::new([2, 2], 3, values).expect("fits");
            let cells = ReferenceCells::new(map, shown).expect("fits");
            prop_assert_eq!(ReferenceCells::from_bytes(&cells.to_bytes()), Ok(cells));
        }

        #[test]
        fn arbitrary_bytes_are_cells_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(cells) = ReferenceCells::from_bytes(&bytes) {
                prop_assert_eq!(cells.to_bytes().len(), bytes.len());
            }
        }
    }
}
