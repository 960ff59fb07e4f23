//! Photos whose check was promised and is not done: held through a restart.

use rusqlite::params;

use super::sightings::json_text;
use super::{ListingRowId, PendingPhoto, listings};
use crate::store::{Store, StoreError, rows};

impl Store {
    /// Holds photos until they are checked; on disk when this returns. Gives their ids in order; `None`
    /// for one that is not held, because its listing was forgotten since its check began.
    ///
    /// # Errors
    /// Those of the database.
    pub fn hold_photos(&self, photos: &[PendingPhoto]) -> Result<Vec<Option<i64>>, StoreError> {
        self.connections.write(|w| {
            let mut statement = w.conn().prepare_cached(
                "INSERT INTO pending_photos (listing, name, bytes, keeping)
                 VALUES (?1, ?2, ?3, ?4)",
            )?;
            let hold = |photo: &PendingPhoto| {
                if let Some(kept_as) = photo.kept_as
                    && !listings::is_kept(w.conn(), kept_as)?
                {
                    return Ok(None);
                }
                let (listing, keeping) = (json_text(&photo.listing), json_text(&photo.keeping));
                let id = statement.insert(params![listing, photo.name, photo.bytes, keeping])?;
                Ok(Some(id))
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
            let mut statement = conn.prepare_cached(
                "SELECT id, listing, name, bytes, keeping,
                    (SELECT l.id FROM listings AS l
                     WHERE l.listing_id = json_extract(p.listing, '$.listing_id'))
                 FROM pending_photos AS p WHERE id > ?1 ORDER BY id LIMIT 1",
            )?;
            let mut found = statement.query([after])?;
            let Some(row) = found.next()? else {
                return Ok(None);
            };
            let id: i64 = row.get(0)?;
            let text = |column| row.get::<_, String>(column);
            let bad = |cause: serde_json::Error| rows::bad_row("pending_photos", id, cause);
            let photo = PendingPhoto {
                listing: serde_json::from_str(&text(1)?).map_err(bad)?,
                // In one statement with the photo, which goes away when its listing is forgotten.
                kept_as: row.get::<_, Option<i64>>(5)?.map(ListingRowId),
                name: text(2)?,
                bytes: row.get(3)?,
                keeping: serde_json::from_str(&text(4)?).map_err(bad)?,
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
