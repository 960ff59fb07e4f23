//! The ground a mark stands on: finding it, cutting it away, exchanging it.

use image::{Rgb, RgbImage};

use super::geometry::crop;
use crate::domain::Region;

/// Largest difference in any channel, of 255, within one ground: above JPEG noise around an edge at
/// quality 75, below the faintest mark that a person would register.
const GROUND_TOLERANCE: u8 = 24;
/// A line belongs to the ground when at most this share of its pixels differs (specks, JPEG).
const MAX_STRAY_SHARE: f32 = 0.005;
/// Brightness, of 255, from which a ground is light.
const LIGHT_LUMA: f32 = 128.0;

/// The colour of the picture's edge: the median of each channel over its outermost pixels, the lower
/// of two middle values. White for a picture without pixels.
pub fn edge_colour(image: &RgbImage) -> Rgb<u8> {
    if image.width() == 0 || image.height() == 0 {
        return Rgb([255, 255, 255]);
    }
    let mut channels: [Vec<u8>; 3] = Default::default();
    for pixel in ring(image) {
        for (channel, value) in channels.iter_mut().zip(pixel.0) {
            channel.push(value);
        }
    }
    Rgb(channels.map(|mut values| {
        let middle = (values.len() - 1) / 2;
        *values.select_nth_unstable(middle).1
    }))
}

/// The outermost pixels.
fn ring(image: &RgbImage) -> impl Iterator<Item = &Rgb<u8>> {
    let (width, height) = image.dimensions();
    let rows = (0..width).flat_map(move |x| [(x, 0), (x, height - 1)]);
    let columns = (1..height.saturating_sub(1)).flat_map(move |y| [(0, y), (width - 1, y)]);
    rows.chain(columns).map(move |(x, y)| image.get_pixel(x, y))
}

/// Share of the outermost pixels that are of the [`edge_colour`], `0..=1`; 0 without pixels.
pub fn even_edge_share(image: &RgbImage) -> f32 {
    if image.width() == 0 || image.height() == 0 {
        return 0.0;
    }
    let ground = edge_colour(image);
    let n = ring(image).count();
    let n_near = ring(image).filter(|pixel| is_near(pixel, ground)).count();
    n_near as f32 / n as f32
}

fn is_near(pixel: &Rgb<u8>, ground: Rgb<u8>) -> bool {
    (0..3).all(|c| pixel[c].abs_diff(ground[c]) <= GROUND_TOLERANCE)
}

/// The part of the picture inside its border of one colour; the whole picture when it has no such
/// border or nothing within it. A border may be missing on any side.
pub fn content_region(image: &RgbImage) -> Region {
    let (width, height) = image.dimensions();
    let ground = edge_colour(image);
    let differs = |x: u32, y: u32| !is_near(image.get_pixel(x, y), ground);
    let is_content =
        |n_differing: usize, length: u32| n_differing as f32 > MAX_STRAY_SHARE * length as f32;
    let row_is_content =
        |y: &u32| is_content((0..width).filter(|&x| differs(x, *y)).count(), width);
    let whole = Region::new(0.0, 0.0, width as f32, height as f32);
    let (Some(top), Some(bottom)) = (
        (0..height).find(row_is_content),
        (0..height).rfind(row_is_content),
    ) else {
        return whole;
    };
    let column_is_content = |x: &u32| {
        is_content(
            (top..=bottom).filter(|&y| differs(*x, y)).count(),
            bottom + 1 - top,
        )
    };
    let (Some(left), Some(right)) = (
        (0..width).find(column_is_content),
        (0..width).rfind(column_is_content),
    ) else {
        return whole;
    };
    Region::new(
        left as f32,
        top as f32,
        (right + 1 - left) as f32,
        (bottom + 1 - top) as f32,
    )
}

/// The picture without its border of one colour: [`content_region`] cut out. A blank picture and one
/// without such a border come back as they are.
pub fn trim(image: &RgbImage) -> RgbImage {
    crop(image, content_region(image))
}

/// Whether the picture is blank: of one colour but for specks (0.5 % of its pixels) and noise.
pub fn is_uniform(image: &RgbImage) -> bool {
    let ground = edge_colour(image);
    let n_differing = image
        .pixels()
        .filter(|pixel| !is_near(pixel, ground))
        .count();
    let n_pixels = u64::from(image.width()) * u64::from(image.height());
    n_differing as f32 <= MAX_STRAY_SHARE * n_pixels as f32
}

/// The negative: every channel `v` becomes `255 - v`.
pub fn invert(image: &RgbImage) -> RgbImage {
    map_pixels(image, |pixel| pixel.map(|v| 255 - v))
}

