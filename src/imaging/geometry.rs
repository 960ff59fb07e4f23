//! Scaling, cutting and turning.

use std::cell::RefCell;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{Rgb, RgbImage, RgbaImage, imageops};

use crate::domain::Region;

/// The kernel of [`resize`]. `Bilinear` is what Pillow calls `BILINEAR` (a triangle as wide as the
/// scale, so nothing is skipped when shrinking): the rule by which networks were trained.
pub type Filter = fast_image_resize::FilterType;

thread_local! {
    // Keeps its buffers from one picture to the next.
    static RESIZER: RefCell<Resizer> = RefCell::new(Resizer::new());
}

/// `image` at `width` × `height` pixels; a side of 0 counts as 1. The aspect is not kept.
///
/// Agrees with Pillow's `Image.resize` to 1 in 255 (test `scales_as_pillow_does`).
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let pixels = resize_bytes(
        image.as_raw(),
        image.dimensions(),
        (width, height),
        PixelType::U8x3,
        filter,
    );
    RgbImage::from_raw(width, height, pixels).expect("three bytes a pixel")
}

/// As [`resize`]; colours are weighted with their opacity, so that what is invisible does not bleed.
pub(super) fn resize_rgba(image: &RgbaImage, width: u32, height: u32, filter: Filter) -> RgbaImage {
    let (width, height) = (width.max(1), height.max(1));
    let pixels = resize_bytes(
        image.as_raw(),
        image.dimensions(),
        (width, height),
        PixelType::U8x4,
        filter,
    );
    RgbaImage::from_raw(width, height, pixels).expect("four bytes a pixel")
}

fn resize_bytes(
    pixels: &[u8],
    (from_width, from_height): (u32, u32),
    (width, height): (u32, u32),
    pixel_type: PixelType,
    filter: Filter,
) -> Vec<u8> {
    let mut to = Image::new(width, height, pixel_type);
    // The same size and an empty source need no kernel.
    if (from_width, from_height) == (width, height) {
        return pixels.to_vec();
    }
    if from_width == 0 || from_height == 0 {
        return to.into_vec();
    }
    let from = ImageRef::new(from_width, from_height, pixels, pixel_type)
        .expect("an image buffer holds all of its pixels");
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter));
    RESIZER
        .with_borrow_mut(|resizer| resizer.resize(&from, &mut to, &options))
        .expect("both pictures have the same pixel type");
    to.into_vec()
}

/// `image` scaled, up or down, so that its longest side has `side_px` pixels.
pub fn resize_long_side(image: &RgbImage, side_px: u32, filter: Filter) -> RgbImage {
    let (width, height) = fitted(image.width(), image.height(), side_px);
    resize(image, width, height, filter)
}

/// Width and height, each at least 1, of the same shape with `side_px` on the longest side.
pub(super) fn fitted(width: u32, height: u32, side_px: u32) -> (u32, u32) {
    let long = u64::from(width.max(height).max(1));
    let scaled = |side: u32| {
        let rounded = (2 * u64::from(side) * u64::from(side_px) + long) / (2 * long);
        u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
    };
    (scaled(width), scaled(height))
}

/// The part of `image` in `region`, to the nearest pixel, clipped to the picture, at least one pixel;
/// nothing of a picture without pixels.
pub fn crop(image: &RgbImage, region: Region) -> RgbImage {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return RgbImage::default();
    }
    let region = region.clipped(width as f32, height as f32);
    let x = (region.x.round() as u32).min(width - 1);
    let y = (region.y.round() as u32).min(height - 1);
    let right = ((region.x + region.w).round() as u32).clamp(x + 1, width);
    let bottom = ((region.y + region.h).round() as u32).clamp(y + 1, height);
    // Row by row: `imageops::crop_imm` copies pixel by pixel.
    let row_bytes = 3 * (right - x) as usize;
    let mut pixels = Vec::with_capacity(row_bytes * (bottom - y) as usize);
    for row in y..bottom {
        let start = 3 * (row as usize * width as usize + x as usize);
        pixels.extend_from_slice(&image.as_raw()[start..start + row_bytes]);
    }
    RgbImage::from_raw(right - x, bottom - y, pixels).expect("three bytes a pixel")
}

