//! The tables, and how an older database becomes a newer one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// A kind of database: what marks it, and how it is made.
pub(super) struct Schema {
    /// Stands in the file's header, so that another program's database is not mistaken for ours.
    application_id: i32,
    /// One script per schema version: the first makes version 1 out of nothing. Only ever append.
    migrations: &'static [&'static str],
}

/// The registry with its cases ("TSTN").
pub(super) const REGISTRY: Schema = Schema {
    application_id: 0x5453_544e,
    migrations: &[VERSION_1, CASES, AUDIT, WEBHOOKS, SCANS, TEACHING, WHOSE],
};

/// Keys and sessions ("TSTK").
pub(super) const ACCESS: Schema = Schema {
    application_id: 0x5453_544b,
    migrations: &[KEYS],
};

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

// What was seen in listings, what was found there, what people said of it. Findings and decisions
// outlive the assets and the photos' descriptions that they rest on, so they name assets by numbers
// that refer to nothing, and repeat their names.
//
// A photo whose hash differs in up to seven bits shares one of the eight parts of its hash, byte for
// byte: near copies are found by an index.
const CASES: &str = "
CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    whole BLOB NOT NULL,
    cluster_id INTEGER NOT NULL,
    model TEXT NOT NULL,
    description BLOB,
    compared_revision INTEGER NOT NULL,
    first_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    last_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    keep_until TEXT NOT NULL
);
CREATE UNIQUE INDEX photos_by_sha256 ON photos (sha256);
CREATE INDEX photos_by_cluster ON photos (cluster_id);
CREATE INDEX photos_by_compared ON photos (compared_revision) WHERE description IS NOT NULL;
CREATE INDEX photos_by_end ON photos (keep_until);

CREATE TABLE photo_hash_parts (
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    photo_id INTEGER NOT NULL REFERENCES photos (id) ON DELETE CASCADE,
    PRIMARY KEY (part, bytes, photo_id)
) WITHOUT ROWID;
CREATE INDEX photo_hash_parts_by_photo ON photo_hash_parts (photo_id);

CREATE TABLE photo_files (
    photo_id INTEGER PRIMARY KEY REFERENCES photos (id) ON DELETE CASCADE,
    bytes BLOB NOT NULL,
    keep_until TEXT NOT NULL
);

CREATE TABLE listings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    listing_id TEXT NOT NULL,
    seller_id TEXT,
    seller_name TEXT,
    seller_country TEXT,
    document TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    keep_until TEXT NOT NULL
);
CREATE UNIQUE INDEX listings_by_listing_id ON listings (listing_id);
CREATE INDEX listings_by_end ON listings (keep_until);

CREATE TABLE sightings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    photo_id INTEGER NOT NULL REFERENCES photos (id),
    listing INTEGER REFERENCES listings (id),
    name TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE UNIQUE INDEX sightings_once ON sightings (photo_id, ifnull(listing, 0));
CREATE INDEX sightings_by_listing ON sightings (listing);

CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sighting_id INTEGER NOT NULL REFERENCES sightings (id),
    cluster_id INTEGER NOT NULL,
    asset_id INTEGER NOT NULL,
    brand TEXT NOT NULL,
    kind TEXT NOT NULL,
    probability REAL NOT NULL,
    priority REAL NOT NULL,
    source TEXT NOT NULL,
    authorised INTEGER NOT NULL,
    status TEXT NOT NULL,
    decision_id INTEGER,
    suppressed_by INTEGER,
    finding TEXT NOT NULL,
    nearest_other TEXT,
    model TEXT NOT NULL,
    judge BLOB,
    registry_revision INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE UNIQUE INDEX findings_once ON findings (sighting_id, asset_id);
CREATE INDEX findings_by_cluster ON findings (cluster_id, asset_id);
CREATE INDEX findings_by_priority ON findings (status, priority, id);
CREATE INDEX findings_by_asset ON findings (asset_id);
CREATE INDEX findings_by_brand ON findings (brand);

CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    finding_id INTEGER NOT NULL REFERENCES findings (id) ON DELETE CASCADE,
    opinion TEXT,
    undoes INTEGER REFERENCES decisions (id),
    reason TEXT,
    decided_by TEXT NOT NULL,
    batch INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    CHECK ((opinion IS NULL) <> (undoes IS NULL))
);
CREATE INDEX decisions_by_finding ON decisions (finding_id);
CREATE INDEX decisions_by_batch ON decisions (batch);
CREATE UNIQUE INDEX decisions_undone_once ON decisions (undoes) WHERE undoes IS NOT NULL;

CREATE TABLE remembered_answers (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX remembered_answers_by_age ON remembered_answers (created_at);

CREATE TABLE pending_photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    listing TEXT NOT NULL,
    name TEXT NOT NULL,
    bytes BLOB NOT NULL,
    keeping TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
";

// Entries stay as they were written, whatever this program is brought to do.
const AUDIT: &str = "
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    who TEXT NOT NULL,
    role TEXT,
    key_id TEXT,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details TEXT,
    request_id TEXT
);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'the audit log is only added to'); END;
";

