//! Direction and descriptor of an extremum (Lowe 2004, sections 5 and 6; root: Arandjelović and
//! Zisserman 2012).
//!
//! The picture is sampled on one fixed grid in the feature's own frame, whatever its size: the weights
//! of every sample are constants, a large feature costs what a small one does, and mirroring or
//! inverting the picture permutes the numbers of a descriptor and changes nothing else.

use std::f32::consts::{PI, TAU};
use std::sync::LazyLock;

use super::detect::Extremum;
use super::scale_space::Plane;
use super::wide::on_wide_registers;

/// Numbers in a descriptor: 4 × 4 cells of 8 directions.
pub const DESCRIPTOR_LEN: usize = CELLS * CELLS * BINS;
/// Largest number in a descriptor: products of two stay within 16 bits when paired.
pub const DESCRIPTOR_MAX: u8 = 127;
/// Length of a descriptor before rounding.
const DESCRIPTOR_NORM: f32 = 256.0;

const CELLS: usize = 4;
const BINS: usize = 8;
/// Side of a cell over the blur of the feature.
const CELL_SIGMAS: f32 = 3.0;
/// Gradient samples along a side: five cells (the outer halves count by interpolation) of four.
const SIDE: usize = 20;
const SAMPLES: usize = SIDE * SIDE;
/// Grey samples along a side: one more at either end for the slopes.
const PATCH_SIDE: usize = SIDE + 2;
const PATCH: usize = PATCH_SIDE * PATCH_SIDE;
/// A share above this is cut, so that one strong edge does not outweigh all others.
const MAX_SHARE: f32 = 0.2;

/// Half width of the direction window over the blur.
const DIRECTION_RADIUS: f32 = 4.5;
/// Spread of the direction window over the blur.
const DIRECTION_SIGMA: f32 = 1.5;
const DIRECTION_BINS: usize = 36;
/// A second direction counts when it reaches this share of the first.
const SECOND_DIRECTION: f32 = 0.8;
/// Directions kept per extremum.
const MAX_DIRECTIONS: usize = 2;

/// Gradients on the grid: strength and direction (`0..=TAU`, from the grid's x axis towards its y axis).
struct Gradients {
    strength: [f32; SAMPLES],
    direction: [f32; SAMPLES],
}

struct Weights {
    direction: [f32; SAMPLES],
    descriptor: [f32; SAMPLES],
    /// First of the two cells a sample counts for along an axis (0 is outside), and the second's share.
    cell: [(usize, f32); SIDE],
}

static WEIGHTS: LazyLock<Weights> = LazyLock::new(|| {
    // Sample positions from the middle, in units of half the grid.
    let at = |i: usize| (i as f32 + 0.5) / SIDE as f32 * 2.0 - 1.0;
    let gaussian = |i: usize, sigma: f32| {
        let (u, v) = (at(i % SIDE), at(i / SIDE));
        (-(u * u + v * v) / (2.0 * sigma * sigma)).exp()
    };
    let half_cells = (CELLS + 1) as f32 / 2.0;
    Weights {
        direction: std::array::from_fn(|i| gaussian(i, DIRECTION_SIGMA / DIRECTION_RADIUS)),
        // Lowe: half the width of the descriptor, two cells.
        descriptor: std::array::from_fn(|i| gaussian(i, CELLS as f32 / 2.0 / half_cells)),
        cell: std::array::from_fn(|i| {
            let place = (at(i) + 1.0) * half_cells;
            (place as usize, place.fract())
        }),
    }
});

/// Directions of the feature, radians `0..TAU`, strongest first, one or two.
pub(super) fn directions(layer: &Plane, extremum: &Extremum) -> Vec<f32> {
    let step = 2.0 * DIRECTION_RADIUS * extremum.sigma / SIDE as f32;
    let gradients = gradients_around(layer, extremum.x, extremum.y, step, 0.0);
    let mut bins = [0f32; DIRECTION_BINS];
    for i in 0..SAMPLES {
        let place = gradients.direction[i] * (DIRECTION_BINS as f32 / TAU);
        let bin = (place + 0.5) as usize % DIRECTION_BINS;
        bins[bin] += WEIGHTS.direction[i] * gradients.strength[i];
    }
    peaks(&smoothed(&bins))
}

fn smoothed(bins: &[f32; DIRECTION_BINS]) -> [f32; DIRECTION_BINS] {
    const N: usize = DIRECTION_BINS;
    std::array::from_fn(|i| {
        let at = |by: usize| bins[(i + by) % N];
        (at(N - 2) + at(2) + 4.0 * (at(N - 1) + at(1)) + 6.0 * bins[i]) / 16.0
    })
}

