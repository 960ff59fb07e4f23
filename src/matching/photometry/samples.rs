//! Two pictures sampled on one grid, cell by cell.

use fast_image_resize as fir;
use image::RgbImage;

use crate::domain::Region;
use crate::matching::geometry::transform::{Point, Transform, apply, distance};

/// Longest side at which the two are compared, samples.
const MAX_SIDE: f64 = 160.0;
/// Shortest longest side that still shows anything, samples.
const MIN_SIDE: f64 = 24.0;
/// Side of a cell, samples.
const CELL: usize = 8;
/// Samples along the reference's edge that are left out: half a pixel off, they show what is beside it.
pub(super) const MARGIN: usize = 2;
/// Samples by which each cell may be moved.
const SLACK: isize = 1;

/// Samples on the reference's grid: red, green, blue, luminance.
pub(super) struct Samples {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<[f32; 4]>,
    /// Whether a sample lies within its picture, and not at the reference's edge.
    pub(super) inside: Vec<bool>,
}

fn with_luminance(rgb: [f32; 3]) -> [f32; 4] {
    let [r, g, b] = rgb;
    [r, g, b, 0.299 * r + 0.587 * g + 0.114 * b]
}

/// Where samples are taken: a grid on the reference, as fine as the photo shows it, 160 samples at most.
pub(super) struct Grid {
    /// Samples across and down.
    size: [usize; 2],
    /// The reference's width and height, pixels.
    reference: Point,
    /// Corners of the reference in the photo, pixels.
    quad: [Point; 4],
    /// Samples for a pixel of the photo, at most 1.
    reduction: f32,
}

impl Grid {
    /// `None` when the reference would be under 24 samples large.
    pub(super) fn new(reference: &RgbImage, transform: &Transform) -> Option<Self> {
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
        Some(Self {
            size: [width, height]
                .map(|v| ((v * side / longer).round() as usize).max(CELL + 2 * MARGIN)),
            reference: [width, height],
            quad,
            reduction: (side / longer / growth).min(1.0) as f32,
        })
    }

    /// Where a sample lies in the reference, pixels.
    fn place(&self, x: usize, y: usize) -> Point {
        [
            (x as f64 + 0.5) * self.reference[0] / self.size[0] as f64,
            (y as f64 + 0.5) * self.reference[1] / self.size[1] as f64,
        ]
    }

    /// The reference itself.
    pub(super) fn of_reference(&self, reference: &RgbImage) -> Samples {
        whole(reference, self.size)
    }

    /// The photo under the reference; `None` when hardly any of it lies within the photo.
    pub(super) fn of_photo(&self, photo: &RgbImage, transform: &Transform) -> Option<Samples> {
        let bounds = bounds(&self.quad, photo)?;
        // So that neighbouring samples of the grid are neighbouring pixels of the reduced photo.
        let reduced = Reduced::new(photo, bounds, self.reduction);
        let to_photo = |x, y| apply(transform, self.place(x, y));
        Some(sampled(photo, &reduced, self.size, to_photo))
    }

    /// Another reference that lies in the same place: `to_rival` leads from this reference to it,
    /// `growth` is how many pixels of the photo one of its pixels takes up.
    pub(super) fn of_rival(&self, rival: &RgbImage, to_rival: &Transform, growth: f32) -> Samples {
        let size = rival.dimensions();
        let all = Region::new(0.0, 0.0, size.0 as f32, size.1 as f32);
        let reduced = Reduced::new(rival, all, (growth * self.reduction).min(1.0));
        let to_rival = |x, y| apply(to_rival, self.place(x, y));
        sampled(rival, &reduced, self.size, to_rival)
    }

    /// Pixels of the photo that a pixel of the reference takes up, about.
    pub(super) fn growth(&self) -> f32 {
        let diagonal = distance(self.quad[0], self.quad[2]);
        (diagonal / self.reference[0].hypot(self.reference[1])) as f32
    }
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
pub(super) struct Moments {
    /// How many pairs were added.
    pub(super) n: f32,
    a: f32,
    b: f32,
    aa: f32,
    bb: f32,
    ab: f32,
}

impl Moments {
    pub(super) fn add(&mut self, a: f32, b: f32) {
        self.n += 1.0;
        self.a += a;
        self.b += b;
        self.aa += a * a;
        self.bb += b * b;
        self.ab += a * b;
    }

    pub(super) fn means(&self) -> [f32; 2] {
        [self.a, self.b].map(|v| v / self.n.max(1.0))
    }

    /// Variance of either, and covariance.
    pub(super) fn spread(&self) -> [f32; 3] {
        let [a, b] = self.means();
        let n = self.n.max(1.0);
        [
            (self.aa / n - a * a).max(0.0),
            (self.bb / n - b * b).max(0.0),
            self.ab / n - a * b,
        ]
    }
}

/// Corners of the cells that lie within the photo.
pub(super) fn cell_corners(photo: &Samples) -> Vec<[usize; 2]> {
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

pub(super) fn mean_colour(samples: &Samples, [x, y]: [usize; 2]) -> [f32; 3] {
    let mut sum = [0f32; 3];
    for row in 0..CELL {
        for value in &samples.values[(y + row) * samples.width + x..][..CELL] {
            (0..3).for_each(|i| sum[i] += value[i]);
        }
    }
    sum.map(|v| v / (CELL * CELL) as f32)
}

/// Light and dark of one cell in two pictures, the first moved by `shift` samples.
pub(super) fn cell_moments(
    moved: &Samples,
    fixed: &Samples,
    [x, y]: [usize; 2],
    [dx, dy]: [isize; 2],
) -> Moments {
    let mut moments = Moments::default();
    for i in 0..CELL * CELL {
        let (px, py) = (x + i % CELL, y + i / CELL);
        let qx = (px as isize + dx).clamp(0, moved.width as isize - 1) as usize;
        let qy = (py as isize + dy).clamp(0, moved.height as isize - 1) as usize;
        let a = moved.values[qy * moved.width + qx][3];
        let b = fixed.values[py * fixed.width + px][3];
        moments.add(a - 128.0, b - 128.0);
    }
    moments
}

/// Places are good to a sample or so: every way in which a cell may be moved.
pub(super) fn shifts() -> impl Iterator<Item = [isize; 2]> {
    (-SLACK..=SLACK).flat_map(|dy| (-SLACK..=SLACK).map(move |dx| [dx, dy]))
}
