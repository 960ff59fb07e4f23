//! Extrema of the difference of Gaussians, placed between pixels (Lowe 2004, sections 3 and 4).

use super::scale_space::{BASE_SIGMA, N_LAYERS, N_SCALES, Octave, Plane};
use super::wide::on_wide_registers;

/// Differences of neighbouring layers.
const N_DIFFERENCES: usize = N_LAYERS - 1;
/// Least contrast of an extremum, grey levels `0..=255` summed over the scales; Lowe's 0.04.
const MIN_CONTRAST: f32 = 0.04 * 255.0 / N_SCALES as f32;
/// Largest ratio of the two curvatures: an edge has one only.
const MAX_CURVATURE_RATIO: f32 = 10.0;
/// Pixels at the edge in which nothing is looked for.
const BORDER: usize = 5;
/// Steps to the place between pixels.
const MAX_STEPS: usize = 5;

/// An extremum in its octave's pixels (pixel centres at whole numbers).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extremum {
    pub octave: usize,
    /// Layer nearest in blur, `1..=N_SCALES`.
    pub layer: usize,
    pub x: f32,
    pub y: f32,
    /// Blur at which it is found, in the octave's pixels.
    pub sigma: f32,
    /// Contrast, grey levels, above 0.
    pub response: f32,
}

/// Finds the extrema of all octaves, in a fixed order.
pub(super) fn extrema(octaves: &[Octave]) -> Vec<Extremum> {
    let mut found = Vec::new();
    for (octave, layers) in octaves.iter().enumerate() {
        for (layer, x, y) in raw_extrema(&layers.layers) {
            found.extend(placed(&layers.layers, octave, layer, x, y));
        }
    }
    found
}

on_wide_registers! {
    /// Pixels `(layer, x, y)` above or below all 26 neighbours.
    fn raw_extrema(layers: &[Plane]) -> Vec<(usize, usize, usize)> {
        let (width, height) = (layers[0].width, layers[0].height);
        let mut found = Vec::new();
        if width <= 2 * BORDER || height <= 2 * BORDER {
            return found;
        }
        // Three rows of every difference are kept, row y in place y % 3.
        let mut rows: Vec<[Vec<f32>; 3]> = vec![std::array::from_fn(|_| vec![0.0; width]); N_DIFFERENCES];
        for y in BORDER - 1..=height - BORDER {
            for (i, ring) in rows.iter_mut().enumerate() {
                let (low, high) = (layers[i].row(y), layers[i + 1].row(y));
                for ((d, l), h) in ring[y % 3].iter_mut().zip(low).zip(high) {
                    *d = h - l;
                }
            }
            if y > BORDER {
                for layer in 1..=N_SCALES {
                    scan_row(&rows[layer - 1..=layer + 1], layer, y - 1, &mut found);
                }
            }
        }
        found
    }
}

#[inline(always)]
fn scan_row(
    rows: &[[Vec<f32>; 3]],
    layer: usize,
    y: usize,
    found: &mut Vec<(usize, usize, usize)>,
) {
    const BLOCK: usize = 16;
    let threshold = 0.5 * MIN_CONTRAST;
    let centre = &rows[1][y % 3];
    let end = centre.len() - BORDER;
    for start in (BORDER..end).step_by(BLOCK) {
        let block = &centre[start..(start + BLOCK).min(end)];
        // Without a branch per pixel: most blocks hold nothing. As integers, which order like positive
        // floats do, because a maximum of floats is compiled pixel by pixel.
        let strongest = block.iter().fold(0, |m, v| v.abs().to_bits().max(m));
        if strongest <= threshold.to_bits() {
            continue;
        }
        for (i, &value) in block.iter().enumerate() {
            if value.abs() > threshold && is_extremum(rows, start + i, y, value) {
                found.push((layer, start + i, y));
            }
        }
    }
}

#[inline(always)]
fn is_extremum(rows: &[[Vec<f32>; 3]], x: usize, y: usize, value: f32) -> bool {
    let sign = value.signum();
    let value = value.abs();
    // The own difference first: it refuses most.
    [1, 0, 2].iter().all(|&d| {
        [y, y - 1, y + 1].iter().all(|&y| {
            let row = &rows[d][y % 3][x - 1..=x + 1];
            row.iter().all(|v| v * sign <= value)
        })
    })
}

/// Gradient and second derivatives of the differences at a pixel.
struct Derivatives {
    value: f32,
    gradient: [f32; 3],
    xx: f32,
    yy: f32,
    ss: f32,
    xy: f32,
    xs: f32,
    ys: f32,
}

impl Derivatives {
    fn at(layers: &[Plane], layer: usize, x: usize, y: usize) -> Self {
        let width = layers[0].width;
        let d = |dl: isize, dx: isize, dy: isize| {
            let l = (layer as isize + dl) as usize;
            let i = ((y as isize + dy) * width as isize + x as isize + dx) as usize;
            layers[l + 1].values[i] - layers[l].values[i]
        };
        let value = d(0, 0, 0);
        let slope = |a: f32, b: f32| 0.5 * (a - b);
        let bend = |a: f32, b: f32| a + b - 2.0 * value;
        let twist = |a: f32, b: f32, c: f32, e: f32| 0.25 * (a - b - c + e);
        Self {
            value,
            gradient: [
                slope(d(0, 1, 0), d(0, -1, 0)),
                slope(d(0, 0, 1), d(0, 0, -1)),
                slope(d(1, 0, 0), d(-1, 0, 0)),
            ],
            xx: bend(d(0, 1, 0), d(0, -1, 0)),
            yy: bend(d(0, 0, 1), d(0, 0, -1)),
            ss: bend(d(1, 0, 0), d(-1, 0, 0)),
            xy: twist(d(0, 1, 1), d(0, -1, 1), d(0, 1, -1), d(0, -1, -1)),
            xs: twist(d(1, 1, 0), d(1, -1, 0), d(-1, 1, 0), d(-1, -1, 0)),
            ys: twist(d(1, 0, 1), d(1, 0, -1), d(-1, 0, 1), d(-1, 0, -1)),
        }
    }

