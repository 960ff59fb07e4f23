//! Keeping what was seen, and finding near copies of it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{
    KnownSighting, NearPhoto, NewFinding, NewPhoto, NewSighting, Precedent, SightingId, decisions,
    listings,
};
use crate::domain::{
    AssetId, DecisionId, FileDigest, FindingId, FindingSource, FindingStatus, Keep, Keeping,
    Listing, ModelId, Opinion, PhotoId,
};
use crate::store::webhooks::events;
use crate::store::{Store, StoreError, rows};

/// Parts that a hash is cut into; of two that differ in fewer bits than this, one part is the same.
const N_PARTS: usize = 8;
/// Near photos given out at most: blank pictures all share their parts.
const MAX_NEAR: u32 = 256;

impl Store {
    /// Photos that share at least an eighth of `hash`, newest first: all whose hash differs in up to
    /// seven bits are among them, unless there are more than 256.
    ///
    /// # Errors
    /// Those of the database.
    pub fn photos_near(&self, hash: &[u8]) -> Result<Vec<NearPhoto>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT cluster_id, hash, whole, model FROM photos WHERE id IN (
                    SELECT photo_id FROM photo_hash_parts
                    WHERE (part, bytes) IN (VALUES (0, ?1), (1, ?2), (2, ?3), (3, ?4), (4, ?5),
                        (5, ?6), (6, ?7), (7, ?8)))
                 ORDER BY id DESC LIMIT ?9",
            )?;
            let parts = parts(hash);
            let near = statement.query_map(
                params![
                    parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7],
                    MAX_NEAR
                ],
                |row| {
                    Ok(NearPhoto {
                        cluster: PhotoId(row.get(0)?),
                        hash: row.get(1)?,
                        whole: row.get(2)?,
                        model: ModelId(row.get(3)?),
                    })
                },
            )?;
            Ok(near.collect::<Result<_, _>>()?)
        })
    }

    /// The cluster of the photo with this digest; `None` when it was not seen.
    ///
    /// # Errors
    /// Those of the database.
    pub fn cluster_of_photo(&self, sha256: &FileDigest) -> Result<Option<PhotoId>, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached("SELECT cluster_id FROM photos WHERE sha256 = ?1")?
                .query_row([sha256.0], |row| row.get(0).map(PhotoId))
                .optional()?)
        })
    }

    /// What people said last of an asset in a cluster of photos; what they were unsure of is not said.
    ///
    /// # Errors
    /// Those of the database.
    pub fn precedent(
        &self,
        cluster: PhotoId,
        asset: AssetId,
    ) -> Result<Option<Precedent>, StoreError> {
        self.connections
            .read_one(|conn| precedent(conn, cluster, asset))
    }

    /// Keeps what is known of a photo that was seen in no listing that is kept, and its file if that is given, for so
    /// many days; on disk when this returns.
    ///
    /// # Errors
    /// Those of the database; nothing is kept then.
    pub fn keep_photo(&self, photo: &NewPhoto, days: u32) -> Result<(), StoreError> {
        let keep = match photo.file {
            Some(_) => Keep::Photos,
            None => Keep::Findings,
        };
        let keeping = Keeping { keep, days };
        self.connections
            .write(|w| put_photo(w.conn(), photo, keeping).map(|_| ()))
    }

    /// Keeps what is known of photos for so many days from now, where it is known; on disk when this returns.
    ///
    /// # Errors
    /// Those of the database; nothing is kept longer then.
    pub fn keep_photos_on(&self, photos: &[FileDigest], days: u32) -> Result<(), StoreError> {
        let end = format!("+{days} days");
        self.connections.write(|w| {
            let mut renewal = w.conn().prepare_cached(
                "UPDATE photos SET last_seen_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),
                    keep_until = max(keep_until, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?2))
                 WHERE sha256 = ?1 AND description IS NOT NULL",
            )?;
            for photo in photos {
                renewal.execute(params![photo.0, end])?;
            }
            Ok(())
        })
    }

    /// The network that described a photo, and what it said, in a form that only its maker reads; `None`
    /// when that is not kept.
    ///
    /// # Errors
    /// Those of the database.
    pub fn photo_description(
        &self,
        sha256: &FileDigest,
    ) -> Result<Option<(ModelId, Vec<u8>)>, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT model, description FROM photos
                     WHERE sha256 = ?1 AND description IS NOT NULL",
                )?
                .query_row([sha256.0], |row| Ok((ModelId(row.get(0)?), row.get(1)?)))
                .optional()?)
        })
    }

    /// Keeps a sighting with its findings, all on disk when this returns. The same sighting again
    /// renews what nobody has decided on. Gives the findings' ids and where they stand, in the order
    /// given; `None` when nothing was kept, because the listing was forgotten since its check began.
    ///
    /// # Errors
    /// Those of the database; nothing is kept then.
    pub fn record_sighting(
        &self,
        sighting: &NewSighting<'_>,
    ) -> Result<Option<Vec<(FindingId, FindingStatus)>>, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            if let Some(kept_as) = sighting.kept_as
                && !listings::is_kept(conn, kept_as)?
            {
                return Ok(None);
            }
            let listing = put_listing(conn, sighting.listing, sighting.keeping)?;
            let photo = put_photo(conn, &sighting.photo, sighting.keeping)?;
            let whose = Whose::new(sighting.listing, sighting.brands);
            let place = Place {
                sighting: put_sighting(conn, photo, listing, sighting.name, &whose)?,
                photo,
                source: sighting.source,
                revision: sighting.photo.compared_revision,
            };
            put_findings(conn, &place, &sighting.findings).map(Some)
        })
    }

    /// As [`record_sighting`](Self::record_sighting), of a photo that is known and whose file is kept; `false`
    /// when it is not, and nothing was kept.
    ///
    /// # Errors
    /// Those of the database; nothing is kept then.
    pub fn record_known(&self, sighting: &KnownSighting<'_>) -> Result<bool, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            let Some(photo) = photo_on_file(conn, &sighting.photo)? else {
                return Ok(false);
            };
            let listing = put_listing(conn, Some(sighting.listing), sighting.keeping)?;
            let whose = Whose::new(Some(sighting.listing), None);
            let place = Place {
                sighting: put_sighting(conn, photo, listing, sighting.name, &whose)?,
                photo,
                source: sighting.source,
                revision: sighting.compared_revision,
            };
            put_findings(conn, &place, &sighting.findings).map(|_| true)
        })
    }

    /// Whether a photo is known and its file kept.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_photo_on_file(&self, photo: &FileDigest) -> Result<bool, StoreError> {
        self.connections
            .read_one(|conn| Ok(photo_on_file(conn, photo)?.is_some()))
    }
}

