//! Whether a record speaks of the entries that are there.

use serde::Deserialize;

use super::BundleFault;
use super::container::Entries;
use super::record::{BundleRecord, FORMAT, RECORD, RESULT, VERSION};
use crate::domain::FileDigest;

impl BundleRecord {
    /// The record among `entries`, after checking that the other entries are those that it speaks of,
    /// byte for byte, and that it does not contradict itself.
    pub(super) fn of(entries: &Entries) -> Result<Self, BundleFault> {
        let text = entry(entries, RECORD)?;
        check_version(text)?;
        let record: Self = serde_json::from_slice(text)?;
        for (name, recorded) in &record.entries {
            let actual = FileDigest::of(entry(entries, name)?);
            if actual != *recorded {
                return Err(BundleFault::WrongHash {
                    name: name.clone(),
                    recorded: recorded.to_hex(),
                    actual: actual.to_hex(),
                });
            }
        }
        let is_unlisted = |name: &&String| *name != RECORD && !record.entries.contains_key(*name);
        if let Some(name) = entries.keys().find(is_unlisted) {
            let name = name.clone();
            return Err(BundleFault::Unlisted { name });
        }
        record.check_pictures(entries)?;
        Ok(record)
    }

    fn check_pictures(&self, entries: &Entries) -> Result<(), BundleFault> {
        let pictures = self.assets.iter().flat_map(|asset| &asset.pictures);
        for picture in pictures.chain([&self.photo]) {
            let name = &picture.entry;
            let bytes = entry(entries, name)?;
            let Some(listed) = self.entries.get(name) else {
                return Err(bad(format!("the entry {name:?} is used, but not listed")));
            };
            if *listed != picture.sha256 || bytes.len() as u64 != picture.n_bytes {
                return Err(bad(format!("{name:?} is described in two ways")));
            }
        }
        if !self.assets.is_sorted_by(|a, b| a.id < b.id) {
            return Err(bad("its assets are not in the order of their ids".into()));
        }
        entry(entries, RESULT).map(drop)
    }
}

/// The contents of an entry that must be there.
pub(super) fn entry<'a>(entries: &'a Entries, name: &str) -> Result<&'a [u8], BundleFault> {
    let contents = entries.get(name).ok_or_else(|| BundleFault::Missing {
        name: name.to_owned(),
    })?;
    Ok(contents)
}

/// Looks only at format and version: the rest of another version may look different.
fn check_version(text: &[u8]) -> Result<(), BundleFault> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
        format_version: u64,
    }
    let head: Head = serde_json::from_slice(text)?;
    if head.format != FORMAT {
        return Err(bad(format!("it calls itself {:?}", head.format)));
    }
    if head.format_version != u64::from(VERSION) {
        return Err(BundleFault::UnknownVersion {
            found: head.format_version,
            supported: VERSION,
        });
    }
    Ok(())
}

/// A record that contradicts itself.
pub(super) fn bad(reason: String) -> BundleFault {
    BundleFault::BadRecord { reason }
}