    /// Offset of the extremum of the fitted parabola; `None` where it has none.
    fn offset(&self) -> Option<[f32; 3]> {
        let m = [
            [self.xx, self.xy, self.xs],
            [self.xy, self.yy, self.ys],
            [self.xs, self.ys, self.ss],
        ];
        let minor = |a: usize, b: usize, c: usize, d: usize| m[a][c] * m[b][d] - m[a][d] * m[b][c];
        let det =
            m[0][0] * minor(1, 2, 1, 2) - m[0][1] * minor(1, 2, 0, 2) + m[0][2] * minor(1, 2, 0, 1);
        if det.abs() < 1e-12 {
            return None;
        }
        // The adjugate of a symmetric matrix.
        let adj = [
            [minor(1, 2, 1, 2), -minor(0, 2, 1, 2), minor(0, 1, 1, 2)],
            [-minor(1, 2, 0, 2), minor(0, 2, 0, 2), -minor(0, 1, 0, 2)],
            [minor(1, 2, 0, 1), -minor(0, 2, 0, 1), minor(0, 1, 0, 1)],
        ];
        let g = self.gradient;
        let solved = adj.map(|r| -(r[0] * g[0] + r[1] * g[1] + r[2] * g[2]) / det);
        solved.iter().all(|v| v.is_finite()).then_some(solved)
    }

    fn is_edge(&self) -> bool {
        let trace = self.xx + self.yy;
        let det = self.xx * self.yy - self.xy * self.xy;
        let r = MAX_CURVATURE_RATIO;
        det <= 0.0 || trace * trace * r >= (r + 1.0) * (r + 1.0) * det
    }
}

/// Moves an extremum to its place between pixels; `None` if it has too little contrast, lies on an
/// edge or runs away.
fn placed(layers: &[Plane], octave: usize, layer: usize, x: usize, y: usize) -> Option<Extremum> {
    let (width, height) = (layers[0].width, layers[0].height);
    let (mut layer, mut x, mut y) = (layer, x, y);
    for _ in 0..MAX_STEPS {
        let derivatives = Derivatives::at(layers, layer, x, y);
        let offset = derivatives.offset()?;
        if offset.iter().all(|o| o.abs() < 0.5) {
            let g = derivatives.gradient;
            let peak =
                derivatives.value + 0.5 * (g[0] * offset[0] + g[1] * offset[1] + g[2] * offset[2]);
            if peak.abs() < MIN_CONTRAST || derivatives.is_edge() {
                return None;
            }
            return Some(Extremum {
                octave,
                layer,
                x: x as f32 + offset[0],
                y: y as f32 + offset[1],
                sigma: BASE_SIGMA * 2f32.powf((layer as f32 + offset[2]) / N_SCALES as f32),
                response: peak.abs(),
            });
        }
        let moved = |at: usize, by: f32, low: usize, high: usize| {
            let to = at as f32 + by.clamp(-8.0, 8.0).round();
            (to >= low as f32 && to <= high as f32).then_some(to as usize)
        };
        x = moved(x, offset[0], BORDER, width - BORDER - 1)?;
        y = moved(y, offset[1], BORDER, height - BORDER - 1)?;
        layer = moved(layer, offset[2], 1, N_SCALES)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::scale_space::octaves;
    use super::*;

    #[test]
    fn a_blob_is_found_where_it_is_and_as_large_as_it_is() {
        let (cx, cy, s) = (60.4f32, 41.7f32, 4.5f32);
        let values = (0..120 * 90)
            .map(|i| {
                let (x, y) = ((i % 120) as f32 - cx, (i / 120) as f32 - cy);
                40.0 + 180.0 * (-(x * x + y * y) / (2.0 * s * s)).exp()
            })
            .collect();
        let picture = Plane {
            width: 120,
            height: 90,
            values,
        };
        let found = extrema(&octaves(&picture, 1.0));
        let best = found
            .iter()
            .max_by(|a, b| a.response.total_cmp(&b.response));
        let best = best.expect("the blob");
        let zoom = (1 << best.octave) as f32;
        assert!((best.x * zoom - cx).abs() < 0.3, "{best:?}");
        assert!((best.y * zoom - cy).abs() < 0.3, "{best:?}");
        // The difference of Gaussians answers most at the blob's own blur over the square root of the layer ratio.
        assert!((3.5..4.5).contains(&(best.sigma * zoom)), "{best:?}");
    }

    #[test]
    fn an_edge_and_an_even_picture_have_none() {
        for f in [
            |_: usize| 90.0f32,
            |x: usize| if x < 50 { 20.0 } else { 220.0 },
        ] {
            let picture = Plane {
                width: 100,
                height: 80,
                values: (0..8000).map(|i| f(i % 100)).collect(),
            };
            assert_eq!(extrema(&octaves(&picture, 1.0)), vec![]);
        }
    }
}
