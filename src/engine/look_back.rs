//! Comparing photos that were seen earlier with what was registered since.
//!
//! Each photo remembers the registry's revision that it was compared with, so that nothing is passed
//! over, whoever registers and whenever the program stops.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Zoned;

use super::judgement::original_region;
use super::seen::{KeptDescription, from_bytes};
use super::{Engine, EngineError, Judgement, Verified};
use crate::domain::{AssetId, Finding};
use crate::store::{NewFinding, SeenIn, SeenPhoto, SightingId};

/// What a look back did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LookBack {
    /// Photos compared.
    pub n_photos: usize,
    /// Findings made or renewed.
    pub n_findings: usize,
}

impl Engine {
    /// Compares seen photos with assets that are new or changed since each was looked at, until none
    /// is left or `may_go_on` says no; findings are kept. A photo whose file was kept is looked at as
    /// closely as ever; of others only vectors, hashes and words are compared.
    ///
    /// # Errors
    /// [`EngineError`] when the store fails: the same photo comes again. One that cannot be compared is passed over.
    pub fn look_back(&self, may_go_on: impl Fn() -> bool) -> Result<LookBack, EngineError> {
        let mut done = LookBack::default();
        self.store.begin_assets(Zoned::now().date())?;
        while may_go_on() {
            self.refresh()?;
            let revision = self.registry().revision();
            let Some(photo) = self.store.next_to_compare(revision)? else {
                break;
            };
            let changed = self.active_since(photo.compared_revision)?;
            if changed.is_empty() {
                self.store
                    .skip_look_back(photo.compared_revision, revision)?;
                continue;
            }
            // A panic would keep all photos behind this one from being compared, time and again.
            let compared = catch_unwind(AssertUnwindSafe(|| self.look_back_at(&photo, &changed)));
            let found = match compared {
                Ok(Ok(found)) => found,
                Ok(Err(error @ EngineError::Store(_))) => return Err(error),
                Ok(Err(error)) => {
                    tracing::warn!(photo = photo.id.0, %error, "a seen photo cannot be compared");
                    Vec::new()
                }
                Err(_) => {
                    tracing::error!(
                        photo = photo.id.0,
                        "comparing a seen photo ended in a panic"
                    );
                    Vec::new()
                }
            };
            done.n_photos += 1;
            done.n_findings += found.len();
            self.store.record_look_back(photo.id, revision, &found)?;
        }
        Ok(done)
    }

    fn active_since(&self, revision: u64) -> Result<BTreeSet<AssetId>, EngineError> {
        let changed = self.store.assets_changed_since(revision)?;
        let registry = self.registry();
        let is_active = |id: &AssetId| registry.active_asset(*id).is_some();
        Ok(changed.into_iter().filter(is_active).collect())
    }

    fn look_back_at(
        &self,
        photo: &SeenPhoto,
        changed: &BTreeSet<AssetId>,
    ) -> Result<Vec<(SightingId, NewFinding)>, EngineError> {
        // Vectors of another network say nothing here.
        if photo.model != *self.model() {
            return Ok(Vec::new());
        }
        let kept = from_bytes(&photo.description)?;
        if !self.comes_near(changed, kept.prepared, &kept.description) {
            return Ok(Vec::new());
        }
        let judgement = match self.store.photo_file(photo.id)? {
            Some(bytes) => {
                let picture = self.prepare(&bytes)?;
                // Cells are not kept.
                let description = self.embed(&picture)?;
                let candidates = self.find_candidates(&picture, &description)?;
                let verified = self.verify(&picture, &description, candidates)?;
                self.judge(&picture, verified, None)
            }
            None => {
                let candidates = self.find_candidates_in(kept.prepared, &kept.description)?;
                let unverified = candidates.into_iter().map(|candidate| Verified {
                    candidate,
                    alignment: None,
                });
                self.judge_kept(&kept, unverified.collect())
            }
        };
        let reported = judgement.reported(&self.settings.policy);
        let found: Vec<Finding> = reported
            .into_iter()
            .filter(|finding| changed.contains(&finding.asset_id))
            .collect();
        let found = self.to_keep(&found, &judgement)?;
        Ok(self.in_each_sighting(&photo.sightings, &found))
    }

    fn judge_kept(&self, kept: &KeptDescription, verified: Vec<Verified>) -> Judgement {
        let long = |size: [u32; 2]| size[0].max(size[1]) as f32;
        let scale = long(kept.original) / long(kept.prepared).max(1.0);
        let place = |region| original_region(kept.original, scale, region);
        self.judge_placed(place, verified, None, &self.lessons())
    }

    /// The same findings for each listing that the photo was in; who sells there decides whether they
    /// may. What was kept for some brands alone becomes no finding of another's.
    fn in_each_sighting(
        &self,
        sightings: &[SeenIn],
        found: &[NewFinding],
    ) -> Vec<(SightingId, NewFinding)> {
        let registry = self.registry();
        let mut everywhere = Vec::with_capacity(sightings.len() * found.len());
        for seen in sightings {
            let is_theirs = |new: &&NewFinding| {
                let brands = seen.brands.as_ref();
                brands.is_none_or(|brands| brands.contains(&new.finding.brand))
            };
            for new in found.iter().filter(is_theirs) {
                let mut new = new.clone();
                let asset = registry.active_asset(new.finding.asset_id);
                new.finding.authorised_seller =
                    asset.is_some_and(|asset| asset.draft.authorises(seen.seller.as_ref()));
                everywhere.push((seen.sighting, new));
            }
        }
        everywhere
    }
}
