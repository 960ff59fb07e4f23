//! The record of a bundle, `bundle.json`: what was compared with what, by what, when.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::BundleFault;
use super::consistency::bad;
use crate::domain::{AssetDraft, AssetId, AssetKind, FileDigest, FindingId, StageTimings};
use crate::engine::{EngineSettings, Fingerprint, Stages};
use crate::matching::policy::Policy;
use crate::matching::teaching::Lesson;

/// Name of the record's entry.
pub(super) const RECORD: &str = "bundle.json";
/// Name of the entry with everything that was found and measured.
pub(super) const RESULT: &str = "result.json";
/// Name of the entry that tells a person what a bundle is.
pub(super) const README: &str = "readme.txt";

/// What `format` says.
pub(super) const FORMAT: &str = "touchstone evidence";
/// Changed with everything that an older program would misunderstand.
pub(super) const VERSION: u32 = 1;

/// Everything about a bundle but the bytes of its entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleRecord {
    pub(super) format: String,
    pub(super) format_version: u32,
    /// When the photo was compared, RFC 3339, UTC.
    pub made_at: String,
    /// By what.
    pub tool: Fingerprint,
    /// With which registry.
    pub registry: RegistryRecord,
    /// Under which settings.
    pub settings: SettingsRecord,
    /// The photo as it was given.
    pub photo: PictureRecord,
    /// The registered assets that the numbers rest on, by id.
    pub assets: Vec<AssetRecord>,
    /// What people's decisions had taught of these assets' brands; brands that nothing was learnt of are left
    /// out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lessons: BTreeMap<String, Lesson>,
    /// Every other entry with its hash.
    pub entries: BTreeMap<String, FileDigest>,
    /// Milliseconds per stage.
    pub timings_ms: StageTimings,
}

/// Which registry, and when in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryRecord {
    /// What tells it from any other.
    pub id: String,
    /// How often it had changed.
    pub revision: u64,
}

/// The settings that an answer depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsRecord {
    /// Least probability for `Review`.
    pub review_at: f64,
    /// Least probability for `Flagged`.
    pub flag_at: f64,
    /// Stages that ran.
    pub stages: Vec<String>,
}

/// A picture in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureRecord {
    /// What it was called where it came from.
    pub name: String,
    /// Its entry.
    pub entry: String,
    /// SHA-256 of its bytes.
    pub sha256: FileDigest,
    /// Bytes.
    pub n_bytes: u64,
    /// When it was registered, RFC 3339, UTC; `None` for the photo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<String>,
    /// The confirmed finding whose part of a photo it is; `None` for a picture of the brand's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemplar_of: Option<FindingId>,
}

/// Why an asset is in a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssetRole {
    /// It was found; in a bundle without findings, it came nearest.
    Subject,
    /// Measurements of others are taken relative to it.
    Compared,
    /// Its words decide what others' words can be; its pictures are not needed.
    Words,
}

/// A registered asset, as far as the numbers depend on it: no notes, no authorised sellers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssetRecord {
    /// Id in its registry.
    pub id: AssetId,
    /// Why it is here.
    pub role: AssetRole,
    /// Owner's name.
    pub brand: String,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: AssetKind,
    /// Number in a trade mark or design register.
    pub registration_number: Option<String>,
    /// First day on which it is matched.
    pub valid_from: Option<Date>,
    /// Last day on which it is matched.
    pub valid_until: Option<Date>,
    /// Words that it shows.
    pub word_marks: Vec<String>,
    /// When it was registered, RFC 3339, UTC.
    pub registered_at: String,
    /// Its pictures, oldest first.
    pub pictures: Vec<PictureRecord>,
}

impl AssetRecord {
    /// What is registered to run the case again; it was valid then, whatever the day now.
    pub(super) fn draft(&self) -> AssetDraft {
        AssetDraft {
            word_marks: self.word_marks.clone(),
            ..AssetDraft::new(&self.brand, &self.name, self.kind)
        }
    }
}

impl SettingsRecord {
    /// What matters of an engine's settings.
    pub(super) fn of(settings: &EngineSettings) -> Self {
        let mut stages = settings.stages;
        let is_on = |name: &&str| stages.by_name(name).is_some_and(|stage| *stage);
        Self {
            review_at: settings.policy.review_at(),
            flag_at: settings.policy.flag_at(),
            stages: Stages::NAMES
                .into_iter()
                .filter(is_on)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// `settings` with these in place of its own.
    pub(super) fn applied(&self, settings: EngineSettings) -> Result<EngineSettings, BundleFault> {
        let mut stages = Stages::none();
        for name in &self.stages {
            let stage = stages.by_name(name);
            *stage.ok_or_else(|| bad(format!("there is no stage {name:?}")))? = true;
        }
        let policy =
            Policy::new(self.review_at, self.flag_at).map_err(|error| bad(error.to_string()))?;
        Ok(EngineSettings {
            stages,
            policy,
            ..settings
        })
    }
}

impl BundleRecord {
    /// Entries that show the findings, in their order.
    pub(super) fn overlays(&self) -> impl Iterator<Item = &String> {
        let names = self.entries.keys();
        names.filter(|name| name.starts_with(OVERLAYS))
    }
}

/// Folder of the pictures that show the findings.
const OVERLAYS: &str = "overlays/";

/// Entry of the picture that shows a finding; `position` counts from 0.
pub(super) fn overlay_entry(position: usize) -> String {
    format!("{OVERLAYS}{:04}.jpg", position + 1)
}