fn peaks(bins: &[f32; DIRECTION_BINS]) -> Vec<f32> {
    const N: usize = DIRECTION_BINS;
    let highest = bins.iter().copied().fold(0f32, f32::max);
    let mut found: Vec<(f32, f32)> = Vec::new();
    for i in 0..N {
        let (left, centre, right) = (bins[(i + N - 1) % N], bins[i], bins[(i + 1) % N]);
        if centre > left && centre >= right && centre >= SECOND_DIRECTION * highest {
            let offset = 0.5 * (left - right) / (left - 2.0 * centre + right);
            let angle = (i as f32 + offset) * (TAU / N as f32);
            found.push((centre, angle.rem_euclid(TAU)));
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.truncate(MAX_DIRECTIONS);
    found.into_iter().map(|(_, angle)| angle).collect()
}

/// Descriptor in the frame turned by `direction`; `None` where the picture is even.
pub(super) fn descriptor(
    layer: &Plane,
    extremum: &Extremum,
    direction: f32,
) -> Option<[u8; DESCRIPTOR_LEN]> {
    let step = CELL_SIGMAS * (CELLS + 1) as f32 * extremum.sigma / SIDE as f32;
    let gradients = gradients_around(layer, extremum.x, extremum.y, step, direction);
    quantised(&cell_histograms(&gradients))
}

/// Sums per cell and direction, with linear interpolation in both axes and in direction.
fn cell_histograms(gradients: &Gradients) -> [f32; DESCRIPTOR_LEN] {
    // One more cell at either end takes what falls outside; one more bin takes the wrap-around.
    const WIDE: usize = CELLS + 2;
    let weights = &*WEIGHTS;
    let mut sums = [[[0f32; BINS]; WIDE]; WIDE];
    for row in 0..SIDE {
        let mut line = [[0f32; BINS + 1]; WIDE];
        for column in 0..SIDE {
            let i = row * SIDE + column;
            let strength = weights.descriptor[i] * gradients.strength[i];
            let place = gradients.direction[i] * (BINS as f32 / TAU);
            let bin = (place as usize).min(BINS - 1);
            let upper = strength * (place - bin as f32);
            let lower = strength - upper;
            let (cell, share) = weights.cell[column];
            line[cell][bin] += lower * (1.0 - share);
            line[cell][bin + 1] += upper * (1.0 - share);
            line[cell + 1][bin] += lower * share;
            line[cell + 1][bin + 1] += upper * share;
        }
        let (cell, share) = weights.cell[row];
        for (column, bins) in line.iter_mut().enumerate() {
            bins[0] += bins[BINS];
            for bin in 0..BINS {
                sums[cell][column][bin] += bins[bin] * (1.0 - share);
                sums[cell + 1][column][bin] += bins[bin] * share;
            }
        }
    }
    std::array::from_fn(|i| sums[i / BINS / CELLS + 1][i / BINS % CELLS + 1][i % BINS])
}

fn quantised(sums: &[f32; DESCRIPTOR_LEN]) -> Option<[u8; DESCRIPTOR_LEN]> {
    let norm = sums.iter().map(|v| v * v).sum::<f32>().sqrt();
    if norm < 1e-3 {
        return None;
    }
    let cut = sums.map(|v| v.min(MAX_SHARE * norm));
    let total: f32 = cut.iter().sum();
    Some(cut.map(|v| {
        let root = (v / total).sqrt() * DESCRIPTOR_NORM;
        (root + 0.5).min(f32::from(DESCRIPTOR_MAX)) as u8
    }))
}

on_wide_registers! {
    /// Gradients on a grid around `(x, y)`, `step` pixels apart, turned by `angle`; beyond the edge the
    /// picture goes on as its last pixel.
    fn gradients_around(layer: &Plane, x: f32, y: f32, step: f32, angle: f32) -> Gradients {
        let patch = sampled(layer, x, y, step, angle);
        let mut across = [0f32; SAMPLES];
        let mut down = [0f32; SAMPLES];
        for row in 0..SIDE {
            let at = |dy: usize, dx: usize| &patch[(row + dy) * PATCH_SIDE + dx..][..SIDE];
            let lines = at(1, 2).iter().zip(at(1, 0)).zip(at(2, 1).iter().zip(at(0, 1)));
            for (i, ((right, left), (below, above))) in lines.enumerate() {
                across[row * SIDE + i] = right - left;
                down[row * SIDE + i] = below - above;
            }
        }
        let mut gradients = Gradients { strength: [0.0; SAMPLES], direction: [0.0; SAMPLES] };
        for i in 0..SAMPLES {
            gradients.strength[i] = (across[i] * across[i] + down[i] * down[i]).sqrt();
            gradients.direction[i] = angle_of(across[i], down[i]);
        }
        gradients
    }
}

#[inline(always)]
fn sampled(layer: &Plane, x: f32, y: f32, step: f32, angle: f32) -> [f32; PATCH] {
    let (sin, cos) = (angle.sin() * step, angle.cos() * step);
    let middle = (PATCH_SIDE - 1) as f32 / 2.0;
    let (right, bottom) = ((layer.width - 1) as f32, (layer.height - 1) as f32);
    let mut places = [(0usize, 0f32, 0f32); PATCH];
    for (i, place) in places.iter_mut().enumerate() {
        let (u, v) = (
            (i % PATCH_SIDE) as f32 - middle,
            (i / PATCH_SIDE) as f32 - middle,
        );
        // A hair less than the last pixel, so that its right and lower neighbours exist.
        let px = (x + u * cos - v * sin).max(0.0).min(right - 1e-3);
        let py = (y + u * sin + v * cos).max(0.0).min(bottom - 1e-3);
        let (ix, iy) = (px as u32, py as u32);
        *place = (
            iy as usize * layer.width + ix as usize,
            px - ix as f32,
            py - iy as f32,
        );
    }
    let mut patch = [0f32; PATCH];
    for (value, (at, fx, fy)) in patch.iter_mut().zip(places) {
        let upper = &layer.values[at..at + 2];
        let lower = &layer.values[at + layer.width..at + layer.width + 2];
        let (a, b) = (
            upper[0] + fx * (upper[1] - upper[0]),
            lower[0] + fx * (lower[1] - lower[0]),
        );
        *value = a + fy * (b - a);
    }
    patch
}

/// Angle of `(x, y)`, `0..=TAU`, to 0.0001 radians; without branches, and the same on every machine.
#[inline(always)]
fn angle_of(x: f32, y: f32) -> f32 {
    let (ax, ay) = (x.abs(), y.abs());
    let (low, high) = if ax < ay { (ax, ay) } else { (ay, ax) };
    let t = low / (high + 1e-20);
    let s = t * t;
    // Minimax polynomial of atan on 0..=1 (Abramowitz and Stegun 4.4.49).
    let mut angle =
        t * (0.999_866 + s * (-0.330_299_5 + s * (0.180_141 + s * (-0.085_133 + s * 0.020_835_1))));
    angle = if ax < ay { PI / 2.0 - angle } else { angle };
    angle = if x < 0.0 { PI - angle } else { angle };
    if y < 0.0 { TAU - angle } else { angle }
}

/// Where number `i` of a descriptor stands when the picture is mirrored left to right and the
/// feature's direction with it.
pub(super) fn mirrored_position(i: usize) -> usize {
    let (row, column, bin) = (i / BINS / CELLS, i / BINS % CELLS, i % BINS);
    ((CELLS - 1 - row) * CELLS + column) * BINS + (BINS - bin) % BINS
}

/// Where number `i` of a descriptor stands when light and dark are swapped, which turns the
/// feature's direction round.
pub(super) fn inverted_position(i: usize) -> usize {
    let (row, column, bin) = (i / BINS / CELLS, i / BINS % CELLS, i % BINS);
    ((CELLS - 1 - row) * CELLS + (CELLS - 1 - column)) * BINS + bin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_agree_with_the_library() {
        for i in 0..720 {
            let angle = i as f32 * TAU / 720.0;
            let expected = angle.sin().atan2(angle.cos()).rem_euclid(TAU);
            let actual = angle_of(angle.cos() * 3.0, angle.sin() * 3.0);
            let off = (actual - expected).abs();
            assert!(off.min(TAU - off) < 2e-4, "{angle}: {actual} {expected}");
        }
    }

    #[test]
    fn a_slope_points_uphill_in_any_frame() {
        let turn = 0.7f32;
        let layer = Plane {
            width: 80,
            height: 80,
            values: (0..6400)
                .map(|i| (i % 80) as f32 * turn.cos() + (i / 80) as f32 * turn.sin())
                .collect(),
        };
        let extremum = Extremum {
            octave: 0,
            layer: 1,
            x: 40.3,
            y: 39.8,
            sigma: 2.0,
            response: 9.0,
        };
        let found = directions(&layer, &extremum);
        assert_eq!(found.len(), 1);
        assert!((found[0] - turn).abs() < 0.02, "{found:?}");
        let descriptor = descriptor(&layer, &extremum, found[0]).expect("a slope");
        // All in the direction of the slope itself.
        for (i, &v) in descriptor.iter().enumerate() {
            assert_eq!(v > 20, i % BINS == 0, "{i}: {v}");
        }
    }

    #[test]
    fn permutations_undo_themselves() {
        for i in 0..DESCRIPTOR_LEN {
            assert_eq!(mirrored_position(mirrored_position(i)), i);
            assert_eq!(inverted_position(inverted_position(i)), i);
        }
    }
}
