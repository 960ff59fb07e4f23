//! Where the bytes of a photo come from.

use std::path::PathBuf;

/// Where the bytes of a photo come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhotoPlace {
    /// A file, read when its turn comes.
    File(PathBuf),
    /// An `http:` or `https:` address, or one in a store, fetched when its turn comes, by whoever has a fetcher.
    Address(String),
    /// Bytes that were read already: archives are read from front to back.
    Held(Vec<u8>),
    /// Nowhere; why, in words.
    Nowhere(String),
}

impl PhotoPlace {
    /// Bytes of memory that it takes.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::File(_) | Self::Address(_) | Self::Nowhere(_) => 0,
        }
    }
}
