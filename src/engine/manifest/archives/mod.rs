//! Listings in tar and zip archives, laid out as WebDataset does: members whose names are the same up to
//! the first dot of the file name are one listing, its fields in a `.json`, its photos the pictures.
//!
//! Nothing is unpacked. A tar archive is read once, from front to back, also when it is compressed. What an
//! archive says of itself is believed only as far as memory and time allow.

mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use serde_json::{Map, Value};

use self::tar::{Budgeted, tar_members};
use self::zip::{open_zip, zip_members, zip_names};
use super::listings::{Listings, listing_of};
use super::{MAX_LISTING_PHOTOS, ManifestError, PhotoPlace, TableRow, has_ending, is_picture_path};
use crate::domain::Listing;
use crate::imaging::DecodeLimits;

/// How the members of an archive are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArchiveKind {
    Tar,
    TarGz,
    Zip,
}

/// The kind that the ending of `path` stands for.
pub(super) fn kind_of(path: &Path) -> Option<ArchiveKind> {
    let stem_is_tar = || {
        path.file_stem()
            .is_some_and(|s| has_ending(Path::new(s), &["tar"]))
    };
    if has_ending(path, &["tar"]) {
        Some(ArchiveKind::Tar)
    } else if has_ending(path, &["tgz"]) || (has_ending(path, &["gz"]) && stem_is_tar()) {
        Some(ArchiveKind::TarGz)
    } else if has_ending(path, &["zip"]) {
        Some(ArchiveKind::Zip)
    } else {
        None
    }
}

/// Longest `.json` of a listing.
const MAX_FIELDS_BYTES: u64 = 4 << 20;
/// Photos of one listing are held together until its last member is read; more than this is refused.
const MAX_LISTING_BYTES: usize = 512 << 20;
/// Bytes that a compressed archive may always grow to while it is counted, and how many times its own
/// length otherwise. Photos hardly shrink; what grows more is made to keep others waiting.
const MAX_COUNTED_BYTES: u64 = 4 << 30;
const MAX_COUNTED_GROWTH: u64 = 16;

/// A member that matters: a picture, or a listing's fields.
struct Member {
    name: String,
    bytes: Result<Vec<u8>, String>,
}

impl Member {
    /// The same; of a picture only that it is there.
    fn without_photo(mut self) -> Self {
        if !is_fields(&self.name) {
            self.bytes = self.bytes.map(|_| Vec::new());
        }
        self
    }
}

type Members = Box<dyn Iterator<Item = Result<Member, ManifestError>> + Send>;

/// The listings of an archive that people know as `name`, in its order; those of a zip archive by name.
///
/// # Errors
/// [`ManifestError::Unreadable`] when it cannot be opened; what is damaged further on is an error in the
/// sequence.
pub(super) fn read_archive(
    path: &Path,
    name: &str,
    kind: ArchiveKind,
) -> Result<Listings, ManifestError> {
    let file = open(path, name)?;
    let members: Members = match kind {
        ArchiveKind::Tar => Box::new(tar_members(name, file)),
        // Several compressed files one after the other are one archive too.
        ArchiveKind::TarGz => Box::new(tar_members(name, flate2::read::MultiGzDecoder::new(file))),
        ArchiveKind::Zip => Box::new(zip_members(open_zip(name, file)?)),
    };
    Ok(grouped(name, members))
}

/// As [`read_archive`], only to be counted: photos are there without their bytes. Of a zip archive, whose
/// names stand together, no member is read, so that a damaged `.json` costs nothing yet.
///
/// # Errors
/// As there; [`ManifestError::TooLarge`] in the sequence when a compressed archive grows without end.
pub(super) fn read_names(
    path: &Path,
    name: &str,
    kind: ArchiveKind,
) -> Result<Listings, ManifestError> {
    let file = open(path, name)?;
    let without_photo = |member: Result<Member, ManifestError>| member.map(Member::without_photo);
    let members: Members = match kind {
        ArchiveKind::Tar => Box::new(tar_members(name, file).map(without_photo)),
        ArchiveKind::TarGz => {
            let n_bytes = file.get_ref().metadata().map_err(unreadable(name))?.len();
            let limit = MAX_COUNTED_BYTES.max(n_bytes.saturating_mul(MAX_COUNTED_GROWTH));
            let unpacked = flate2::read::MultiGzDecoder::new(file);
            Box::new(tar_members(name, Budgeted::new(unpacked, limit)).map(without_photo))
        }
        ArchiveKind::Zip => Box::new(zip_names(&open_zip(name, file)?)),
    };
    Ok(grouped(name, members))
}

fn unreadable(name: &str) -> impl Fn(io::Error) -> ManifestError {
    move |cause| ManifestError::Unreadable {
        path: name.into(),
        cause,
    }
}

