//! The picture at growing blur: octaves of Gaussian layers (Lowe 2004, section 3).

use super::wide::on_wide_registers;

/// Scales per octave in which features are looked for.
pub(super) const N_SCALES: usize = 3;
/// Gaussian layers per octave.
pub(super) const N_LAYERS: usize = N_SCALES + 3;
/// Blur of an octave's first layer, in its own pixels.
pub(super) const BASE_SIGMA: f32 = 1.6;
/// Blur that a camera picture already has, pixels.
const CAMERA_SIGMA: f32 = 0.5;
/// Octaves end before a side gets shorter than this.
const MIN_SIDE: usize = 16;

/// One grey channel, `f32`, row by row.
#[derive(Debug, Clone)]
pub(super) struct Plane {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

impl Plane {
    pub fn row(&self, y: usize) -> &[f32] {
        &self.values[y * self.width..(y + 1) * self.width]
    }

    fn empty_like(&self) -> Self {
        Self {
            width: self.width,
            height: self.height,
            values: vec![0.0; self.values.len()],
        }
    }

    /// Every second pixel of every second row.
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let values = (0..height)
            .flat_map(|y| self.row(2 * y).iter().step_by(2).take(width).copied())
            .collect();
        Self {
            width,
            height,
            values,
        }
    }
}

/// Layers `0..N_LAYERS` of one size; layer `i` has blur `1.6 * 2^(i / 3)` in its own pixels.
#[derive(Debug)]
pub(super) struct Octave {
    pub layers: Vec<Plane>,
}

/// Builds all octaves; `enlarged` is the factor by which `picture` was enlarged before (at least 1),
/// and with it its own blur.
pub(super) fn octaves(picture: &Plane, enlarged: f32) -> Vec<Octave> {
    let own = CAMERA_SIGMA * enlarged.max(1.0);
    let missing = (BASE_SIGMA * BASE_SIGMA - own * own).max(0.01).sqrt();
    let mut first = blurred(picture, missing);
    let mut octaves = Vec::new();
    while first.width.min(first.height) >= MIN_SIDE {
        let mut layers = vec![first];
        for i in 1..N_LAYERS {
            let ratio = 2f32.powf(1.0 / N_SCALES as f32);
            let before = BASE_SIGMA * ratio.powi(i as i32 - 1);
            let step = before * (ratio * ratio - 1.0).sqrt();
            layers.push(blurred(&layers[i - 1], step));
        }
        first = layers[N_SCALES].halved();
        octaves.push(Octave { layers });
    }
    octaves
}

/// Centre and one side of a Gaussian kernel, cut at three standard deviations; the side has an even
/// number of entries, the last 0 if need be.
fn kernel(sigma: f32) -> Vec<f32> {
    let radius = (3.0 * sigma).round().max(1.0) as usize;
    let mut side: Vec<f32> = (0..=radius)
        .map(|i| (-0.5 * (i as f32 / sigma).powi(2)).exp())
        .collect();
    let sum = side[0] + 2.0 * side[1..].iter().sum::<f32>();
    side.iter_mut().for_each(|v| *v /= sum);
    side.resize(1 + radius.next_multiple_of(2), 0.0);
    side
}

fn blurred(from: &Plane, sigma: f32) -> Plane {
    let mut to = from.empty_like();
    blur(from, &kernel(sigma), &mut to);
    to
}

on_wide_registers! {
    /// Separable convolution with a symmetric kernel, edges mirrored; down the columns first, so that a
    /// row is still in the cache when it is blurred sideways.
    fn blur(from: &Plane, kernel: &[f32], to: &mut Plane) {
        let (width, height) = (from.width, from.height);
        let radius = kernel.len() - 1;
        let mut line = vec![0f32; width + 2 * radius];
        for y in 0..height {
            let row = |by: isize| from.row(mirrored(y as isize + by, height));
            weighted_sum(&mut line[radius..radius + width], kernel, row);
            for i in 0..radius {
                line[radius - 1 - i] = line[radius + mirrored(-1 - i as isize, width)];
                line[radius + width + i] =
                    line[radius + mirrored((width + i) as isize, width)];
            }
            let shifted = |by: isize| &line[(radius as isize + by) as usize..][..width];
            weighted_sum(&mut to.values[y * width..(y + 1) * width], kernel, shifted);
        }
    }
}

