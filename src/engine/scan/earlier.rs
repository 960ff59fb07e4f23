//! Answers of an earlier scan: which of them still hold.

use std::collections::BTreeSet;

use jiff::Zoned;
use jiff::civil::Date;

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
    /// The day on which the first of them was made: which assets counted then follows from their dates. `None`
    /// when nobody knows.
    fn began_on(&self) -> Option<Date>;
    /// The answer for a photo; `None` when it was not looked at, or failed.
    fn answer(&self, photo: &FileDigest) -> Option<EarlierAnswer>;
}

/// How the registry of an earlier scan differs from that of now.
pub(super) enum Standing {
    /// These assets are new or changed, or count by their dates now; often none.
    Changed(BTreeSet<AssetId>),
    /// Nothing can be said: another network or registry, or decisions have taught something since, or something
    /// counts no longer.
    Other,
}

impl Standing {
    pub(super) fn new(engine: &Engine, answers: &dyn EarlierAnswers) -> Result<Self, EngineError> {
        let (now, earlier) = (engine.scan_stamp()?, answers.stamp());
        if (&earlier.model, &earlier.registry) != (&now.model, &now.registry)
            || earlier.registry_revision > now.registry_revision
            || earlier.taught != now.taught
        {
            return Ok(Self::Other);
        }
        let (store, today) = (engine.store(), Zoned::now().date());
        let changed = store.assets_changed_since(earlier.registry_revision)?;
        let registry = engine.registry();
        let is_off = |id: &AssetId| registry.active_asset(*id).is_none();
        // Of what two brands are as likely for, the other one has all when the one is gone: no photo says by itself
        // whether it was of these.
        if changed.iter().any(is_off)
            || store.has_removed_since(earlier.registry_revision)?
            || store.has_expired_between(answers.began_on(), today)?
        {
            tracing::info!(
                "something registered was removed, disabled or has expired since the earlier scan: every photo \
                 is looked at"
            );
            return Ok(Self::Other);
        }
        let begun = store.assets_begun_between(answers.began_on(), today)?;
        Ok(Self::Changed(changed.into_iter().chain(begun).collect()))
    }

    /// Whether a look at the photo now would give the same. Where the registry has changed, that is known only of
    /// photos in which nothing was found and a description is kept of: the answer holds when nothing that changed
    /// comes near. A finding may lead over all others by less now.
    pub(super) fn holds(
        &self,
        engine: &Engine,
        photo: &FileDigest,
        answer: &EarlierAnswer,
    ) -> bool {
        match self {
            Self::Other => false,
            Self::Changed(changed) if changed.is_empty() => true,
            Self::Changed(changed) => {
                let is_far = || {
                    is_far_from(engine, photo, changed).unwrap_or_else(|error| {
                        tracing::warn!(%photo, %error, "what is kept of a photo cannot be compared");
                        false
                    })
                };
                answer.findings.is_empty() && is_far()
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
