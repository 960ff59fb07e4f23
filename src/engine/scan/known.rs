//! What was fetched from which address: whether it is still the same is asked before it is fetched again.

use quick_cache::sync::Cache;

use crate::domain::FileDigest;

/// Addresses that are remembered, some 150 bytes each.
const MAX_ADDRESSES: usize = 100_000;

/// The bytes that were at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    /// What the other side calls them.
    pub etag: String,
    /// What they are.
    pub sha256: FileDigest,
}

/// Addresses that were fetched in this scan, as many as there is room for.
#[derive(Debug)]
pub(super) struct KnownAddresses(Cache<FileDigest, Version>);

impl KnownAddresses {
    pub(super) fn new() -> Self {
        Self(Cache::new(MAX_ADDRESSES))
    }

    pub(super) fn version(&self, address: &str) -> Option<Version> {
        self.0.get(&FileDigest::of(address.as_bytes()))
    }

    pub(super) fn remember(&self, address: &str, version: Version) {
        self.0.insert(FileDigest::of(address.as_bytes()), version);
    }
}