/// Row 0 times the centre of the kernel, and rows `i` and `-i` times its entry `i`, summed into `sum`.
#[inline(always)]
fn weighted_sum<'a>(sum: &mut [f32], kernel: &[f32], row: impl Fn(isize) -> &'a [f32]) {
    for (sum, a) in sum.iter_mut().zip(row(0)) {
        *sum = kernel[0] * a;
    }
    let both = |i: usize| [row(-(i as isize)), row(i as isize)];
    let (pairs, _) = kernel[1..].as_chunks::<2>();
    for (i, weights) in pairs.iter().enumerate() {
        add_weighted(sum, weights, &both(2 * i + 1), &both(2 * i + 2));
    }
}

on_wide_registers! {
    /// Adds four rows to a whole one. Small blocks of pixels that stay in registers for all entries of
    /// the kernel, or the same loop within the caller, were compiled pixel by pixel and took two to three
    /// times as long.
    fn add_weighted(sum: &mut [f32], weights: &[f32; 2], near: &[&[f32]; 2], far: &[&[f32]; 2]) {
        let n = sum.len();
        let [k, l] = *weights;
        let ([a, b], [c, d]) = (near.map(|row| &row[..n]), far.map(|row| &row[..n]));
        for x in 0..n {
            sum[x] = sum[x] + k * (a[x] + b[x]) + l * (c[x] + d[x]);
        }
    }
}

/// `i` reflected into `0..n`, the edge itself not repeated.
#[inline(always)]
fn mirrored(i: isize, n: usize) -> usize {
    let n = n as isize;
    if i >= 0 && i < n {
        return i as usize;
    }
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let i = i.rem_euclid(period);
    (if i < n { i } else { period - i }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(width: usize, height: usize, f: impl Fn(usize, usize) -> f32) -> Plane {
        let values = (0..width * height)
            .map(|i| f(i % width, i / width))
            .collect();
        Plane {
            width,
            height,
            values,
        }
    }

    #[test]
    fn a_point_spreads_into_the_kernel() {
        let point = plane(41, 23, |x, y| f32::from(u8::from(x == 20 && y == 11)));
        let k = kernel(1.5);
        let out = blurred(&point, 1.5);
        for (dx, dy) in [(0usize, 0usize), (3, 0), (0, 4), (2, 1)] {
            let expected = k[dx] * k[dy];
            let actual = out.row(11 + dy)[20 - dx];
            assert!(
                (actual - expected).abs() < 1e-6,
                "{dx} {dy}: {actual} {expected}"
            );
        }
        let sum: f32 = out.values.iter().sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }

    #[test]
    fn an_even_picture_stays_even_whatever_its_size() {
        for (w, h) in [(1, 1), (2, 5), (33, 3), (64, 40)] {
            let out = blurred(&plane(w, h, |_, _| 80.0), 2.0);
            assert!(
                out.values.iter().all(|v| (v - 80.0).abs() < 1e-3),
                "{w}x{h}"
            );
        }
    }

    #[test]
    fn octaves_halve_and_blur_grows() {
        let noise = plane(96, 64, |x, y| ((x * 7919 + y * 104_729) % 251) as f32);
        let octaves = octaves(&noise, 1.0);
        assert_eq!(octaves.len(), 3);
        assert_eq!(
            (octaves[1].layers[0].width, octaves[2].layers[0].height),
            (48, 16)
        );
        let spread = |p: &Plane| {
            let mean = p.values.iter().sum::<f32>() / p.values.len() as f32;
            p.values.iter().map(|v| (v - mean).powi(2)).sum::<f32>()
        };
        for pair in octaves[0].layers.windows(2) {
            assert!(spread(&pair[1]) < spread(&pair[0]));
        }
    }
}
