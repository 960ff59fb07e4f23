//! The registry: brands, their assets, the pictures of those, and what was computed from them; and
//! the cases: what was seen in listings, what was found there, and what people said of it. All in one
//! SQLite database under the data folder. Beside it, in a database of their own, the keys of a home.
//!
//! It is the only truth; whatever is searched in is a cache that can be made anew from here. What a
//! call has acknowledged is on disk, whatever happens to the process or the power afterwards.
//! Several threads and several processes may use one data folder at once. Only this folder knows
//! which database it is. It computes nothing from pictures and does not search.

mod access;
mod audit;
mod cases;
mod connections;
mod error;
mod feed;
mod models;
mod read;
mod records;
mod rows;
mod scans;
mod schema;
mod secrets;
mod webhooks;
mod write;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::{fs, io};

use connections::Connections;

pub use access::{
    ACCESS_DATABASE_NAME, AccessStore, Holder, IssuedKey, KeyRecord, KeyRefusal, KeyStanding,
    NewKey, SESSION_HOURS, SignedIn,
};
pub use audit::{AuditEntry, AuditPage, acting_as};
pub use cases::*;
pub use error::StoreError;
pub use records::{
    AssetFilter, AssetRecord, Descriptor, Features, IndexedPicture, NewPicture, Picture,
    Registered, Registration, RegistryChange, RegistryDelta,
};
pub use scans::{NewScan, ScanRecord};
pub use webhooks::{
    ClaimedDelivery, DeliveryPage, DeliveryRecord, IssuedSecret, NewWebhook, Outcome, Settled,
    TryRecord, WebhookChange, WebhookRecord,
};

/// Name of the database file within the data folder.
pub const DATABASE_NAME: &str = "touchstone.db";

/// An open registry. Share one among threads; readers do not wait for the writer.
pub struct Store {
    connections: Connections,
}

impl Store {
    /// Opens the registry of a data folder, and makes folder, database and tables where missing.
    ///
    /// # Errors
    /// [`StoreError::Folder`], [`StoreError::CannotOpen`], [`StoreError::ReadOnly`] for a place that
    /// cannot be used; [`StoreError::NotADatabase`], [`StoreError::ForeignDatabase`],
    /// [`StoreError::NewerSchema`], [`StoreError::Damaged`] for a file that cannot; it is left as it is.
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        make_folder(home)?;
        let connections = Connections::open(home.join(DATABASE_NAME), &schema::REGISTRY)?;
        Ok(Self { connections })
    }

    /// A registry that vanishes when it is dropped.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        let connections = Connections::open_in_memory(&schema::REGISTRY)?;
        Ok(Self { connections })
    }

    /// Writes the registry as it is at one moment to a new file, while it is in use; whole and on disk
    /// when this returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] and others of the place that it is written to; those of the database.
    pub fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        self.connections.back_up(to)
    }

    /// The database file; `:memory:` for a registry that has none.
    pub fn path(&self) -> &Path {
        self.connections.path()
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    make_private_folder(path).map_err(|source| StoreError::Folder {
        path: path.to_owned(),
        source,
    })
}

/// Makes a folder, and those above it, where there is none: for its owner alone, as photos and secrets are to lie in
/// it. One that is there stays as it is.
///
/// # Errors
/// Those of the file system.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
