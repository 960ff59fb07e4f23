//! Listings in tar and zip archives, laid out as WebDataset does: members whose names are the same up to
//! the first dot of the file name are one listing, its fields in a `.json`, its photos the pictures.
//!
//! Nothing is unpacked. A tar archive is read once, from front to back, also when it is compressed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender, sync_channel};
use std::thread;

use serde_json::{Map, Value};

use super::listings::{Listings, listing_of};
use super::{ManifestError, PhotoPlace, TableRow, has_ending, is_picture_path};
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

/// A member that matters: a picture, or a listing's fields.
struct Member {
    name: String,
    bytes: Result<Vec<u8>, String>,
}

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
    let unreadable = |cause| ManifestError::Unreadable {
        path: name.into(),
        cause,
    };
    let file = BufReader::with_capacity(1 << 20, File::open(path).map_err(unreadable)?);
    let members: Box<dyn Iterator<Item = Result<Member, ManifestError>> + Send> = match kind {
        ArchiveKind::Tar => Box::new(tar_members(name, file)),
        // Several compressed files one after the other are one archive too.
        ArchiveKind::TarGz => Box::new(tar_members(name, flate2::read::MultiGzDecoder::new(file))),
        ArchiveKind::Zip => {
            let archive =
                zip::ZipArchive::new(file).map_err(|e| unreadable(io::Error::other(e)))?;
            Box::new(zip_members(archive))
        }
    };
    Ok(Box::new(Grouped {
        archive: name.to_owned(),
        members,
        ahead: None,
    }))
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

/// Members of a tar archive. A thread of its own reads them one ahead, and ends with the sequence.
fn tar_members(
    name: &str,
    reader: impl Read + Send + 'static,
) -> mpsc::IntoIter<Result<Member, ManifestError>> {
    let (sender, members) = sync_channel(1);
    let archive = name.to_owned();
    let reading = thread::Builder::new().name("archive".into()).spawn({
        let sender = sender.clone();
        move || {
            if let Err(cause) = send_tar_members(reader, &sender) {
                // Nobody listening is no failure.
                let _ = sender.send(Err(broken(&archive, &cause)));
            }
        }
    });
    if let Err(cause) = reading {
        let _ = sender.send(Err(broken(name, &cause)));
    }
    members.into_iter()
}

fn broken(name: &str, cause: &dyn std::fmt::Display) -> ManifestError {
    ManifestError::BrokenOff {
        source_name: name.to_owned(),
        reason: format!("the archive cannot be read on: {cause}"),
    }
}

fn send_tar_members(
    reader: impl Read,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !matters(&name) {
            continue;
        }
        let size = entry.size();
        let bytes = read_member(&name, size, &mut entry)?;
        if let Ok(bytes) = &bytes
            && (bytes.len() as u64) < size
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{name} is cut off after {} of {size} bytes", bytes.len()),
            ));
        }
        if sender.send(Ok(Member { name, bytes })).is_err() {
            break;
        }
    }
    Ok(())
}

/// Members of a zip archive by name: their order within is anybody's.
fn zip_members<R: Read + io::Seek + Send>(
    mut archive: zip::ZipArchive<R>,
) -> impl Iterator<Item = Result<Member, ManifestError>> + Send + use<R> {
    let mut names: Vec<String> = archive
        .file_names()
        // A name in no known encoding is no picture's.
        .filter_map(|name| Some(name.ok()?.into_owned()))
        .filter(|name| matters(name))
        .collect();
    names.sort_unstable();
    names.into_iter().map(move |name| {
        let read = archive.by_name(&name).map_err(|cause| cause.to_string());
        let bytes = read.and_then(|mut file| {
            let size = file.size();
            // The checksum is checked at the end of the member.
            read_member(&name, size, &mut file).unwrap_or_else(|cause| Err(cause.to_string()))
        });
        Ok(Member { name, bytes })
    })
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
        let place = match member.bytes {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const MEMBERS: [(&str, &[u8]); 7] = [
        ("a/001.front.jpg", b"one"),
        (
            "a/001.json",
            br#"{"listing_id":7,"seller":{"id":3},"colour":"red"}"#,
        ),
        ("a/001.back.jpg", b"two"),
        ("a/002.png", b"three"),
        ("a/003.json", b"{oops}"),
        ("a/003.jpg", b"four"),
        ("a/004.txt", b"no picture"),
    ];

    fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, *bytes)
                .expect("memory");
        }
        builder.into_inner().expect("memory")
    }

    type Read = Vec<Result<(Listing, Vec<PhotoPlace>), ManifestError>>;

    fn read(name: &str, bytes: &[u8]) -> Read {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        let kind = kind_of(&path).expect("an archive");
        let name = path.display().to_string();
        read_archive(&path, &name, kind)
            .expect("readable")
            .collect()
    }

    fn check(listings: &Read, first_photo: &[u8]) {
        assert_eq!(listings.len(), 3);
        let (listing, places) = listings[0].as_ref().expect("good");
        assert_eq!((listing.listing_id.as_str(), places.len()), ("7", 2));
        assert_eq!(listing.other["colour"], "red");
        assert_eq!(places[0], PhotoPlace::Held(first_photo.to_vec()));
        assert!(listing.photos.iter().all(|photo| photo.contains("a/001.")));
        let (listing, _) = listings[1].as_ref().expect("good");
        assert_eq!(listing.listing_id, "a/002");
        let message = listings[2].as_ref().expect_err("no JSON").to_string();
        assert!(message.contains("a/003"), "{message}");
    }

    #[test]
    fn members_of_one_name_are_a_listing() {
        let tar = tar_of(&MEMBERS);
        check(&read("x.tar", &tar), b"one");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&tar).expect("memory");
        check(&read("x.tar.gz", &packed.finish().expect("memory")), b"one");
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in MEMBERS {
            zip.start_file(name, zip::write::SimpleFileOptions::default())
                .expect("memory");
            zip.write_all(bytes).expect("memory");
        }
        // By name, `back` comes before `front`.
        check(
            &read("x.zip", &zip.finish().expect("memory").into_inner()),
            b"two",
        );
    }

    #[test]
    fn a_damaged_archive_gives_what_is_whole_and_says_so() {
        let tar = tar_of(&MEMBERS);
        for n in [0, 100, 512, 700, 1600, 3000, tar.len() - 1500] {
            let listings = read("x.tar", &tar[..n]);
            let ends = |listing: &Result<_, ManifestError>| {
                listing.as_ref().is_err_and(ManifestError::ends_the_source)
            };
            let told = listings.iter().any(ends);
            assert!(told || n == 0, "{n}");
        }
        assert!(read_archive(Path::new("absent.tar"), "absent.tar", ArchiveKind::Tar).is_err());
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.zip");
        std::fs::write(&path, b"PK no zip").expect("a file");
        assert!(read_archive(&path, "x.zip", ArchiveKind::Zip).is_err());
    }
}
