//! Photos whose check was promised and is not done: held through a restart.

use rusqlite::{OptionalExtension, params};

use super::PendingPhoto;
use super::sightings::json_text;
use crate::store::{Store, StoreError, rows};

impl Store {
    /// Holds photos until they are checked; on disk when this returns. Gives their ids in order.
    ///
    /// # Errors
    /// Those of the database.
    pub fn hold_photos(&self, photos: &[PendingPhoto]) -> Result<Vec<i64>, StoreError> {
        self.connections.write(|w| {
            let mut statement = w.conn().prepare_cached(
                "INSERT INTO pending_photos (listing, name, bytes, keeping)
                 VALUES (?1, ?2, ?3, ?4)",
            )?;
            let hold = |photo: &PendingPhoto| {
                let (listing, keeping) = (json_text(&photo.listing), json_text(&photo.keeping));
                Ok(statement.insert(params![listing, photo.name, photo.bytes, keeping])?)
            };
            photos.iter().map(hold).collect()
        })
    }

    /// The first photo held behind `after`.
    ///
    /// # Errors
    /// Those of the database, [`StoreError::BadRow`] for a row that someone else wrote.
    pub fn next_held_photo(&self, after: i64) -> Result<Option<(i64, PendingPhoto)>, StoreError> {
        self.connections.read_one(|conn| {
            let found: Option<(i64, String, String, Vec<u8>, String)> = conn
                .prepare_cached(
                    "SELECT id, listing, name, bytes, keeping FROM pending_photos
                     WHERE id > ?1 ORDER BY id LIMIT 1",
                )?
                .query_row([after], |row| row.try_into())
                .optional()?;
            let Some((id, listing, name, bytes, keeping)) = found else {
                return Ok(None);
            };
            let bad = |cause: serde_json::Error| rows::bad_row("pending_photos", id, cause);
            let photo = PendingPhoto {
                listing: serde_json::from_str(&listing).map_err(bad)?,
                name,
                bytes,
                keeping: serde_json::from_str(&keeping).map_err(bad)?,
            };
            Ok(Some((id, photo)))
        })
    }

    /// The photo held last; 0 when none is.
    ///
    /// # Errors
    /// Those of the database.
    pub fn last_held_photo(&self) -> Result<i64, StoreError> {
        self.connections.read_one(|conn| {
            let last = conn.query_row("SELECT ifnull(max(id), 0) FROM pending_photos", [], |row| {
                row.get(0)
            });
            Ok(last?)
        })
    }

    /// Lets go of photos that were checked.
    ///
    /// # Errors
    /// Those of the database.
    pub fn release_photo(&self, id: i64) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn()
                .execute("DELETE FROM pending_photos WHERE id = ?1", [id])?;
            Ok(())
        })
    }
}
