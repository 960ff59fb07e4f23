//! Registration, switching on and off, and removal.

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::connections::Writing;
use super::{
    Descriptor, Features, NewPicture, Registered, Registration, Store, StoreError, models, rows,
};
use crate::domain::{AssetDraft, AssetId, AuditAction, DomainError, FileDigest, PictureId};

impl Store {
    /// Adds an asset with its pictures, or adds to the one that its brand has under that name: what
    /// the draft gives replaces what is registered, what it leaves open (`None`, an empty list)
    /// stays. Pictures that the asset has already are left alone.
    ///
    /// On disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Draft`] when the draft, or what it makes of the registered asset, is refused;
    /// [`StoreError::ModelMismatch`] for a descriptor that another model made; those of the
    /// database. Nothing is registered then.
    pub fn register(
        &self,
        draft: &AssetDraft,
        pictures: &[NewPicture],
    ) -> Result<Registered, StoreError> {
        let digests = digests(pictures);
        self.connections
            .write(|w| Ok(register_one(w, draft, pictures, &digests)??))
    }

    /// [`register`](Self::register) for many, in one transaction: either all that are not refused
    /// are on disk when this returns, or none is. Waiting for the disk once per batch and not once
    /// per asset is what makes a bulk registration quick.
    ///
    /// # Errors
    /// As for [`register`](Self::register), but a refused draft spoils only its own place in the answer.
    pub fn register_many(
        &self,
        batch: &[Registration],
    ) -> Result<Vec<Result<Registered, DomainError>>, StoreError> {
        let digests: Vec<_> = batch.iter().map(|r| digests(&r.pictures)).collect();
        self.connections.write(|w| {
            batch
                .iter()
                .zip(&digests)
                .map(|(r, digests)| register_one(w, &r.draft, &r.pictures, digests))
                .collect()
        })
    }

    /// Takes an asset into matching, or out of it without forgetting it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAsset`], and those of the database.
    pub fn set_enabled(&self, id: AssetId, enabled: bool) -> Result<(), StoreError> {
        self.connections.write(|w| {
            let n_changed = w.conn().execute(
                "UPDATE assets SET enabled = ?2 WHERE id = ?1",
                params![id.0, enabled],
            )?;
            if n_changed == 0 {
                return Err(StoreError::NoSuchAsset { id });
            }
            let action = if enabled {
                AuditAction::AssetEnabled
            } else {
                AuditAction::AssetDisabled
            };
            audit_asset(w, action, id, json!({}))?;
            stamp_asset(w, id)
        })
    }

    /// Removes an asset with its pictures. Its brand stays.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAsset`], and those of the database.
    pub fn remove_asset(&self, id: AssetId) -> Result<(), StoreError> {
        self.connections.write(|w| {
            audit_asset(w, AuditAction::AssetRemoved, id, json!({}))?;
            let revision = w.revision()?;
            w.conn().execute(
                "INSERT INTO removals (revision, picture_id)
                 SELECT ?2, id FROM pictures WHERE asset_id = ?1",
                params![id.0, revision],
            )?;
            w.conn().execute(
                "INSERT INTO removals (revision, asset_id) VALUES (?2, ?1)",
                params![id.0, revision],
            )?;
            match w
                .conn()
                .execute("DELETE FROM assets WHERE id = ?1", [id.0])?
            {
                0 => Err(StoreError::NoSuchAsset { id }),
                _ => Ok(()),
            }
        })
    }

    /// Removes one picture; its asset stays, even without pictures.
    ///
    /// # Errors
    /// [`StoreError::NoSuchPicture`], and those of the database.
    pub fn remove_picture(&self, id: PictureId) -> Result<(), StoreError> {
        self.connections.write(|w| drop_picture(w, id))
    }
}

