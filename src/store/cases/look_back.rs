//! Photos that were seen before an asset was registered.

use jiff::civil::Date;
use rusqlite::{Connection, OptionalExtension, params};

use super::findings::seller;
use super::sightings::{Place, put_finding};
use super::{NewFinding, SeenIn, SeenPhoto, SightingId};
use crate::domain::{AssetId, FindingId, FindingSource, ModelId, PhotoId};
use crate::store::{Store, StoreError, rows};

impl Store {
    /// The photo that was compared with the oldest state of the registry before `revision`; `None`
    /// when all are up to date.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next_to_compare(&self, revision: u64) -> Result<Option<SeenPhoto>, StoreError> {
        self.connections.read(|conn| {
            let found = conn
                .prepare_cached(
                    "SELECT id, compared_revision, model, description FROM photos
                     WHERE description IS NOT NULL AND compared_revision < ?1
                     ORDER BY compared_revision, id LIMIT 1",
                )?
                .query_row([revision as i64], |row| {
                    Ok(SeenPhoto {
                        id: PhotoId(row.get(0)?),
                        compared_revision: row.get::<_, i64>(1)?.unsigned_abs(),
                        model: ModelId(row.get(2)?),
                        description: row.get(3)?,
                        sightings: Vec::new(),
                    })
                })
                .optional()?;
            let Some(mut photo) = found else {
                return Ok(None);
            };
            photo.sightings = sightings_of(conn, photo.id)?;
            Ok(Some(photo))
        })
    }

    /// The file of a photo that was seen; `None` when it was not kept.
    ///
    /// # Errors
    /// Those of the database.
    pub fn photo_file(&self, id: PhotoId) -> Result<Option<Vec<u8>>, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached("SELECT bytes FROM photo_files WHERE photo_id = ?1")?
                .query_row([id.0], |row| row.get(0))
                .optional()?)
        })
    }

    /// Assets that are new, or whose fields or pictures changed, after a revision.
    ///
    /// # Errors
    /// Those of the database.
    pub fn assets_changed_since(&self, revision: u64) -> Result<Vec<AssetId>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement =
                conn.prepare_cached("SELECT id FROM assets WHERE revision > ?1 ORDER BY id")?;
            let ids = statement.query_map([revision as i64], |row| row.get(0).map(AssetId))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Whether assets or pictures were removed after a revision.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_removed_since(&self, revision: u64) -> Result<bool, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached("SELECT 1 FROM removals WHERE revision > ?1 LIMIT 1")?
                .exists([revision as i64])?)
        })
    }

    /// Takes enabled assets whose dates have begun since the last call, until `today`, for changed: photos that
    /// were seen before are to be compared with them. Gives their number; the first call only notes the day.
    ///
    /// # Errors
    /// Those of the database; nothing is noted then.
    pub fn begin_assets(&self, today: Date) -> Result<usize, StoreError> {
        let noted = |conn: &Connection| -> Result<Option<String>, StoreError> {
            Ok(conn
                .prepare_cached("SELECT value FROM meta WHERE key = 'assets_begun_on'")?
                .query_row([], |row| row.get(0))
                .optional()?)
        };
        let today = today.to_string();
        if self.connections.read_one(noted)?.as_ref() == Some(&today) {
            return Ok(0);
        }
        self.connections.write(|w| {
            let conn = w.conn();
            let begun = match noted(conn)? {
                Some(day) => conn
                    .prepare_cached(
                        "SELECT id FROM assets WHERE enabled AND valid_from > ?1 AND valid_from <= ?2",
                    )?
                    .query_map([&day, &today], |row| row.get(0))?
                    .collect::<Result<Vec<i64>, _>>()?,
                None => Vec::new(),
            };
            for asset in &begun {
                conn.prepare_cached("UPDATE assets SET revision = ?2 WHERE id = ?1")?
                    .execute([*asset, w.revision()?])?;
            }
            conn.prepare_cached(
                "INSERT INTO meta VALUES ('assets_begun_on', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute([&today])?;
            Ok(begun.len())
        })
    }

    /// Enabled assets whose dates begin after `day` and until `today`, by id; all that begin until `today` where
    /// `day` is not known.
    ///
    /// # Errors
    /// Those of the database.
    pub fn assets_begun_between(
        &self,
        day: Option<Date>,
        today: Date,
    ) -> Result<Vec<AssetId>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id FROM assets WHERE enabled AND valid_from > ?1 AND valid_from <= ?2
                 ORDER BY id",
            )?;
            let days = params![text_of(day), today.to_string()];
            let ids = statement.query_map(days, |row| row.get(0).map(AssetId))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Whether the dates of an enabled asset ended on `day` or later, before `today`; any before `today` where `day`
    /// is not known.
    ///
    /// # Errors
    /// Those of the database.
    pub fn has_expired_between(&self, day: Option<Date>, today: Date) -> Result<bool, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT 1 FROM assets WHERE enabled AND valid_until >= ?1 AND valid_until < ?2
                     LIMIT 1",
                )?
                .exists(params![text_of(day), today.to_string()])?)
        })
    }

    /// Notes that a photo was compared with the registry as of `revision`, and keeps what was found.
    ///
    /// # Errors
    /// Those of the database; nothing is noted then.
    pub fn record_look_back(
        &self,
        photo: PhotoId,
        revision: u64,
        findings: &[(SightingId, NewFinding)],
    ) -> Result<Vec<FindingId>, StoreError> {
        self.connections.write(|w| {
            let conn = w.conn();
            conn.prepare_cached("UPDATE photos SET compared_revision = ?2 WHERE id = ?1")?
                .execute(params![photo.0, revision as i64])?;
            let mut ids = Vec::with_capacity(findings.len());
            for (sighting, finding) in findings {
                if !is_there(conn, *sighting)? {
                    continue;
                }
                let place = Place {
                    sighting: *sighting,
                    photo,
                    source: FindingSource::LookBack,
                    revision,
                };
                ids.push(put_finding(conn, &place, finding)?.0);
            }
            Ok(ids)
        })
    }

    /// Notes that all photos compared with the registry as of `from` or later are up to date as of
    /// `revision`: nothing that could be found has changed between.
    ///
    /// # Errors
    /// Those of the database.
    pub fn skip_look_back(&self, from: u64, revision: u64) -> Result<(), StoreError> {
        self.connections.write(|w| {
            w.conn().execute(
                "UPDATE photos SET compared_revision = ?2
                 WHERE compared_revision >= ?1 AND compared_revision < ?2",
                params![from as i64, revision as i64],
            )?;
            Ok(())
        })
    }
}

