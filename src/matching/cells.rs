//! A registered picture laid over a window, cell by cell.
//!
//! The description of a window is a handful of cells pooled and projected: it finds a mark among many,
//! but takes much for a mark that only has its rough layout. Here every small cell of the registered
//! picture looks for its like in the window, near its own place. Measured on real photos, 24 November
//! 2026: see `benches/RESULTS.md`.

use crate::domain::{CellMap, ReferenceCells, Region, dot};

/// Cells that a cell may lie off its place, each way: windows lie on a grid and fit only roughly. Two
/// find more than one on real photos.
const REACH: usize = 2;

/// Mean over the cells that show the registered picture of the best cosine within reach of the same
/// place in the window, `-1..=1`; `frame` is the window's place in shares of the photo's map and may reach
/// over its border, where the edge is repeated. `None` when no cell shows it, or the vectors are not of one length.
pub fn agreement(photo: &CellMap, frame: Region, reference: &ReferenceCells) -> Option<f32> {
    let map = reference.map();
    let dim = map.dim();
    if photo.dim() != dim {
        return None;
    }
    let [columns, rows] = map.size();
    let wide = columns + 2 * REACH;
    let seen = sampled(photo, frame, [columns, rows]);
    let (mut sum, mut n) = (0.0, 0);
    for row in 0..rows {
        for column in (0..columns).filter(|&column| reference.is_shown(column, row)) {
            let asked = map.cell(column, row);
            let mut best = f32::NEG_INFINITY;
            for y in row..=row + 2 * REACH {
                let first = (y * wide + column) * dim;
                let line = &seen[first..first + (2 * REACH + 1) * dim];
                for there in line.chunks_exact(dim) {
                    best = best.max(dot(asked, there));
                }
            }
            sum += best;
            n += 1;
        }
    }
    (n > 0).then(|| sum / n as f32)
}

/// The window's cells resampled to the grid of the registered picture with `REACH` more on each side,
/// norm 1 each: `[rows + 2 REACH, columns + 2 REACH, dim]`.
fn sampled(photo: &CellMap, frame: Region, [columns, rows]: [usize; 2]) -> Vec<f32> {
    let dim = photo.dim();
    let [width, height] = photo.size();
    let across = places(frame.x, frame.w, columns, width);
    let down = places(frame.y, frame.h, rows, height);
    let mut seen = Vec::with_capacity(across.len() * down.len() * dim);
    for &(y, below) in &down {
        let next_y = (y + 1).min(height - 1);
        for &(x, right) in &across {
            let next_x = (x + 1).min(width - 1);
            let corners = [
                (photo.cell(x, y), (1.0 - right) * (1.0 - below)),
                (photo.cell(next_x, y), right * (1.0 - below)),
                (photo.cell(x, next_y), (1.0 - right) * below),
                (photo.cell(next_x, next_y), right * below),
            ];
            let start = seen.len();
            seen.resize(start + dim, 0.0f32);
            for (cell, weight) in corners {
                for (value, part) in seen[start..].iter_mut().zip(cell) {
                    *value += weight * part;
                }
            }
            let norm = dot(&seen[start..], &seen[start..]).sqrt().max(1e-6);
            seen[start..].iter_mut().for_each(|value| *value /= norm);
        }
    }
    seen
}

/// For each of `n` cells of a frame and `REACH` beyond its ends: the cell of a row of `length` before
/// its middle, and how far it lies on the way to the next, `0..1`.
fn places(start: f32, extent: f32, n: usize, length: usize) -> Vec<(usize, f32)> {
    let last = (length - 1) as f32;
    (0..n + 2 * REACH)
        .map(|i| {
            let share = (i as f32 - REACH as f32 + 0.5) / n as f32;
            let at = ((start + share * extent) * length as f32 - 0.5).clamp(0.0, last);
            (at as usize, at.fract())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIM: usize = 16;

    /// A grid whose cells each point along an axis of their own choice.
    fn map([columns, rows]: [usize; 2], axis: impl Fn(usize, usize) -> usize) -> CellMap {
        let mut values = vec![0.0; columns * rows * DIM];
        for row in 0..rows {
            for column in 0..columns {
                values[(row * columns + column) * DIM + axis(column, row) % DIM] = 1.0;
            }
        }
        CellMap::new([columns, rows], DIM, values).expect("fits")
    }

    fn reference(axis: impl Fn(usize, usize) -> usize) -> ReferenceCells {
        ReferenceCells::new(map([6, 6], axis), vec![true; 36]).expect("fits")
    }

    fn pattern(column: usize, row: usize) -> usize {
        column * 5 + row * 3
    }

    #[test]
    fn a_picture_agrees_with_itself_wherever_it_lies() {
        let photo = map([12, 12], |x, y| {
            if x >= 4 && y >= 3 {
                pattern(x - 4, y - 3)
            } else {
                1
            }
        });
        let frame = |x: f32, y: f32| Region::new(x / 12.0, y / 12.0, 0.5, 0.5);
        let there = |x, y| agreement(&photo, frame(x, y), &reference(pattern)).expect("comparable");
        assert!((there(4.0, 3.0) - 1.0).abs() < 1e-6);
        assert!(
            (there(5.0, 4.0) - 1.0).abs() < 0.35,
            "one cell off: most are within reach"
        );
        assert!(there(4.0, 3.0) > there(0.0, 9.0));
    }

    #[test]
    fn ground_does_not_count() {
        let photo = map([6, 6], |_, _| 0);
        let whole = Region::new(0.0, 0.0, 1.0, 1.0);
        let axis = |x, _| usize::from(x > 2);
        let shown = (0..36).map(|i| i % 6 <= 2).collect();
        let half = ReferenceCells::new(map([6, 6], axis), shown).expect("fits");
        assert_eq!(agreement(&photo, whole, &half), Some(1.0));
        assert_eq!(agreement(&photo, whole, &reference(axis)), Some(0.5));
        let none = ReferenceCells::new(map([6, 6], axis), vec![false; 36]).expect("fits");
        assert_eq!(agreement(&photo, whole, &none), None);
    }

    #[test]
    fn a_frame_over_the_border_sees_the_edge_repeated() {
        let photo = map([6, 6], |_, _| 2);
        let frame = Region::new(-0.5, -0.5, 2.0, 2.0);
        assert_eq!(agreement(&photo, frame, &reference(|_, _| 2)), Some(1.0));
    }
}
