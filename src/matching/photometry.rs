//! Whether the pixels agree once a reference lies on the photo: tells an edited copy of a picture from
//! another photograph of the same thing, from another colourway and from the same scene with another
//! mark on it.

use fast_image_resize as fir;
use image::RgbImage;

use super::geometry::transform::{Point, Transform, apply, distance};
use crate::domain::Region;

/// How far the aligned pixels agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Normalised cross-correlation of luminance, `-1..=1`.
    pub ncc: f32,
    /// Mean difference of colour, CIE76 ΔE over 100, `0..=1`, after the best gain and offset of each
    /// channel: a filter over the whole picture counts little, another colourway much.
    pub colour_difference: f32,
    /// Share of the cells of 8 × 8 samples that differ in structure or in colour beyond
    /// brightness and contrast, `0..=1`.
    pub residual_share: f32,
    /// Share of the reference that lies within the photo, `0..=1`.
    pub overlap: f32,
}

/// Longest side at which the two are compared, samples.
const MAX_SIDE: f64 = 160.0;
/// Shortest longest side that still shows anything, samples.
const MIN_SIDE: f64 = 24.0;
/// Side of a cell, samples.
const CELL: usize = 8;
/// Fewer shared cells say nothing.
const MIN_CELLS: usize = 6;
/// Grey levels squared that JPEG and scaling add to a cell's variance.
const NOISE: f32 = 30.0;
/// A cell with more variance has structure, grey levels squared.
const STRUCTURED: f32 = 80.0;
/// Structure agrees from this correlation on.
const MIN_CORRELATION: f32 = 0.6;
/// Means of a cell further apart than this in a channel are another colour, levels.
const MAX_MEAN_DIFFERENCE: f32 = 36.0;
/// Places are good to a sample or so; each cell may move by this.
const SLACK: isize = 1;
/// Bounds of gain per channel, as edits have.
const GAIN: [f32; 2] = [0.4, 2.5];
/// A gain and offset explain a cell whose mean they bring nearer than this, levels.
const NEAR_LEVEL: f32 = 14.0;
/// Cells whose pairs propose a gain and offset.
const N_LEVEL_SEEDS: usize = 20;
/// Samples along the reference's edge that are left out: half a pixel off, they show what is beside it.
const MARGIN: usize = 2;

/// Compares the pixels under `transform` (reference to photo, pixels). `None` when the reference would
/// be under 24 samples large or less than six cells of it lie within the photo.
pub fn agreement(
    reference: &RgbImage,
    photo: &RgbImage,
    transform: &Transform,
) -> Option<Agreement> {
    let (reference, photo) = aligned(reference, photo, transform)?;
    let corners = cell_corners(&photo);
    if corners.len() < MIN_CELLS {
        return None;
    }
    let colours: Vec<_> = corners
        .iter()
        .map(|&corner| (mean_colour(&reference, corner), mean_colour(&photo, corner)))
        .collect();
    let levels = Levels::fit(&colours);
    let (mut differing, mut colour) = (0, 0.0);
    for (&corner, &(before, actual)) in corners.iter().zip(&colours) {
        let expected = levels.apply(before);
        colour += distance_of_colours(expected, actual);
        let worst = std::iter::zip(expected, actual).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        let differs = worst > MAX_MEAN_DIFFERENCE || !structure_agrees(&reference, &photo, corner);
        differing += usize::from(differs);
    }
    let n = corners.len() as f32;
    let interior = (photo.width - 2 * MARGIN) * (photo.height - 2 * MARGIN);
    let inside = photo.inside.iter().filter(|i| **i).count();
    Some(Agreement {
        ncc: correlation(&reference, &photo),
        colour_difference: (colour / n / 100.0).min(1.0),
        residual_share: differing as f32 / n,
        overlap: inside as f32 / interior as f32,
    })
}

/// Samples on the reference's grid: red, green, blue, luminance.
struct Samples {
    width: usize,
    height: usize,
    values: Vec<[f32; 4]>,
    /// Whether a sample lies within its picture, and not at the reference's edge.
    inside: Vec<bool>,
}

fn with_luminance(rgb: [f32; 3]) -> [f32; 4] {
    let [r, g, b] = rgb;
    [r, g, b, 0.299 * r + 0.587 * g + 0.114 * b]
}

