//! Everything that the pipeline knew when it answered about one photo, and which part of the registry
//! its numbers rest on. What evidence is made from.

use std::collections::BTreeSet;

use super::{Engine, EngineError, Judgement, Lessons, Verified};
use crate::domain::{AssetId, Measurements, PhotoVerdict, Seller, StageTimings};
use crate::imaging::Picture;
use crate::matching::margin::leaders;
use crate::matching::policy::Policy;
use crate::ocr::Word;

/// The answer for one photo with what it was made from.
pub struct Examination {
    /// The prepared photo.
    pub photo: Picture,
    /// Words read in it, in its prepared pixels; empty when the stage is off.
    pub words: Vec<Word>,
    /// Every candidate with its measurements and how it lies in the photo, most promising first.
    pub verified: Vec<Verified>,
    /// Every candidate with its probability, most probable first.
    pub judgement: Judgement,
    /// Revision of the registry that the photo was compared with.
    pub revision: u64,
    /// What people's decisions had taught by then.
    pub lessons: Lessons,
    /// Milliseconds per stage.
    pub timings_ms: StageTimings,
}

impl Examination {
    /// The answer by `policy`.
    pub fn verdict(&self, policy: &Policy) -> PhotoVerdict {
        self.judgement
            .verdict(policy, self.photo.original_size, self.timings_ms)
    }

    /// What was measured of one asset; `None` when it was no candidate.
    pub fn verified(&self, asset: AssetId) -> Option<&Verified> {
        let mut verified = self.verified.iter();
        verified.find(|v| v.candidate.asset_id == asset)
    }
}

/// The part of a registry that the numbers of some assets rest on: registered on its own, in order of
/// ids, it gives the same numbers for the same photo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Basis {
    /// Assets that are needed with their pictures: those asked for, and those that their margins are
    /// measured against.
    pub assets: BTreeSet<AssetId>,
    /// Assets of which only the words are needed: a word that is one mark is no misspelling of another.
    pub words_only: BTreeSet<AssetId>,
}

impl Engine {
    /// All stages, as [`Engine::match_photo`], keeping everything.
    ///
    /// # Errors
    /// As [`Engine::match_photo`].
    pub fn examine(
        &self,
        bytes: &[u8],
        seller: Option<&Seller>,
    ) -> Result<Examination, EngineError> {
        let (photo, description, verified, mut timings_ms) =
            self.describe_and_measure(bytes, |_| {})?;
        let mut clock = super::Clock::start();
        let lessons = self.lessons();
        let judgement = self.judge_in(&photo, verified.clone(), seller, &lessons);
        timings_ms.judge = clock.lap_ms();
        Ok(Examination {
            photo,
            words: description.words.unwrap_or_default(),
            verified,
            judgement,
            revision: self.registry().revision(),
            lessons,
            timings_ms,
        })
    }

    /// What the numbers of `subjects`, candidates of this examination, rest on.
    ///
    /// Everything else that is measured of an asset comes from its own pictures, the photo and the
    /// background. A margin is measured against the leader, or from there against the best of
    /// another brand, so these two stand for all. A probability allows for the likeliest rival in the
    /// same place, and packs that lie there are compared with each other. Only the most promising
    /// candidates are looked at closely: where one of the assets was not among them, all that were are
    /// needed, lest it takes a place that it did not have.
    pub fn basis(&self, examination: &Examination, subjects: &[AssetId]) -> Basis {
        let registry = self.registry();
        let verified = &examination.verified;
        let mut assets: BTreeSet<AssetId> = subjects.iter().copied().collect();
        let measures: [fn(&Measurements) -> Option<f32>; 5] = [
            Measurements::window_standing,
            |m| m.whole_similarity,
            |m| m.cell_agreement,
            |m| m.inliers,
            |m| m.shared_letters,
        ];
        for value in measures {
            let values: Vec<_> = verified
                .iter()
                .map(|v| {
                    let brand = registry.brand_of(v.candidate.asset_id);
                    (brand, value(&v.candidate.measured))
                })
                .collect();
            let leading = leaders(&values).into_iter().flatten();
            assets.extend(leading.map(|position| verified[position].candidate.asset_id));
        }
        loop {
            let n_before = assets.len();
            self.add_rivals(examination, subjects, &mut assets);
            add_looked_at(verified, &mut assets);
            if assets.len() == n_before {
                break;
            }
        }
        let words = registry.matching_words(&examination.words);
        let words_only = words
            .into_iter()
            .filter(|(id, word)| word.found.exact && !assets.contains(id))
            .map(|(id, _)| id)
            .collect();
        Basis { assets, words_only }
    }

    /// Adds the likeliest in the subjects' places, and the packs that one of the assets was compared with.
    fn add_rivals(
        &self,
        examination: &Examination,
        subjects: &[AssetId],
        assets: &mut BTreeSet<AssetId>,
    ) {
        let judged = examination.judgement.judged.iter();
        let subjects = judged.filter(|j| subjects.contains(&j.finding.asset_id));
        assets.extend(subjects.filter_map(|j| j.rival));
        let verified = &examination.verified;
        let is_contested = verified.iter().any(|v| {
            v.candidate.measured.rival_lead.is_some() && assets.contains(&v.candidate.asset_id)
        });
        if is_contested {
            let rivals = self.rivals(verified).into_iter();
            assets.extend(rivals.map(|position| verified[position].candidate.asset_id));
        }
    }
}

/// Adds all candidates that were looked at closely where one of the assets was not.
fn add_looked_at(verified: &[Verified], assets: &mut BTreeSet<AssetId>) {
    let closer: [fn(&Measurements) -> bool; 2] =
        [|m| m.cell_agreement.is_some(), |m| m.inliers.is_some()];
    for was_looked_at in closer {
        let (seen, unseen): (Vec<_>, Vec<_>) = verified
            .iter()
            .map(|v| &v.candidate)
            .partition(|candidate| was_looked_at(&candidate.measured));
        if unseen.iter().any(|c| assets.contains(&c.asset_id)) {
            assets.extend(seen.iter().map(|candidate| candidate.asset_id));
        }
    }
}
