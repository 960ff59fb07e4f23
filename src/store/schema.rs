//! The tables, and how an older database becomes a newer one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// Stands in the file's header, so that another program's database is not mistaken for a registry
/// ("TSTN").
const APPLICATION_ID: i32 = 0x5453_544e;

/// One script per schema version: the first makes version 1 out of nothing. Only ever append.
const MIGRATIONS: [&str; 1] = [VERSION_1];

// AUTOINCREMENT keeps the ids of removed rows from being given out again: an index that still
// holds a removed picture would otherwise take it for another.
//
// `descriptors` keeps its row ids: in a WITHOUT ROWID table a vector of 256 numbers is just over
// the largest payload that a 4 KiB index page holds, and each would take an overflow page.
const VERSION_1: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    registry TEXT NOT NULL,
    revision INTEGER NOT NULL
);
INSERT INTO state VALUES (1, lower(hex(randomblob(16))), 0);

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE brands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE assets (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    brand_id INTEGER NOT NULL REFERENCES brands (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    registration_number TEXT,
    valid_from TEXT,
    valid_until TEXT,
    notes TEXT,
    authorised_sellers TEXT NOT NULL,
    word_marks TEXT NOT NULL,
    enabled INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    revision INTEGER NOT NULL,
    UNIQUE (brand_id, name)
);
CREATE INDEX assets_by_revision ON assets (revision);

CREATE TABLE pictures (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asset_id INTEGER NOT NULL REFERENCES assets (id) ON DELETE CASCADE,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    source_name TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    n_bytes INTEGER NOT NULL,
    hash BLOB NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    revision INTEGER NOT NULL,
    UNIQUE (asset_id, sha256)
);
CREATE INDEX pictures_by_sha256 ON pictures (sha256);
CREATE INDEX pictures_by_revision ON pictures (revision);

CREATE TABLE originals (
    picture_id INTEGER PRIMARY KEY REFERENCES pictures (id) ON DELETE CASCADE,
    bytes BLOB NOT NULL
);

CREATE TABLE models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE spaces (
    space TEXT PRIMARY KEY,
    model_id INTEGER NOT NULL REFERENCES models (id)
) WITHOUT ROWID;

CREATE TABLE descriptors (
    id INTEGER PRIMARY KEY,
    picture_id INTEGER NOT NULL REFERENCES pictures (id) ON DELETE CASCADE,
    space TEXT NOT NULL,
    model_id INTEGER NOT NULL REFERENCES models (id),
    variant TEXT NOT NULL,
    vector BLOB NOT NULL,
    UNIQUE (picture_id, space, model_id, variant)
);

CREATE TABLE features (
    id INTEGER PRIMARY KEY,
    picture_id INTEGER NOT NULL REFERENCES pictures (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    variant TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (picture_id, kind, variant)
);

CREATE TABLE removals (
    id INTEGER PRIMARY KEY,
    revision INTEGER NOT NULL,
    asset_id INTEGER,
    picture_id INTEGER,
    CHECK ((asset_id IS NULL) <> (picture_id IS NULL))
);
CREATE INDEX removals_by_revision ON removals (revision);
";

/// Newest schema known here.
pub(super) const SUPPORTED: u32 = MIGRATIONS.len() as u32;

/// Brings the database to [`SUPPORTED`]. Safe to run from several processes at once: the version is
/// read again under the write lock.
pub(super) fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
    if check(conn, path)? == SUPPORTED {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version = checked_version(&tx, path)?;
    for script in &MIGRATIONS[version as usize..] {
        tx.execute_batch(script)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SUPPORTED)?;
    tx.commit()?;
    Ok(())
}

/// Schema version of a registry that is known here, 0 for an empty file.
pub(super) fn check(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    // One transaction, lest another process makes the tables between two of the questions.
    let tx = conn.unchecked_transaction()?;
    checked_version(&tx, path)
}

fn checked_version(conn: &Connection, path: &Path) -> Result<u32, StoreError> {
    let path = path.to_owned();
    let found = conn.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))?;
    let version = conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?;
    let n_tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
    let is_empty = found == 0 && version == 0 && n_tables == 0;
    if found != APPLICATION_ID && !is_empty {
        return Err(StoreError::ForeignDatabase { path, found });
    }
    if version > SUPPORTED {
        return Err(StoreError::NewerSchema {
            path,
            found: version,
            supported: SUPPORTED,
        });
    }
    Ok(version)
}
