//! Answers of an earlier scan: which of them still hold.

use std::collections::BTreeSet;

use crate::domain::{AssetId, FileDigest, Finding, PhotoMark, ScanStamp};
use crate::engine::seen::from_bytes;
use crate::engine::{Engine, EngineError};

/// What an earlier scan said of a photo.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierAnswer {
    /// What nearly equal photos have nearly in common.
    pub mark: PhotoMark,
    /// As if no seller was authorised.
    pub findings: Vec<Finding>,
    /// Width and height of the upright photo, pixels.
    pub photo_size: [u32; 2],
}

/// The answers of an earlier scan.
pub trait EarlierAnswers: Sync {
    /// With what they were made.
    fn stamp(&self) -> &ScanStamp;
    /// The answer for a photo; `None` when it was not looked at, or failed.
    fn answer(&self, photo: &FileDigest) -> Option<EarlierAnswer>;
}

/// How the registry of an earlier scan differs from that of now.
pub(super) enum Standing {
    /// Not at all.
    Same,
    /// These assets are new, changed or gone.
    Changed(BTreeSet<AssetId>),
    /// Nothing can be said: another network or registry, or decisions have taught something since.
    Other,
}

impl Standing {
    pub(super) fn new(engine: &Engine, earlier: &ScanStamp) -> Result<Self, EngineError> {
        let now = engine.scan_stamp()?;
        if (&earlier.model, &earlier.registry) != (&now.model, &now.registry)
            || earlier.registry_revision > now.registry_revision
            || earlier.taught != now.taught
        {
            return Ok(Self::Other);
        }
        if earlier.registry_revision == now.registry_revision {
            return Ok(Self::Same);
        }
        let changed = engine
            .store()
            .assets_changed_since(earlier.registry_revision)?;
        Ok(Self::Changed(changed.into_iter().collect()))
    }

    /// Whether a look at the photo now would give the same. Where the registry has changed, that is known
    /// only of photos that a description is kept of: when nothing that changed comes near, the answer holds.
    pub(super) fn holds(
        &self,
        engine: &Engine,
        photo: &FileDigest,
        answer: &EarlierAnswer,
    ) -> bool {
        match self {
            Self::Same => true,
            Self::Other => false,
            Self::Changed(changed) => {
                let registry = engine.registry();
                let untouched = answer.findings.iter().all(|finding| {
                    !changed.contains(&finding.asset_id)
                        && registry.active_asset(finding.asset_id).is_some()
                });
                drop(registry);
                untouched && is_far_from(engine, photo, changed).unwrap_or_else(|error| {
                    tracing::warn!(%photo, %error, "what is kept of a photo cannot be compared");
                    false
                })
            }
        }
    }
}

/// Whether nothing of `changed` comes near; no when no description of the photo is kept.
fn is_far_from(
    engine: &Engine,
    photo: &FileDigest,
    changed: &BTreeSet<AssetId>,
) -> Result<bool, EngineError> {
    let Some((model, description)) = engine.store().photo_description(photo)? else {
        return Ok(false);
    };
    if model != *engine.model() {
        return Ok(false);
    }
    let kept = from_bytes(&description)?;
    Ok(!engine.comes_near(changed, kept.prepared, &kept.description))
}