// The secrets of webhooks are kept as they are: messages are signed with them. Times that are compared to
// the millisecond are numbers.
const WEBHOOKS: &str = "
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    events TEXT NOT NULL,
    brands TEXT NOT NULL,
    secret BLOB NOT NULL CHECK (length(secret) = 32),
    previous_secret BLOB,
    previous_until TEXT,
    enabled INTEGER NOT NULL,
    disabled_reason TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
) WITHOUT ROWID;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE INDEX events_by_age ON events (created_at);

CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id INTEGER NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    n_tries INTEGER NOT NULL,
    due_ms INTEGER NOT NULL
);
CREATE INDEX deliveries_due ON deliveries (webhook_id, due_ms) WHERE state = 'pending';
CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
CREATE INDEX deliveries_by_event ON deliveries (event_id);

CREATE TABLE delivery_tries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery_id INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    status INTEGER,
    error TEXT,
    elapsed_ms REAL NOT NULL
);
CREATE INDEX delivery_tries_by_delivery ON delivery_tries (delivery_id, id);
";

const SCANS: &str = "
CREATE TABLE scans (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    n_photos INTEGER NOT NULL,
    n_done INTEGER NOT NULL DEFAULT 0,
    summary TEXT,
    error TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
    started_at TEXT,
    ended_at TEXT
);
CREATE INDEX scans_waiting ON scans (id) WHERE state = 'waiting';
";

// `exemplar_of` names a finding as findings name assets: by a number that refers to nothing. Of a brand's
// promises the last one holds; earlier ones stay, to tell what held when.
const TEACHING: &str = "
ALTER TABLE pictures ADD COLUMN exemplar_of INTEGER;
CREATE UNIQUE INDEX pictures_by_finding ON pictures (exemplar_of) WHERE exemplar_of IS NOT NULL;

CREATE TABLE promises (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    brand TEXT NOT NULL,
    precision REAL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
);
CREATE INDEX promises_by_brand ON promises (brand, id);
";

// Whose a sighting is: without a listing nothing else would tell two sellers apart, and what is kept for some
// brands must not become another's finding later. Of the seller only a digest is kept.
const WHOSE: &str = "
ALTER TABLE sightings ADD COLUMN seller BLOB;
ALTER TABLE sightings ADD COLUMN brands TEXT;
DROP INDEX sightings_once;
CREATE UNIQUE INDEX sightings_once
    ON sightings (photo_id, ifnull(listing, 0), ifnull(seller, ''), ifnull(brands, ''));
";

// Of keys, sessions and links only digests: who reads the file cannot use them.
const KEYS: &str = "
CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    tenant TEXT NOT NULL,
    role TEXT NOT NULL,
    label TEXT NOT NULL,
    brands TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT,
    last_used_at TEXT,
    revoked_at TEXT
) WITHOUT ROWID;
CREATE INDEX keys_by_tenant ON keys (tenant, created_at);

CREATE TABLE sessions (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    key_id TEXT REFERENCES keys (id),
    expires_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE links (
    digest BLOB PRIMARY KEY CHECK (length(digest) = 32),
    expires_at TEXT NOT NULL,
    used_at TEXT
) WITHOUT ROWID;
";

impl Schema {
    /// Newest version known here.
    fn supported(&self) -> u32 {
        self.migrations.len() as u32
    }

    /// Brings the database to the newest version. Safe to run from several processes at once: the
    /// version is read again under the write lock.
    pub(super) fn migrate(&self, conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
        if self.check(conn, path)? == self.supported() {
            return Ok(());
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version = self.checked_version(&tx, path)?;
        for script in &self.migrations[version as usize..] {
            tx.execute_batch(script)?;
        }
        tx.pragma_update(None, "application_id", self.application_id)?;
        tx.pragma_update(None, "user_version", self.supported())?;
        tx.commit()?;
        Ok(())
    }

    /// Version of a database of this kind that is known here, 0 for an empty file.
    pub(super) fn check(&self, conn: &Connection, path: &Path) -> Result<u32, StoreError> {
        // One transaction, lest another process makes the tables between two of the questions.
        let tx = conn.unchecked_transaction()?;
        self.checked_version(&tx, path)
    }

    fn checked_version(&self, conn: &Connection, path: &Path) -> Result<u32, StoreError> {
        let path = path.to_owned();
        let found = conn.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))?;
        let version = conn.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))?;
        let n_tables: u32 =
            conn.query_row("SELECT count(*) FROM sqlite_master", [], |r| r.get(0))?;
        let is_empty = found == 0 && version == 0 && n_tables == 0;
        if found != self.application_id && !is_empty {
            return Err(StoreError::ForeignDatabase { path, found });
        }
        if version > self.supported() {
            return Err(StoreError::NewerSchema {
                path,
                found: version,
                supported: self.supported(),
            });
        }
        Ok(version)
    }
}
