//! The picture of one finding, and the name of its file.

use std::path::{Path, PathBuf};

use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::sheet::Sheet;
use super::{EvidenceError, file};
use crate::domain::{FileDigest, Finding, percent};
use crate::engine::{Engine, EngineError, Examination};
use crate::report::{kind_words, place};

/// Thin lines stay clean from here on.
const JPEG_QUALITY: u8 = 90;
/// Characters of the photo's name that are kept.
const MAX_STEM_CHARS: usize = 60;

/// Which photo it is, for people.
#[derive(Debug, Clone, Copy)]
pub struct PhotoLabel<'a> {
    /// What its file is called.
    pub name: &'a str,
    /// SHA-256 of its bytes.
    pub sha256: FileDigest,
}

/// A JPEG that shows a person what `finding`, one of `examination`, rests on: the registered picture,
/// the place in the photo, the points that agree, and the one laid over the other. The same input
/// gives the same bytes.
///
/// # Errors
/// [`EvidenceError::ReferenceGone`] when the picture was removed meanwhile; [`EvidenceError::Engine`],
/// [`EvidenceError::Drawing`], [`EvidenceError::Jpeg`].
pub fn draw_finding(
    engine: &Engine,
    examination: &Examination,
    finding: &Finding,
    photo: PhotoLabel<'_>,
) -> Result<Vec<u8>, EvidenceError> {
    let gone = || EvidenceError::ReferenceGone {
        brand: finding.brand.clone(),
        asset: finding.asset.clone(),
    };
    let verified = examination.verified(finding.asset_id).ok_or_else(gone)?;
    let id = verified.candidate.picture_id;
    let reference = engine.reference_detail(id)?.ok_or_else(gone)?;
    let picture = engine.store().picture(id).map_err(EngineError::from)?;
    let mut lines = finding.reasons.clone();
    lines.push(format!("in the photo {}", place(&finding.region)));
    lines.push(format!("photo {}, SHA-256 {}", photo.name, photo.sha256));
    let sheet = Sheet {
        photo: &examination.photo.pixels,
        reference: &reference.pixels,
        alignment: verified.firm_alignment(),
        region: verified.region(),
        word: verified.notable_word().map(|word| word.found.quad),
        title: format!(
            "{} / {}: {}, {}",
            finding.brand,
            finding.asset,
            kind_words(finding.kind),
            percent(finding.probability)
        ),
        lines,
        reference_name: picture.source_name,
    };
    let drawn = sheet.draw()?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode(
        drawn.as_raw(),
        drawn.width(),
        drawn.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(jpeg)
}

/// Draws each of `findings` into `folder`, which must be there, and returns the files, in their order.
///
/// A file is called by the photo's name, reduced to letters, digits, `-` and `_`, the first eight
/// digits of the photo's SHA-256, and the finding's place in the answer: `shoes-1f0c9a3b-1.jpg`.
///
/// # Errors
/// As [`draw_finding`]; [`EvidenceError::Exists`] when another picture has the name,
/// [`EvidenceError::DiskFull`], [`EvidenceError::Write`].
pub fn write_findings(
    engine: &Engine,
    examination: &Examination,
    findings: &[Finding],
    photo: PhotoLabel<'_>,
    folder: &Path,
) -> Result<Vec<PathBuf>, EvidenceError> {
    findings
        .iter()
        .enumerate()
        .map(|(position, finding)| {
            let path = folder.join(file_name(photo, position));
            let jpeg = draw_finding(engine, examination, finding, photo)?;
            file::write_new(&path, &jpeg)?;
            Ok(path)
        })
        .collect()
}

fn file_name(photo: PhotoLabel<'_>, position: usize) -> String {
    let stem = Path::new(photo.name).file_stem().unwrap_or_default();
    let stem = stem.to_string_lossy();
    let mut name = String::new();
    for c in stem.chars().take(MAX_STEM_CHARS) {
        let is_plain = c.is_ascii_alphanumeric() || c == '_';
        if is_plain {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    let name = if name.is_empty() { "photo" } else { name };
    let digest = &photo.sha256.to_hex()[..8];
    format!("{name}-{digest}-{}.jpg", position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_whatever_the_photo_is_called() {
        let of = |name: &str, position| {
            let sha256 = FileDigest::of(b"abc");
            file_name(PhotoLabel { name, sha256 }, position)
        };
        for (photo, expected) in [
            ("a/b/Red shoes (2).JPG", "Red-shoes-2-ba7816bf-1.jpg"),
            ("..", "photo-ba7816bf-1.jpg"),
            ("-rf.png", "rf-ba7816bf-1.jpg"),
            ("緑茶.png", "photo-ba7816bf-1.jpg"),
            ("a\u{1b}[2J\u{202e}.png", "a-2J-ba7816bf-1.jpg"),
            ("..\\..\\con.png", "con-ba7816bf-1.jpg"),
        ] {
            assert_eq!(of(photo, 0), expected, "{photo}");
        }
        let long = of(&"x".repeat(500), 11);
        assert_eq!(long.len(), MAX_STEM_CHARS + "-ba7816bf-12.jpg".len());
    }
}
