//! Listings whose fields were kept.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sightings::{end_of, json_text};
use super::{ListingRecord, ListingRowId, retention};
use crate::domain::{AuditAction, Keep, Keeping, Listing};
use crate::store::{Store, StoreError, rows};

/// Columns of [`listing`], in its order.
const COLUMNS: &str = "l.id, l.document, l.created_at, l.updated_at, l.keep_until,
    (SELECT count(*) FROM findings AS f JOIN sightings AS s ON s.id = f.sighting_id
     WHERE s.listing = l.id)";

impl Store {
    /// Keeps a listing as `keeping` says, and gives what it is kept as; nothing of one without an id.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put_listing(
        &self,
        listing: &Listing,
        keeping: Keeping,
    ) -> Result<Option<ListingRowId>, StoreError> {
        if listing.listing_id.is_empty() || keeping.keep == Keep::Nothing {
            return Ok(None);
        }
        self.connections
            .write(|w| Ok(Some(ListingRowId(put(w.conn(), listing, keeping)?))))
    }

    /// Listings whose fields were kept, the last one kept first; behind the place `after`. Each comes
    /// with its place.
    ///
    /// # Errors
    /// Those of the database.
    pub fn listings(
        &self,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<(i64, ListingRecord)>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM listings AS l
                 WHERE document IS NOT NULL AND id < ?1 ORDER BY id DESC LIMIT ?2"
            ))?;
            let mut found = statement.query(params![after.unwrap_or(i64::MAX), limit])?;
            let mut listings = Vec::new();
            while let Some(row) = found.next()? {
                listings.push((row.get(0)?, listing(row)?));
            }
            Ok(listings)
        })
    }

    /// One listing.
    ///
    /// # Errors
    /// [`StoreError::NoSuchListing`], and those of the database.
    pub fn listing(&self, listing_id: &str) -> Result<ListingRecord, StoreError> {
        self.connections.read_one(|conn| {
            conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM listings AS l
                 WHERE listing_id = ?1 AND document IS NOT NULL"
            ))?
            .query_row([listing_id], |row| Ok(listing(row)))
            .optional()?
            .ok_or_else(|| no_such(listing_id))?
        })
    }

    /// Forgets a listing, its seller, and the photos that no other listing has, with all findings in
    /// it that nobody has decided on. What people decided on stays, without the seller. Checks of it that
    /// are under way, or held, keep nothing any more.
    ///
    /// # Errors
    /// [`StoreError::NoSuchListing`] for one that was never seen, and those of the database.
    pub fn remove_listing(&self, listing_id: &str) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let id: i64 = conn
                .prepare_cached("SELECT id FROM listings WHERE listing_id = ?1")?
                .query_row([listing_id], |row| row.get(0))
                .optional()?
                .ok_or_else(|| no_such(listing_id))?;
            let subject = format!("listing {listing_id}");
            w.audit(AuditAction::ListingRemoved, &subject, None)?;
            retention::forget_listing(conn, id)
        })
    }
}

/// Whether a listing was not forgotten since.
pub(super) fn is_kept(conn: &Connection, kept_as: ListingRowId) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM listings WHERE id = ?1")?
        .exists([kept_as.0])?)
}

fn no_such(listing_id: &str) -> StoreError {
    StoreError::NoSuchListing {
        listing_id: listing_id.to_owned(),
    }
}

/// Writes a listing, or renews it; gives its row. A document that was kept stays when it is checked
/// again without being kept.
pub(super) fn put(
    conn: &Connection,
    listing: &Listing,
    keeping: Keeping,
) -> Result<i64, StoreError> {
    let document = (keeping.keep >= Keep::Listing).then(|| json_text(listing));
    let seller = listing.seller.clone().unwrap_or_default();
    let id = conn
        .prepare_cached(
            "INSERT INTO listings (listing_id, seller_id, seller_name, seller_country, document,
                keep_until)
             VALUES (?1, ?2, ?3, ?4, ?5, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?6))
             ON CONFLICT (listing_id) DO UPDATE SET
                seller_id = ifnull(excluded.seller_id, seller_id),
                seller_name = ifnull(excluded.seller_name, seller_name),
                seller_country = ifnull(excluded.seller_country, seller_country),
                document = ifnull(excluded.document, document),
                updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),
                keep_until = max(keep_until, excluded.keep_until)
             RETURNING id",
        )?
        .query_row(
            params![
                listing.listing_id,
                seller.id,
                seller.name,
                seller.country,
                document,
                end_of(keeping)
            ],
            |row| row.get(0),
        )?;
    Ok(id)
}

fn listing(row: &Row<'_>) -> Result<ListingRecord, StoreError> {
    let id: i64 = row.get(0)?;
    let document: String = row.get(1)?;
    Ok(ListingRecord {
        listing: serde_json::from_str(&document)
            .map_err(|cause| rows::bad_row("listings", id, cause))?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
        keep_until: row.get(4)?,
        n_findings: row.get::<_, i64>(5)?.unsigned_abs(),
    })
}
