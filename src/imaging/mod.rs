//! Bytes of a picture file → bounded, upright RGB pixels, and the simple geometry on them.
//!
//! [`decode()`] is for photos, [`decode_reference`] for registered pictures, which keep their
//! transparency. Nothing here knows of networks, brands or thresholds, and nothing here reads a
//! file or the network: an SVG that names other files is drawn without them.

mod decode;
mod error;
mod format;
mod geometry;
mod ground;
mod label;
mod raster;
mod reference;
mod svg;
mod svg_bounds;
mod tensor;

pub use decode::{DecodeLimits, Picture, decode, decode_reference};
pub use error::{ImagingError, SvgError};
pub use format::PictureFormat;
pub use geometry::{Filter, crop, letterbox, mirror, resize, resize_long_side, rotate90};
pub use ground::{
    content_region, edge_colour, even_edge_share, invert, is_uniform, on_dark_ground, trim,
};
pub use label::{Label, write_labels};
pub use reference::ReferencePicture;
pub use tensor::to_tensor;
