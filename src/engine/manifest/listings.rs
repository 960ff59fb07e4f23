//! Listings to check: photos, folders of photos, manifests, archives, standard input.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::rows::{
    is_fetched, is_table_path, read_standard_input, read_table_named, resolve, scheme_of,
};
use super::{
    MAX_LISTING_PHOTOS, ManifestError, PhotoPlace, TableRow, archives, is_picture_path,
    pictures_under,
};
use crate::domain::{Listing, Seller, shortened};
use crate::fetch::StoreAddress;

/// Listings, each with where its photos are; `Listing::photos` keeps the texts of the manifest.
pub type Listings =
    Box<dyn Iterator<Item = Result<(Listing, Vec<PhotoPlace>), ManifestError>> + Send>;

/// Where the photos of a manifest are looked for.
#[derive(Debug, Clone)]
pub(super) enum Manifest {
    /// From its folder.
    Here(PathBuf),
    /// From its folder in the store, and nowhere on this machine.
    Stored(StoreAddress),
}

/// Everything that `source`, which is on this machine, names; see [`Source::listings`](super::Source::listings).
///
/// # Errors
/// [`ManifestError`] when `source` itself cannot be used; bad lines are errors in the sequence.
pub fn read_listings(source: &Path) -> Result<Listings, ManifestError> {
    if source == Path::new("-") {
        let manifest = Manifest::Here(PathBuf::new());
        return Ok(Box::new(
            read_standard_input().map(move |row| placed_row(&manifest, &row?)),
        ));
    }
    let metadata = match std::fs::metadata(source) {
        Ok(metadata) => metadata,
        Err(_) if is_pattern(source) => return read_pattern(source),
        Err(cause) => {
            return Err(ManifestError::Unreadable {
                path: source.to_owned(),
                cause,
            });
        }
    };
    if metadata.is_dir() {
        return Ok(Box::new(read_folder(source)));
    }
    if is_table_path(source) {
        return read_table_listings(source, Manifest::Here(source.to_owned()));
    }
    if let Some(kind) = archives::kind_of(source) {
        return archives::read_archive(source, &source.display().to_string(), kind);
    }
    if is_picture_path(source) {
        let name = source.display().to_string();
        let photo = single_photo(name, PhotoPlace::File(source.to_owned()));
        return Ok(Box::new(std::iter::once(Ok(photo))));
    }
    Err(ManifestError::UnknownType {
        path: source.to_owned(),
    })
}

/// Photos of `source`, and lines that cannot be read: the length of a scan of it. Of an archive the photos
/// are not held, and those of a zip archive not even read.
///
/// # Errors
/// As [`read_listings`], and [`ManifestError::TooLarge`] for a compressed archive that grows without end.
pub fn count_photos(source: &Path) -> Result<u64, ManifestError> {
    let listings = match archives::kind_of(source) {
        Some(kind) => archives::read_names(source, &source.display().to_string(), kind)?,
        None => read_listings(source)?,
    };
    let mut n_photos = 0;
    for listing in listings {
        n_photos += match listing {
            Ok((_, places)) => places.len() as u64,
            Err(error @ ManifestError::TooLarge { .. }) => return Err(error),
            Err(_) => 1,
        };
    }
    Ok(n_photos)
}

/// The listings of a manifest, which is read from `path`.
pub(super) fn read_table_listings(
    path: &Path,
    manifest: Manifest,
) -> Result<Listings, ManifestError> {
    let name = match &manifest {
        Manifest::Here(path) => path.clone(),
        Manifest::Stored(address) => address.to_string().into(),
    };
    let table = read_table_named(path, &name)?;
    let table = table.ok_or(ManifestError::UnknownType { path: name })?;
    Ok(Box::new(table.map(move |row| placed_row(&manifest, &row?))))
}

fn read_folder(
    folder: &Path,
) -> impl Iterator<Item = Result<(Listing, Vec<PhotoPlace>), ManifestError>> + use<> {
    let root = folder.to_owned();
    pictures_under(folder).map(move |file| {
        let file = file?;
        let name = file
            .strip_prefix(&root)
            .unwrap_or(&file)
            .display()
            .to_string();
        Ok(single_photo(name, PhotoPlace::File(file)))
    })
}

