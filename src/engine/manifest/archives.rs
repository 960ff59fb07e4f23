//! Listings in tar and zip archives, laid out as WebDataset does: members whose names are the same up to
//! the first dot of the file name are one listing, its fields in a `.json`, its photos the pictures.
//!
//! Nothing is unpacked. A tar archive is read once, from front to back, also when it is compressed. What an
//! archive says of itself is believed only as far as memory and time allow.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{self, SyncSender, sync_channel};
use std::thread;

use serde_json::{Map, Value};

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
/// Longest name of a member of a tar archive, bytes: as long as paths may be on Linux.
const MAX_NAME_BYTES: usize = 4096;
/// Room for everything that stands before a member of a tar archive: its header, its long name, attributes.
const MAX_HEADER_BYTES: u64 = 1 << 20;
/// A block of a tar archive.
const BLOCK_BYTES: u64 = 512;
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

/// Opens a zip archive whose members have each bytes of their own: a small file in which many share the same
/// could be read for days.
fn open_zip(
    name: &str,
    file: BufReader<File>,
) -> Result<zip::ZipArchive<BufReader<File>>, ManifestError> {
    let n_bytes = file.get_ref().metadata().map_err(unreadable(name))?.len();
    let archive = zip::ZipArchive::new(file).map_err(|e| unreadable(name)(io::Error::other(e)))?;
    // By the directory alone: to look for overlaps would be a read for each member.
    let members = (0..archive.len()).filter_map(|index| archive.by_index_data(index).ok());
    let packed = members.fold(0u64, |sum, member| {
        sum.saturating_add(member.compressed_size())
    });
    if packed > n_bytes {
        return Err(unreadable(name)(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "its members are said to take {packed} of its {n_bytes} bytes: some share theirs"
            ),
        )));
    }
    Ok(archive)
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

fn broken(name: &str, cause: &io::Error) -> ManifestError {
    let source_name = name.to_owned();
    match cause.kind() {
        io::ErrorKind::FileTooLarge => ManifestError::TooLarge {
            source_name,
            reason: cause.to_string(),
        },
        _ => ManifestError::BrokenOff {
            source_name,
            reason: format!("the archive cannot be read on: {cause}"),
        },
    }
}

/// A reader that ends in an error after so many bytes.
struct Budgeted<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R> Budgeted<R> {
    fn new(reader: R, limit: u64) -> Self {
        Self {
            reader,
            left: limit,
            limit,
        }
    }
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(into)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    format!("the archive has more than {} bytes unpacked", self.limit),
                ));
            }
        }
        Ok(n)
    }
}

/// How far a tar archive was read, and how far it may be: `tar` holds long names and attributes in memory,
/// whatever length they say they have.
struct Reach {
    position: Cell<u64>,
    limit: Cell<u64>,
}

impl Reach {
    fn new() -> Self {
        Self {
            position: Cell::new(0),
            limit: Cell::new(MAX_HEADER_BYTES),
        }
    }

    /// Lets a member of `n_bytes`, which begins here, be read, and what stands before the next.
    fn allow(&self, n_bytes: u64) {
        let end = self.position.get().saturating_add(n_bytes);
        self.limit.set(end.saturating_add(MAX_HEADER_BYTES));
    }
}

/// A tar archive that is read only as far as its reach.
struct Bounded<'a, R> {
    reader: R,
    reach: &'a Reach,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let position = self.reach.position.get();
        let left = self.reach.limit.get().saturating_sub(position);
        if left == 0 && !into.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("what stands before a member takes more than {MAX_HEADER_BYTES} bytes"),
            ));
        }
        let n = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        let n = self.reader.read(&mut into[..n])?;
        self.reach.position.set(position + n as u64);
        Ok(n)
    }
}

/// Several archives one after the other are one: what follows the end of the first is read too.
fn send_tar_members(
    mut reader: impl Read,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<()> {
    while let Some(block) = next_block(&mut reader)? {
        let archive = block.chain(&mut reader);
        if !send_members_of(archive, sender)? {
            break;
        }
    }
    Ok(())
}

/// The next block that is not empty, as those between archives and at their end are; `None` at the end.
fn next_block(reader: &mut impl Read) -> io::Result<Option<io::Cursor<Vec<u8>>>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    loop {
        block.clear();
        reader.by_ref().take(BLOCK_BYTES).read_to_end(&mut block)?;
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(io::Cursor::new(block)));
        }
        if block.is_empty() {
            return Ok(None);
        }
    }
}