/// The reference at the size at which it appears in the photo (160 at most), and the photo under it.
fn aligned(
    reference: &RgbImage,
    photo: &RgbImage,
    transform: &Transform,
) -> Option<(Samples, Samples)> {
    let (width, height) = (f64::from(reference.width()), f64::from(reference.height()));
    let quad =
        [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]].map(|p| apply(transform, p));
    if !quad.as_flattened().iter().all(|v| v.is_finite()) {
        return None;
    }
    let horizontal = distance(quad[0], quad[1]).max(distance(quad[3], quad[2]));
    let vertical = distance(quad[1], quad[2]).max(distance(quad[0], quad[3]));
    let growth = (horizontal / width).max(vertical / height);
    let longer = width.max(height);
    let side = (longer * growth.min(1.0)).min(MAX_SIDE);
    if side.is_nan() || side < MIN_SIDE {
        return None;
    }
    let grid =
        [width, height].map(|v| ((v * side / longer).round() as usize).max(CELL + 2 * MARGIN));
    let bounds = bounds(&quad, photo)?;
    // So that neighbouring samples of the grid are neighbouring pixels of the reduced photo.
    let reduction = (side / longer / growth).min(1.0) as f32;
    let reduced = Reduced::new(photo, bounds, reduction);
    let to_photo = |x: usize, y: usize| {
        let at = [
            (x as f64 + 0.5) * width / grid[0] as f64,
            (y as f64 + 0.5) * height / grid[1] as f64,
        ];
        apply(transform, at)
    };
    Some((
        whole(reference, grid),
        sampled(photo, &reduced, grid, to_photo),
    ))
}

/// The box around the quadrilateral within the photo, a little more than it.
fn bounds(quad: &[Point; 4], photo: &RgbImage) -> Option<Region> {
    let range = |axis: usize, limit: u32| {
        let low = quad.iter().fold(f64::MAX, |m, p| m.min(p[axis])) - 2.0;
        let high = quad.iter().fold(f64::MIN, |m, p| m.max(p[axis])) + 2.0;
        let (low, high) = (low.floor().max(0.0), high.ceil().min(f64::from(limit)));
        (high - low >= 4.0).then_some((low as f32, (high - low) as f32))
    };
    let ((x, w), (y, h)) = (range(0, photo.width())?, range(1, photo.height())?);
    Some(Region::new(x, y, w, h))
}

fn whole(reference: &RgbImage, [width, height]: [usize; 2]) -> Samples {
    let size = reference.dimensions();
    let all = Region::new(0.0, 0.0, size.0 as f32, size.1 as f32);
    let small = resized(reference, all, width as u32, height as u32);
    let values = small
        .pixels()
        .map(|p| with_luminance(p.0.map(f32::from)))
        .collect();
    Samples {
        width,
        height,
        values,
        inside: vec![true; width * height],
    }
}

/// A part of a photo, reduced.
struct Reduced {
    picture: RgbImage,
    origin: Point,
    factor: [f64; 2],
}

impl Reduced {
    fn new(photo: &RgbImage, part: Region, factor: f32) -> Self {
        let side = |length: f32| ((length * factor).round() as u32).max(1);
        let (width, height) = (side(part.w), side(part.h));
        Self {
            picture: resized(photo, part, width, height),
            origin: [f64::from(part.x), f64::from(part.y)],
            factor: [
                f64::from(width) / f64::from(part.w),
                f64::from(height) / f64::from(part.h),
            ],
        }
    }

    /// Colour at a place of the photo, between pixels; beyond the edge that of the edge.
    fn at(&self, place: Point) -> [f32; 3] {
        let (width, height) = self.picture.dimensions();
        let at = |axis: usize, size: u32| {
            let v = (place[axis] - self.origin[axis]) * self.factor[axis] - 0.5;
            let v = v.clamp(0.0, f64::from(size - 1)) as f32;
            (v as u32, (v as u32 + 1).min(size - 1), v.fract())
        };
        let ((x, right, fx), (y, below, fy)) = (at(0, width), at(1, height));
        let pixel = |x, y| self.picture.get_pixel(x, y).0.map(f32::from);
        let (a, b) = (pixel(x, y), pixel(right, y));
        let (c, d) = (pixel(x, below), pixel(right, below));
        std::array::from_fn(|i| {
            let (upper, lower) = (a[i] + fx * (b[i] - a[i]), c[i] + fx * (d[i] - c[i]));
            upper + fy * (lower - upper)
        })
    }
}

