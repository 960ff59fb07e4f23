//! What a file is, by its content; names and declared types are never asked.

use std::fmt;

use image::ImageFormat;

use super::ImagingError;

/// A format that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PictureFormat {
    /// JPEG, baseline and progressive; grey, YCbCr, CMYK.
    Jpeg,
    /// PNG, any depth; the first frame of an animation.
    Png,
    /// WebP, lossy and lossless; the first frame of an animation.
    WebP,
    /// GIF, first frame.
    Gif,
    /// TIFF, first page.
    Tiff,
    /// BMP.
    Bmp,
    /// SVG, plain or gzipped.
    Svg,
}

impl PictureFormat {
    /// The format of `bytes`, from their content.
    ///
    /// # Errors
    /// [`ImagingError::Empty`] for no bytes, [`ImagingError::UnknownFormat`] for anything else than
    /// the formats of this enum; well-known others (HEIC, AVIF, PDF …) are named in the message.
    pub fn of(bytes: &[u8]) -> Result<Self, ImagingError> {
        if bytes.is_empty() {
            return Err(ImagingError::Empty);
        }
        let guess = match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Some(Self::Jpeg),
            Ok(ImageFormat::Png) => Some(Self::Png),
            Ok(ImageFormat::WebP) => Some(Self::WebP),
            Ok(ImageFormat::Gif) => Some(Self::Gif),
            Ok(ImageFormat::Tiff) => Some(Self::Tiff),
            Ok(ImageFormat::Bmp) => Some(Self::Bmp),
            _ => is_svg(bytes).then_some(Self::Svg),
        };
        guess.ok_or_else(|| ImagingError::UnknownFormat {
            found: describe(bytes),
        })
    }

    /// The `image` crate's name for it; `None` for SVG, which that crate does not read.
    pub(super) fn raster(self) -> Option<ImageFormat> {
        match self {
            Self::Jpeg => Some(ImageFormat::Jpeg),
            Self::Png => Some(ImageFormat::Png),
            Self::WebP => Some(ImageFormat::WebP),
            Self::Gif => Some(ImageFormat::Gif),
            Self::Tiff => Some(ImageFormat::Tiff),
            Self::Bmp => Some(ImageFormat::Bmp),
            Self::Svg => None,
        }
    }
}

impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Tiff => "TIFF",
            Self::Bmp => "BMP",
            Self::Svg => "SVG",
        })
    }
}

/// First bytes of a gzip stream; among pictures only `.svgz` has them.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How far into a text the `<svg` tag is looked for: editors put long comments and DTDs before it.
const SVG_TAG_WITHIN: usize = 64 * 1024;

fn is_svg(bytes: &[u8]) -> bool {
    if bytes.starts_with(&GZIP_MAGIC) {
        return true;
    }
    let bytes = bytes
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(bytes)
        .trim_ascii_start();
    let head = &bytes[..bytes.len().min(SVG_TAG_WITHIN)];
    let is_html =
        starts_ignoring_case(head, b"<!doctype html") || starts_ignoring_case(head, b"<html");
    head.starts_with(b"<") && !is_html && head.windows(4).any(|w| w == b"<svg" || w == b":svg")
}

fn starts_ignoring_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes
        .get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// A name for what is not read, or its first bytes.
fn describe(bytes: &[u8]) -> String {
    let brand = bytes.get(4..12).unwrap_or_default();
    let known = match bytes {
        _ if brand.starts_with(b"ftyphei") || brand.starts_with(b"ftyphev") => "HEIC",
        _ if brand == b"ftypmif1" || brand == b"ftypmsf1" => "HEIF",
        _ if brand.starts_with(b"ftypavi") => "AVIF",
        _ if brand.starts_with(b"ftyp") => "video",
        [0xff, 0x0a, ..] | [0, 0, 0, 0x0c, b'J', b'X', b'L', b' ', ..] => "JPEG XL",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [b'8', b'B', b'P', b'S', ..] => "Photoshop PSD",
        [b'P', b'K', 3, 4, ..] => "ZIP",
        [0, 0, 1, 0, ..] => "icon (ICO)",
        _ if bytes.trim_ascii_start().starts_with(b"<") => "HTML or XML without an svg tag",
        _ => {
            let hex: Vec<String> = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect();
            return format!("a file beginning with bytes {}", hex.join(" "));
        }
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_it_does_not_read() {
        struct Case {
            bytes: &'static [u8],
            found: &'static str,
        }
        let cases = [
            Case {
                bytes: b"\0\0\0\x18ftypheic\0\0\0\0",
                found: "HEIC",
            },
            Case {
                bytes: b"\0\0\0\x18ftypavif\0\0\0\0",
                found: "AVIF",
            },
            Case {
                bytes: b"%PDF-1.7",
                found: "PDF",
            },
            Case {
                bytes: b"<!DOCTYPE html><html><svg></svg>",
                found: "HTML or XML without an svg tag",
            },
            Case {
                bytes: b"hello",
                found: "a file beginning with bytes 68 65 6c 6c 6f",
            },
        ];
        for case in cases {
            match PictureFormat::of(case.bytes) {
                Err(ImagingError::UnknownFormat { found }) => assert_eq!(found, case.found),
                other => panic!("{other:?} for {}", case.found),
            }
        }
        assert!(matches!(PictureFormat::of(b""), Err(ImagingError::Empty)));
    }

    #[test]
    fn finds_svg_behind_what_editors_put_first() {
        let head = "\u{feff}\n<?xml version=\"1.0\"?>\n<!-- Generator -->\n<!DOCTYPE svg>\n";
        for tag in [
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "<s:svg xmlns:s='http://www.w3.org/2000/svg'/>",
        ] {
            let text = format!("{head}{tag}");
            assert_eq!(
                PictureFormat::of(text.as_bytes()).expect("an SVG"),
                PictureFormat::Svg
            );
        }
    }
}
