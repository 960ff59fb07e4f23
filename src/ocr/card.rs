//! The card beside the networks: which files, and how a picture is put to them.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::OcrError;
use crate::domain::FileDigest;

/// Name of the card in the model folder.
const CARD: &str = "card.toml";

/// What `card.toml` says; unknown keys (licence, source) are for people.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Card {
    pub detector: DetectorCard,
    pub recogniser: RecogniserCard,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct DetectorCard {
    file: PathBuf,
    sha256: String,
    /// Both sides of the input are multiples of this many pixels.
    pub multiple: u32,
    /// Blue, green, red, of values divided by 255.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    /// A pixel is text above this probability.
    pub threshold: f32,
    /// A box is kept when its pixels have at least this probability on average.
    pub box_threshold: f32,
    /// Boxes grow on each side by area × this / perimeter.
    pub unclip_ratio: f32,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct RecogniserCard {
    file: PathBuf,
    sha256: String,
    /// Height of a line, pixels.
    pub height: u32,
    pub mean: [f32; 3],
    pub std: [f32; 3],
    characters: PathBuf,
    characters_sha256: String,
}

/// The card with the files that it names, checked against their hashes.
pub(super) struct Model {
    pub card: Card,
    pub detector: Vec<u8>,
    pub recogniser: Vec<u8>,
    /// One per class from class 1 on.
    pub characters: Vec<String>,
}

/// Reads the card in `folder` and the files it names.
///
/// # Errors
/// [`OcrError::Read`], [`OcrError::BadCard`], [`OcrError::Damaged`].
pub(super) fn load(folder: &Path) -> Result<Model, OcrError> {
    let path = folder.join(CARD);
    let text = String::from_utf8_lossy(&read(&path)?).into_owned();
    let card: Card = toml::from_str(&text).map_err(|source| OcrError::BadCard {
        path,
        source: Box::new(source),
    })?;
    let (detector, recogniser) = (&card.detector, &card.recogniser);
    let characters = read_checked(
        &folder.join(&recogniser.characters),
        &recogniser.characters_sha256,
    )?;
    Ok(Model {
        detector: read_checked(&folder.join(&detector.file), &detector.sha256)?,
        recogniser: read_checked(&folder.join(&recogniser.file), &recogniser.sha256)?,
        characters: String::from_utf8_lossy(&characters)
            .lines()
            .map(str::to_owned)
            .collect(),
        card,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, OcrError> {
    fs::read(path).map_err(|source| OcrError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read_checked(path: &Path, expected: &str) -> Result<Vec<u8>, OcrError> {
    let bytes = read(path)?;
    let actual = FileDigest::of(&bytes).to_hex();
    if actual == expected {
        return Ok(bytes);
    }
    Err(OcrError::Damaged {
        path: path.to_owned(),
        expected: expected.to_owned(),
        actual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/ocr");

    #[test]
    fn the_shipped_files_match_their_card() {
        let model = load(Path::new(SHIPPED)).unwrap();
        assert_eq!(model.characters.len(), 18708);
        assert_eq!(model.characters[0], "!");
        assert_eq!(model.card.detector.multiple, 32);
        assert_eq!(model.card.recogniser.height, 48);
    }

    #[test]
    fn a_changed_file_is_refused_with_both_hashes() {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(SHIPPED).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        fs::write(folder.path().join("characters.txt"), "a\n").unwrap();
        let error = load(folder.path()).err().unwrap().to_string();
        assert!(error.contains("characters.txt"), "{error}");
        assert!(
            error.contains("b5f2bfe2") && error.contains("87428fc5"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_folder_and_a_broken_card_say_where() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(load(folder.path()), Err(OcrError::Read { .. })));
        fs::write(folder.path().join(CARD), "[detector]\nfile = 3").unwrap();
        assert!(matches!(load(folder.path()), Err(OcrError::BadCard { .. })));
    }
}