/// A day as the database has it, by which days are in their order; an unknown one is before all.
fn text_of(day: Option<Date>) -> String {
    day.map_or_else(String::new, |day| day.to_string())
}

/// Its listing may have been forgotten while the photo was looked at.
fn is_there(conn: &Connection, sighting: SightingId) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM sightings WHERE id = ?1")?
        .exists([sighting.0])?)
}

fn sightings_of(conn: &Connection, photo: PhotoId) -> Result<Vec<SeenIn>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT s.id, s.brands, l.seller_id, l.seller_name, l.seller_country
         FROM sightings AS s LEFT JOIN listings AS l ON l.id = s.listing
         WHERE s.photo_id = ?1 ORDER BY s.id",
    )?;
    let mut found = statement.query([photo.0])?;
    let mut sightings = Vec::new();
    while let Some(row) = found.next()? {
        let id: i64 = row.get(0)?;
        let brands: Option<String> = row.get(1)?;
        let brands = brands.map(|brands| serde_json::from_str(&brands));
        sightings.push(SeenIn {
            sighting: SightingId(id),
            seller: seller(row, 2)?,
            brands: brands
                .transpose()
                .map_err(|error| rows::bad_row("sightings", id, error.to_string()))?,
        });
    }
    Ok(sightings)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::domain::{AssetDraft, AssetKind};

    #[test]
    fn assets_whose_day_comes_are_looked_back_for_once() {
        let store = Store::open_in_memory().expect("a store");
        let mut draft = AssetDraft::new("Acme", "Star", AssetKind::Logo);
        draft.valid_from = Some(date(2026, 1, 15));
        let id = store.register(&draft, &[]).expect("registered").asset_id;
        let begin = |day| store.begin_assets(date(2026, 1, day)).expect("a database");
        assert_eq!((begin(13), begin(13), begin(14)), (0, 0, 0));
        let before = store.revision().expect("a number");
        assert!(store.assets_changed_since(before).expect("ids").is_empty());
        // The program may have stood still on the day itself.
        assert_eq!((begin(16), begin(16), begin(17)), (1, 0, 0));
        assert_eq!(store.assets_changed_since(before).expect("ids"), [id]);
        assert!(store.revision().expect("a number") > before);
    }

    #[test]
    fn what_counts_by_its_dates_or_no_longer_is_found() {
        let store = Store::open_in_memory().expect("a store");
        let mut draft = AssetDraft::new("Acme", "Star", AssetKind::Logo);
        draft.valid_from = Some(date(2026, 1, 15));
        draft.valid_until = Some(date(2026, 9, 30));
        let dated = store.register(&draft, &[]).expect("registered").asset_id;
        let always = AssetDraft::new("Acme", "Moon", AssetKind::Logo);
        let always = store.register(&always, &[]).expect("registered").asset_id;
        let begun = |day, today| store.assets_begun_between(day, today).expect("a database");
        let expired = |day, today| store.has_expired_between(day, today).expect("a database");
        let (first, last) = (date(2026, 1, 15), date(2026, 9, 30));
        for (day, today, is_begun) in [
            (Some(date(2026, 1, 14)), first, true),
            (None, first, true),
            (Some(first), last, false),
            (Some(date(2025, 12, 31)), date(2026, 1, 14), false),
        ] {
            let expected = if is_begun { vec![dated] } else { Vec::new() };
            assert_eq!(begun(day, today), expected, "{day:?} {today}");
        }
        let after = date(2026, 10, 1);
        for (day, today, is_expired) in [
            (Some(last), after, true),
            (None, after, true),
            (Some(last), last, false),
            (Some(after), date(2027, 1, 1), false),
        ] {
            assert_eq!(expired(day, today), is_expired, "{day:?} {today}");
        }
        store.set_enabled(dated, false).expect("disabled");
        assert!(begun(None, after).is_empty() && !expired(None, after));
        let revision = store.revision().expect("a database");
        assert!(!store.has_removed_since(revision).expect("a database"));
        store.remove_asset(always).expect("removed");
        assert!(store.has_removed_since(revision).expect("a database"));
    }
}
