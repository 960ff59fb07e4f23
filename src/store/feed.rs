//! How a reader, in this process or another, follows the registry without loading all of it again.
//!
//! Every transaction that changes something takes the next revision and stamps it on the rows it
//! touches; what it removes leaves a line in `removals`. The changes since a revision are then the
//! rows with a greater stamp.

use rusqlite::Connection;

use super::{RegistryChange, RegistryDelta, Store, StoreError, rows};
use crate::domain::{AssetId, PictureId};

impl Store {
    /// How often the registry has changed. Cheap (a few microseconds): made to be asked before every photo.
    ///
    /// # Errors
    /// Those of the database.
    pub fn revision(&self) -> Result<u64, StoreError> {
        self.connections.read_one(current_revision)
    }

    /// What tells this registry from any other, 32 hexadecimal digits: an index that was saved for
    /// one is of no use to another, whatever their revisions.
    ///
    /// # Errors
    /// Those of the database.
    pub fn registry_id(&self) -> Result<String, StoreError> {
        self.connections.read_one(|conn| {
            Ok(conn.query_row("SELECT registry FROM state", [], |row| row.get(0))?)
        })
    }

    /// All changes after `revision`, 0 for everything, with local features if they are wanted.
    ///
    /// # Errors
    /// As [`stream_since`](Self::stream_since).
    pub fn load_since(
        &self,
        revision: u64,
        with_features: bool,
    ) -> Result<RegistryDelta, StoreError> {
        let mut delta = RegistryDelta::default();
        delta.revision = self.stream_since(revision, with_features, |change| match change {
            RegistryChange::Asset(asset) => delta.assets.push(asset),
            RegistryChange::AssetRemoved(id) => delta.removed_assets.push(id),
            RegistryChange::Picture(picture) => delta.pictures.push(picture),
            RegistryChange::PictureRemoved(id) => delta.removed_pictures.push(id),
        })?;
        Ok(delta)
    }

    /// Calls `take` with each change after `revision`, 0 for everything, one at a time: removals
    /// first, then assets, then pictures, whose assets have always come before them. Returns the
    /// revision reached, which is the one to ask from next time.
    ///
    /// `take` must not call the store: in memory, there is only one connection to wait for.
    ///
    /// # Errors
    /// [`StoreError::RevisionAhead`] for a revision that this registry has not reached;
    /// [`StoreError::BadRow`] for a row that someone else wrote; those of the database.
    pub fn stream_since(
        &self,
        revision: u64,
        with_features: bool,
        mut take: impl FnMut(RegistryChange),
    ) -> Result<u64, StoreError> {
        self.connections.read(|conn| {
            let current = current_revision(conn)?;
            if revision > current {
                return Err(StoreError::RevisionAhead {
                    asked: revision,
                    current,
                });
            }
            // No revision in the database exceeds i64, and `current` is from there.
            let since = revision as i64;
            if since > 0 {
                stream_removals(conn, since, &mut take)?;
            }
            stream_assets(conn, since, &mut take)?;
            stream_pictures(conn, since, with_features, &mut take)?;
            Ok(current)
        })
    }
}

fn current_revision(conn: &Connection) -> Result<u64, StoreError> {
    let revision: i64 = conn
        .prepare_cached("SELECT revision FROM state")?
        .query_row([], |row| row.get(0))?;
    Ok(revision.unsigned_abs())
}

fn stream_removals(
    conn: &Connection,
    since: i64,
    take: &mut impl FnMut(RegistryChange),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT asset_id, picture_id FROM removals WHERE revision > ?1 ORDER BY id",
    )?;
    let mut removals = statement.query([since])?;
    while let Some(row) = removals.next()? {
        if let Some(id) = row.get(0)? {
            take(RegistryChange::AssetRemoved(AssetId(id)));
        }
        if let Some(id) = row.get(1)? {
            take(RegistryChange::PictureRemoved(PictureId(id)));
        }
    }
    Ok(())
}

fn stream_assets(
    conn: &Connection,
    since: i64,
    take: &mut impl FnMut(RegistryChange),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {} FROM assets JOIN brands ON brands.id = brand_id
         WHERE revision > ?1 ORDER BY assets.id",
        rows::ASSET_COLUMNS
    ))?;
    let mut assets = statement.query([since])?;
    while let Some(row) = assets.next()? {
        take(RegistryChange::Asset(rows::asset(row)?));
    }
    Ok(())
}

fn stream_pictures(
    conn: &Connection,
    since: i64,
    with_features: bool,
    take: &mut impl FnMut(RegistryChange),
) -> Result<(), StoreError> {
    // For everything in the order of the table, for a few by way of their index.
    let filter = if since == 0 { "+revision" } else { "revision" };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT id, asset_id, width, height, hash, exemplar_of FROM pictures
         WHERE {filter} > ?1 ORDER BY id"
    ))?;
    let mut pictures = statement.query([since])?;
    while let Some(row) = pictures.next()? {
        let picture = rows::indexed_picture(conn, row, with_features)?;
        take(RegistryChange::Picture(picture));
    }
    Ok(())
}
