//! Model cards: what a network wants to see and what it gives, as a TOML file beside the ONNX file.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::EmbedError;
use crate::domain::{FileDigest, ModelId};

/// A checked model card. Fields are those of the TOML file; `models/README.md` explains one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ModelCard {
    /// Short name, e.g. `lite0-windows`.
    pub name: String,
    /// Changed whenever the same picture would get another vector.
    pub version: String,
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
    /// Present for networks that also describe the cells of a picture one by one.
    #[serde(default)]
    pub cells: Option<CellsCard>,
    /// How a registered picture is laid out before it is described.
    #[serde(default)]
    pub reference: ReferenceCard,
}

/// Shape and numbers of the input tensor: `[n, 3, height, width]`, `f32`, RGB,
/// `(value - mean) / scale` with `value` in `0..=255`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct InputCard {
    /// Name of the input.
    pub name: String,
    /// Only `NCHW` is known.
    pub layout: String,
    /// Only `RGB` is known.
    pub channels: String,
    /// Width to which one picture is scaled, pixels.
    #[serde(default = "default_side")]
    pub width: u32,
    /// Height to which one picture is scaled, pixels; its shape is not kept.
    #[serde(default = "default_side")]
    pub height: u32,
    /// Subtracted, per channel.
    pub mean: [f32; 3],
    /// Divided by afterwards, per channel; not 0.
    pub scale: [f32; 3],
    /// Name of the input that takes boxes, for networks with `[windows]`: `[k, 4]`, `f32`,
    /// `x0 y0 x1 y1` in pixels of the input, all of picture 0.
    #[serde(default)]
    pub boxes: Option<String>,
}

fn default_side() -> u32 {
    224
}

/// The output tensors, `[n, dimension]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputCard {
    /// Name of the output: one vector for each box, or for each picture.
    pub name: String,
    /// Numbers in a vector.
    pub dimension: usize,
    /// Card of the network that describes whole pictures, beside this card, where it is another one.
    #[serde(default)]
    pub whole: Option<PathBuf>,
}

/// How windows are laid over a photo.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct WindowsCard {
    /// Pixels per cell of the network's map.
    pub cell: u32,
    /// Longer sides, in pixels, at which photos are shown to the network.
    pub sides: Vec<u32>,
    /// Sides of the square windows, in cells.
    pub cells: Vec<u32>,
    /// Cells from one window to the next.
    pub step: u32,
    /// Cells by which windows may reach beyond the photo.
    pub border: u32,
    /// Other sides for large photos, the smallest first.
    #[serde(default)]
    pub large: Vec<LargePhotos>,
}

impl WindowsCard {
    /// Longer sides at which a photo whose own longer side is `longer` is shown to the network, pixels.
    pub fn sides_for(&self, longer: u32) -> &[u32] {
        let large = self.large.iter().rfind(|large| longer >= large.from);
        large.map_or(&self.sides, |large| &large.sides)
    }
}

/// How large photos are seen instead: smaller ones would only be blown up by it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LargePhotos {
    /// Longer side from which a photo is large, pixels.
    pub from: u32,
    /// Longer sides, in pixels, at which it is shown to the network.
    pub sides: Vec<u32>,
}

/// The output of cells, `[n, rows, columns, dimension]`, `f32`, norm 1.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CellsCard {
    /// Name of the output.
    pub name: String,
    /// Pixels of the input per cell.
    pub side: u32,
    /// Numbers in a cell's vector.
    pub dimension: usize,
    /// Largest difference of any channel from the edge colour that is still ground.
    pub tolerance: u8,
    /// Share of a registered picture's cell that must not be ground for it to count.
    pub shown: f32,
}

/// How a registered picture is laid out: trimmed, then centred with its own shape on a square of its
/// edge colour.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct ReferenceCard {
    /// Side of the square, pixels.
    pub side: u32,
    /// Free room on each side, as a share of the longer side of what is left after trimming.
    pub margin: f32,
    /// Share of the outermost pixels that must be of one colour before anything is cut away, `0..=1`.
    pub uniform_edge: f32,
}

impl Default for ReferenceCard {
    fn default() -> Self {
        Self {
            side: 224,
            margin: 0.08,
            uniform_edge: 0.9,
        }
    }
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
        for side in [self.input.width, self.input.height, self.reference.side] {
            if !(16..=2048).contains(&side) {
                return Err(unsupported("side", side.to_string()));
            }
        }
        if self.input.scale.contains(&0.0) {
            return Err(unsupported(
                "input.scale",
                format!("{:?}", self.input.scale),
            ));
        }
        let dimension = self.output.dimension;
        if !(1..=65_536).contains(&dimension) {
            return Err(unsupported("output.dimension", dimension.to_string()));
        }
        if let Some(cells) = &self.cells
            && (cells.side == 0 || cells.dimension == 0)
        {
            return Err(unsupported("cells", "a zero".to_owned()));
        }
        if let Some(windows) = &self.windows {
            if self.input.boxes.is_none() {
                return Err(unsupported(
                    "input.boxes",
                    "nothing beside [windows]".to_owned(),
                ));
            }
            let larger = windows.large.iter().flat_map(|large| &large.sides);
            let mut sides = windows.sides.iter().chain(larger);
            if let Some(side) = sides.find(|side| !(32..=4096).contains(*side)) {
                return Err(unsupported("windows.sides", side.to_string()));
            }
            if !windows.large.is_sorted_by_key(|large| large.from) {
                return Err(unsupported(
                    "windows.large",
                    "a smaller one after a larger".to_owned(),
                ));
            }
            if windows.cell == 0 || windows.step == 0 || windows.cells.contains(&0) {
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
        let path = card_path.with_file_name(&self.file);
        let bytes = fs::read(&path).map_err(|cause| EmbedError::ModelUnreadable {
            path: path.clone(),
            cause,
        })?;
        let actual = FileDigest::of(&bytes).to_hex();
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