fn is_pattern(source: &Path) -> bool {
    source.to_string_lossy().contains(['*', '?', '['])
}

/// Folders that fit are passed over; a file of unknown kind is an error in its place.
fn read_pattern(source: &Path) -> Result<Listings, ManifestError> {
    let pattern = source.to_string_lossy().into_owned();
    let bad = |reason: String| ManifestError::BadPattern {
        pattern: pattern.clone(),
        reason,
    };
    let fitting = glob::glob(&pattern).map_err(|cause| bad(cause.to_string()))?;
    let mut fitting = fitting
        .filter(|found| !found.as_ref().is_ok_and(|path| path.is_dir()))
        .peekable();
    if fitting.peek().is_none() {
        return Err(bad("no file fits this pattern".to_owned()));
    }
    Ok(Box::new(fitting.flat_map(|found| -> Listings {
        let opened = match found {
            Ok(path) => read_listings(&path),
            Err(error) => Err(ManifestError::Unreadable {
                path: error.path().to_owned(),
                cause: error.into(),
            }),
        };
        opened.unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
    })))
}

/// The one listing of a file that holds a JSON object, with where its photos are.
///
/// # Errors
/// [`ManifestError::Unreadable`] for the file, [`ManifestError::BadLine`] for what is in it.
pub fn read_listing(path: &Path) -> Result<(Listing, Vec<PhotoPlace>), ManifestError> {
    let text = std::fs::read(path).map_err(|cause| ManifestError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let source_name = path.display().to_string();
    let fields = serde_json::from_slice(&text).map_err(|cause| ManifestError::BadLine {
        source_name: source_name.clone(),
        reason: format!("not a JSON object: {cause}"),
    })?;
    let row = TableRow {
        source_name,
        fields,
    };
    placed_row(&Manifest::Here(path.to_owned()), &row)
}

/// A photo that is a listing of its own.
pub(super) fn single_photo(name: String, place: PhotoPlace) -> (Listing, Vec<PhotoPlace>) {
    let listing = Listing {
        listing_id: name.clone(),
        photos: vec![name],
        ..Listing::default()
    };
    (listing, vec![place])
}

/// Characters of what names a photo and is no text that are told.
const MAX_SHOWN_CHARS: usize = 100;
/// Columns that a CSV manifest may use for the seller's fields.
const SELLER_COLUMNS: [(&str, &str); 3] = [
    ("seller_id", "id"),
    ("seller_name", "name"),
    ("seller_country", "country"),
];

fn placed_row(
    manifest: &Manifest,
    row: &TableRow,
) -> Result<(Listing, Vec<PhotoPlace>), ManifestError> {
    let (names, places): (Vec<_>, Vec<_>) = photos_of(row)?
        .into_iter()
        .map(|part| match part {
            Ok(text) => {
                let place = place(manifest, &text);
                (text, place)
            }
            Err(other) => {
                let reason = "a photo is named by a text, which this is not".to_owned();
                (
                    shortened(&other, MAX_SHOWN_CHARS),
                    PhotoPlace::Nowhere(reason),
                )
            }
        })
        .unzip();
    Ok((listing_of(row, names)?, places))
}

fn place(manifest: &Manifest, text: &str) -> PhotoPlace {
    match (scheme_of(text), manifest) {
        (None | Some("file"), Manifest::Here(path)) => PhotoPlace::File(resolve(path, text)),
        (None, Manifest::Stored(address)) => match address.beside(text) {
            Ok(photo) => PhotoPlace::Address(photo.to_string()),
            Err(error) => PhotoPlace::Nowhere(error.to_string()),
        },
        (Some("file"), Manifest::Stored(_)) => {
            PhotoPlace::Nowhere("a manifest in a store names no files of this machine".to_owned())
        }
        (Some(scheme), _) if is_fetched(scheme) => PhotoPlace::Address(text.to_owned()),
        (Some(scheme), _) => PhotoPlace::Nowhere(format!(
            "{scheme}: addresses are not fetched, only http:, https:, s3:, gs: and az: ones"
        )),
    }
}

/// The photos of a row as [`TableRow::parts`] gives them, one at least.
fn photos_of(row: &TableRow) -> Result<Vec<Result<String, String>>, ManifestError> {
    let photos = ["photos", "photo", "path"]
        .iter()
        .map(|column| row.parts(column))
        .find(|photos| !photos.is_empty());
    let bad = |reason| ManifestError::BadLine {
        source_name: row.source_name.clone(),
        reason,
    };
    match photos {
        None => Err(bad(row.nothing_in("photos"))),
        Some(photos) if photos.len() > MAX_LISTING_PHOTOS => Err(bad(format!(
            "{} photos, but a listing has {MAX_LISTING_PHOTOS} at most",
            photos.len()
        ))),
        Some(photos) => Ok(photos),
    }
}

/// The listing of a row, with these photos, one at least.
pub(super) fn listing_of(row: &TableRow, photos: Vec<String>) -> Result<Listing, ManifestError> {
    let listing_id = row.text("listing_id").unwrap_or_else(|| photos[0].clone());
    let mut other = row.fields.clone();
    for column in ["listing_id", "photos", "photo", "path", "seller"] {
        other.remove(column);
    }
    let seller = seller_of(row, &mut other)?;
    Ok(Listing {
        listing_id,
        photos,
        seller,
        other,
    })
}

fn seller_of(
    row: &TableRow,
    other: &mut Map<String, Value>,
) -> Result<Option<Seller>, ManifestError> {
    if let Some(value @ Value::Object(_)) = row.fields.get("seller") {
        let seller =
            Seller::deserialize_lenient(value).map_err(|cause| ManifestError::BadLine {
                source_name: row.source_name.clone(),
                reason: format!("seller: {cause}"),
            })?;
        return Ok(Some(seller));
    }
    let mut seller = Seller {
        name: row.text("seller"),
        ..Seller::default()
    };
    for (column, field) in SELLER_COLUMNS {
        let text = row.text(column);
        other.remove(column);
        match field {
            "id" => seller.id = text,
            "name" => seller.name = text.or(seller.name.take()),
            _ => seller.country = text,
        }
    }
    Ok((seller != Seller::default()).then_some(seller))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(name: &str, text: &str) -> Vec<Result<(Listing, Vec<PhotoPlace>), ManifestError>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        read_listings(&path).expect("readable").collect()
    }

    #[test]
    fn jsonl_keeps_unknown_fields_and_the_seller() {
        let text = r#"{"listing_id":7,"photos":["a.jpg","b.jpg"],"seller":{"id":12,"rating":4.5},"price":9.5,"colour":"red"}"#;
        let listings = read("l.jsonl", text);
        let (listing, paths) = listings[0].as_ref().expect("good");
        assert_eq!((listing.listing_id.as_str(), paths.len()), ("7", 2));
        assert_eq!(listing.other["colour"], "red");
        let seller = listing.seller.as_ref().expect("a seller");
        assert_eq!(seller.id.as_deref(), Some("12"));
        assert_eq!(seller.other["rating"], 4.5);
    }

    #[test]
    fn what_is_named_by_no_text_is_a_photo_that_is_nowhere() {
        let text = r#"{"listing_id":"L","photos":["a.jpg",{"url":"b.jpg"},3,null,"c.jpg"]}"#;
        let listings = read("l.jsonl", text);
        let (listing, places) = listings[0].as_ref().expect("good");
        assert_eq!(
            listing.photos,
            ["a.jpg", r#"{"url":"b.jpg"}"#, "3", "c.jpg"]
        );
        let are_nowhere: Vec<_> = places
            .iter()
            .map(|place| matches!(place, PhotoPlace::Nowhere(_)))
            .collect();
        assert_eq!(are_nowhere, [false, true, true, false]);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("l.json");
        fs::write(&path, text).expect("a file");
        let (alone, places) = read_listing(&path).expect("good");
        assert_eq!(alone.photos, listing.photos);
        assert!(matches!(places[1], PhotoPlace::Nowhere(_)));
        assert!(shortened(&"é".repeat(300), MAX_SHOWN_CHARS).len() < 210);
    }

    #[test]
    fn a_listing_of_too_many_photos_is_an_error_of_its_line() {
        let photos = vec!["a.jpg"; MAX_LISTING_PHOTOS + 1].join("|");
        let listings = read("l.csv", &format!("photos\n{photos}\nb.jpg\n"));
        assert!(listings[0].is_err() && listings[1].is_ok());
    }

    #[test]
    fn photos_and_bad_lines_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("l.csv");
        fs::write(&path, "photos\na.jpg|b.jpg\nc.jpg,d\ne.jpg\n").expect("a file");
        assert_eq!(count_photos(&path).expect("readable"), 4);
        assert!(count_photos(&folder.path().join("absent.zip")).is_err());
    }

    #[test]
    fn csv_needs_photos_and_names_listings_by_photo_otherwise() {
        let listings = read(
            "l.csv",
            "photos,title,seller_name\na.jpg|b.jpg,Shoe,Joe\n,Bag,Ann\n",
        );
        let (listing, paths) = listings[0].as_ref().expect("good");
        assert_eq!((listing.listing_id.as_str(), paths.len()), ("a.jpg", 2));
        let seller = listing.seller.as_ref().expect("a seller");
        assert_eq!(seller.name.as_deref(), Some("Joe"));
        assert!(
            listings[1]
                .as_ref()
                .expect_err("no photos")
                .to_string()
                .contains("line 3")
        );
    }

    #[test]
    fn addresses_are_told_from_files() {
        let text =
            "photos\nhttps://x/a.jpg|file:///p/b.jpg|HTTP://x/c.jpg|ftp://x/d.jpg|s3://x/e.jpg\n";
        let listings = read("l.csv", text);
        let (_, places) = listings[0].as_ref().expect("good");
        assert_eq!(places[0], PhotoPlace::Address("https://x/a.jpg".into()));
        assert_eq!(places[1], PhotoPlace::File("/p/b.jpg".into()));
        assert_eq!(places[2], PhotoPlace::Address("HTTP://x/c.jpg".into()));
        assert!(matches!(&places[3], PhotoPlace::Nowhere(reason) if reason.contains("ftp:")));
        assert_eq!(places[4], PhotoPlace::Address("s3://x/e.jpg".into()));
    }

    #[test]
    fn a_manifest_in_a_store_leads_to_no_file_of_this_machine() {
        let manifest = Manifest::Stored("s3://shop/lists/l.csv".parse().expect("an address"));
        for (text, at) in [
            ("a.jpg", Some("s3://shop/lists/a.jpg")),
            ("../a b.jpg", Some("s3://shop/a b.jpg")),
            ("/etc/passwd", Some("s3://shop/etc/passwd")),
            ("gs://other/a.jpg", Some("gs://other/a.jpg")),
            ("../../etc/passwd", None),
            ("file:///etc/passwd", None),
        ] {
            match (place(&manifest, text), at) {
                (PhotoPlace::Address(found), Some(at)) => assert_eq!(found, at, "{text}"),
                (PhotoPlace::Nowhere(_), None) => {}
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn patterns_name_files_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.jpg", "a.png", "c.txt"] {
            fs::write(folder.path().join(name), b"").expect("a file");
        }
        let all = |pattern: &str| read_listings(&folder.path().join(pattern));
        let photos: Vec<_> = all("[ab].*").expect("two").collect();
        let ids = photos
            .iter()
            .map(|listing| &listing.as_ref().expect("good").0.listing_id);
        let ids: Vec<_> = ids
            .map(|id| Path::new(id).file_name().expect("a name"))
            .collect();
        assert_eq!(ids, ["a.png", "b.jpg"]);
        let message = all("x*").err().expect("none fits").to_string();
        assert!(
            message.contains("x*") && message.contains("no file fits"),
            "{message}"
        );
        assert!(all("*").expect("three").any(|listing| listing.is_err()));
    }
}
