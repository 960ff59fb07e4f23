//! Forgetting what has been kept long enough, or what someone asks to be forgotten.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::{Store, StoreError};

/// Answers are remembered for as long as a client may try again.
const ANSWERS_KEPT: &str = "-1 day";

impl Store {
    /// Forgets listings, photos and remembered answers whose time is up. Findings and decisions stay,
    /// and of their photos size, hash and whole vector, so that a rejection goes on to spare people
    /// near copies.
    ///
    /// # Errors
    /// Those of the database.
    pub fn forget_expired(&self) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            conn.execute_batch(
                "DELETE FROM photo_files WHERE keep_until < strftime('%Y-%m-%dT%H:%M:%SZ', 'now');
                 UPDATE photos SET description = NULL
                 WHERE keep_until < strftime('%Y-%m-%dT%H:%M:%SZ', 'now');
                 UPDATE listings SET document = NULL, seller_id = NULL, seller_name = NULL,
                    seller_country = NULL
                 WHERE keep_until < strftime('%Y-%m-%dT%H:%M:%SZ', 'now');",
            )?;
            conn.execute(
                "DELETE FROM remembered_answers
                 WHERE created_at < strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?1)",
                [ANSWERS_KEPT],
            )?;
            forget_unused(conn)
        })
    }
}

/// Forgets one listing; see [`Store::remove_listing`].
pub(super) fn forget_listing(conn: &Connection, id: i64) -> Result<(), StoreError> {
    conn.execute(
        "DELETE FROM pending_photos WHERE json_extract(listing, '$.listing_id') =
            (SELECT listing_id FROM listings WHERE id = ?1)",
        [id],
    )?;
    conn.execute(
        "DELETE FROM findings WHERE decision_id IS NULL
            AND NOT EXISTS (SELECT 1 FROM decisions WHERE finding_id = findings.id)
            AND sighting_id IN (SELECT id FROM sightings WHERE listing = ?1)",
        [id],
    )?;
    conn.execute(
        "UPDATE listings SET document = NULL, seller_id = NULL, seller_name = NULL,
            seller_country = NULL, keep_until = '' WHERE id = ?1",
        [id],
    )?;
    let only_here = "SELECT photo_id FROM sightings WHERE listing = ?1 EXCEPT
        SELECT photo_id FROM sightings WHERE listing IS NOT ?1";
    conn.execute(
        &format!("DELETE FROM photo_files WHERE photo_id IN ({only_here})"),
        [id],
    )?;
    conn.execute(
        &format!("UPDATE photos SET description = NULL, keep_until = '' WHERE id IN ({only_here})"),
        [id],
    )?;
    forget_unused(conn)?;
    move_rest(conn, id)
}

/// Gives what stays of a forgotten listing another row: checks that began before know the old one, and see
/// that it is gone.
fn move_rest(conn: &Connection, id: i64) -> Result<(), StoreError> {
    let listing_id: Option<String> = conn
        .query_row(
            "SELECT listing_id FROM listings WHERE id = ?1",
            [id],
            |row| row.get(0),
        )
        .optional()?;
    let Some(listing_id) = listing_id else {
        return Ok(());
    };
    // Ids are unique: until the old row is gone the new one has the empty id, which no listing is kept under.
    conn.execute(
        "INSERT INTO listings (listing_id, created_at, updated_at, keep_until)
         SELECT '', created_at, updated_at, keep_until FROM listings WHERE id = ?1",
        [id],
    )?;
    let rest = conn.last_insert_rowid();
    conn.execute(
        "UPDATE sightings SET listing = ?2 WHERE listing = ?1",
        [id, rest],
    )?;
    conn.execute("DELETE FROM listings WHERE id = ?1", [id])?;
    conn.execute(
        "UPDATE listings SET listing_id = ?2 WHERE id = ?1",
        params![rest, listing_id],
    )?;
    Ok(())
}

/// Removes sightings, photos and listings that nothing rests on any more.
fn forget_unused(conn: &Connection) -> Result<(), StoreError> {
    conn.execute_batch(
        "DELETE FROM sightings
         WHERE photo_id IN (SELECT id FROM photos WHERE description IS NULL)
            AND id NOT IN (SELECT sighting_id FROM findings);
         DELETE FROM photos WHERE description IS NULL
            AND id NOT IN (SELECT photo_id FROM sightings);
         DELETE FROM listings WHERE document IS NULL
            AND keep_until < strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
            AND id NOT IN (SELECT listing FROM sightings WHERE listing IS NOT NULL);",
    )?;
    Ok(())
}
