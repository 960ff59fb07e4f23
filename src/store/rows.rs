//! Between rows and plain types.

use std::error::Error;

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Descriptor, Features, IndexedPicture, Picture, StoreError};
use crate::domain::{
    Asset, AssetDraft, AssetId, Embedding, FileDigest, FindingId, ModelId, PictureId,
};

/// Columns of [`asset`], in its order; the brand stands as `brands`.
pub(super) const ASSET_COLUMNS: &str = "assets.id, brands.name, assets.name, kind,
    registration_number, valid_from, valid_until, notes, authorised_sellers, word_marks, enabled,
    (SELECT count(*) FROM pictures WHERE asset_id = assets.id), created_at";

/// Columns of [`picture`], in its order.
pub(super) const PICTURE_COLUMNS: &str =
    "id, asset_id, sha256, source_name, width, height, n_bytes, created_at, exemplar_of";

pub(super) type Cause = Box<dyn Error + Send + Sync>;

pub(super) fn bad_row(table: &'static str, id: i64, source: impl Into<Cause>) -> StoreError {
    let source = source.into();
    StoreError::BadRow { table, id, source }
}

/// Reads a row of [`ASSET_COLUMNS`].
pub(super) fn asset(row: &Row<'_>) -> Result<Asset, StoreError> {
    let id: i64 = row.get(0)?;
    let kind: String = row.get(3)?;
    let bad = |cause: Cause| bad_row("assets", id, cause);
    Ok(Asset {
        id: AssetId(id),
        draft: AssetDraft {
            brand: row.get(1)?,
            name: row.get(2)?,
            kind: kind.parse().map_err(|e| bad_row("assets", id, e))?,
            registration_number: row.get(4)?,
            valid_from: day(row.get(5)?).map_err(bad)?,
            valid_until: day(row.get(6)?).map_err(bad)?,
            notes: row.get(7)?,
            authorised_sellers: list(&row.get::<_, String>(8)?).map_err(bad)?,
            word_marks: list(&row.get::<_, String>(9)?).map_err(bad)?,
        },
        enabled: row.get(10)?,
        n_pictures: row.get::<_, i64>(11)?.unsigned_abs(),
        created_at: row.get(12)?,
    })
}

fn day(text: Option<String>) -> Result<Option<Date>, Cause> {
    Ok(text.map(|text| text.parse()).transpose()?)
}

fn list(text: &str) -> Result<Vec<String>, Cause> {
    Ok(serde_json::from_str(text)?)
}

/// A list as its column keeps it, a JSON array.
pub(super) fn list_text(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}

/// Finds an asset by the names of its brand and itself, letter for letter.
pub(super) fn find_asset(
    conn: &Connection,
    brand: &str,
    name: &str,
) -> Result<Option<Asset>, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT {ASSET_COLUMNS} FROM assets JOIN brands ON brands.id = brand_id
         WHERE brands.name = ?1 AND assets.name = ?2"
    ))?
    .query_row([brand, name], |row| Ok(asset(row)))
    .optional()?
    .transpose()
}

/// One asset.
pub(super) fn asset_with(conn: &Connection, id: AssetId) -> Result<Asset, StoreError> {
    conn.prepare_cached(&format!(
        "SELECT {ASSET_COLUMNS} FROM assets JOIN brands ON brands.id = brand_id
         WHERE assets.id = ?1"
    ))?
    .query_row([id.0], |row| Ok(asset(row)))
    .optional()?
    .ok_or(StoreError::NoSuchAsset { id })?
}

/// Reads a row of [`PICTURE_COLUMNS`].
pub(super) fn picture(row: &Row<'_>) -> rusqlite::Result<Picture> {
    Ok(Picture {
        id: PictureId(row.get(0)?),
        asset_id: AssetId(row.get(1)?),
        sha256: FileDigest(row.get(2)?),
        source_name: row.get(3)?,
        width: row.get(4)?,
        height: row.get(5)?,
        n_bytes: row.get::<_, i64>(6)?.unsigned_abs(),
        created_at: row.get(7)?,
        exemplar_of: row.get::<_, Option<_>>(8)?.map(FindingId),
    })
}

/// The pictures with this digest, and whose they are.
pub(super) fn pictures_with(
    conn: &Connection,
    digest: &FileDigest,
) -> Result<Vec<(AssetId, PictureId)>, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT asset_id, id FROM pictures WHERE sha256 = ?1 ORDER BY id")?;
    let found = statement.query_map(params![digest.0], |row| {
        Ok((AssetId(row.get(0)?), PictureId(row.get(1)?)))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Reads `id, asset_id, width, height, hash, exemplar_of`, and then the picture's vectors, and its features if
/// they are wanted.
pub(super) fn indexed_picture(
    conn: &Connection,
    row: &Row<'_>,
    with_features: bool,
) -> Result<IndexedPicture, StoreError> {
    let id = PictureId(row.get(0)?);
    let features = match with_features {
        true => features(conn, id)?,
        false => Vec::new(),
    };
    Ok(IndexedPicture {
        id,
        asset_id: AssetId(row.get(1)?),
        width: row.get(2)?,
        height: row.get(3)?,
        hash: row.get(4)?,
        exemplar_of: row.get::<_, Option<_>>(5)?.map(FindingId),
        descriptors: descriptors(conn, id)?,
        features,
    })
}

fn descriptors(conn: &Connection, picture: PictureId) -> Result<Vec<Descriptor>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT d.id, d.space, d.variant, models.name, d.vector
         FROM descriptors AS d
         JOIN spaces ON spaces.space = d.space AND spaces.model_id = d.model_id
         JOIN models ON models.id = d.model_id
         WHERE d.picture_id = ?1 ORDER BY d.id",
    )?;
    let mut rows = statement.query([picture.0])?;
    let mut descriptors = Vec::new();
    while let Some(row) = rows.next()? {
        descriptors.push(Descriptor {
            space: row.get(1)?,
            variant: row.get(2)?,
            model: ModelId(row.get(3)?),
            embedding: vector(row.get_ref(4)?.as_bytes().map_err(rusqlite::Error::from)?).map_err(
                |cause| match row.get(0) {
                    Ok(id) => bad_row("descriptors", id, cause),
                    Err(error) => StoreError::Sqlite(error),
                },
            )?,
        });
    }
    Ok(descriptors)
}

/// Local features of a picture.
pub(super) fn features(conn: &Connection, picture: PictureId) -> Result<Vec<Features>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT kind, variant, bytes FROM features WHERE picture_id = ?1 ORDER BY id",
    )?;
    let found = statement.query_map([picture.0], |row| {
        Ok(Features {
            kind: row.get(0)?,
            variant: row.get(1)?,
            bytes: row.get(2)?,
        })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// A vector as its column keeps it: `f32`, little-endian, one after the other.
pub(super) fn vector_bytes(embedding: &Embedding) -> Vec<u8> {
    embedding
        .as_slice()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect()
}

fn vector(bytes: &[u8]) -> Result<Embedding, Cause> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("vector of {} bytes, not a multiple of 4", bytes.len()).into());
    }
    let numbers = numbers.iter().map(|&number| f32::from_le_bytes(number));
    Ok(Embedding::new(numbers.collect())?)
}