/// Removes one picture, and writes that down.
pub(super) fn drop_picture(w: &Writing<'_>, id: PictureId) -> Result<(), StoreError> {
    let (asset_id, exemplar_of) = w
        .conn()
        .query_row(
            "DELETE FROM pictures WHERE id = ?1 RETURNING asset_id, exemplar_of",
            [id.0],
            |row| Ok((AssetId(row.get(0)?), row.get::<_, Option<i64>>(1)?)),
        )
        .optional()?
        .ok_or(StoreError::NoSuchPicture { id })?;
    w.conn().execute(
        "INSERT INTO removals (revision, picture_id) VALUES (?2, ?1)",
        params![id.0, w.revision()?],
    )?;
    let mut details = json!({ "picture": id });
    if let Some(finding) = exemplar_of {
        details["exemplar_of"] = finding.into();
    }
    audit_asset(w, AuditAction::PictureRemoved, asset_id, details)?;
    stamp_asset(w, asset_id)
}

/// Writes down what is done to an asset, with its name, which outlives it there.
pub(super) fn audit_asset(
    w: &Writing<'_>,
    action: AuditAction,
    id: AssetId,
    mut details: Value,
) -> Result<(), StoreError> {
    let asset = rows::asset_with(w.conn(), id)?;
    details["brand"] = asset.draft.brand.into();
    details["name"] = asset.draft.name.into();
    w.audit(action, &format!("asset {id}"), Some(&details))
}

fn digests(pictures: &[NewPicture]) -> Vec<FileDigest> {
    pictures.iter().map(|p| FileDigest::of(&p.bytes)).collect()
}

