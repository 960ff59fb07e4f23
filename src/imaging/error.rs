//! Why bytes are not a picture that can be used.

use thiserror::Error;

use super::PictureFormat;

/// Why a file was refused. Each message fits in a report's line and says what to do where it can.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImagingError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than are read.
    #[error("the file has {actual} bytes, at most {limit} are read")]
    TooManyBytes {
        /// Bytes given.
        actual: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The content is none of the formats that are read, whatever the file's name says.
    #[error("{found} is not read: send JPEG, PNG, WebP, GIF, TIFF, BMP or SVG")]
    UnknownFormat {
        /// What the content looks like: a name, or its first bytes.
        found: String,
    },
    /// The file ends before the picture does.
    #[error("the {format} file is cut off")]
    Truncated {
        /// Its format.
        format: PictureFormat,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// The content contradicts itself.
    #[error("the {format} file is damaged")]
    Damaged {
        /// Its format.
        format: PictureFormat,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// A rare variant of a known format that the decoder lacks.
    #[error("this variant of {format} is not read: save it as 8-bit RGB PNG or JPEG")]
    UnsupportedVariant {
        /// Its format.
        format: PictureFormat,
        /// What the decoder said.
        #[source]
        source: image::ImageError,
    },
    /// Width or height is 0.
    #[error("the picture is {width} × {height} pixels, both must be at least 1")]
    NoPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// One side is too long.
    #[error("the picture is {width} × {height} pixels, at most {limit} a side are read")]
    SideTooLong {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Longest side allowed.
        limit: u32,
    },
    /// Width times height is too much.
    #[error("the picture has {actual} pixels, at most {limit} are read")]
    TooManyPixels {
        /// Pixels announced.
        actual: u64,
        /// Pixels allowed.
        limit: u64,
    },
    /// Decoding would take too much memory.
    #[error("decoding the {format} file takes more than {limit} bytes of memory")]
    TooMuchMemory {
        /// Its format.
        format: PictureFormat,
        /// Bytes allowed.
        limit: u64,
    },
    /// The decoder failed in a way that it should not; the picture is to blame, the program goes on.
    #[error("the {format} decoder gave up on this file")]
    DecoderPanicked {
        /// Its format.
        format: PictureFormat,
    },
    /// The drawing cannot be rendered.
    #[error("the SVG file cannot be drawn")]
    Svg(#[from] SvgError),
}

/// Why an SVG was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SvgError {
    /// More bytes, after decompression, than are read.
    #[error("it has more than {limit} bytes when unpacked")]
    TooManyBytes {
        /// Bytes allowed.
        limit: usize,
    },
    /// The gzip stream of an `.svgz` is broken.
    #[error("it cannot be unpacked")]
    BadGzip(#[source] std::io::Error),
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotUtf8(#[source] std::str::Utf8Error),
    /// An entity holds markup or another entity, or is used too often.
    #[error("its XML entities are nested, hold markup or expand to more than {limit} bytes")]
    Entities {
        /// Bytes that all uses of entities may expand to.
        limit: usize,
    },
    /// More elements, attributes or style rules than are drawn.
    #[error("it has {actual} {what}, at most {limit} are drawn")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        actual: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// Drawing it would write too many pixels.
    #[error("drawing it takes more than {limit} pixel operations")]
    TooMuchWork {
        /// Pixel operations allowed.
        limit: u64,
    },
    /// It was not done in time.
    #[error("drawing it takes more than {limit_ms} ms")]
    TooSlow {
        /// Time allowed.
        limit_ms: u64,
    },
    /// XML or SVG that cannot be understood.
    #[error("it is not well-formed")]
    Malformed(#[source] resvg::usvg::Error),
    /// The renderer failed in a way that it should not, or no thread could be had.
    #[error("the renderer gave up on it")]
    RendererFailed,
}
