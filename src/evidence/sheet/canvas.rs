//! Lines, dots and transparent pictures on a picture; smooth edges, clipped at its border.

use image::{Rgb, RgbImage};

use crate::imaging::{self, Filter};
use crate::matching::geometry::transform::{Point, Transform, apply, distance, inverse, product};

/// How a line or dot looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pen {
    /// sRGB.
    pub colour: [u8; 3],
    /// Pixels across.
    pub width: f64,
    /// `0..=1`.
    pub opacity: f64,
}

impl Pen {
    /// The same line, darker around: to be seen on any ground.
    fn halo(self) -> Self {
        Self {
            colour: [0, 0, 0],
            width: self.width + 3.0,
            opacity: 0.55 * self.opacity,
        }
    }
}

fn blend(pixel: &mut Rgb<u8>, colour: [f64; 3], opacity: f64) {
    for c in 0..3 {
        let value = f64::from(pixel[c]) * (1.0 - opacity) + colour[c] * opacity;
        pixel[c] = value.round().clamp(0.0, 255.0) as u8;
    }
}

/// A straight line with round ends. Places that are no numbers draw nothing.
pub(super) fn line(canvas: &mut RgbImage, a: Point, b: Point, pen: Pen) {
    if ![a, b].as_flattened().iter().all(|v| v.is_finite()) {
        return;
    }
    let reach = pen.width / 2.0 + 1.0;
    let colour = pen.colour.map(f64::from);
    let [dx, dy] = [b[0] - a[0], b[1] - a[1]];
    let length2 = dx * dx + dy * dy;
    let rows = range(
        a[1].min(b[1]) - reach,
        a[1].max(b[1]) + reach,
        canvas.height(),
    );
    for y in rows {
        let cy = f64::from(y) + 0.5;
        // The part of the line whose distance from this row is within reach.
        let ends = if dy.abs() < 1e-9 {
            [0.0, 1.0]
        } else {
            [cy - reach, cy + reach].map(|v| ((v - a[1]) / dy).clamp(0.0, 1.0))
        };
        let [x1, x2] = ends.map(|t| a[0] + t * dx);
        for x in range(x1.min(x2) - reach, x1.max(x2) + reach, canvas.width()) {
            let at = [f64::from(x) + 0.5, cy];
            let t = ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / length2.max(1e-12);
            let t = t.clamp(0.0, 1.0);
            let off = distance(at, [a[0] + t * dx, a[1] + t * dy]);
            let cover = (pen.width / 2.0 + 0.5 - off).clamp(0.0, 1.0);
            if cover > 0.0 {
                blend(canvas.get_pixel_mut(x, y), colour, cover * pen.opacity);
            }
        }
    }
}

/// Whole numbers from `low` to `high` that lie in `0..limit`.
fn range(low: f64, high: f64, limit: u32) -> std::ops::Range<u32> {
    let limit = f64::from(limit);
    (low.floor().clamp(0.0, limit) as u32)..(high.ceil().clamp(0.0, limit) as u32)
}

/// A closed outline with a dark halo.
pub(super) fn outline(canvas: &mut RgbImage, corners: &[Point], pen: Pen) {
    for pen in [pen.halo(), pen] {
        for (i, &corner) in corners.iter().enumerate() {
            line(canvas, corner, corners[(i + 1) % corners.len()], pen);
        }
    }
}

/// A round dot with a dark halo, `pen.width` across.
pub(super) fn dot(canvas: &mut RgbImage, at: Point, pen: Pen) {
    line(canvas, at, at, pen.halo());
    line(canvas, at, at, pen);
}

/// Lays `picture` on the canvas where `transform` (pixels of the picture to pixels of the canvas)
/// puts it, with `opacity`.
pub(super) fn lay_over(
    canvas: &mut RgbImage,
    picture: &RgbImage,
    transform: &Transform,
    opacity: f64,
) {
    let Some((picture, transform)) = reduced(picture, transform) else {
        return;
    };
    let Some(back) = inverse(&transform) else {
        return;
    };
    let [width, height] = [picture.width(), picture.height()].map(f64::from);
    let quad = corners(width, height).map(|p| apply(&transform, p));
    let bound = |axis: usize, pick: fn(f64, f64) -> f64, start: f64| {
        quad.iter().map(|p| p[axis]).fold(start, pick)
    };
    let [x1, y1] = [0, 1].map(|axis| bound(axis, f64::min, f64::MAX));
    let [x2, y2] = [0, 1].map(|axis| bound(axis, f64::max, f64::MIN));
    // What lies beyond the horizon of a slanted plane comes back with the other sign.
    let depth = |[x, y]: Point| back[2][0] * x + back[2][1] * y + back[2][2];
    let sign = depth(apply(&transform, [width / 2.0, height / 2.0])).signum();
    for y in range(y1, y2, canvas.height()) {
        for x in range(x1, x2, canvas.width()) {
            let at = [f64::from(x) + 0.5, f64::from(y) + 0.5];
            let from = apply(&back, at);
            let is_inside = (0.0..width).contains(&from[0]) && (0.0..height).contains(&from[1]);
            if is_inside && depth(at).signum() == sign {
                blend(canvas.get_pixel_mut(x, y), sample(&picture, from), opacity);
            }
        }
    }
}