fn photo_on_file(conn: &Connection, photo: &FileDigest) -> Result<Option<PhotoId>, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT p.id FROM photos AS p JOIN photo_files AS f ON f.photo_id = p.id
             WHERE p.sha256 = ?1",
        )?
        .query_row([photo.0], |row| row.get(0))
        .optional()?;
    Ok(found.map(PhotoId))
}

fn put_listing(
    conn: &Connection,
    listing: Option<&Listing>,
    keeping: Keeping,
) -> Result<Option<i64>, StoreError> {
    listing
        .filter(|listing| !listing.listing_id.is_empty())
        .map(|listing| listings::put(conn, listing, keeping))
        .transpose()
}

fn put_findings(
    conn: &Connection,
    place: &Place,
    findings: &[NewFinding],
) -> Result<Vec<(FindingId, FindingStatus)>, StoreError> {
    let findings = findings.iter();
    findings
        .map(|finding| put_finding(conn, place, finding))
        .collect()
}

fn parts(hash: &[u8]) -> Vec<&[u8]> {
    let mut parts: Vec<_> = hash.chunks(hash.len().div_ceil(N_PARTS).max(1)).collect();
    parts.resize(N_PARTS, &[]);
    parts
}

pub(super) fn precedent(
    conn: &Connection,
    cluster: PhotoId,
    asset: AssetId,
) -> Result<Option<Precedent>, StoreError> {
    let found: Option<(i64, String)> = conn
        .prepare_cached(
            "SELECT d.id, d.opinion FROM findings AS f JOIN decisions AS d ON d.id = f.decision_id
             WHERE f.cluster_id = ?1 AND f.asset_id = ?2 AND d.opinion <> 'unsure'
             ORDER BY d.id DESC LIMIT 1",
        )?
        .query_row([cluster.0, asset.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    found
        .map(|(id, word)| {
            let opinion = Opinion::of_word(&word)
                .ok_or_else(|| rows::bad_row("decisions", id, format!("opinion {word:?}")))?;
            Ok(Precedent {
                opinion,
                decision: DecisionId(id),
            })
        })
        .transpose()
}

fn put_photo(conn: &Connection, photo: &NewPhoto, keeping: Keeping) -> Result<PhotoId, StoreError> {
    let end = end_of(keeping);
    let known: Option<i64> = conn
        .prepare_cached("SELECT id FROM photos WHERE sha256 = ?1")?
        .query_row([photo.sha256.0], |row| row.get(0))
        .optional()?;
    let id = match known {
        Some(id) => {
            see_photo_again(conn, PhotoId(id), photo, &end)?;
            PhotoId(id)
        }
        None => insert_photo(conn, photo, &end)?,
    };
    if let Some(bytes) = photo.file.as_ref().filter(|_| keeping.keep == Keep::Photos) {
        conn.prepare_cached(
            "INSERT INTO photo_files (photo_id, bytes, keep_until)
             VALUES (?1, ?2, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?3))
             ON CONFLICT (photo_id) DO UPDATE
             SET keep_until = max(keep_until, excluded.keep_until)",
        )?
        .execute(params![id.0, bytes, end])?;
    }
    Ok(id)
}

/// SQLite's way to say when to forget.
pub(super) fn end_of(keeping: Keeping) -> String {
    format!("+{} days", keeping.days)
}

fn insert_photo(conn: &Connection, photo: &NewPhoto, end: &str) -> Result<PhotoId, StoreError> {
    conn.prepare_cached(
        "INSERT INTO photos (sha256, width, height, hash, whole, cluster_id, model, description,
            compared_revision, keep_until)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
            strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?10))",
    )?
    .execute(params![
        photo.sha256.0,
        photo.width,
        photo.height,
        photo.hash,
        photo.whole,
        photo.cluster.map_or(0, |cluster| cluster.0),
        photo.model.0,
        photo.description,
        photo.compared_revision as i64,
        end,
    ])?;
    let id = PhotoId(conn.last_insert_rowid());
    if photo.cluster.is_none() {
        conn.prepare_cached("UPDATE photos SET cluster_id = id WHERE id = ?1")?
            .execute([id.0])?;
    }
    for (part, bytes) in parts(&photo.hash).into_iter().enumerate() {
        conn.prepare_cached("INSERT INTO photo_hash_parts VALUES (?1, ?2, ?3)")?
            .execute(params![part as i64, bytes, id.0])?;
    }
    Ok(id)
}

