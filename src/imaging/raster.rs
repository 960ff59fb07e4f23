//! Pixel formats, through the `image` crate under explicit limits.

use std::error::Error;
use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};

use super::decode::WHITE;
use super::geometry::{self, Filter};
use super::reference::compose;
use super::{DecodeLimits, ImagingError, PictureFormat};

/// Decodes, scales to at most [`DecodeLimits::max_side_px`] and turns upright.
///
/// Gives 8-bit RGB or RGBA, and the upright size before scaling.
pub(super) fn decode(
    bytes: &[u8],
    format: PictureFormat,
    limits: &DecodeLimits,
) -> Result<(DynamicImage, [u32; 2]), ImagingError> {
    guarded(format, || {
        let (image, orientation) = decode_stored(bytes, format, limits)?;
        let [width, height] = [image.width(), image.height()];
        // Scaling first: turning 12 million pixels takes as long as scaling them.
        let mut image = shrink(image, limits.max_side_px);
        image.apply_orientation(orientation);
        let original_size = if swaps_sides(orientation) {
            [height, width]
        } else {
            [width, height]
        };
        Ok((image, original_size))
    })
}

/// The pixels of a picture of 8 bits a channel, transparency composed on white.
pub(super) fn to_rgb(image: DynamicImage) -> RgbImage {
    match image {
        DynamicImage::ImageRgba8(pixels) => compose(&pixels, WHITE),
        other => other.into_rgb8(),
    }
}

/// Runs a decoder so that a fault in it is an error of this one picture.
fn guarded<T>(
    format: PictureFormat,
    decode: impl FnOnce() -> Result<T, ImagingError>,
) -> Result<T, ImagingError> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(ImagingError::DecoderPanicked { format }))
}

fn decode_stored(
    bytes: &[u8],
    format: PictureFormat,
    limits: &DecodeLimits,
) -> Result<(DynamicImage, Orientation), ImagingError> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    if let Some(raster) = format.raster() {
        reader.set_format(raster);
    }
    // Sides are checked below, where the message can carry both numbers.
    let mut decoder_limits = Limits::no_limits();
    decoder_limits.max_alloc = Some(limits.max_alloc_bytes);
    reader.limits(decoder_limits);
    let fail = |source| classify(source, bytes, format, limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    check_size(decoder.dimensions(), decoder.total_bytes(), format, limits)?;
    // An unreadable orientation is no reason to refuse the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    Ok((image, orientation))
}

fn check_size(
    (width, height): (u32, u32),
    total_bytes: u64,
    format: PictureFormat,
    limits: &DecodeLimits,
) -> Result<(), ImagingError> {
    if width == 0 || height == 0 {
        return Err(ImagingError::NoPixels { width, height });
    }
    if width.max(height) > limits.max_stored_side_px {
        return Err(ImagingError::SideTooLong {
            width,
            height,
            limit: limits.max_stored_side_px,
        });
    }
    let actual = u64::from(width) * u64::from(height);
    if actual > limits.max_stored_pixels {
        return Err(ImagingError::TooManyPixels {
            actual,
            limit: limits.max_stored_pixels,
        });
    }
    if total_bytes > limits.max_alloc_bytes {
        return Err(ImagingError::TooMuchMemory {
            format,
            limit: limits.max_alloc_bytes,
        });
    }
    Ok(())
}

fn classify(
    source: ImageError,
    bytes: &[u8],
    format: PictureFormat,
    limits: &DecodeLimits,
) -> ImagingError {
    match source {
        ImageError::Limits(_) => ImagingError::TooMuchMemory {
            format,
            limit: limits.max_alloc_bytes,
        },
        ImageError::Unsupported(_) => ImagingError::UnsupportedVariant { format, source },
        _ if is_cut_off(&source, bytes, format) => ImagingError::Truncated { format, source },
        _ => ImagingError::Damaged { format, source },
    }
}

/// Whether the decoder ran out of bytes. Those of JPEG, GIF and WebP do not say so in a way that code
/// can read, but a whole JPEG has an end marker, a GIF ends with one, a WebP begins with its length.
fn is_cut_off(error: &ImageError, bytes: &[u8], format: PictureFormat) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = match error {
        ImageError::IoError(io) => Some(io),
        other => other.source(),
    };
    while let Some(e) = cause {
        let io = e.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        cause = e.source();
    }
    match (format, bytes) {
        (PictureFormat::Jpeg, _) => !bytes.windows(2).any(|pair| pair == [0xff, 0xd9]),
        (PictureFormat::Gif, [.., last]) => *last != b';',
        (PictureFormat::WebP, [_, _, _, _, a, b, c, d, rest @ ..]) => {
            (rest.len() as u64) < u64::from(u32::from_le_bytes([*a, *b, *c, *d]))
        }
        _ => false,
    }
}

/// 8-bit RGB or RGBA, at most `max_side_px` a side.
fn shrink(image: DynamicImage, max_side_px: u32) -> DynamicImage {
    let (width, height) = geometry::fitted(
        image.width(),
        image.height(),
        image.width().max(image.height()).min(max_side_px),
    );
    if image.color().has_alpha() {
        let pixels = image.into_rgba8();
        DynamicImage::ImageRgba8(geometry::resize_rgba(
            &pixels,
            width,
            height,
            Filter::Bilinear,
        ))
    } else {
        let pixels = image.into_rgb8();
        if pixels.dimensions() == (width, height) {
            return DynamicImage::ImageRgb8(pixels);
        }
        DynamicImage::ImageRgb8(geometry::resize(&pixels, width, height, Filter::Bilinear))
    }
}

fn swaps_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_in_a_decoder_is_an_error() {
        let outcome: Result<(), _> = guarded(PictureFormat::Gif, || panic!("fault in a decoder"));
        assert!(matches!(
            outcome,
            Err(ImagingError::DecoderPanicked {
                format: PictureFormat::Gif
            })
        ));
    }
}
