//! Small pictures for the page.

use fast_image_resize::Resizer;
use fast_image_resize::images::Image;
use fast_image_resize::{PixelType, images::ImageRef};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::ReportError;

/// Longer side of a picture on the page, in pixels: sharp enough to compare by eye, about 15 kB.
pub const THUMBNAIL_SIDE_PX: u32 = 320;

/// Below this the block edges of JPEG show in flat marks; above it files grow without a gain.
const QUALITY: u8 = 82;

/// A JPEG of `picture` (sRGB) whose longer side has at most `max_side` pixels; never enlarged.
///
/// # Errors
/// [`ReportError::Thumbnail`] for a picture without pixels.
pub fn thumbnail(picture: &RgbImage, max_side: u32) -> Result<Vec<u8>, ReportError> {
    let (width, height) = picture.dimensions();
    let failed = |source| ReportError::Thumbnail {
        width,
        height,
        source,
    };
    let scale = (f64::from(max_side) / f64::from(width.max(height))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let (w, h) = (side(width), side(height));
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    if scale < 1.0 {
        let small = resized(picture, w, h).map_err(|e| failed(unencodable(e)))?;
        encoder.write_image(small.buffer(), w, h, ExtendedColorType::Rgb8)
    } else {
        encoder.write_image(picture.as_raw(), width, height, ExtendedColorType::Rgb8)
    }
    .map_err(failed)?;
    Ok(jpeg)
}

fn resized(
    picture: &RgbImage,
    w: u32,
    h: u32,
) -> Result<Image<'static>, Box<dyn std::error::Error + Send + Sync>> {
    let (width, height) = picture.dimensions();
    let from = ImageRef::new(width, height, picture.as_raw(), PixelType::U8x3)?;
    let mut small = Image::new(w, h, PixelType::U8x3);
    Resizer::new().resize(&from, &mut small, None)?;
    Ok(small)
}

fn unencodable(cause: Box<dyn std::error::Error + Send + Sync>) -> image::ImageError {
    let format = image::error::ImageFormatHint::Exact(image::ImageFormat::Jpeg);
    image::ImageError::Encoding(image::error::EncodingError::new(format, cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(jpeg: &[u8]) -> (u32, u32) {
        let picture = image::load_from_memory(jpeg).expect("a JPEG");
        (picture.width(), picture.height())
    }

    #[test]
    fn the_longer_side_fits_and_nothing_grows() {
        for (from, to) in [
            ((640, 480), (320, 240)),
            ((30, 900), (11, 320)),
            ((5000, 3), (320, 1)),
            ((100, 50), (100, 50)),
        ] {
            let jpeg = thumbnail(&RgbImage::new(from.0, from.1), 320).expect("a thumbnail");
            assert_eq!(size_of(&jpeg), to, "from {from:?}");
        }
    }

    #[test]
    fn colours_survive() {
        let orange = image::Rgb([240, 120, 20]);
        let jpeg = thumbnail(&RgbImage::from_pixel(900, 600, orange), 320).expect("a thumbnail");
        let back = image::load_from_memory(&jpeg).expect("a JPEG").to_rgb8();
        for (a, b) in back.get_pixel(100, 100).0.iter().zip(orange.0) {
            assert!(a.abs_diff(b) < 6, "{a} for {b}");
        }
    }

    #[test]
    fn no_pixels_are_an_error() {
        assert!(thumbnail(&RgbImage::new(0, 0), 320).is_err());
    }
}