/// Sends the members of one archive; gives whether anybody wants more.
fn send_members_of(
    reader: impl Read,
    sender: &SyncSender<Result<Member, ManifestError>>,
) -> io::Result<bool> {
    let reach = Reach::new();
    let mut archive = tar::Archive::new(Bounded {
        reader,
        reach: &reach,
    });
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let size = entry.size();
        // The size of a sparse file is that of what would be unpacked.
        reach.allow(if kind.is_gnu_sparse() {
            entry.header().entry_size()?
        } else {
            size
        });
        let name = name_of(&entry.path_bytes())?;
        if kind.is_dir() || !matters(&name) {
            continue;
        }
        let bytes = if kind.is_file() {
            read_member(&name, size, &mut entry)?
        } else {
            Err(why_unread(kind))
        };
        if let Ok(bytes) = &bytes
            && (bytes.len() as u64) < size
        {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{name} is cut off after {} of {size} bytes", bytes.len()),
            ));
        }
        if sender.send(Ok(Member { name, bytes })).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn name_of(bytes: &[u8]) -> io::Result<String> {
    if bytes.len() > MAX_NAME_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a name has {} bytes, at most {MAX_NAME_BYTES} are read",
                bytes.len()
            ),
        ));
    }
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// Why what is named like a picture or fields, and is no file, is not read.
fn why_unread(kind: tar::EntryType) -> String {
    if kind.is_hard_link() || kind.is_symlink() {
        "a link in the archive: only files are read, pack it with its content".to_owned()
    } else if kind.is_gnu_sparse() {
        "a sparse file in the archive: pack it without --sparse".to_owned()
    } else {
        let kind = char::from(kind.as_byte());
        format!("no file in the archive, but an entry of type {kind:?}")
    }
}

/// Names of a zip archive's members that matter, each with its place in the directory, by name: their
/// order within is anybody's.
fn zip_entries<R: Read + io::Seek>(archive: &zip::ZipArchive<R>) -> Vec<(String, usize)> {
    let mut entries: Vec<(String, usize)> = archive
        .file_names()
        .enumerate()
        // A name in no known encoding is no picture's.
        .filter_map(|(index, name)| Some((name.ok()?.into_owned(), index)))
        .filter(|(name, _)| matters(name))
        .collect();
    entries.sort_unstable();
    entries
}

/// Members of a zip archive.
fn zip_members<R: Read + io::Seek + Send>(
    mut archive: zip::ZipArchive<R>,
) -> impl Iterator<Item = Result<Member, ManifestError>> + Send + use<R> {
    let entries = zip_entries(&archive);
    entries.into_iter().map(move |(name, index)| {
        let read = archive.by_index(index).map_err(|cause| cause.to_string());
        let bytes = read.and_then(|mut file| {
            let size = file.size();
            // The checksum is checked at the end of the member.
            read_member(&name, size, &mut file).unwrap_or_else(|cause| Err(cause.to_string()))
        });
        Ok(Member { name, bytes })
    })
}

