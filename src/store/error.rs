//! What can go wrong with the registry, and what a person can do about it.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::domain::{
    AssetId, DomainError, FindingId, KeyId, ModelId, PictureId, ScanId, WebhookId,
};

/// Why the registry could not do what was asked. Nothing was changed when a call returns one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The data folder could not be made.
    #[error("cannot create the data folder {}: choose another with --home", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database file could not be opened.
    #[error("cannot open {}: check that the folder belongs to this user", path.display())]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is no SQLite database.
    #[error("{} is not a database: move it away, then restore it from a backup or register anew", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file is a database of some other program.
    #[error("{} belongs to another program (application id {found}): choose another folder with --home", path.display())]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
        /// The mark that the other program left, 0 for none.
        found: i32,
    },
    /// SQLite found pages that contradict each other.
    #[error("{} is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer touchstone wrote the database.
    #[error("{} has schema {found}, this touchstone knows up to {supported}: upgrade touchstone", path.display())]
    NewerSchema {
        /// The database file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known here.
        supported: u32,
    },
    /// The folder, the file, or the file system cannot be written.
    #[error("cannot write {}: make the folder and its files writable", path.display())]
    ReadOnly {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// No room for what was to be written.
    #[error("no room left for {}: free some space and repeat; what was acknowledged before is kept", path.display())]
    DiskFull {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Another process kept the database for too long.
    #[error("{} stayed locked by another process for {waited_ms} ms: repeat when it is done", path.display())]
    Locked {
        /// The database file.
        path: PathBuf,
        /// How long was waited.
        waited_ms: u64,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// Descriptors of one model were offered to a registry made with another.
    #[error(
        "the registry's {space} descriptors come from {registry}, not from {given}: describe it again with `touchstone assets reembed`"
    )]
    ModelMismatch {
        /// Which kind of descriptor.
        space: String,
        /// The model that made the registry.
        registry: ModelId,
        /// The model offered.
        given: ModelId,
    },
    /// A model cannot take over while pictures lack its descriptors.
    #[error("{n_missing} pictures have no {space} descriptor of {model} yet")]
    Undescribed {
        /// Which kind of descriptor.
        space: String,
        /// The model that was to take over.
        model: ModelId,
        /// Pictures without.
        n_missing: u64,
    },
    /// No brand has this id, or name.
    #[error("no brand {brand}")]
    NoSuchBrand {
        /// The id, or the name in quotes.
        brand: String,
    },
    /// Only what a person confirmed may teach.
    #[error("finding {} is not confirmed: only confirmed findings become exemplars", id.0)]
    NotConfirmed {
        /// The finding.
        id: FindingId,
    },
    /// Each exemplar makes every later look at its asset longer.
    #[error("asset {asset} has {n} exemplars already: remove one first")]
    TooManyExemplars {
        /// The asset.
        asset: AssetId,
        /// How many.
        n: u32,
    },
    /// A promise that nothing could keep, or that promises nothing.
    #[error("precision is {precision}, a promise lies within 0.5 and 0.999")]
    BadPromise {
        /// The precision asked for.
        precision: f64,
    },
    /// A revision from another registry, or from before a backup was restored: load everything again.
    #[error("revision {asked} is ahead of the registry's {current}")]
    RevisionAhead {
        /// The revision asked for.
        asked: u64,
        /// The registry's.
        current: u64,
    },
    /// There is no such asset.
    #[error("no asset has id {id}")]
    NoSuchAsset {
        /// The id asked for.
        id: AssetId,
    },
    /// There is no such picture.
    #[error("no picture has id {}", id.0)]
    NoSuchPicture {
        /// The id asked for.
        id: PictureId,
    },
    /// There is no such finding.
    #[error("no finding has id {}", id.0)]
    NoSuchFinding {
        /// The id asked for.
        id: FindingId,
    },
    /// There is no listing under this id whose fields were kept.
    #[error("no listing with id {listing_id:?} was kept")]
    NoSuchListing {
        /// The id asked for.
        listing_id: String,
    },
    /// There is no such key, or not of this tenant.
    #[error("no key has id {id}")]
    NoSuchKey {
        /// The id asked for.
        id: KeyId,
    },
    /// A key cannot be as it was asked for.
    #[error("{reason}")]
    BadKey {
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such scan.
    #[error("no scan has id {}", id.0)]
    NoSuchScan {
        /// The id asked for.
        id: ScanId,
    },
    /// Too many scans wait for their turn.
    #[error("{n_waiting} scans wait already: ask again when some of them are done")]
    TooManyScans {
        /// Scans that wait.
        n_waiting: u32,
    },
    /// There is no such webhook.
    #[error("no webhook has id {id}")]
    NoSuchWebhook {
        /// The id asked for.
        id: WebhookId,
    },
    /// A webhook cannot be as it was asked for.
    #[error("{reason}")]
    BadWebhook {
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: no secret can be made")]
    NoRandomness(#[source] Box<dyn Error + Send + Sync>),
    /// No decision holds that could be taken back.
    #[error("nobody has decided on finding {}", id.0)]
    NothingToUndo {
        /// The finding.
        id: FindingId,
    },
    /// The draft, alone or joined with what is registered, breaks a rule.
    #[error(transparent)]
    Draft(#[from] DomainError),
    /// A row holds what touchstone never writes.
    #[error("{table} row {id} of the registry cannot be read")]
    BadRow {
        /// Its table.
        table: &'static str,
        /// Its id.
        id: i64,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else that SQLite refuses.
    #[error("the registry refused")]
    Sqlite(#[from] rusqlite::Error),
}

impl StoreError {
    /// Gives a plain SQLite error its meaning; leaves the others as they are.
    pub(super) fn placed(self, path: &Path, waited_ms: u64) -> Self {
        let Self::Sqlite(source) = self else {
            return self;
        };
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path, source },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                Self::ReadOnly { path, source }
            }
            Some(ErrorCode::DiskFull) => Self::DiskFull { path, source },
            Some(ErrorCode::CannotOpen) => Self::CannotOpen { path, source },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked {
                path,
                waited_ms,
                source,
            },
            _ => Self::Sqlite(source),
        }
    }
}
