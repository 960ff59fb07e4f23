//! What a scan says of a photo, what it was said with, and which part of a scan it belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;
use utoipa::ToSchema;

use super::review::words;
use super::{FileDigest, Listing, ModelId, PhotoVerdict};

/// What a scan says of one photo of one listing; every photo of a scan gets exactly one.
#[derive(Debug, Clone, PartialEq)]
pub struct ScannedPhoto {
    /// The offer it belongs to.
    pub listing: Arc<Listing>,
    /// The photo's location as the manifest gave it.
    pub photo: String,
    /// SHA-256 of the file, lower-case hex; `None` when it could not be read.
    pub sha256: Option<String>,
    /// What nearly equal photos have nearly in common; `None` when there is no verdict.
    pub mark: Option<PhotoMark>,
    /// How the verdict was come by.
    pub work: Work,
    /// Milliseconds until the bytes were there.
    pub read_ms: f64,
    /// Network and registry.
    pub stamp: Arc<ScanStamp>,
    /// The verdict, or why there is none.
    pub outcome: Result<PhotoVerdict, String>,
}

impl ScannedPhoto {
    /// What tells this row from all others, 32 hexadecimal digits: from listing, photo, bytes, network and
    /// registry. The same photo scanned again under the same registry has the same key.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            &self.listing.listing_id,
            &self.photo,
            self.sha256.as_deref().unwrap_or(""),
            &self.stamp.model.0,
            &self.stamp.registry,
            &self.stamp.registry_revision.to_string(),
        ] {
            // With its length, so that no two lists of parts run together to the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        digest[..16].iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// With what a scan's answers were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanStamp {
    /// The embedding network.
    pub model: ModelId,
    /// Identity of the registry.
    pub registry: String,
    /// Its revision; the whole scan compares with this one, whatever is registered meanwhile.
    pub registry_revision: u64,
    /// Digest of what people's decisions have taught; `None` when that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taught: Option<FileDigest>,
}

/// Database identity of a scan that was asked for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct ScanId(pub i64);

/// Where a scan stands that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScanState {
    /// Its turn has not come.
    Waiting,
    /// Photos are looked at.
    Running,
    /// Its results can be fetched.
    Done,
    /// It came to nothing.
    Failed,
}

words!(
    ScanState,
    Waiting => "waiting",
    Running => "running",
    Done => "done",
    Failed => "failed"
);

/// How a verdict was come by.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// The photo went through all stages.
    #[default]
    Computed,
    /// The same bytes went through them shortly before, under another listing or name.
    Cached,
    /// An earlier scan's answer still holds.
    Earlier,
}

impl Work {
    /// The word used in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Computed => "computed",
            Self::Cached => "cached",
            Self::Earlier => "earlier",
        }
    }
}

/// A photo in 64 bytes, by which nearly equal photos are found in results, without photos and vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PhotoMark {
    /// The perceptual hash of the upright photo.
    pub hash: [u8; 32],
    /// On which side of 256 fixed planes the vector of the whole photo lies: two vectors with an angle
    /// of `a` differ in about `256 a / π` bits.
    pub sides: [u8; 32],
}

impl PhotoMark {
    /// Hash and sides as 128 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let bytes = self.hash.iter().chain(&self.sides);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads what [`to_hex`](Self::to_hex) writes; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let part = |from: usize| super::FileDigest::from_hex(text.get(from..from + 64)?);
        (text.len() == 128).then_some(())?;
        Some(Self {
            hash: part(0)?.0,
            sides: part(64)?.0,
        })
    }
}

/// One of the equal parts that a scan is divided into, by listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// Which, from 1.
    number: u32,
    /// Of how many.
    n_shards: u32,
}

/// Why there is no such shard.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{found:?} is no shard: use I/N with I from 1 to N, for example 1/8")]
pub struct ShardError {
    /// What was given.
    pub found: String,
}

impl Shard {
    /// Shard `number`, from 1, of `n_shards`.
    ///
    /// # Errors
    /// [`ShardError`] unless `1 <= number <= n_shards`.
    pub fn new(number: u32, n_shards: u32) -> Result<Self, ShardError> {
        if (1..=n_shards).contains(&number) {
            return Ok(Self { number, n_shards });
        }
        Err(ShardError {
            found: format!("{number}/{n_shards}"),
        })
    }

    /// Which, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Of how many.
    pub fn n_shards(&self) -> u32 {
        self.n_shards
    }

    /// Whether the listing is in this shard: the first eight bytes of the SHA-256 of its id, as a
    /// big-endian number, modulo the number of shards, is the shard's number less one.
    pub fn holds(&self, listing_id: &str) -> bool {
        let digest = Sha256::digest(listing_id);
        let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
        u64::from_be_bytes(first) % u64::from(self.n_shards) == u64::from(self.number - 1)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.n_shards)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(number, n_shards)| {
            let shard = Self::new(number.trim().parse().ok()?, n_shards.trim().parse().ok()?);
            shard.ok()
        });
        parsed.ok_or_else(|| ShardError {
            found: text.to_owned(),
        })
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listing_is_in_exactly_one_shard_of_about_equal_size() {
        let shards: Vec<_> = (1..=4)
            .map(|i| Shard::new(i, 4).expect("a shard"))
            .collect();
        let mut sizes = [0; 4];
        for idx in 0..4000 {
            let id = format!("L-{idx}");
            let holding: Vec<_> = shards.iter().filter(|s| s.holds(&id)).collect();
            assert_eq!(holding.len(), 1, "{id}");
            sizes[holding[0].number() as usize - 1] += 1;
        }
        assert!(sizes.iter().all(|n| (900..1100).contains(n)), "{sizes:?}");
        // Other programs divide by the same rule: sha256("L-1") begins with 3f4d74109fa7ca3d, which is
        // 1 modulo 4.
        assert!(shards[1].holds("L-1"));
    }

    #[test]
    fn shards_are_counted_from_one() {
        assert_eq!("2/8".parse::<Shard>(), Shard::new(2, 8));
        for text in ["0/8", "9/8", "1/0", "1", "a/b", "1/8/2", "-1/8"] {
            let error = text.parse::<Shard>().expect_err("no shard");
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn marks_are_read_back() {
        let mark = PhotoMark {
            hash: [0xa5; 32],
            sides: [7; 32],
        };
        assert_eq!(PhotoMark::from_hex(&mark.to_hex()), Some(mark));
        assert_eq!(PhotoMark::from_hex("ab"), None);
    }
}