/// Its cluster stays; so does the oldest revision that any of its sightings was compared with, lest
/// look-back passes the others over.
fn see_photo_again(
    conn: &Connection,
    id: PhotoId,
    photo: &NewPhoto,
    end: &str,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE photos SET model = ?2, whole = ?3, description = ?4,
            compared_revision = min(compared_revision, ?5),
            last_seen_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),
            keep_until = max(keep_until, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', ?6))
         WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        photo.model.0,
        photo.whole,
        photo.description,
        photo.compared_revision as i64,
        end
    ])?;
    Ok(())
}

/// Whose a sighting is, as the database has it.
struct Whose {
    /// Of the seller of a listing without an id: those with one have their seller.
    seller: Option<[u8; 32]>,
    brands: Option<String>,
}

impl Whose {
    fn new(listing: Option<&Listing>, brands: Option<&[String]>) -> Self {
        let nameless = listing.filter(|listing| listing.listing_id.is_empty());
        let seller = nameless.and_then(|listing| listing.seller.as_ref());
        let sorted = |brands: &[String]| {
            let sorted: BTreeSet<_> = brands.iter().collect();
            json_text(&sorted)
        };
        Self {
            seller: seller.map(|seller| FileDigest::of(json_text(seller).as_bytes()).0),
            brands: brands.map(sorted),
        }
    }
}

