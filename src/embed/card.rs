//! Model cards: what a network wants to see and what it gives, as a TOML file beside the ONNX file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::EmbedError;
use crate::domain::ModelId;

/// A checked model card. Fields are those of the TOML file; see `models/README.md` for an example.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelCard {
    /// Short name, e.g. `lite0-windows`.
    pub name: String,
    /// Raised whenever the same picture would get another vector.
    pub version: u32,
    /// ONNX file, relative to the card.
    pub file: PathBuf,
    /// SHA-256 of the ONNX file, lower-case hex.
    pub sha256: String,
    /// SPDX expression.
    pub licence: String,
    /// Where weights and export come from.
    pub source: String,
    /// What the network wants to see.
    pub input: InputCard,
    /// What it gives.
    pub output: OutputCard,
    /// Present for networks that describe many windows of a picture in one pass.
    #[serde(default)]
    pub windows: Option<WindowsCard>,
}

/// Shape and numbers of the input tensor: `[n, 3, height, width]`, `f32`, RGB,
/// `(value - mean) * scale` with `value` in `0..=255`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InputCard {
    /// Name of the input.
    pub name: String,
    /// Only `NCHW` is known.
    pub layout: String,
    /// Only `RGB` is known.
    pub channels: String,
    /// Side in pixels to which references (and crops) are scaled, square.
    pub side: u32,
    /// Subtracted, per channel.
    pub mean: [f32; 3],
    /// Multiplied afterwards, per channel.
    pub scale: [f32; 3],
    /// Free room around a trimmed reference, as a share of its longer side.
    pub reference_padding: f32,
}

/// The output tensor, `[n, dim]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputCard {
    /// Name of the output.
    pub name: String,
    /// Numbers in a vector.
    pub dim: usize,
}

/// How windows are laid over a photo.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WindowsCard {
    /// Name of the input that takes the boxes, `[k, 4]`, `f32`, `x0 y0 x1 y1` in pixels.
    pub boxes_input: String,
    /// Pixels per cell of the network's map.
    pub stride: u32,
    /// Longer sides, in pixels, at which the photo is shown to the network.
    pub photo_sides: Vec<u32>,
    /// Sides of the square windows, in cells.
    pub sizes: Vec<u32>,
    /// Cells from one window to the next.
    pub step: u32,
    /// Cells by which windows may reach beyond the photo.
    pub margin: u32,
}

impl ModelCard {
    /// Reads a card and checks what can be checked without the network.
    ///
    /// # Errors
    /// [`EmbedError::CardUnreadable`], [`EmbedError::CardMalformed`], [`EmbedError::CardUnsupported`].
    pub fn read(path: &Path) -> Result<Self, EmbedError> {
        let text = fs::read_to_string(path).map_err(|cause| EmbedError::CardUnreadable {
            path: path.to_owned(),
            cause,
        })?;
        let card: Self = toml::from_str(&text).map_err(|cause| EmbedError::CardMalformed {
            path: path.to_owned(),
            cause: Box::new(cause),
        })?;
        card.checked(path)
    }

    fn checked(self, path: &Path) -> Result<Self, EmbedError> {
        let unsupported = |field: &'static str, found: String| EmbedError::CardUnsupported {
            path: path.to_owned(),
            field,
            found,
        };
        if self.input.layout != "NCHW" {
            return Err(unsupported("input.layout", self.input.layout));
        }
        if self.input.channels != "RGB" {
            return Err(unsupported("input.channels", self.input.channels));
        }
        if !(16..=2048).contains(&self.input.side) {
            return Err(unsupported("input.side", self.input.side.to_string()));
        }
        if !(1..=65_536).contains(&self.output.dim) {
            return Err(unsupported("output.dim", self.output.dim.to_string()));
        }
        if let Some(windows) = &self.windows {
            let bad_side = windows.photo_sides.iter().find(|s| !(32..=4096).contains(*s));
            if let Some(side) = bad_side {
                return Err(unsupported("windows.photo_sides", side.to_string()));
            }
            if windows.stride == 0 || windows.step == 0 || windows.sizes.contains(&0) {
                return Err(unsupported("windows", "a zero".to_owned()));
            }
        }
        Ok(self)
    }

    /// Name and version, e.g. `lite0-windows@1`.
    pub fn model_id(&self) -> ModelId {
        ModelId(format!("{}@{}", self.name, self.version))
    }

    /// The bytes of the ONNX file beside the card at `card_path`, after checking their SHA-256.
    ///
    /// # Errors
    /// [`EmbedError::ModelUnreadable`], [`EmbedError::ModelChanged`].
    pub fn model_bytes(&self, card_path: &Path) -> Result<Vec<u8>, EmbedError> {
        let path = card_path.parent().unwrap_or(Path::new(".")).join(&self.file);
        let bytes = fs::read(&path).map_err(|cause| EmbedError::ModelUnreadable {
            path: path.clone(),
            cause,
        })?;
        let actual = hex(&Sha256::digest(&bytes));
        if actual != self.sha256 {
            return Err(EmbedError::ModelChanged {
                path,
                expected: self.sha256.clone(),
                actual,
            });
        }
        Ok(bytes)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
