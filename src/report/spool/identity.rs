//! What a scan is of and made with: two that agree in it give the same rows.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{FileDigest, ScanStamp, Shard};

/// What a scan is of and made with: two that agree in it give the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanIdentity {
    /// Version of touchstone.
    pub touchstone: String,
    /// Network and registry.
    #[serde(flatten)]
    pub stamp: ScanStamp,
    /// SHA-256 of the judge's file.
    pub judge: Option<FileDigest>,
    /// Least probability that asks for a person's look.
    pub review_at: f64,
    /// Least probability that flags a photo.
    pub flag_at: f64,
    /// Stages that were on.
    pub stages: String,
    /// What was scanned, as it was named.
    pub source: String,
    /// Which part of it; `None`: all.
    pub shard: Option<Shard>,
    /// Length of the source's file and when it was changed, when it is one: two scans of a file that was
    /// changed in between are not the same. A scan under way is compared row by row instead.
    pub source_state: Option<SourceState>,
}

/// The state of a file, as far as that shows without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Length, bytes.
    pub bytes: u64,
    /// Last change, nanoseconds since 1970.
    pub changed_ns: u64,
}

impl SourceState {
    /// The state of the file at `path`; `None` when it is none.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(|m| m.is_file())?;
        let changed = metadata.modified().ok()?;
        let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self {
            bytes: metadata.len(),
            changed_ns: since.as_nanos().try_into().ok()?,
        })
    }
}

impl ScanIdentity {
    /// What differs between an `earlier` scan and this one, in words; `None` when nothing does. The
    /// source's state is not looked at.
    pub fn difference(&self, earlier: &Self) -> Option<String> {
        let fields = |identity: &Self| match serde_json::to_value(identity) {
            Ok(Value::Object(fields)) => fields,
            _ => unreachable!("an identity is a JSON object"),
        };
        let (now, then) = (fields(self), fields(earlier));
        let differing = now
            .iter()
            .filter(|(name, value)| *name != "source_state" && then.get(*name) != Some(*value))
            .map(|(name, value)| {
                let before = then.get(name).unwrap_or(&Value::Null);
                format!("{} was {before} and is {value} now", name.replace('_', " "))
            });
        let words: Vec<_> = differing.collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
