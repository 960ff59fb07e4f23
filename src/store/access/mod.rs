//! Keys, sessions and one-time links, in a database of their own in the home: they say which tenant's
//! data may be opened, so they cannot lie with one tenant's data.
//!
//! Of secrets only SHA-256 digests are kept: with 256 random bits nothing slower is needed.

mod keys;
mod records;
mod sessions;

#[cfg(test)]
mod tests;

use std::path::Path;

use jiff::Timestamp;

use super::connections::Connections;
use super::{StoreError, make_folder, schema};

pub use records::{Holder, IssuedKey, KeyRecord, KeyRefusal, KeyStanding, NewKey, SignedIn};
pub use sessions::SESSION_HOURS;

/// Name of the database file of keys within the home.
pub const ACCESS_DATABASE_NAME: &str = "access.sqlite";

/// Who may ask. Share one among threads.
pub struct AccessStore {
    connections: Connections,
}

impl AccessStore {
    /// Opens the keys of a home, and makes folder, database and tables where missing.
    ///
    /// # Errors
    /// As [`Store::open`](super::Store::open).
    pub fn open(home: &Path) -> Result<Self, StoreError> {
        make_folder(home)?;
        let path = home.join(ACCESS_DATABASE_NAME);
        let connections = Connections::open(path, &schema::ACCESS)?;
        Ok(Self { connections })
    }

    /// Writes the keys as they are at one moment to a new file, as
    /// [`Store::back_up`](super::Store::back_up).
    ///
    /// # Errors
    /// As there.
    pub fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        self.connections.back_up(to)
    }

    /// Keys that vanish when this is dropped.
    ///
    /// # Errors
    /// Those of the database.
    pub fn open_in_memory() -> Result<Self, StoreError> {
        let connections = Connections::open_in_memory(&schema::ACCESS)?;
        Ok(Self { connections })
    }
}

/// A moment as it is kept: RFC 3339 UTC to the second, so that texts compare as times do.
fn text_of(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