fn put_sighting(
    conn: &Connection,
    photo: PhotoId,
    listing: Option<i64>,
    name: &str,
    whose: &Whose,
) -> Result<SightingId, StoreError> {
    let id = conn
        .prepare_cached(
            "INSERT INTO sightings (photo_id, listing, name, seller, brands)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (photo_id, ifnull(listing, 0), ifnull(seller, ''), ifnull(brands, ''))
             DO UPDATE SET name = excluded.name
             RETURNING id",
        )?
        .query_row(
            params![photo.0, listing, name, whose.seller, whose.brands],
            |row| row.get(0),
        )?;
    Ok(SightingId(id))
}

/// Where a finding was made, and how.
pub(super) struct Place {
    pub sighting: SightingId,
    pub photo: PhotoId,
    pub source: FindingSource,
    pub revision: u64,
}

/// Writes a finding, or renews an undecided one.
pub(super) fn put_finding(
    conn: &Connection,
    place: &Place,
    new: &NewFinding,
) -> Result<(FindingId, FindingStatus), StoreError> {
    let finding = &new.finding;
    let cluster: i64 = conn
        .prepare_cached("SELECT cluster_id FROM photos WHERE id = ?1")?
        .query_row([place.photo.0], |row| row.get(0))?;
    let is_new: bool = conn
        .prepare_cached(
            "SELECT NOT EXISTS (
                SELECT 1 FROM findings WHERE sighting_id = ?1 AND asset_id = ?2)",
        )?
        .query_row([place.sighting.0, finding.asset_id.0], |row| row.get(0))?;
    conn.prepare_cached(
        "INSERT INTO findings (sighting_id, cluster_id, asset_id, brand, kind, probability,
            priority, source, authorised, status, finding, nearest_other, model, judge,
            registry_revision)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8, 'open', ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (sighting_id, asset_id) DO UPDATE SET brand = excluded.brand,
            kind = excluded.kind, probability = excluded.probability,
            authorised = excluded.authorised, finding = excluded.finding,
            nearest_other = excluded.nearest_other, model = excluded.model,
            judge = excluded.judge, registry_revision = excluded.registry_revision,
            updated_at = strftime('%Y-%m-%dT%H:%M:%SZ', 'now')
         WHERE decision_id IS NULL",
    )?
    .execute(params![
        place.sighting.0,
        cluster,
        finding.asset_id.0,
        finding.brand,
        finding.kind.as_str(),
        finding.probability,
        place.source.as_str(),
        finding.authorised_seller,
        json_text(finding),
        new.nearest_other.as_ref().map(json_text),
        new.model.0,
        new.judge.map(|digest| digest.0),
        place.revision as i64,
    ])?;
    decisions::settle(conn, PhotoId(cluster), finding.asset_id)?;
    let (id, status): (i64, String) = conn
        .prepare_cached("SELECT id, status FROM findings WHERE sighting_id = ?1 AND asset_id = ?2")?
        .query_row([place.sighting.0, finding.asset_id.0], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let status = FindingStatus::of_word(&status)
        .ok_or_else(|| rows::bad_row("findings", id, format!("status {status:?}")))?;
    if is_new {
        events::finding_created(conn, FindingId(id))?;
    }
    Ok((FindingId(id), status))
}

pub(super) fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("plain values are JSON")
}