fn sampled(
    photo: &RgbImage,
    reduced: &Reduced,
    [width, height]: [usize; 2],
    to_photo: impl Fn(usize, usize) -> Point,
) -> Samples {
    let (right, bottom) = (f64::from(photo.width()), f64::from(photo.height()));
    let (mut values, mut inside) = (Vec::new(), Vec::new());
    for y in 0..height {
        for x in 0..width {
            let place = to_photo(x, y);
            let interior =
                (MARGIN..width - MARGIN).contains(&x) && (MARGIN..height - MARGIN).contains(&y);
            let shown = (0.0..right).contains(&place[0]) && (0.0..bottom).contains(&place[1]);
            inside.push(interior && shown);
            values.push(with_luminance(reduced.at(place)));
        }
    }
    Samples {
        width,
        height,
        values,
        inside,
    }
}

fn resized(picture: &RgbImage, part: Region, width: u32, height: u32) -> RgbImage {
    let mut to = RgbImage::new(width, height);
    let algorithm = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
    let [x, y, w, h] = [part.x, part.y, part.w, part.h].map(f64::from);
    let options = fir::ResizeOptions::new()
        .resize_alg(algorithm)
        .crop(x, y, w, h);
    fir::Resizer::new()
        .resize(picture, &mut to, &options)
        .expect("two pictures of 3 x 8 bits, and a part within the first");
    to
}

/// Sums for means, variances and covariance of two series; about 128, where `f32` sums stay exact
/// enough.
#[derive(Default, Clone, Copy)]
struct Moments {
    n: f32,
    a: f32,
    b: f32,
    aa: f32,
    bb: f32,
    ab: f32,
}