fn open(path: &Path, name: &str) -> Result<BufReader<File>, ManifestError> {
    let file = File::open(path).map_err(unreadable(name))?;
    Ok(BufReader::with_capacity(1 << 20, file))
}

fn grouped(name: &str, members: Members) -> Listings {
    Box::new(Grouped {
        archive: name.to_owned(),
        members,
        ahead: None,
    })
}

/// Whether a member of this name is a picture or fields.
fn matters(name: &str) -> bool {
    let path = Path::new(name);
    let hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !hidden && !name.starts_with("__MACOSX/") && (is_picture_path(path) || is_fields(name))
}

fn is_fields(name: &str) -> bool {
    has_ending(Path::new(name), &["json"])
}

fn read_member(
    name: &str,
    size: u64,
    reader: &mut impl Read,
) -> io::Result<Result<Vec<u8>, String>> {
    let limit = if is_fields(name) {
        MAX_FIELDS_BYTES
    } else {
        DecodeLimits::default().max_bytes as u64
    };
    if size > limit {
        return Ok(Err(format!("{size} bytes, but at most {limit} are read")));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // A size in a header is only said.
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Ok(Err(format!(
            "more than {limit} bytes, but no more are read"
        )));
    }
    Ok(Ok(bytes))
}

/// The name up to the first dot of its last part.
fn key_of(name: &str) -> &str {
    let file_from = name.rfind('/').map_or(0, |slash| slash + 1);
    let end = name[file_from..]
        .find('.')
        .map_or(name.len(), |dot| file_from + dot);
    &name[..end]
}

/// Gathers members that follow each other and have one key.
struct Grouped<M> {
    archive: String,
    members: M,
    /// What comes after the last listing, read already.
    ahead: Option<Result<Member, ManifestError>>,
}

impl<M: Iterator<Item = Result<Member, ManifestError>>> Iterator for Grouped<M> {
    type Item = Result<(Listing, Vec<PhotoPlace>), ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = match self.ahead.take().or_else(|| self.members.next())? {
                Ok(member) => member,
                Err(error) => return Some(Err(error)),
            };
            let mut group = Group::new(&self.archive, key_of(&first.name).to_owned());
            group.add(first);
            // What was read of a damaged archive is a listing; the damage is told after it.
            self.ahead = loop {
                match self.members.next() {
                    Some(Ok(member)) if key_of(&member.name) == group.key => group.add(member),
                    other => break other,
                }
            };
            // Fields alone are no listing: data sets hold other things too.
            if !group.photos.is_empty() {
                return Some(group.into_listing());
            }
        }
    }
}

struct Group<'a> {
    archive: &'a str,
    key: String,
    fields: Option<Result<Vec<u8>, String>>,
    photos: Vec<(String, PhotoPlace)>,
    n_bytes: usize,
}

impl<'a> Group<'a> {
    fn new(archive: &'a str, key: String) -> Self {
        Self {
            archive,
            key,
            fields: None,
            photos: Vec::new(),
            n_bytes: 0,
        }
    }

    fn add(&mut self, member: Member) {
        if is_fields(&member.name) {
            self.fields = Some(member.bytes);
            return;
        }
        // The last one tells of those that follow it.
        if self.photos.len() > MAX_LISTING_PHOTOS {
            return;
        }
        let place = match member.bytes {
            _ if self.photos.len() == MAX_LISTING_PHOTOS => PhotoPlace::Nowhere(format!(
                "the listing has more than {MAX_LISTING_PHOTOS} photos: this one and the others are left out"
            )),
            Ok(bytes) if self.n_bytes + bytes.len() > MAX_LISTING_BYTES => PhotoPlace::Nowhere(
                format!("the listing's photos have more than {MAX_LISTING_BYTES} bytes together"),
            ),
            Ok(bytes) => {
                self.n_bytes += bytes.len();
                PhotoPlace::Held(bytes)
            }
            Err(reason) => PhotoPlace::Nowhere(reason),
        };
        self.photos
            .push((format!("{}/{}", self.archive, member.name), place));
    }

    fn into_listing(self) -> Result<(Listing, Vec<PhotoPlace>), ManifestError> {
        let source_name = format!("{}/{}", self.archive, self.key);
        let bad = |reason| ManifestError::BadLine {
            source_name: source_name.clone(),
            reason,
        };
        let fields: Map<String, Value> = match self.fields {
            Some(bytes) => serde_json::from_slice(&bytes.map_err(&bad)?)
                .map_err(|cause| bad(format!("its .json: {cause}")))?,
            None => Map::new(),
        };
        let (names, places): (Vec<_>, Vec<_>) = self.photos.into_iter().unzip();
        let row = TableRow {
            source_name: source_name.clone(),
            fields,
        };
        let mut listing = listing_of(&row, names)?;
        if row.text("listing_id").is_none() {
            listing.listing_id = self.key;
        }
        Ok((listing, places))
    }
}
