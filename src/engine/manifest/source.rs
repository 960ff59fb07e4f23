//! What listings are read from: something on this machine, or in a store.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tempfile::NamedTempFile;

use super::listings::{Listings, Manifest, read_listings, read_table_listings, single_photo};
use super::{ManifestError, PhotoPlace, archives, is_archive_path, is_picture_path, rows};
use crate::fetch::{BlockingFetcher, FetchError, ObjectState, StoreAddress};

/// What listings are read from.
pub enum Source {
    /// A file or folder of this machine, a pattern, or `-`.
    Here(PathBuf),
    /// An object in a store, or all below a key.
    Stored(StoredSource),
}

/// What is read from a store.
pub struct StoredSource {
    address: StoreAddress,
    form: Form,
    state: Option<ObjectState>,
    fetcher: Arc<BlockingFetcher>,
    /// A manifest or archive, once it was read: it is read from front to back more than once.
    copy: OnceLock<NamedTempFile>,
    copying: Mutex<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Folder,
    Photo,
    Table,
    Archive,
}

impl Form {
    fn of(address: &StoreAddress) -> Self {
        let path = Path::new(address.key());
        if address.is_folder() {
            Self::Folder
        } else if rows::is_table_path(path) {
            Self::Table
        } else if is_archive_path(path) {
            Self::Archive
        } else if is_picture_path(path) {
            Self::Photo
        } else {
            Self::Folder
        }
    }
}

impl Source {
    /// The address of `source`, if it is one of a store.
    ///
    /// # Errors
    /// [`ManifestError::NotFetched`] for one that cannot be read as an address.
    pub fn address(source: &Path) -> Result<Option<StoreAddress>, ManifestError> {
        match source.to_str().filter(|text| StoreAddress::is_one(text)) {
            Some(text) => match text.parse() {
                Ok(address) => Ok(Some(address)),
                Err(cause) => Err(ManifestError::NotFetched {
                    source_name: text.to_owned(),
                    cause: FetchError::NoStoreAddress(cause),
                }),
            },
            None => Ok(None),
        }
    }

    /// Opens `source`, as [`listings`](Self::listings) reads it; what is in a store is read by `fetcher`.
    ///
    /// # Errors
    /// [`ManifestError::NotFetched`] when an object is not there, or may not be read.
    pub fn open(
        source: &Path,
        fetcher: Option<&Arc<BlockingFetcher>>,
    ) -> Result<Self, ManifestError> {
        let (Some(address), Some(fetcher)) = (Self::address(source)?, fetcher) else {
            return Ok(Self::Here(source.to_owned()));
        };
        let form = Form::of(&address);
        let state = match form {
            Form::Folder => None,
            _ => Some(fetcher.state(&address).map_err(not_fetched(&address))?),
        };
        Ok(Self::Stored(StoredSource {
            address,
            form,
            state,
            fetcher: Arc::clone(fetcher),
            copy: OnceLock::new(),
            copying: Mutex::default(),
        }))
    }

    /// As it was named.
    pub fn name(&self) -> String {
        match self {
            Self::Here(path) => path.display().to_string(),
            Self::Stored(stored) => stored.address.to_string(),
        }
    }

    /// Length and age of an object in a store; `None` for what is none.
    pub fn object_state(&self) -> Option<&ObjectState> {
        match self {
            Self::Here(_) => None,
            Self::Stored(stored) => stored.state.as_ref(),
        }
    }

    /// Whether all of it can be read once more just to count it: not what can be read but once, or is large.
    pub fn is_cheap(&self) -> bool {
        match self {
            Self::Here(path) => path.exists() && !is_archive_path(path),
            Self::Stored(stored) => matches!(stored.form, Form::Table | Form::Photo),
        }
    }

    /// Everything that is named, read as it is asked for. On this machine:
    ///
    /// - a photo: a listing of its own;
    /// - a folder: all photos below it, each a listing named by its path within the folder;
    /// - a CSV or JSONL manifest: a listing a line;
    /// - a tar (also `.tar.gz`) or zip archive: members whose names are the same up to the first dot;
    /// - `-`: JSON lines from standard input;
    /// - a pattern such as `shards/*.tar`, when nothing has that very name: what fits, by name.
    ///
    /// In a store the same, but for patterns; what its name does not tell to be anything else is a folder.
    ///
    /// # Errors
    /// [`ManifestError`] when it cannot be used at all; bad lines are errors in the sequence.
    pub fn listings(&self) -> Result<Listings, ManifestError> {
        match self {
            Self::Here(path) => read_listings(path),
            Self::Stored(stored) => stored.listings(),
        }
    }
}

