//! Looking things up.

use rusqlite::{OptionalExtension, params};

use super::{AssetFilter, AssetRecord, Features, Picture, Store, StoreError, rows, write};
use crate::domain::{Asset, AssetId, Brand, BrandId, FileDigest, PictureId};

/// Assets read at a time by [`Store::records`].
const PAGE: u32 = 256;

impl Store {
    /// All brands, by name.
    ///
    /// # Errors
    /// Those of the database.
    pub fn brands(&self) -> Result<Vec<Brand>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, name, (SELECT count(*) FROM assets WHERE brand_id = brands.id)
                 FROM brands ORDER BY name",
            )?;
            let brands = statement.query_map([], |row| {
                Ok(Brand {
                    id: BrandId(row.get(0)?),
                    name: row.get(1)?,
                    n_assets: row.get::<_, i64>(2)?.unsigned_abs(),
                })
            })?;
            Ok(brands.collect::<Result<_, _>>()?)
        })
    }

    /// The assets that pass the filter, oldest first.
    ///
    /// # Errors
    /// Those of the database, [`StoreError::BadRow`] for a row that someone else wrote.
    pub fn assets(&self, filter: &AssetFilter) -> Result<Vec<Asset>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {} FROM assets JOIN brands ON brands.id = brand_id
                 WHERE (?1 IS NULL OR brands.name = ?1)
                   AND (?2 IS NULL OR kind = ?2)
                   AND (?3 IS NULL OR enabled = ?3)
                   AND (?4 IS NULL OR instr(lower(assets.name), lower(?4)) > 0)
                   AND assets.id > ?5
                   AND (?7 IS NULL OR brands.name IN (SELECT value FROM json_each(?7)))
                 ORDER BY assets.id LIMIT ?6",
                rows::ASSET_COLUMNS
            ))?;
            let mut found = statement.query(params![
                filter.brand,
                filter.kind.map(|kind| kind.as_str()),
                filter.enabled,
                filter.name_contains,
                filter.after.map_or(0, |id| id.0),
                filter.limit.map_or(-1, i64::from),
                filter.brands.as_deref().map(rows::list_text),
            ])?;
            let mut assets = Vec::new();
            while let Some(row) = found.next()? {
                assets.push(rows::asset(row)?);
            }
            Ok(assets)
        })
    }

    /// One asset.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAsset`], and those of the database.
    pub fn asset(&self, id: AssetId) -> Result<Asset, StoreError> {
        self.connections.read_one(|conn| rows::asset_with(conn, id))
    }

    /// The asset that a brand has under a name, letter for letter.
    ///
    /// # Errors
    /// Those of the database.
    pub fn find_asset(&self, brand: &str, name: &str) -> Result<Option<Asset>, StoreError> {
        self.connections
            .read_one(|conn| rows::find_asset(conn, brand, name))
    }

    /// The pictures of an asset, oldest first; none for an asset that does not exist.
    ///
    /// # Errors
    /// Those of the database.
    pub fn pictures_of(&self, asset: AssetId) -> Result<Vec<Picture>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {} FROM pictures WHERE asset_id = ?1 ORDER BY id",
                rows::PICTURE_COLUMNS
            ))?;
            let pictures = statement.query_map([asset.0], rows::picture)?;
            Ok(pictures.collect::<Result<_, _>>()?)
        })
    }

    /// The pictures that are this file, byte for byte, and whose they are. Asked before a picture is
    /// described, this spares describing one that is known.
    ///
    /// # Errors
    /// Those of the database.
    pub fn pictures_with(
        &self,
        digest: &FileDigest,
    ) -> Result<Vec<(AssetId, PictureId)>, StoreError> {
        self.connections
            .read_one(|conn| rows::pictures_with(conn, digest))
    }

    /// One picture, without its bytes.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPicture`], and those of the database.
    pub fn picture(&self, id: PictureId) -> Result<Picture, StoreError> {
        self.connections.read_one(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {} FROM pictures WHERE id = ?1",
                rows::PICTURE_COLUMNS
            ))?
            .query_row([id.0], rows::picture)
            .optional()?
            .ok_or(StoreError::NoSuchPicture { id })
        })
    }

    /// A picture's file, as it came.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPicture`], and those of the database.
    pub fn picture_bytes(&self, id: PictureId) -> Result<Vec<u8>, StoreError> {
        self.connections.read_one(|conn| {
            conn.prepare_cached("SELECT bytes FROM originals WHERE picture_id = ?1")?
                .query_row([id.0], |row| row.get(0))
                .optional()?
                .ok_or(StoreError::NoSuchPicture { id })
        })
    }

    /// Local features of a picture, in the order in which they were written.
    ///
    /// # Errors
    /// Those of the database.
    pub fn features(&self, id: PictureId) -> Result<Vec<Features>, StoreError> {
        self.connections.read_one(|conn| rows::features(conn, id))
    }

    /// Writes local features, each in place of those of the same kind and variant. Followers of
    /// [`stream_since`](Self::stream_since) see the picture as changed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPicture`], and those of the database.
    pub fn put_features(&self, id: PictureId, features: &[Features]) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let n_stamped = w.conn().execute(
                "UPDATE pictures SET revision = ?2 WHERE id = ?1",
                params![id.0, w.revision()?],
            )?;
            if n_stamped == 0 {
                return Err(StoreError::NoSuchPicture { id });
            }
            write::put_features(w.conn(), id, features)
        })
    }

    /// Every asset with its pictures, oldest first, read a few at a time: the lines of an export.
    /// What is registered or removed meanwhile may or may not be among them.
    pub fn records(&self) -> impl Iterator<Item = Result<AssetRecord, StoreError>> + '_ {
        let mut filter = AssetFilter {
            limit: Some(PAGE),
            ..AssetFilter::default()
        };
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if page.len() == 0 {
                page = match self.assets(&filter) {
                    Ok(assets) => assets.into_iter(),
                    Err(error) => return Some(Err(error)),
                };
            }
            let asset: Asset = page.next()?;
            filter.after = Some(asset.id);
            let pictures = self.pictures_of(asset.id);
            Some(pictures.map(|pictures| AssetRecord { asset, pictures }))
        })
    }

    /// A remark under a key of the caller's choosing.
    ///
    /// # Errors
    /// Those of the database.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()?)
        })
    }

    /// Writes the remark under a key.
    ///
    /// # Errors
    /// Those of the database.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "INSERT INTO meta VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key, value],
            )?;
            Ok(())
        })
    }

    /// What SQLite finds wrong with the file, empty when nothing is. Reads the whole database.
    ///
    /// # Errors
    /// Those of the database.
    pub fn check(&self) -> Result<Vec<String>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare("PRAGMA quick_check")?;
            let findings = statement.query_map([], |row| row.get::<_, String>(0))?;
            let findings = findings.collect::<Result<Vec<_>, _>>()?;
            Ok(findings.into_iter().filter(|line| line != "ok").collect())
        })
    }
}
