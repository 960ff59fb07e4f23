//! Listings to check: photos, folders of photos, manifests.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::rows::resolve;
use super::{ManifestError, TableRow, is_picture_path, pictures_under, read_table};
use crate::domain::{Listing, Seller};

/// Listings with the photos' paths resolved; `Listing::photos` keeps the texts of the manifest.
type Listings = Box<dyn Iterator<Item = Result<(Listing, Vec<PathBuf>), ManifestError>> + Send>;

/// Everything that `path` names: one photo, all photos of a folder (each a listing of its own, named
/// by its path within the folder), or the lines of a manifest.
///
/// # Errors
/// [`ManifestError`] when `path` itself cannot be used; bad lines are errors in the sequence.
pub fn read_listings(path: &Path) -> Result<Listings, ManifestError> {
    let metadata = std::fs::metadata(path).map_err(|cause| ManifestError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    if metadata.is_dir() {
        let folder = path.to_owned();
        let files = pictures_under(path);
        return Ok(Box::new(files.map(move |file| {
            let file = file?;
            let name = file
                .strip_prefix(&folder)
                .unwrap_or(&file)
                .display()
                .to_string();
            Ok(single_photo(name, file))
        })));
    }
    if let Some(table) = read_table(path)? {
        let manifest = path.to_owned();
        return Ok(Box::new(table.map(move |row| from_row(&manifest, &row?))));
    }
    if is_picture_path(path) {
        let name = path.display().to_string();
        return Ok(Box::new(std::iter::once(Ok(single_photo(
            name,
            path.to_owned(),
        )))));
    }
    Err(ManifestError::UnknownType {
        path: path.to_owned(),
    })
}

/// The one listing of a file that holds a JSON object, with its photos' paths resolved.
///
/// # Errors
/// [`ManifestError::Unreadable`] for the file, [`ManifestError::BadLine`] for what is in it.
pub fn read_listing(path: &Path) -> Result<(Listing, Vec<PathBuf>), ManifestError> {
    let text = std::fs::read(path).map_err(|cause| ManifestError::Unreadable {
        path: path.to_owned(),
        cause,
    })?;
    let source_name = path.display().to_string();
    let fields = serde_json::from_slice(&text).map_err(|cause| ManifestError::BadLine {
        source_name: source_name.clone(),
        reason: format!("not a JSON object: {cause}"),
    })?;
    from_row(
        path,
        &TableRow {
            source_name,
            fields,
        },
    )
}

fn single_photo(name: String, file: PathBuf) -> (Listing, Vec<PathBuf>) {
    let listing = Listing {
        listing_id: name.clone(),
        photos: vec![name],
        ..Listing::default()
    };
    (listing, vec![file])
}

/// Columns that a CSV manifest may use for the seller's fields.
const SELLER_COLUMNS: [(&str, &str); 3] = [
    ("seller_id", "id"),
    ("seller_name", "name"),
    ("seller_country", "country"),
];

fn from_row(manifest: &Path, row: &TableRow) -> Result<(Listing, Vec<PathBuf>), ManifestError> {
    let photos = ["photos", "photo", "path"]
        .iter()
        .map(|column| row.list(column))
        .find(|photos| !photos.is_empty())
        .ok_or_else(|| ManifestError::BadLine {
            source_name: row.source_name.clone(),
            reason: "no photos".to_owned(),
        })?;
    let listing_id = row.text("listing_id").unwrap_or_else(|| photos[0].clone());
    let mut other = row.fields.clone();
    for column in ["listing_id", "photos", "photo", "path", "seller"] {
        other.remove(column);
    }
    let seller = seller_of(row, &mut other)?;
    let paths = photos.iter().map(|text| resolve(manifest, text)).collect();
    let listing = Listing {
        listing_id,
        photos,
        seller,
        other,
    };
    Ok((listing, paths))
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

    fn read(name: &str, text: &str) -> Vec<Result<(Listing, Vec<PathBuf>), ManifestError>> {
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
}