impl StoredSource {
    /// Where it is.
    pub(super) fn address(&self) -> &StoreAddress {
        &self.address
    }

    /// The copy of an archive, if there is one.
    pub(super) fn archive(&self) -> Option<&Path> {
        let copy = self.copy.get().filter(|_| self.form == Form::Archive)?;
        Some(copy.path())
    }

    /// The object that a photo of this source is called by.
    pub(super) fn photo(&self, name: &str) -> Option<StoreAddress> {
        match self.form {
            Form::Folder => self.address.beside(&format!("{}/{name}", self.top())).ok(),
            Form::Photo => Some(self.address.clone()),
            Form::Table => self.address.beside(name).ok(),
            Form::Archive => None,
        }
    }

    /// The folder from the top of the bucket, as manifests name it.
    fn top(&self) -> String {
        match self.address.key() {
            "" => String::new(),
            key => format!("/{key}"),
        }
    }

    fn listings(&self) -> Result<Listings, ManifestError> {
        match self.form {
            Form::Folder => self.folder(),
            Form::Photo => {
                let name = self.address.to_string();
                let photo = single_photo(name.clone(), PhotoPlace::Address(name));
                Ok(Box::new(std::iter::once(Ok(photo))))
            }
            Form::Table => {
                let copy = self.copy()?;
                let manifest = Manifest::Stored(self.address.clone());
                read_table_listings(copy, manifest)
            }
            Form::Archive => {
                let name = self.address.to_string();
                let kind = archives::kind_of(Path::new(&name));
                let kind = kind.expect("the form follows from the name");
                archives::read_archive(self.copy()?, &name, kind)
            }
        }
    }

    /// The file that holds what the object does.
    fn copy(&self) -> Result<&Path, ManifestError> {
        let _alone = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.copy.get().is_none() {
            let kept = |cause| ManifestError::NotFetched {
                source_name: self.address.to_string(),
                cause: FetchError::NotKept {
                    address: self.address.to_string(),
                    cause: Arc::new(cause),
                },
            };
            let mut file = NamedTempFile::with_prefix("touchstone-").map_err(kept)?;
            let saved = self.fetcher.save(&self.address, file.as_file_mut());
            saved.map_err(not_fetched(&self.address))?;
            let _ = self.copy.set(file);
        }
        Ok(self.copy.get().expect("made just now").path())
    }

    /// All pictures below the key. Going on with a scan rests on the order, so it is checked: not every store
    /// promises one.
    fn folder(&self) -> Result<Listings, ManifestError> {
        let mut objects = self.fetcher.list(&self.address).peekable();
        if objects.peek().is_none() {
            return Err(ManifestError::NotFetched {
                source_name: self.address.to_string(),
                cause: FetchError::NotThere {
                    address: self.address.to_string(),
                },
            });
        }
        if let Some(Err(error)) = objects.next_if(Result::is_err) {
            return Err(not_fetched(&self.address)(error));
        }
        let (top, name) = (self.address.key().to_owned(), self.address.to_string());
        let mut last = String::new();
        Ok(Box::new(objects.filter_map(move |object| {
            let object = match object {
                Ok(object) => object,
                Err(cause) => {
                    let source_name = name.clone();
                    return Some(Err(ManifestError::NotFetched { source_name, cause }));
                }
            };
            let key = object.key();
            if key < last.as_str() {
                return Some(Err(ManifestError::BadLine {
                    source_name: object.to_string(),
                    reason: "the store lists its objects in no order: name them in a manifest"
                        .to_owned(),
                }));
            }
            key.clone_into(&mut last);
            if !is_picture_path(Path::new(key)) {
                return None;
            }
            let within = key.strip_prefix(&top).unwrap_or(key);
            let within = within.trim_start_matches('/').to_owned();
            let place = PhotoPlace::Address(object.to_string());
            Some(Ok(single_photo(within, place)))
        })))
    }
}

fn not_fetched(address: &StoreAddress) -> impl FnOnce(FetchError) -> ManifestError + use<> {
    let source_name = address.to_string();
    move |cause| ManifestError::NotFetched { source_name, cause }
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self::Here(path)
    }
}