/// The picture no larger than it will appear, so that no detail flickers, and the transform for it.
/// `None` when it would not appear at all.
fn reduced(picture: &RgbImage, transform: &Transform) -> Option<(RgbImage, Transform)> {
    let [width, height] = [picture.width(), picture.height()].map(f64::from);
    let quad = corners(width, height).map(|p| apply(transform, p));
    if !quad.as_flattened().iter().all(|v| v.is_finite()) {
        return None;
    }
    let across = distance(quad[0], quad[1]).max(distance(quad[3], quad[2]));
    let down = distance(quad[1], quad[2]).max(distance(quad[0], quad[3]));
    let side = |now: f64, shown: f64| (shown.min(now).ceil() as u32).max(1);
    let (w, h) = (side(width, across), side(height, down));
    let small = imaging::resize(picture, w, h, Filter::Bilinear);
    let grow = [
        [width / f64::from(w), 0.0, 0.0],
        [0.0, height / f64::from(h), 0.0],
        [0.0, 0.0, 1.0],
    ];
    Some((small, product(transform, &grow)))
}

fn corners(width: f64, height: f64) -> [Point; 4] {
    [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]]
}

/// The colour at a place between pixels.
fn sample(picture: &RgbImage, at: Point) -> [f64; 3] {
    let along = |v: f64, size: u32| {
        let v = (v - 0.5).clamp(0.0, f64::from(size - 1));
        let low = v as u32;
        (low, (low + 1).min(size - 1), v.fract())
    };
    let (x1, x2, fx) = along(at[0], picture.width());
    let (y1, y2, fy) = along(at[1], picture.height());
    let value = |x, y, c: usize| f64::from(picture.get_pixel(x, y)[c]);
    std::array::from_fn(|c| {
        let upper = value(x1, y1, c) * (1.0 - fx) + value(x2, y1, c) * fx;
        let lower = value(x1, y2, c) * (1.0 - fx) + value(x2, y2, c) * fx;
        upper * (1.0 - fy) + lower * fy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: Pen = Pen {
        colour: [255, 0, 0],
        width: 3.0,
        opacity: 1.0,
    };

    fn white() -> RgbImage {
        RgbImage::from_pixel(60, 40, Rgb([255; 3]))
    }

    #[test]
    fn a_line_covers_its_width_and_nothing_else() {
        for (a, b) in [
            ([10.0, 20.0], [50.0, 20.0]),
            ([30.0, 5.0], [30.0, 35.0]),
            ([10.0, 5.0], [50.0, 35.0]),
        ] {
            let mut canvas = white();
            line(&mut canvas, a, b, RED);
            let covered: f64 = canvas.pixels().map(|p| 1.0 - f64::from(p[1]) / 255.0).sum();
            // Round ends make a circle.
            let expected = 3.0 * distance(a, b) + std::f64::consts::PI * 1.5 * 1.5;
            assert!((covered - expected).abs() < 3.0, "{covered} for {expected}");
            let middle = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
            assert_eq!(
                canvas.get_pixel(middle[0] as u32, middle[1] as u32).0,
                [255, 0, 0]
            );
        }
    }

    #[test]
    fn far_away_and_impossible_places_do_no_harm() {
        let mut canvas = white();
        line(&mut canvas, [f64::NAN, 0.0], [5.0, 5.0], RED);
        line(&mut canvas, [-1e12, -50.0], [1e12, -50.0], RED);
        assert_eq!(canvas, white());
        line(&mut canvas, [-1e6, 20.0], [1e6, 20.0], RED);
        assert!(canvas.get_pixel(0, 20)[1] == 0 && canvas.get_pixel(59, 20)[1] == 0);
        dot(&mut canvas, [0.0, 0.0], RED);
    }

    #[test]
    fn a_picture_lies_where_the_transform_puts_it() {
        // Left half black, right half blue; twice as large, from (10, 6) on.
        let picture = RgbImage::from_fn(16, 12, |x, _| Rgb([0, 0, if x < 8 { 0 } else { 255 }]));
        let transform = [[2.0, 0.0, 10.0], [0.0, 2.0, 6.0], [0.0, 0.0, 1.0]];
        let mut canvas = white();
        lay_over(&mut canvas, &picture, &transform, 0.5);
        assert_eq!(canvas.get_pixel(12, 10).0, [128, 128, 128]);
        assert_eq!(canvas.get_pixel(38, 28).0, [128, 128, 255]);
        for outside in [(9, 10), (43, 10), (20, 5), (20, 31)] {
            assert_eq!(
                canvas.get_pixel(outside.0, outside.1).0,
                [255; 3],
                "{outside:?}"
            );
        }
    }

    #[test]
    fn a_shrunken_picture_keeps_its_mean() {
        let checks = RgbImage::from_fn(400, 400, |x, y| Rgb([255 * ((x + y) % 2) as u8; 3]));
        let transform = [[0.05, 0.0, 10.0], [0.0, 0.05, 10.0], [0.0, 0.0, 1.0]];
        let mut canvas = white();
        lay_over(&mut canvas, &checks, &transform, 1.0);
        let grey = canvas.get_pixel(20, 20)[0];
        assert!((120..136).contains(&grey), "{grey}");
    }

    #[test]
    fn a_transform_without_a_way_back_draws_nothing() {
        let mut canvas = white();
        lay_over(&mut canvas, &white(), &[[0.0; 3]; 3], 1.0);
        lay_over(&mut canvas, &white(), &[[1.0; 3]; 3], 1.0);
        assert_eq!(canvas, white());
    }
}
