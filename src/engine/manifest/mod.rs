//! Reading what people hand in: folders, CSV and JSONL files of assets to register or listings to check.
//!
//! A bad line is an error that names the line; reading goes on behind it.

mod archives;
mod assets;
mod finder;
mod listings;
mod parquet;
mod places;
mod records;
mod rows;
mod source;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::domain::DomainError;
use crate::fetch::FetchError;

pub use assets::{AssetSource, FolderDefaults, read_assets};
pub use finder::PhotoFinder;
pub use listings::{Listings, count_photos, read_listing, read_listings};
pub use places::PhotoPlace;
pub use rows::{Table, TableRow, read_table};
pub use source::{Source, StoredSource};

/// What is wrong with a manifest, or with a line of it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file or folder cannot be read at all.
    #[error("reading {path}: {cause}", path = path.display())]
    Unreadable {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// Something in a store that cannot be read.
    #[error("reading {source_name}: {cause}")]
    NotFetched {
        /// The object, or the key that others begin with.
        source_name: String,
        /// What went wrong.
        #[source]
        cause: FetchError,
    },
    /// A file that is neither a picture nor a manifest.
    #[error("{path} is neither a folder, a .csv or .jsonl manifest, an archive (.tar, .tar.gz, .zip), nor a picture", path = path.display())]
    UnknownType {
        /// The file.
        path: PathBuf,
    },
    /// A pattern that no file fits, or that is no pattern.
    #[error("{pattern}: {reason}")]
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A line that cannot be read.
    #[error("{source_name}: {reason}")]
    BadLine {
        /// File and line.
        source_name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What cannot be read on, and is not known to be at its end.
    #[error("{source_name}: {reason}")]
    BrokenOff {
        /// File, and line where there is one.
        source_name: String,
        /// Why.
        reason: String,
    },
    /// An archive that is larger, unpacked, than is read just to count its photos.
    #[error("{source_name}: {reason}")]
    TooLarge {
        /// The archive.
        source_name: String,
        /// How large it may be.
        reason: String,
    },
    /// A line whose values do not hold together.
    #[error("{source_name}: {cause}")]
    BadValue {
        /// File and line.
        source_name: String,
        /// What is wrong with it.
        #[source]
        cause: DomainError,
    },
    /// Brand or kind is given neither by the manifest nor by a flag.
    #[error("{source_name}: no brand given: add --brand, or a column brand")]
    NoBrand {
        /// File and line.
        source_name: String,
    },
}

impl ManifestError {
    /// File, or file and line, that it is about.
    pub fn place(&self) -> String {
        match self {
            Self::Unreadable { path, .. } | Self::UnknownType { path } => {
                path.display().to_string()
            }
            Self::BadPattern { pattern, .. } => pattern.clone(),
            Self::NotFetched { source_name, .. }
            | Self::BadLine { source_name, .. }
            | Self::BrokenOff { source_name, .. }
            | Self::TooLarge { source_name, .. }
            | Self::BadValue { source_name, .. }
            | Self::NoBrand { source_name } => source_name.clone(),
        }
    }

    /// Whether photos that nobody can count are missing behind it, and may be there when it is read again: no bad
    /// line, of which the same would be said each time.
    pub fn ends_the_source(&self) -> bool {
        match self {
            Self::BrokenOff { .. } => true,
            // An object whose name is no address is none of these: others follow it.
            Self::NotFetched { cause, .. } => !matches!(cause, FetchError::NoStoreAddress(_)),
            // What is closed to us, gone or damaged stays so.
            Self::Unreadable { cause, .. } => !matches!(
                cause.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound | io::ErrorKind::Other
            ),
            _ => false,
        }
    }

    /// What is wrong there, for a report that names the place apart.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        let rest = text.strip_prefix(&self.place()).unwrap_or(&text);
        rest.strip_prefix(": ").unwrap_or(rest).to_owned()
    }
}

/// Photos of one listing; no offer has as many, and all are held in memory together.
const MAX_LISTING_PHOTOS: usize = 10_000;

/// Endings of files that are taken for pictures when a folder is read.
const PICTURE_ENDINGS: [&str; 11] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "tif", "tiff", "bmp", "svg",
];

/// Whether the ending of `path` is that of an archive that listings are read from.
pub fn is_archive_path(path: &Path) -> bool {
    archives::kind_of(path).is_some()
}

/// Whether the ending of `path` is that of a picture; what is inside is found out when decoding.
pub fn is_picture_path(path: &Path) -> bool {
    has_ending(path, &PICTURE_ENDINGS)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| endings.contains(&ending.to_ascii_lowercase().as_str()))
}

/// All picture files under `folder`, sorted by path so that runs can be compared; links to folders are not
/// followed, so that a loop cannot trap the walk, those to files are.
///
/// # Errors
/// [`ManifestError::Unreadable`] for a folder that cannot be listed, in its place in the sequence.
fn pictures_under(folder: &Path) -> impl Iterator<Item = Result<PathBuf, ManifestError>> + use<> {
    let root = folder.to_owned();
    walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(move |entry| match entry {
            Ok(entry) if is_picture_path(entry.path()) && leads_to_a_file(&entry) => {
                Some(Ok(entry.into_path()))
            }
            Ok(_) => None,
            Err(error) => Some(Err(ManifestError::Unreadable {
                path: error.path().unwrap_or(&root).to_owned(),
                cause: error.into(),
            })),
        })
}

/// Whether it is a file, or a link to one; a link that leads nowhere is taken for one, and fails as a photo.
fn leads_to_a_file(entry: &walkdir::DirEntry) -> bool {
    let is_folder = || entry.path().is_dir();
    entry.file_type().is_file() || (entry.path_is_symlink() && !is_folder())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_there_next_time_is_told_from_bad_lines() {
        let (source_name, reason) = ("l.jsonl line 3".to_owned(), "odd".to_owned());
        let bad = ManifestError::BadLine {
            source_name: source_name.clone(),
            reason: reason.clone(),
        };
        let broken = ManifestError::BrokenOff {
            source_name,
            reason,
        };
        assert!(!bad.ends_the_source() && broken.ends_the_source());
        let no_address = "s3://".parse::<crate::fetch::StoreAddress>();
        let not_fetched = |cause| ManifestError::NotFetched {
            source_name: "s3://b/photos/".to_owned(),
            cause,
        };
        let no_address = FetchError::NoStoreAddress(no_address.expect_err("no bucket"));
        assert!(!not_fetched(no_address).ends_the_source());
        let address = "s3://b/photos/".to_owned();
        assert!(not_fetched(FetchError::NotThere { address }).ends_the_source());
        for (kind, ends) in [
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::TimedOut, true),
            (io::ErrorKind::StaleNetworkFileHandle, true),
        ] {
            let (path, cause) = (PathBuf::from("a"), io::Error::from(kind));
            let error = ManifestError::Unreadable { path, cause };
            assert_eq!(error.ends_the_source(), ends, "{kind:?}");
        }
    }

    #[test]
    fn place_and_reason_part_even_where_names_hold_colons() {
        let cause = io::Error::from(io::ErrorKind::NotFound);
        let path = PathBuf::from("a: b/c.csv");
        let unreadable = ManifestError::Unreadable { path, cause };
        assert_eq!(unreadable.place(), "a: b/c.csv");
        assert!(unreadable.reason().starts_with("reading a: b/c.csv: "));
        let line = ManifestError::BadLine {
            source_name: "a: b.csv line 3".to_owned(),
            reason: "no path".to_owned(),
        };
        assert_eq!(
            (line.place().as_str(), line.reason().as_str()),
            ("a: b.csv line 3", "no path")
        );
    }
}