/// `image` centred in a square of `side_px` pixels, its shape kept, the rest in `ground`; `margin` of
/// its own longer side (0 or more) stays free on each side.
pub fn letterbox(image: &RgbImage, side_px: u32, margin: f32, ground: Rgb<u8>) -> RgbImage {
    let side = side_px.max(1);
    let inner = (side as f32 / (1.0 + 2.0 * margin.max(0.0))).round() as u32;
    let scaled = resize_long_side(image, inner.max(1), Filter::Bilinear);
    let mut square = RgbImage::from_pixel(side, side, ground);
    let x = i64::from((side - scaled.width()) / 2);
    let y = i64::from((side - scaled.height()) / 2);
    imageops::replace(&mut square, &scaled, x, y);
    square
}

/// Left and right swapped.
pub fn mirror(image: &RgbImage) -> RgbImage {
    imageops::flip_horizontal(image)
}

/// A quarter turn clockwise.
pub fn rotate90(image: &RgbImage) -> RgbImage {
    imageops::rotate90(image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            Rgb([
                (x * 37 + y * 11) as u8,
                (x * x + 3 * y) as u8,
                (x * y) as u8,
            ])
        })
    }

    /// Pillow 13.0.0: `Image.fromarray(gradient(13, 9)).resize((5, 4), Image.BILINEAR)`.
    const PILLOW_5X4: [u8; 60] = [
        48, 4, 1, 133, 14, 3, 151, 39, 5, 73, 78, 7, 158, 122, 9, 70, 11, 3, 155, 21, 10, 150, 46,
        17, 95, 85, 25, 180, 129, 31, 96, 17, 5, 178, 27, 17, 101, 52, 31, 121, 91, 44, 200, 135,
        57, 118, 24, 8, 172, 34, 24, 78, 59, 43, 143, 98, 62, 166, 142, 79,
    ];

    #[test]
    fn scales_as_pillow_does() {
        let ours = resize(&gradient(13, 9), 5, 4, Filter::Bilinear);
        let worst = ours
            .as_raw()
            .iter()
            .zip(PILLOW_5X4)
            .map(|(a, b)| a.abs_diff(b))
            .max();
        assert!(worst <= Some(1), "off by {worst:?}: {:?}", ours.as_raw());
    }

    #[test]
    fn shapes_are_kept_to_the_nearest_pixel() {
        assert_eq!(fitted(4000, 3000, 1280), (1280, 960));
        assert_eq!(fitted(3, 100_000, 512), (1, 512));
        assert_eq!(
            resize_long_side(&gradient(10, 4), 20, Filter::Bilinear).dimensions(),
            (20, 8)
        );
    }

    #[test]
    fn crops_are_clipped_and_never_empty() {
        let image = gradient(10, 8);
        let part = crop(&image, Region::new(2.4, 1.6, 3.0, 2.0));
        assert_eq!(part.dimensions(), (3, 2));
        assert_eq!(part.get_pixel(0, 0), image.get_pixel(2, 2));
        for region in [
            Region::new(-5.0, -5.0, 1.0, 1.0),
            Region::new(50.0, 50.0, 10.0, 10.0),
            Region::new(9.6, 7.6, 0.1, 0.1),
        ] {
            let part = crop(&image, region);
            assert!(part.width() >= 1 && part.height() >= 1);
        }
        assert_eq!(crop(&image, Region::new(-1.0, -1.0, 99.0, 99.0)), image);
    }

    #[test]
    fn letterbox_centres_on_the_edge_colour() {
        let mut image = RgbImage::from_pixel(40, 20, Rgb([9, 8, 7]));
        for x in 10..30 {
            for y in 5..15 {
                image.put_pixel(x, y, Rgb([250, 0, 0]));
            }
        }
        let square = letterbox(&image, 100, 0.1, Rgb([9, 8, 7]));
        assert_eq!(square.dimensions(), (100, 100));
        assert_eq!(square.get_pixel(50, 3), &Rgb([9, 8, 7]));
        assert_eq!(square.get_pixel(50, 50), &Rgb([250, 0, 0]));
        assert_eq!(square, imageops::flip_vertical(&square));
    }

    #[test]
    fn turning_four_times_and_mirroring_twice_change_nothing() {
        let image = gradient(7, 5);
        let turned = rotate90(&image);
        assert_eq!(turned.get_pixel(4, 0), image.get_pixel(0, 0));
        assert_eq!(rotate90(&rotate90(&rotate90(&turned))), image);
        assert_eq!(mirror(&image).get_pixel(6, 0), image.get_pixel(0, 0));
        assert_eq!(mirror(&mirror(&image)), image);
    }
}