/// Pictures in a zip archive, none of them read.
fn zip_names<R: Read + io::Seek>(
    archive: &zip::ZipArchive<R>,
) -> impl Iterator<Item = Result<Member, ManifestError>> + Send + use<R> {
    let entries = zip_entries(archive).into_iter();
    let pictures = entries.filter(|(name, _)| !is_fields(name));
    pictures.map(|(name, _)| {
        let bytes = Ok(Vec::new());
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

    fn gz_of(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).expect("memory");
        packed.finish().expect("memory")
    }

    /// A tar archive of one entry of a kind, with `bytes`, and what is said of their number.
    fn entry_of(kind: tar::EntryType, name: &str, bytes: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_path(name).expect("a short name");
        header.set_size(bytes.len() as u64);
        if kind.is_gnu_sparse() {
            header.as_gnu_mut().expect("a GNU header").set_real_size(0);
        }
        header.set_cksum();
        let mut entry = header.as_bytes().to_vec();
        entry.extend_from_slice(bytes);
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    }

    fn count(name: &str, bytes: &[u8]) -> Result<u64, ManifestError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        super::super::count_photos(&path)
    }

    #[test]
    fn archives_one_after_the_other_are_one() {
        let second = tar_of(&[("b/9.jpg", b"nine")]);
        let tar = [tar_of(&MEMBERS), second.clone()].concat();
        for (name, bytes) in [
            ("x.tar", tar),
            (
                "x.tar.gz",
                [gz_of(&tar_of(&MEMBERS)), gz_of(&second)].concat(),
            ),
        ] {
            let listings = read(name, &bytes);
            check_last(&listings, b"nine");
            assert_eq!(listings.len(), 4, "{name}");
        }
    }

    fn check_last(listings: &Read, photo: &[u8]) {
        let (listing, places) = listings.last().expect("some").as_ref().expect("good");
        assert_eq!(listing.listing_id, "b/9");
        assert_eq!(places[..], [PhotoPlace::Held(photo.to_vec())]);
    }

    #[test]
    fn what_is_named_like_a_photo_and_is_no_file_is_told() {
        let mut tar = entry_of(tar::EntryType::Link, "1.jpg", b"");
        tar.extend(entry_of(tar::EntryType::Symlink, "2.jpg", b""));
        tar.extend(entry_of(tar::EntryType::Directory, "folder.jpg", b""));
        tar.extend(entry_of(tar::EntryType::Link, "other.txt", b""));
        tar.extend(entry_of(tar::EntryType::GNUSparse, "3.jpg", b""));
        tar.extend(tar_of(&[("4.jpg", b"four")]));
        let listings = read("x.tar", &tar);
        let places: Vec<_> = listings
            .iter()
            .map(|listing| &listing.as_ref().expect("good").1[0])
            .collect();
        assert_eq!(places.len(), 4);
        for (place, word) in places.iter().zip(["link", "link", "sparse"]) {
            assert!(
                matches!(place, PhotoPlace::Nowhere(reason) if reason.contains(word)),
                "{place:?}"
            );
        }
        assert_eq!(*places[3], PhotoPlace::Held(b"four".to_vec()));
    }

    #[test]
    fn long_names_and_attributes_are_read_up_to_a_bound() {
        let long = format!("{}.jpg", "n".repeat(200));
        let listings = read("x.tar", &tar_of(&[(long.as_str(), b"one")]));
        let (listing, _) = listings[0].as_ref().expect("a long name");
        assert_eq!(listing.listing_id, "n".repeat(200));
        let huge = vec![b'n'; MAX_HEADER_BYTES as usize + 5000];
        for (kind, bytes, word) in [
            (tar::EntryType::GNULongName, &huge[..], "before a member"),
            (tar::EntryType::GNULongLink, &huge[..], "before a member"),
            (tar::EntryType::XHeader, &huge[..], "before a member"),
            (tar::EntryType::GNULongName, &huge[..5000], "5000 bytes"),
        ] {
            let mut tar = tar_of(&[("a.jpg", b"one")]);
            tar.extend(entry_of(kind, "long", bytes));
            tar.extend(tar_of(&[("b.jpg", b"two")]));
            let listings = read("x.tar", &tar);
            assert!(listings[0].is_ok(), "{kind:?}");
            let error = listings[1].as_ref().expect_err("too long").to_string();
            assert!(error.contains(word), "{error}");
            assert_eq!(listings.len(), 2);
        }
    }

    #[test]
    fn a_listing_of_too_many_photos_is_cut_and_says_so() {
        let names: Vec<String> = (0..MAX_LISTING_PHOTOS + 3)
            .map(|n| format!("a.{n}.jpg"))
            .collect();
        let members: Vec<(&str, &[u8])> = names
            .iter()
            .map(|name| (name.as_str(), b"" as &[u8]))
            .collect();
        let listings = read("x.tar", &tar_of(&members));
        assert_eq!(listings.len(), 1);
        let (listing, places) = listings[0].as_ref().expect("good");
        assert_eq!(places.len(), MAX_LISTING_PHOTOS + 1);
        assert_eq!(listing.photos.len(), places.len());
        let last = places.last().expect("one");
        assert!(matches!(last, PhotoPlace::Nowhere(reason) if reason.contains("more than")));
    }

    #[test]
    fn photos_are_counted_as_they_are_read() {
        let tar = tar_of(&MEMBERS);
        // Two photos, one, and a listing that is damaged.
        assert_eq!(count("x.tar", &tar).expect("readable"), 4);
        assert_eq!(count("x.tar.gz", &gz_of(&tar)).expect("readable"), 4);
        assert_eq!(count("x.tar", &tar[..1600]).expect("readable"), 2);
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, bytes) in MEMBERS {
            zip.start_file(name, zip::write::SimpleFileOptions::default())
                .expect("memory");
            zip.write_all(bytes).expect("memory");
        }
        let zip = zip.finish().expect("memory").into_inner();
        assert_eq!(count("x.zip", &zip).expect("readable"), 4);
    }

    #[test]
    fn an_archive_that_grows_beyond_its_budget_is_refused() {
        let tar = tar_of(&[("a.jpg", &[7; 5000]), ("b.jpg", b"two")]);
        let budgeted = |limit: u64| -> Vec<Result<Member, ManifestError>> {
            let reader = Budgeted::new(io::Cursor::new(tar.clone()), limit);
            tar_members("x.tar.gz", reader).collect()
        };
        assert!(budgeted(tar.len() as u64).iter().all(Result::is_ok));
        let cut = budgeted(3000);
        assert!(
            matches!(&cut[..], [Err(ManifestError::TooLarge { reason, .. })] if reason.contains("3000")),
            "{}",
            cut.len()
        );
    }

    #[test]
    fn a_zip_archive_whose_members_share_their_bytes_is_refused() {
        let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        zip.start_file("0.png", zip::write::SimpleFileOptions::default())
            .expect("memory");
        // Bytes that do not shrink.
        let mut state = 1u32;
        let bytes: Vec<u8> = (0..4000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        zip.write_all(&bytes).expect("memory");
        for n in 1..10 {
            zip.shallow_copy_file("0.png", &format!("{n}.png"))
                .expect("memory");
        }
        let bytes = zip.finish().expect("memory").into_inner();
        let error = count("x.zip", &bytes).expect_err("shared").to_string();
        assert!(error.contains("share"), "{error}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.zip");
        std::fs::write(&path, &bytes).expect("a file");
        assert!(read_archive(&path, "x.zip", ArchiveKind::Zip).is_err());
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
