//! Archives that are whole, long, damaged, or made to cost much.

use std::io::{self, Write};
use std::path::Path;

use super::super::{MAX_LISTING_PHOTOS, ManifestError, PhotoPlace, count_photos};
use super::tar::{Budgeted, MAX_HEADER_BYTES, tar_members};
// Not all of it: its modules have the names of the libraries.
use super::{ArchiveKind, Member, kind_of, read_archive};
use crate::domain::Listing;

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
    count_photos(&path)
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
    // Damage in the middle is no end: it would be said again each time.
    let mut damaged = tar.clone();
    damaged[100..108].fill(b'x');
    let listings = read("x.tar", &damaged);
    let error = listings.last().expect("told").as_ref();
    assert!(!error.expect_err("damaged").ends_the_source());
    assert!(read_archive(Path::new("absent.tar"), "absent.tar", ArchiveKind::Tar).is_err());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.zip");
    std::fs::write(&path, b"PK no zip").expect("a file");
    assert!(read_archive(&path, "x.zip", ArchiveKind::Zip).is_err());
}
