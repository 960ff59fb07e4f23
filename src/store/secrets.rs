//! Random texts, and what is kept of them.

use crate::domain::FileDigest;
use crate::store::StoreError;

/// `N` random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::NoRandomness(error.into()))?;
    Ok(bytes)
}

/// 256 random bits as 64 hexadecimal digits.
pub(super) fn secret() -> Result<String, StoreError> {
    // A digest's notation, for any 32 bytes.
    Ok(FileDigest(random()?).to_hex())
}

/// What is kept of a secret, 32 bytes.
pub(super) fn digest(secret: &str) -> [u8; 32] {
    FileDigest::of(secret.as_bytes()).0
}

/// Whether the digests are the same, in a time that tells nothing of where they differ.
pub(super) fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    constant_time_eq::constant_time_eq_32(one, other)
}
