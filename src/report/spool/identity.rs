//! What a scan is of and made with: two that agree in it give the same rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::{FileDigest, ScanStamp, Shard};

/// What a scan is of and made with: two that agree in it give the same rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanIdentity {
    /// Version of touchstone.
    pub touchstone: String,
    /// Network and registry.
    #[serde(flatten)]
    pub stamp: ScanStamp,
    /// SHA-256 of networks, cards and judge, by their role.
    pub files: BTreeMap<String, FileDigest>,
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
    /// Whether photos at web addresses were fetched; of a scan without, they all failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fetches_urls: bool,
    /// Stores that photos were read from; those in others all failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<String>,
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
        self.difference_but_for(earlier, &[])
    }

    /// As [`difference`](Self::difference), but for some fields.
    pub fn difference_but_for(&self, earlier: &Self, ignored: &[&str]) -> Option<String> {
        let (now, then) = (self.fields(), earlier.fields());
        let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
        let words: Vec<_> = names
            .into_iter()
            .filter(|name| !ignored.contains(&name.as_str()) && now.get(*name) != then.get(*name))
            .map(|name| {
                let value = |fields: &Map<String, Value>| match fields.get(name) {
                    Some(value) if !value.is_null() => value.to_string(),
                    _ => "none".to_owned(),
                };
                let (then, now) = (value(&then), value(&now));
                format!("{} was {then} and is {now} now", name.replace('_', " "))
            })
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// All that is compared, by name; files by their role.
    fn fields(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            unreachable!("an identity is a JSON object");
        };
        fields.remove("source_state");
        if let Some(Value::Object(files)) = fields.remove("files") {
            fields.extend(files);
        }
        fields
    }
}
