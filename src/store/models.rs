//! Which model describes each space, and how another takes over.
//!
//! Descriptors of several models can stand side by side; only those of a space's current model are
//! given out. A new model's are added bit by bit, over hours and restarts if need be, while the old
//! ones go on being used, and take over in one step when no picture lacks them.

use rusqlite::{Connection, OptionalExtension, params};

use super::connections::Writing;
use super::{Descriptor, Picture, Store, StoreError, rows, write};
use crate::domain::{ModelId, PictureId};

impl Store {
    /// The model that describes a space; `None` before the first registration.
    ///
    /// # Errors
    /// Those of the database.
    pub fn model(&self, space: &str) -> Result<Option<ModelId>, StoreError> {
        self.connections.read_one(|conn| current(conn, space))
    }

    /// A picture without a descriptor of `model` in `space`, the one after `after` in the order of
    /// their registration; `None` when there is no further one.
    ///
    /// # Errors
    /// Those of the database.
    pub fn next_undescribed(
        &self,
        space: &str,
        model: &ModelId,
        after: Option<PictureId>,
    ) -> Result<Option<Picture>, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn
                .prepare_cached(&format!(
                    "SELECT {} FROM pictures WHERE id > ?3 AND {IS_UNDESCRIBED}
                     ORDER BY id LIMIT 1",
                    rows::PICTURE_COLUMNS
                ))?
                .query_row(
                    params![space, model.0, after.map_or(0, |id| id.0)],
                    rows::picture,
                )
                .optional()?)
        })
    }

    /// How many pictures have no descriptor of `model` in `space`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn n_undescribed(&self, space: &str, model: &ModelId) -> Result<u64, StoreError> {
        self.connections
            .read_one(|conn| n_undescribed(conn, space, model))
    }

    /// Writes descriptors of any model, each in place of one of the same picture, space, variant and
    /// model. Those of a model that is not the current one of its space are kept unseen until
    /// [`activate_models`](Self::activate_models). Pictures removed meanwhile are passed over.
    ///
    /// # Errors
    /// Those of the database.
    pub fn put_descriptors(
        &self,
        batch: &[(PictureId, Vec<Descriptor>)],
    ) -> Result<(), StoreError> {
        self.connections.write(|w| {
            for (id, descriptors) in batch {
                let is_there = w
                    .conn()
                    .prepare_cached("SELECT 1 FROM pictures WHERE id = ?1")?
                    .exists([id.0])?;
                if is_there {
                    write::put_descriptors(w.conn(), *id, descriptors)?;
                    stamp_if_seen(w, *id, descriptors)?;
                }
            }
            Ok(())
        })
    }

    /// Makes each model the one that describes its space, all in one step, and forgets the
    /// descriptors of the models before them. Every picture then counts as changed.
    ///
    /// # Errors
    /// [`StoreError::Undescribed`] when pictures lack a descriptor of a new model: describe those of
    /// [`next_undescribed`](Self::next_undescribed) and repeat; those of the database.
    pub fn activate_models(&self, models: &[(&str, ModelId)]) -> Result<(), StoreError> {
        self.connections.write(|w| {
            for (space, model) in models {
                let n_missing = n_undescribed(w.conn(), space, model)?;
                if n_missing > 0 {
                    return Err(StoreError::Undescribed {
                        space: (*space).to_owned(),
                        model: model.clone(),
                        n_missing,
                    });
                }
                let model_id = set_current(w.conn(), space, model)?;
                w.conn().execute(
                    "DELETE FROM descriptors WHERE space = ?1 AND model_id <> ?2",
                    params![space, model_id],
                )?;
            }
            w.conn()
                .execute("UPDATE pictures SET revision = ?1", [w.revision()?])?;
            Ok(())
        })
    }
}

/// Marks a picture as changed if one of the descriptors is of its space's current model.
fn stamp_if_seen(
    w: &Writing<'_>,
    id: PictureId,
    descriptors: &[Descriptor],
) -> Result<(), StoreError> {
    for descriptor in descriptors {
        if current(w.conn(), &descriptor.space)?.as_ref() == Some(&descriptor.model) {
            w.conn()
                .prepare_cached("UPDATE pictures SET revision = ?2 WHERE id = ?1")?
                .execute(params![id.0, w.revision()?])?;
            return Ok(());
        }
    }
    Ok(())
}

/// With the space as the first parameter and the model's name as the second.
const IS_UNDESCRIBED: &str = "NOT EXISTS (
    SELECT 1 FROM descriptors
    WHERE picture_id = pictures.id AND space = ?1
      AND model_id = (SELECT id FROM models WHERE name = ?2))";

fn n_undescribed(conn: &Connection, space: &str, model: &ModelId) -> Result<u64, StoreError> {
    let n_missing: i64 = conn
        .prepare_cached(&format!(
            "SELECT count(*) FROM pictures WHERE {IS_UNDESCRIBED}"
        ))?
        .query_row([space, &model.0], |row| row.get(0))?;
    Ok(n_missing.unsigned_abs())
}

fn current(conn: &Connection, space: &str) -> Result<Option<ModelId>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT models.name FROM spaces JOIN models ON models.id = model_id WHERE space = ?1",
        )?
        .query_row([space], |row| row.get(0).map(ModelId))
        .optional()?)
}

/// Refuses a descriptor that the space's model did not make; the first of a space names its model.
pub(super) fn require_current(
    conn: &Connection,
    descriptor: &Descriptor,
) -> Result<(), StoreError> {
    match current(conn, &descriptor.space)? {
        None => set_current(conn, &descriptor.space, &descriptor.model).map(drop),
        Some(registry) if registry == descriptor.model => Ok(()),
        Some(registry) => Err(StoreError::ModelMismatch {
            space: descriptor.space.clone(),
            registry,
            given: descriptor.model.clone(),
        }),
    }
}

fn set_current(conn: &Connection, space: &str, model: &ModelId) -> Result<i64, StoreError> {
    let model_id = model_row(conn, model)?;
    conn.execute(
        "INSERT INTO spaces VALUES (?1, ?2)
         ON CONFLICT (space) DO UPDATE SET model_id = excluded.model_id",
        params![space, model_id],
    )?;
    Ok(model_id)
}

/// The row that stands for a model.
pub(super) fn model_row(conn: &Connection, model: &ModelId) -> Result<i64, StoreError> {
    conn.prepare_cached("INSERT INTO models (name) VALUES (?1) ON CONFLICT (name) DO NOTHING")?
        .execute([&model.0])?;
    Ok(conn
        .prepare_cached("SELECT id FROM models WHERE name = ?1")?
        .query_row([&model.0], |row| row.get(0))?)
}