impl Moments {
    fn add(&mut self, a: f32, b: f32) {
        self.n += 1.0;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    fn means(&self) -> [f32; 2] {
        [self.a, self.b].map(|v| v / self.n.max(1.0))
    }

    /// Variance of either, and covariance.
    fn spread(&self) -> [f32; 3] {
        let [a, b] = self.means();
        let n = self.n.max(1.0);
        [
            (self.aa / n - a * a).max(0.0),
            (self.bb / n - b * b).max(0.0),
            self.ab / n - a * b,
        ]
    }
}

fn correlation(reference: &Samples, photo: &Samples) -> f32 {
    let mut moments = Moments::default();
    for ((a, b), inside) in reference
        .values
        .iter()
        .zip(&photo.values)
        .zip(&photo.inside)
    {
        if *inside {
            moments.add(a[3] - 128.0, b[3] - 128.0);
        }
    }
    let [a, b, ab] = moments.spread();
    let size = (a * b).sqrt();
    // Two even pictures have no structure to agree on.
    if size > 1e-3 {
        (ab / size).clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// Gain and offset per channel that bring most cells of the reference near to the photo's; a label
/// over a quarter of the picture does not move them.
struct Levels([Level; 3]);

#[derive(Debug, Clone, Copy)]
struct Level {
    gain: f32,
    offset: f32,
}

impl Level {
    const SAME: Self = Self {
        gain: 1.0,
        offset: 0.0,
    };

    fn apply(self, value: f32) -> f32 {
        (self.gain * value + self.offset).clamp(0.0, 255.0)
    }

    fn explains(self, (from, to): (f32, f32)) -> bool {
        (self.apply(from) - to).abs() < NEAR_LEVEL
    }

    /// Through two cells; `None` when they are too alike or no edit does that.
    fn through(a: (f32, f32), b: (f32, f32)) -> Option<Self> {
        let gain = (b.1 - a.1) / (b.0 - a.0);
        let plausible = (b.0 - a.0).abs() > NEAR_LEVEL && (GAIN[0]..=GAIN[1]).contains(&gain);
        plausible.then_some(Self {
            gain,
            offset: a.1 - gain * a.0,
        })
    }

    /// The level that explains most cells, refined on those.
    fn fit(cells: &[(f32, f32)]) -> Self {
        let mut sorted = cells.to_vec();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let step = sorted.len().div_ceil(N_LEVEL_SEEDS).max(1);
        let seeds: Vec<_> = sorted.into_iter().step_by(step).collect();
        let pairs = (0..seeds.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
        let through = pairs.filter_map(|(j, i)| Self::through(seeds[j], seeds[i]));
        let count = |level: &Self| cells.iter().filter(|c| level.explains(**c)).count();
        let mut best = (count(&Self::SAME), Self::SAME);
        for level in through {
            let n = count(&level);
            if n > best.0 {
                best = (n, level);
            }
        }
        best.1.refined(cells)
    }

    fn refined(self, cells: &[(f32, f32)]) -> Self {
        let mut moments = Moments::default();
        for &(from, to) in cells.iter().filter(|c| self.explains(**c)) {
            moments.add(from - 128.0, to - 128.0);
        }
        let [from, to] = moments.means().map(|m| m + 128.0);
        let [a, _, ab] = moments.spread();
        let gain = if a > NOISE {
            (ab / a).clamp(GAIN[0], GAIN[1])
        } else {
            self.gain
        };
        if moments.n < 1.0 {
            return self;
        }
        Self {
            gain,
            offset: to - gain * from,
        }
    }
}

impl Levels {
    fn fit(colours: &[([f32; 3], [f32; 3])]) -> Self {
        Self(std::array::from_fn(|channel| {
            let cells: Vec<_> = colours
                .iter()
                .map(|(a, b)| (a[channel], b[channel]))
                .collect();
            Level::fit(&cells)
        }))
    }

    fn apply(&self, rgb: [f32; 3]) -> [f32; 3] {
        std::array::from_fn(|i| self.0[i].apply(rgb[i]))
    }
}

/// Corners of the cells that lie within the photo.
fn cell_corners(photo: &Samples) -> Vec<[usize; 2]> {
    let mut corners = Vec::new();
    for y in (MARGIN..=photo.height - CELL - MARGIN).step_by(CELL) {
        for x in (MARGIN..=photo.width - CELL - MARGIN).step_by(CELL) {
            let inside = |i: usize| photo.inside[(y + i / CELL) * photo.width + x + i % CELL];
            if (0..CELL * CELL).all(inside) {
                corners.push([x, y]);
            }
        }
    }
    corners
}

fn mean_colour(samples: &Samples, [x, y]: [usize; 2]) -> [f32; 3] {
    let mut sum = [0f32; 3];
    for row in 0..CELL {
        for value in &samples.values[(y + row) * samples.width + x..][..CELL] {
            (0..3).for_each(|i| sum[i] += value[i]);
        }
    }
    sum.map(|v| v / (CELL * CELL) as f32)
}

/// Whether light and dark lie alike in a cell, moved by a sample at most; even cells agree.
fn structure_agrees(reference: &Samples, photo: &Samples, [x, y]: [usize; 2]) -> bool {
    let shifts = -SLACK..=SLACK;
    shifts.clone().any(|dy| {
        shifts.clone().any(|dx| {
            let mut moments = Moments::default();
            for i in 0..CELL * CELL {
                let (px, py) = (x + i % CELL, y + i / CELL);
                let qx = (px as isize + dx).clamp(0, reference.width as isize - 1) as usize;
                let qy = (py as isize + dy).clamp(0, reference.height as isize - 1) as usize;
                let a = reference.values[qy * reference.width + qx][3];
                let b = photo.values[py * photo.width + px][3];
                moments.add(a - 128.0, b - 128.0);
            }
            let [a, b, ab] = moments.spread();
            a.max(b) < STRUCTURED || ab >= MIN_CORRELATION * ((a + NOISE) * (b + NOISE)).sqrt()
        })
    })
}

/// CIE76 ΔE of two sRGB colours, levels `0..=255` in.
fn distance_of_colours(a: [f32; 3], b: [f32; 3]) -> f32 {
    let (a, b) = (lab(a), lab(b));
    std::iter::zip(a, b)
        .map(|(a, b)| (a - b).powi(2))
        .sum::<f32>()
        .sqrt()
}

/// CIE L*a*b* of an sRGB colour under D65 (IEC 61966-2-1).
fn lab(rgb: [f32; 3]) -> [f32; 3] {
    let [r, g, b] = rgb.map(|v| {
        let v = v / 255.0;
        if v <= 0.040_45 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    });
    let xyz = [
        (0.412_4 * r + 0.357_6 * g + 0.180_5 * b) / 0.950_47,
        0.212_6 * r + 0.715_2 * g + 0.072_2 * b,
        (0.019_3 * r + 0.119_2 * g + 0.950_5 * b) / 1.088_83,
    ];
    let [x, y, z] = xyz.map(|t| {
        if t > 0.008_856 {
            t.cbrt()
        } else {
            7.787 * t + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;
    use crate::matching::geometry::transform::{inverse, similarity};

    /// A red and a blue figure on white, and small print.
    fn scene() -> RgbImage {
        RgbImage::from_fn(200, 160, |x, y| {
            let disc = (x as f32 - 60.0).hypot(y as f32 - 70.0) < 40.0;
            let block = (110..180).contains(&x) && (40..120).contains(&y);
            let print = y > 130 && (x / 4 + y / 5) % 3 == 0;
            match (disc, block, print) {
                (true, ..) => Rgb([200, 40, 30]),
                (_, true, _) if (x / 10 + y / 10) % 2 == 0 => Rgb([40, 60, 190]),
                (_, true, _) => Rgb([90, 120, 230]),
                (_, _, true) => Rgb([30, 30, 30]),
                _ => Rgb([245, 245, 240]),
            }
        })
    }

    fn place() -> Transform {
        similarity([0.0, 0.0], [60.0, 20.0], 1.1, 0.15)
    }

    fn pasted(picture: &RgbImage) -> RgbImage {
        let back = inverse(&place()).expect("regular");
        RgbImage::from_fn(360, 300, |x, y| {
            let [u, v] = apply(&back, [f64::from(x) + 0.5, f64::from(y) + 0.5]);
            imageops::interpolate_bilinear(picture, u as f32 - 0.5, v as f32 - 0.5)
                .unwrap_or(Rgb([(x % 200) as u8, (y % 210) as u8, 90]))
        })
    }

    fn shown(edit: impl Fn(u32, u32, [u8; 3]) -> [u8; 3]) -> Agreement {
        let mut picture = scene();
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = Rgb(edit(x, y, pixel.0));
        }
        agreement(&scene(), &pasted(&picture), &place()).expect("all of it is shown")
    }

    #[test]
    fn a_copy_agrees_and_a_brighter_one_still_does() {
        let copy = shown(|_, _, c| c);
        assert!(copy.ncc > 0.98 && copy.residual_share < 0.02, "{copy:?}");
        assert!(
            copy.colour_difference < 0.02 && copy.overlap > 0.99,
            "{copy:?}"
        );
        let faded = shown(|_, _, c| c.map(|v| (f32::from(v) * 0.7 + 40.0) as u8));
        assert!(faded.ncc > 0.98 && faded.residual_share < 0.02, "{faded:?}");
        assert!(faded.colour_difference < 0.02, "{faded:?}");
    }

    #[test]
    fn a_label_over_it_differs_where_it_lies() {
        let labelled = shown(|x, y, c| match (x < 100 && y < 80, x % 6) {
            (true, 0..3) => [20, 140, 60],
            (true, _) => [240, 220, 40],
            _ => c,
        });
        assert!(
            (0.2..0.4).contains(&labelled.residual_share),
            "{labelled:?}"
        );
    }

    #[test]
    fn another_colourway_keeps_its_structure_and_changes_colour() {
        let copy = shown(|_, _, c| c);
        let green = shown(|_, _, [r, g, b]| {
            if r > 150 && g < 90 {
                [30, 150, 60]
            } else {
                [r, g, b]
            }
        });
        assert!(green.ncc > 0.9, "{green:?}");
        assert!(
            green.colour_difference > copy.colour_difference + 0.08,
            "{green:?}"
        );
        assert!(green.residual_share > 0.1, "{green:?}");
    }

    #[test]
    fn something_else_does_not_agree() {
        let other = agreement(
            &scene(),
            &imageops::flip_vertical(&pasted(&scene())),
            &place(),
        );
        let other = other.expect("within the photo");
        assert!(other.ncc < 0.6 && other.residual_share > 0.4, "{other:?}");
    }

    #[test]
    fn nothing_is_said_of_what_cannot_be_seen() {
        let picture = scene();
        for transform in [
            similarity([0.0, 0.0], [9000.0, 0.0], 1.0, 0.0),
            similarity([0.0, 0.0], [50.0, 50.0], 0.05, 0.0),
            [[f64::NAN; 3]; 3],
            [[0.0; 3]; 3],
        ] {
            assert_eq!(agreement(&picture, &picture, &transform), None);
        }
    }

    #[test]
    fn lab_agrees_with_published_values() {
        for (rgb, expected) in [
            ([255.0, 255.0, 255.0], [100.0, 0.0, 0.0]),
            ([255.0, 0.0, 0.0], [53.24, 80.09, 67.20]),
            ([0.0, 0.0, 255.0], [32.30, 79.19, -107.86]),
        ] {
            for (a, e) in lab(rgb).iter().zip(expected) {
                assert!((a - e).abs() < 0.1, "{rgb:?}: {a} {e}");
            }
        }
    }
}
