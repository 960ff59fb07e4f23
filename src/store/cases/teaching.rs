//! What is kept of what decisions teach: pictures of assets that come from confirmed findings, promises to
//! brands, and the decided findings that the engine learns from. What it learns is not kept: it is made of
//! these again.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};
use serde_json::json;

use crate::domain::{
    AssetId, AuditAction, Brand, BrandId, Decided, FileDigest, FindingId, FindingStatus, PictureId,
};
use crate::store::connections::Writing;
use crate::store::{NewPicture, Store, StoreError, write};

/// Exemplars of one asset: all are compared with each photo that the asset is a candidate for.
const MAX_EXEMPLARS: u32 = 32;

/// How far decisions and promises have come. Another state means that there may be something to learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TeachingState {
    /// The last entry of the history of decisions.
    pub decision: i64,
    /// The last entry of the history of promises.
    pub promise: i64,
}

/// A picture that an asset has from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taught {
    /// The picture.
    pub picture: PictureId,
    /// Whether it is new: the asset may have had it, byte for byte.
    pub is_new: bool,
}

impl Store {
    /// How far decisions and promises have come. Cheap: made to be asked before every photo.
    ///
    /// # Errors
    /// Those of the database.
    pub fn teaching_state(&self) -> Result<TeachingState, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached(
                    "SELECT ifnull((SELECT max(id) FROM decisions), 0),
                        ifnull((SELECT max(id) FROM promises), 0)",
                )?
                .query_row([], |row| {
                    Ok(TeachingState {
                        decision: row.get(0)?,
                        promise: row.get(1)?,
                    })
                })?)
        })
    }

    /// Brands whose findings were decided on, or decisions on them taken back, after the decision `since`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn brands_decided_since(&self, since: i64) -> Result<Vec<String>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT DISTINCT f.brand FROM decisions AS d
                 JOIN findings AS f ON f.id = d.finding_id WHERE d.id > ?1",
            )?;
            let brands = statement.query_map([since], |row| row.get(0))?;
            Ok(brands.collect::<Result<_, _>>()?)
        })
    }

    /// The findings of a brand that people confirmed or rejected, in the order of the decisions. Of an asset
    /// in nearly equal photos only the last: the same picture in a hundred listings is one experience.
    ///
    /// # Errors
    /// Those of the database.
    pub fn decided(&self, brand: &str) -> Result<Vec<Decided>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT ifnull(json_extract(f.finding, '$.untaught_probability'), f.probability),
                    f.status, max(d.id) AS last
                 FROM findings AS f JOIN decisions AS d ON d.id = f.decision_id
                 WHERE f.brand = ?1 AND f.status IN ('confirmed', 'rejected')
                 GROUP BY f.cluster_id, f.asset_id ORDER BY last",
            )?;
            let decided = statement.query_map([brand], |row| {
                Ok(Decided {
                    probability: row.get(0)?,
                    is_right: row.get::<_, String>(1)? == FindingStatus::Confirmed.as_str(),
                })
            })?;
            Ok(decided.collect::<Result<_, _>>()?)
        })
    }

    /// The precision that each brand was promised of its flagged findings.
    ///
    /// # Errors
    /// Those of the database.
    pub fn promises(&self) -> Result<BTreeMap<String, f64>, StoreError> {
        self.connections.read_one(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT brand, precision FROM promises
                 WHERE id IN (SELECT max(id) FROM promises GROUP BY brand)
                    AND precision IS NOT NULL",
            )?;
            let promises = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(promises.collect::<Result<_, _>>()?)
        })
    }

    /// Promises a brand that at least the share `precision` of its flagged findings is right, or takes the
    /// promise back; on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBrand`], [`StoreError::BadPromise`] for what is not within `0.5..=0.999`, and those
    /// of the database.
    pub fn set_promise(&self, brand: &str, precision: Option<f64>) -> Result<(), StoreError> {
        if let Some(precision) = precision.filter(|p| !(0.5..=0.999).contains(p)) {
            return Err(StoreError::BadPromise { precision });
        }
        self.connections.write(|w| {
            let conn = w.conn();
            let id: Option<i64> = conn
                .prepare_cached("SELECT id FROM brands WHERE name = ?1")?
                .query_row([brand], |row| row.get(0))
                .optional()?;
            let id = id.ok_or_else(|| StoreError::NoSuchBrand {
                brand: format!("{brand:?}"),
            })?;
            conn.execute(
                "INSERT INTO promises (brand, precision) VALUES (?1, ?2)",
                params![brand, precision],
            )?;
            let details = json!({ "brand": brand, "precision": precision });
            let subject = format!("brand {id}");
            w.audit(AuditAction::PromiseChanged, &subject, Some(&details))
        })
    }

    /// One brand.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBrand`], and those of the database.
    pub fn brand(&self, id: BrandId) -> Result<Brand, StoreError> {
        let mut brands = self.brands()?.into_iter();
        let found = brands.find(|brand| brand.id == id);
        found.ok_or_else(|| StoreError::NoSuchBrand {
            brand: id.0.to_string(),
        })
    }

    /// Makes a picture of the asset of a confirmed finding; it goes when the confirmation does. On disk when
    /// this returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchFinding`], [`StoreError::NotConfirmed`], [`StoreError::NoSuchAsset`],
    /// [`StoreError::TooManyExemplars`], [`StoreError::ModelMismatch`], and those of the database.
    pub fn add_exemplar(&self, id: FindingId, picture: &NewPicture) -> Result<Taught, StoreError> {
        let digest = FileDigest::of(&picture.bytes);
        let picture = NewPicture {
            exemplar_of: Some(id),
            ..picture.clone()
        };
        self.connections.write(|w| {
            let asset = confirmed_asset(w, id)?;
            let known: Option<i64> = w
                .conn()
                .prepare_cached(
                    "SELECT id FROM pictures
                     WHERE exemplar_of = ?1 OR (asset_id = ?2 AND sha256 = ?3)",
                )?
                .query_row(params![id.0, asset.0, digest.0], |row| row.get(0))
                .optional()?;
            if let Some(known) = known {
                return Ok(Taught {
                    picture: PictureId(known),
                    is_new: false,
                });
            }
            let details = json!({ "finding": id });
            write::audit_asset(w, AuditAction::ExemplarAdded, asset, details)?;
            check_room(w, asset)?;
            let added = write::insert_picture(w, asset, &picture, &digest)?;
            write::stamp_asset(w, asset)?;
            Ok(Taught {
                picture: added,
                is_new: true,
            })
        })
    }
}

