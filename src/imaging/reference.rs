//! Registered pictures, which keep their transparency.

use image::{Rgb, RgbImage, RgbaImage};

use super::Picture;
use super::decode::WHITE;

/// Ground for marks that vanish on white.
const BLACK: Rgb<u8> = Rgb([0, 0, 0]);
/// Opacity from which a pixel belongs to the mark.
const OPAQUE: u8 = 128;
/// Darkest channel of a colour that cannot be told from white any more: an eighth of the range off.
const NEAR_WHITE: u8 = 224;

/// A registered picture before it is put on a ground.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferencePicture {
    /// `[height, width, 4]`, `u8`, sRGB with straight alpha, upright, at most
    /// [`max_side_px`](super::DecodeLimits::max_side_px) a side.
    pub pixels: RgbaImage,
    /// As [`Picture::original_size`].
    pub original_size: [u32; 2],
}

impl ReferencePicture {
    /// The picture on a ground of one colour.
    pub fn on_ground(&self, ground: Rgb<u8>) -> Picture {
        Picture {
            pixels: compose(&self.pixels, ground),
            original_size: self.original_size,
        }
    }

    /// The picture on the ground that shows it: [`natural_ground`](Self::natural_ground).
    pub fn on_natural_ground(&self) -> Picture {
        self.on_ground(self.natural_ground())
    }

    /// Whether any pixel is more transparent than opaque.
    pub fn is_transparent(&self) -> bool {
        self.pixels.pixels().any(|p| p[3] < OPAQUE)
    }

    /// White, or black for a mark that was drawn for dark grounds.
    ///
    /// Rule: where the mark borders on transparency, is more than half of that outline too near to
    /// white to be seen on it? A white page with a black outline stays on white, white letters go on
    /// black, and opaque pictures are indifferent.
    pub fn natural_ground(&self) -> Rgb<u8> {
        let (width, height) = self.pixels.dimensions();
        let opaque_at = |x: u32, y: u32| self.pixels.get_pixel(x, y)[3] >= OPAQUE;
        let (mut outline, mut near_white) = (0u64, 0u64);
        for (x, y, pixel) in self.pixels.enumerate_pixels() {
            let borders_on_transparency = pixel[3] >= OPAQUE
                && ((x > 0 && !opaque_at(x - 1, y))
                    || (x + 1 < width && !opaque_at(x + 1, y))
                    || (y > 0 && !opaque_at(x, y - 1))
                    || (y + 1 < height && !opaque_at(x, y + 1)));
            if borders_on_transparency {
                outline += 1;
                near_white += u64::from(pixel[0].min(pixel[1]).min(pixel[2]) >= NEAR_WHITE);
            }
        }
        if near_white * 2 > outline {
            BLACK
        } else {
            WHITE
        }
    }
}

/// `pixels` over a ground of one colour.
pub(super) fn compose(pixels: &RgbaImage, ground: Rgb<u8>) -> RgbImage {
    let mut out = RgbImage::new(pixels.width(), pixels.height());
    for (to, from) in out.pixels_mut().zip(pixels.pixels()) {
        let alpha = u32::from(from[3]);
        for c in 0..3 {
            let sum = u32::from(from[c]) * alpha + u32::from(ground[c]) * (255 - alpha);
            to[c] = ((sum + 127) / 255) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    /// A disc on transparent ground: `rim` outside, `core` inside.
    fn disc(rim: [u8; 3], core: [u8; 3]) -> ReferencePicture {
        let pixels = RgbaImage::from_fn(64, 64, |x, y| {
            let r2 = (x as i32 - 32).pow(2) + (y as i32 - 32).pow(2);
            let colour = if r2 < 20 * 20 { core } else { rim };
            let alpha = if r2 < 28 * 28 { 255 } else { 0 };
            Rgba([colour[0], colour[1], colour[2], alpha])
        });
        ReferencePicture {
            pixels,
            original_size: [64, 64],
        }
    }

    #[test]
    fn ground_is_chosen_by_the_outline() {
        assert_eq!(disc([255; 3], [255; 3]).natural_ground(), BLACK);
        assert_eq!(disc([255; 3], [200, 0, 0]).natural_ground(), BLACK);
        assert_eq!(disc([0, 0, 160], [255; 3]).natural_ground(), WHITE);
        assert_eq!(disc([0; 3], [0; 3]).natural_ground(), WHITE);
    }

    #[test]
    fn a_white_mark_is_not_blank_on_its_natural_ground() {
        let mark = disc([255; 3], [255; 3]);
        assert!(mark.is_transparent());
        assert!(super::super::is_uniform(&mark.on_ground(WHITE).pixels));
        assert!(!super::super::is_uniform(&mark.on_natural_ground().pixels));
    }

    #[test]
    fn composing_is_exact_at_the_ends_and_rounds_between() {
        let pixels = RgbaImage::from_fn(3, 1, |x, _| Rgba([10, 20, 30, [0, 255, 128][x as usize]]));
        let out = compose(&pixels, Rgb([200, 100, 0]));
        assert_eq!(out.get_pixel(0, 0), &Rgb([200, 100, 0]));
        assert_eq!(out.get_pixel(1, 0), &Rgb([10, 20, 30]));
        assert_eq!(out.get_pixel(2, 0), &Rgb([105, 60, 15]));
    }
}
