//! Assets to register: pictures, folders of pictures, manifests.

use std::path::{Path, PathBuf};

use jiff::civil::Date;

use super::rows::resolve;
use super::{ManifestError, TableRow, is_picture_path, pictures_under, read_table};
use crate::domain::{AssetDraft, AssetKind, DomainError};

/// One picture to register, and as what.
#[derive(Debug, Clone, PartialEq)]
pub struct AssetSource {
    /// Where it was named, for messages.
    pub source_name: String,
    /// The picture's file.
    pub path: PathBuf,
    /// The asset that it belongs to; several sources may name the same.
    pub draft: AssetDraft,
}

/// What the flags say where files and manifests are silent.
#[derive(Debug, Clone, Default)]
pub struct FolderDefaults {
    /// Owner.
    pub brand: Option<String>,
    /// Asset name; without it each file's name, less its ending, is the asset's.
    pub asset: Option<String>,
    /// Kind; `logo` when nobody says.
    pub kind: Option<AssetKind>,
}

/// Everything that `path` names: one picture, all pictures of a folder, or the lines of a manifest.
/// A line of a manifest may name several pictures of one asset (`path` as a list).
///
/// # Errors
/// [`ManifestError`] when `path` itself cannot be used; bad lines are errors in the sequence.
pub fn read_assets(
    path: &Path,
    defaults: &FolderDefaults,
) -> Result<Box<dyn Iterator<Item = Result<AssetSource, ManifestError>> + Send>, ManifestError> {
    let metadata = std::fs::metadata(path).map_err(|cause| ManifestError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let defaults = defaults.clone();
    if metadata.is_dir() {
        let files = pictures_under(path);
        return Ok(Box::new(
            files.map(move |file| from_file(&file?, &defaults)),
        ));
    }
    if let Some(table) = read_table(path)? {
        let manifest = path.to_owned();
        return Ok(Box::new(table.flat_map(move |row| match row {
            Ok(row) => from_row(&manifest, &row, &defaults),
            Err(error) => vec![Err(error)],
        })));
    }
    if is_picture_path(path) {
        return Ok(Box::new(std::iter::once(from_file(path, &defaults))));
    }
    Err(ManifestError::UnknownType {
        path: path.to_owned(),
    })
}

fn from_file(path: &Path, defaults: &FolderDefaults) -> Result<AssetSource, ManifestError> {
    let source_name = path.display().to_string();
    let brand = defaults
        .brand
        .clone()
        .ok_or_else(|| ManifestError::NoBrand {
            source_name: source_name.clone(),
        })?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = defaults.asset.clone().unwrap_or_else(|| stem.into_owned());
    let draft = AssetDraft::new(brand, name, defaults.kind.unwrap_or(AssetKind::Logo));
    checked(source_name, path.to_owned(), draft)
}

fn from_row(
    manifest: &Path,
    row: &TableRow,
    defaults: &FolderDefaults,
) -> Vec<Result<AssetSource, ManifestError>> {
    let paths = row.parts("path");
    if paths.is_empty() {
        return vec![Err(ManifestError::BadLine {
            source_name: row.source_name.clone(),
            reason: row.nothing_in("path"),
        })];
    }
    let named = paths.into_iter().map(|text| {
        let text = text.map_err(|other| ManifestError::BadLine {
            source_name: row.source_name.clone(),
            reason: format!("path {other} is no text"),
        })?;
        let path = resolve(manifest, &text);
        let draft = draft_from_row(row, &path, defaults)?;
        checked(row.source_name.clone(), path, draft)
    });
    named.collect()
}

fn draft_from_row(
    row: &TableRow,
    path: &Path,
    defaults: &FolderDefaults,
) -> Result<AssetDraft, ManifestError> {
    let source_name = &row.source_name;
    let brand = row.text("brand").or_else(|| defaults.brand.clone());
    let brand = brand.ok_or_else(|| ManifestError::NoBrand {
        source_name: source_name.clone(),
    })?;
    let name = row.text("asset").or_else(|| row.text("name"));
    let stem = || {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = name.or_else(|| defaults.asset.clone()).unwrap_or_else(stem);
    let kind = match row.text("kind") {
        Some(text) => text
            .parse()
            .map_err(|cause: DomainError| ManifestError::BadValue {
                source_name: source_name.clone(),
                cause,
            })?,
        None => defaults.kind.unwrap_or(AssetKind::Logo),
    };
    let mut draft = AssetDraft::new(brand, name, kind);
    draft.registration_number = row.text("registration_number");
    draft.valid_from = date(row, "valid_from")?;
    draft.valid_until = date(row, "valid_until")?;
    draft.notes = row.text("notes");
    draft.authorised_sellers = row.list("authorised_sellers");
    draft.word_marks = row.list("word_marks");
    Ok(draft)
}

fn date(row: &TableRow, column: &str) -> Result<Option<Date>, ManifestError> {
    let Some(text) = row.text(column) else {
        return Ok(None);
    };
    let date = text.parse().map_err(|_| ManifestError::BadLine {
        source_name: row.source_name.clone(),
        reason: format!("{column} {text:?} is not a date like 2026-12-31"),
    })?;
    Ok(Some(date))
}

fn checked(
    source_name: String,
    path: PathBuf,
    draft: AssetDraft,
) -> Result<AssetSource, ManifestError> {
    match draft.checked() {
        Ok(draft) => Ok(AssetSource {
            source_name,
            path,
            draft,
        }),
        Err(cause) => Err(ManifestError::BadValue { source_name, cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_manifest_gives_its_good_lines_and_names_its_bad_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("assets.csv");
        let text = "path,brand,asset,kind,valid_until,word_marks\n\
                    a.png|b.png,Acme,Star,logo,2027-01-31,ACME|Акме\n\
                    c.png,Acme,Box,banner,,\n\
                    d.png,Acme,Box,packaging,soon,\n\
                    ,Acme,Box,logo,,\n\
                    e.png,,Box,logo,,\n";
        fs::write(&path, text).expect("a file");
        let sources: Vec<_> = read_assets(&path, &FolderDefaults::default())
            .expect("readable")
            .collect();
        assert_eq!(sources.len(), 6);
        let first = sources[0].as_ref().expect("good");
        assert_eq!(first.path, folder.path().join("a.png"));
        assert_eq!(first.draft.word_marks, ["ACME", "Акме"]);
        assert!(sources[1].is_ok());
        for (source, line) in sources[2..].iter().zip(3..) {
            let message = source.as_ref().expect_err("a bad line").to_string();
            assert!(message.contains(&format!("line {line}")), "{message}");
        }
    }

    #[test]
    fn a_path_that_is_no_text_is_an_error_in_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("assets.jsonl");
        let text = r#"{"path":["a.png",3,"b.png",null],"brand":"Acme","asset":"Star"}"#;
        fs::write(&path, text).expect("a file");
        let sources: Vec<_> = read_assets(&path, &FolderDefaults::default())
            .expect("readable")
            .collect();
        let are_good: Vec<_> = sources.iter().map(Result::is_ok).collect();
        assert_eq!(are_good, [true, false, true]);
        let message = sources[1].as_ref().expect_err("a number").to_string();
        assert!(message.contains("path 3"), "{message}");
    }

    #[test]
    fn a_folder_needs_a_brand_and_names_assets_by_file() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("sub")).expect("a folder");
        for name in ["b.PNG", "notes.txt", "sub/a.jpg"] {
            fs::write(folder.path().join(name), b"").expect("a file");
        }
        let mut defaults = FolderDefaults::default();
        let read = |defaults: &FolderDefaults| -> Vec<_> {
            read_assets(folder.path(), defaults)
                .expect("a folder")
                .collect()
        };
        assert!(read(&defaults).iter().all(Result::is_err));
        defaults.brand = Some("Acme".into());
        let names: Vec<_> = read(&defaults)
            .into_iter()
            .map(|source| source.expect("good").draft.name)
            .collect();
        assert_eq!(names, ["b", "a"]);
    }
}