/// The inner error refuses this one registration before anything of it was written.
fn register_one(
    w: &Writing<'_>,
    draft: &AssetDraft,
    pictures: &[NewPicture],
    digests: &[FileDigest],
) -> Result<Result<Registered, DomainError>, StoreError> {
    let draft = match draft.clone().checked() {
        Ok(draft) => draft,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let known = rows::find_asset(w.conn(), &draft.brand, &draft.name)?;
    let created = known.is_none();
    let mut is_changed = false;
    let asset_id = match known {
        None => insert_asset(w, &draft)?,
        Some(asset) => {
            let merged = match merged(asset.draft.clone(), draft).checked() {
                Ok(merged) => merged,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if merged != asset.draft {
                is_changed = true;
                update_asset(w, asset.id, &merged)?;
            }
            asset.id
        }
    };
    let mut registered = Registered {
        asset_id,
        created,
        added: Vec::new(),
        duplicates: Vec::new(),
        same_picture_elsewhere: Vec::new(),
    };
    for (picture, digest) in pictures.iter().zip(digests) {
        register_picture(w, picture, digest, &mut registered)?;
    }
    if !registered.added.is_empty() {
        stamp_asset(w, asset_id)?;
    }
    if created || is_changed || !registered.added.is_empty() {
        let action = if created {
            AuditAction::AssetRegistered
        } else {
            AuditAction::AssetChanged
        };
        let details = json!({ "pictures": registered.added, "fields_changed": is_changed });
        audit_asset(w, action, asset_id, details)?;
    }
    Ok(Ok(registered))
}

fn merged(old: AssetDraft, new: AssetDraft) -> AssetDraft {
    fn given(new: Vec<String>, old: Vec<String>) -> Vec<String> {
        if new.is_empty() { old } else { new }
    }
    AssetDraft {
        brand: new.brand,
        name: new.name,
        kind: new.kind,
        registration_number: new.registration_number.or(old.registration_number),
        valid_from: new.valid_from.or(old.valid_from),
        valid_until: new.valid_until.or(old.valid_until),
        notes: new.notes.or(old.notes),
        authorised_sellers: given(new.authorised_sellers, old.authorised_sellers),
        word_marks: given(new.word_marks, old.word_marks),
    }
}

fn insert_asset(w: &Writing<'_>, draft: &AssetDraft) -> Result<AssetId, StoreError> {
    let conn = w.conn();
    conn.prepare_cached("INSERT INTO brands (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
        .execute([&draft.brand])?;
    conn.prepare_cached(
        "INSERT INTO assets (brand_id, name, kind, authorised_sellers, word_marks, revision)
         VALUES ((SELECT id FROM brands WHERE name = ?1), ?2, ?3, '[]', '[]', ?4)",
    )?
    .execute(params![
        draft.brand,
        draft.name,
        draft.kind.as_str(),
        w.revision()?
    ])?;
    let id = AssetId(conn.last_insert_rowid());
    update_asset(w, id, draft)?;
    Ok(id)
}

fn update_asset(w: &Writing<'_>, id: AssetId, draft: &AssetDraft) -> Result<(), StoreError> {
    w.conn()
        .prepare_cached(
            "UPDATE assets SET kind = ?2, registration_number = ?3, valid_from = ?4,
                valid_until = ?5, notes = ?6, authorised_sellers = ?7, word_marks = ?8,
                revision = ?9
             WHERE id = ?1",
        )?
        .execute(params![
            id.0,
            draft.kind.as_str(),
            draft.registration_number,
            draft.valid_from.map(|day| day.to_string()),
            draft.valid_until.map(|day| day.to_string()),
            draft.notes,
            rows::list_text(&draft.authorised_sellers),
            rows::list_text(&draft.word_marks),
            w.revision()?,
        ])?;
    Ok(())
}

pub(super) fn stamp_asset(w: &Writing<'_>, id: AssetId) -> Result<(), StoreError> {
    w.conn()
        .prepare_cached("UPDATE assets SET revision = ?2 WHERE id = ?1")?
        .execute(params![id.0, w.revision()?])?;
    Ok(())
}

fn register_picture(
    w: &Writing<'_>,
    picture: &NewPicture,
    digest: &FileDigest,
    registered: &mut Registered,
) -> Result<(), StoreError> {
    let mut is_known = false;
    for (asset_id, picture_id) in rows::pictures_with(w.conn(), digest)? {
        if asset_id == registered.asset_id {
            is_known = true;
            registered.duplicates.push(picture_id);
        } else {
            registered
                .same_picture_elsewhere
                .push((asset_id, picture_id));
        }
    }
    if !is_known {
        let id = insert_picture(w, registered.asset_id, picture, digest)?;
        registered.added.push(id);
    }
    Ok(())
}

pub(super) fn insert_picture(
    w: &Writing<'_>,
    asset_id: AssetId,
    picture: &NewPicture,
    digest: &FileDigest,
) -> Result<PictureId, StoreError> {
    let conn = w.conn();
    conn.prepare_cached(
        "INSERT INTO pictures
            (asset_id, sha256, source_name, width, height, n_bytes, hash, revision, exemplar_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        asset_id.0,
        digest.0,
        picture.source_name,
        picture.width,
        picture.height,
        picture.bytes.len() as i64,
        picture.hash,
        w.revision()?,
        picture.exemplar_of.map(|finding| finding.0),
    ])?;
    let id = PictureId(conn.last_insert_rowid());
    conn.prepare_cached("INSERT INTO originals (picture_id, bytes) VALUES (?1, ?2)")?
        .execute(params![id.0, picture.bytes])?;
    for descriptor in &picture.descriptors {
        models::require_current(conn, descriptor)?;
    }
    put_descriptors(conn, id, &picture.descriptors)?;
    put_features(conn, id, &picture.features)?;
    Ok(id)
}

/// Writes descriptors, each in place of one of the same space, variant and model.
pub(super) fn put_descriptors(
    conn: &Connection,
    id: PictureId,
    descriptors: &[Descriptor],
) -> Result<(), StoreError> {
    for descriptor in descriptors {
        let model_id = models::model_row(conn, &descriptor.model)?;
        conn.prepare_cached(
            "INSERT INTO descriptors (picture_id, space, model_id, variant, vector)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (picture_id, space, model_id, variant)
             DO UPDATE SET vector = excluded.vector",
        )?
        .execute(params![
            id.0,
            descriptor.space,
            model_id,
            descriptor.variant,
            rows::vector_bytes(&descriptor.embedding),
        ])?;
    }
    Ok(())
}

/// Writes features, each in place of those of the same kind and variant.
pub(super) fn put_features(
    conn: &Connection,
    id: PictureId,
    features: &[Features],
) -> Result<(), StoreError> {
    for found in features {
        conn.prepare_cached(
            "INSERT INTO features (picture_id, kind, variant, bytes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (picture_id, kind, variant) DO UPDATE SET bytes = excluded.bytes",
        )?
        .execute(params![id.0, found.kind, found.variant, found.bytes])?;
    }
    Ok(())
}
