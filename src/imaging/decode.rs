//! The two ways in: photos, and registered pictures.

use image::{Rgb, RgbImage};

use super::reference::ReferencePicture;
use super::{ImagingError, PictureFormat, raster, svg};

/// White: what a transparent picture is shown on in a shop.
pub(super) const WHITE: Rgb<u8> = Rgb([255, 255, 255]);

/// What a file may cost, and how large its pixels are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of the file.
    pub max_bytes: usize,
    /// Pixels of the longest side as stored, checked before decoding.
    pub max_stored_side_px: u32,
    /// Pixels as stored, checked before decoding.
    pub max_stored_pixels: u64,
    /// Bytes of memory for the decoded pixels, and again for the decoder's own buffers. 8-bit RGB
    /// reaches the default at 89 million pixels, before `max_stored_pixels`.
    pub max_alloc_bytes: u64,
    /// Longest side of the prepared pixels; smaller pictures keep their size.
    pub max_side_px: u32,
    /// Longest side an SVG is rendered at.
    pub svg_side_px: u32,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_stored_side_px: 20_000,
            max_stored_pixels: 100_000_000,
            max_alloc_bytes: 256 << 20,
            max_side_px: 1280,
            svg_side_px: 512,
        }
    }
}

/// A photo, ready for everything that follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// `[height, width, 3]`, `u8`, sRGB, upright, transparency on white, at most
    /// [`DecodeLimits::max_side_px`] a side.
    pub pixels: RgbImage,
    /// Width and height, upright, before scaling: pixels, or user units of an SVG (at least 1).
    pub original_size: [u32; 2],
}

impl Picture {
    /// What coordinates in `pixels` are multiplied with to lie in the upright original; 1 or more
    /// for pixel formats.
    pub fn to_original_scale(&self) -> f32 {
        let [width, height] = self.original_size;
        let long = self.pixels.width().max(self.pixels.height());
        width.max(height) as f32 / long as f32
    }
}

/// Reads a photo: any of [`PictureFormat`], told by content, the first frame or page of several.
///
/// EXIF orientation (JPEG, PNG, WebP) and TIFF's own are applied; CMYK, grey, palette and 16-bit
/// pictures become 8-bit sRGB; colour profiles are not applied. A JPEG that is cut off within its
/// pixels is read as browsers show it, the rest grey: buyers see that picture too. Every other
/// format must be whole.
///
/// # Errors
/// Every [`ImagingError`]: nothing there, not a picture, cut off, damaged, or beyond `limits`.
/// Never panics, whatever the bytes.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Picture, ImagingError> {
    match checked_format(bytes, limits)? {
        PictureFormat::Svg => Ok(svg::render(bytes, limits)?.on_ground(WHITE)),
        format => {
            let (image, original_size) = raster::decode(bytes, format, limits)?;
            Ok(Picture {
                pixels: raster::to_rgb(image),
                original_size,
            })
        }
    }
}

/// Reads a registered picture as [`decode`] does, but keeps its transparency.
///
/// # Errors
/// As [`decode`].
pub fn decode_reference(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<ReferencePicture, ImagingError> {
    match checked_format(bytes, limits)? {
        PictureFormat::Svg => svg::render(bytes, limits),
        format => {
            let (image, original_size) = raster::decode(bytes, format, limits)?;
            Ok(ReferencePicture {
                pixels: image.into_rgba8(),
                original_size,
            })
        }
    }
}

fn checked_format(bytes: &[u8], limits: &DecodeLimits) -> Result<PictureFormat, ImagingError> {
    if bytes.len() > limits.max_bytes {
        return Err(ImagingError::TooManyBytes {
            actual: bytes.len(),
            limit: limits.max_bytes,
        });
    }
    PictureFormat::of(bytes)
}

#[cfg(test)]
mod tests;