/// The mark as its owner would print it on dark ground: lightness is turned round, hue and
/// saturation (of HSL) stay. White becomes black, black letters become white, pure red stays red,
/// navy becomes light blue. A picture whose [`edge_colour`] is dark already comes back as it is.
pub fn on_dark_ground(image: &RgbImage) -> RgbImage {
    let Rgb([r, g, b]) = edge_colour(image);
    // Rec. 601 weights.
    let luma = 0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    if luma < LIGHT_LUMA {
        return image.clone();
    }
    map_pixels(image, |[r, g, b]| {
        // HSL lightness is (max + min) / 2; adding 255 - max - min to each channel mirrors it at the
        // middle, keeps hue and chroma, and cannot leave 0..=255.
        let shift = 255 - i16::from(r.max(g).max(b)) - i16::from(r.min(g).min(b));
        [r, g, b].map(|v| (i16::from(v) + shift) as u8)
    })
}

fn map_pixels(image: &RgbImage, f: impl Fn([u8; 3]) -> [u8; 3]) -> RgbImage {
    let mut out = image.clone();
    for pixel in out.pixels_mut() {
        pixel.0 = f(pixel.0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A box of `colour` at (30, 20), 40 × 25 pixels, on a ground of 100 × 80 with noise of ±6.
    fn mark(ground: u8, colour: [u8; 3]) -> RgbImage {
        RgbImage::from_fn(100, 80, |x, y| {
            if (30..70).contains(&x) && (20..45).contains(&y) {
                Rgb(colour)
            } else {
                Rgb([ground.saturating_add(((x * 7 + y * 13) % 7) as u8); 3])
            }
        })
    }

    #[test]
    fn trimming_cuts_to_the_mark_whatever_the_ground() {
        for ground in [0, 120, 255] {
            let image = mark(ground, [200, 30, 30]);
            assert_eq!(content_region(&image), Region::new(30.0, 20.0, 40.0, 25.0));
            assert_eq!(trim(&image).dimensions(), (40, 25));
        }
    }

    #[test]
    fn trimming_leaves_blank_and_full_pictures_alone() {
        let blank = RgbImage::from_pixel(20, 10, Rgb([7, 7, 7]));
        assert_eq!(trim(&blank), blank);
        let full = RgbImage::from_fn(40, 30, |x, y| {
            Rgb([(x * 41 + y * 97) as u8, (x * 13) as u8, (y * 29) as u8])
        });
        assert_eq!(trim(&full), full);
    }

    #[test]
    fn bars_on_two_sides_are_trimmed() {
        let image = RgbImage::from_fn(60, 80, |x, y| {
            if (20..60).contains(&y) {
                Rgb([(x * 4) as u8, (y * 3) as u8, 90])
            } else {
                Rgb([0; 3])
            }
        });
        assert_eq!(content_region(&image), Region::new(0.0, 20.0, 60.0, 40.0));
    }

    #[test]
    fn specks_do_not_hold_the_border() {
        let mut image = RgbImage::from_pixel(400, 400, Rgb([255; 3]));
        image.put_pixel(3, 3, Rgb([0; 3]));
        assert!(is_uniform(&image));
        for (x, y) in (100..200).flat_map(|x| (150..300).map(move |y| (x, y))) {
            image.put_pixel(x, y, Rgb([0, 60, 0]));
        }
        assert!(!is_uniform(&image));
        assert_eq!(
            content_region(&image),
            Region::new(100.0, 150.0, 100.0, 150.0)
        );
    }

    #[test]
    fn dark_ground_keeps_hue() {
        let dark = |colour| *on_dark_ground(&mark(250, colour)).get_pixel(50, 30);
        assert_eq!(dark([0, 0, 0]), Rgb([255, 255, 255]));
        assert_eq!(dark([255, 0, 0]), Rgb([255, 0, 0]));
        assert_eq!(dark([0, 0, 100]), Rgb([155, 155, 255]));
        let on_black = mark(0, [255, 200, 0]);
        assert_eq!(on_dark_ground(&on_black), on_black);
    }

    proptest! {
        #[test]
        fn any_picture_keeps_within_bounds(width in 1u32..24, height in 1u32..24, seed in any::<u32>()) {
            let image = RgbImage::from_fn(width, height, |x, y| {
                let v = seed.wrapping_mul(x * 31 + y * 17 + 1);
                Rgb([v as u8, (v >> 8) as u8, (v >> 16) as u8])
            });
            let region = content_region(&image);
            prop_assert!(region.w >= 1.0 && region.x + region.w <= width as f32);
            prop_assert!(region.h >= 1.0 && region.y + region.h <= height as f32);
            prop_assert_eq!(invert(&invert(&image)), image.clone());
            prop_assert_eq!(on_dark_ground(&image).dimensions(), image.dimensions());
        }
    }
}