/// The asset of a finding that a person confirmed; it may be gone.
fn confirmed_asset(w: &Writing<'_>, id: FindingId) -> Result<AssetId, StoreError> {
    let (status, asset): (String, i64) = w
        .conn()
        .prepare_cached("SELECT status, asset_id FROM findings WHERE id = ?1")?
        .query_row([id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(StoreError::NoSuchFinding { id })?;
    if status == FindingStatus::Confirmed.as_str() {
        Ok(AssetId(asset))
    } else {
        Err(StoreError::NotConfirmed { id })
    }
}

fn check_room(w: &Writing<'_>, asset: AssetId) -> Result<(), StoreError> {
    let n: u32 = w
        .conn()
        .prepare_cached(
            "SELECT count(*) FROM pictures WHERE asset_id = ?1 AND exemplar_of IS NOT NULL",
        )?
        .query_row([asset.0], |row| row.get(0))?;
    if n < MAX_EXEMPLARS {
        Ok(())
    } else {
        Err(StoreError::TooManyExemplars { asset, n })
    }
}

/// Removes the exemplars of those findings that are confirmed no longer.
pub(super) fn forget_unconfirmed(w: &Writing<'_>, ids: &[FindingId]) -> Result<(), StoreError> {
    for id in ids {
        let exemplar: Option<i64> = w
            .conn()
            .prepare_cached(
                "SELECT p.id FROM pictures AS p JOIN findings AS f ON f.id = p.exemplar_of
                 WHERE f.id = ?1 AND f.status <> 'confirmed'",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()?;
        if let Some(exemplar) = exemplar {
            write::drop_picture(w, PictureId(exemplar))?;
        }
    }
    Ok(())
}
