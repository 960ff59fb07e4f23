//! Stage 5: measurements → probabilities, most probable first.

use super::explain::{NEAR_HASH, reasons};
use super::{Engine, Lessons, Verified};
use crate::domain::{AssetId, Finding, PhotoVerdict, Region, Seller, StageTimings, percent};
use crate::imaging::Picture;
use crate::matching::judge::probability;
use crate::matching::policy::Policy;
use crate::matching::teaching::Lesson;

/// Every candidate of a photo with its probability, most probable first.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// One for each candidate, however improbable.
    pub judged: Vec<Judged>,
}

/// A judged candidate with the number it is ranked by.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What is said of it.
    pub finding: Finding,
    /// Log-odds behind the probability: tells apart what rounds to the same probability.
    pub log_odds: f64,
    /// The same without regard to what else may be shown in its place.
    pub own_log_odds: f64,
    /// The likeliest asset of another brand in the same place, which the probability allows for.
    pub rival: Option<AssetId>,
}

/// Said of a finding with a likely rival; without its name: who reads this need not be let to know what
/// others have registered.
const DOUBT: &str = "the same place may show what another brand registered instead";

/// Said of a finding that looks like an exemplar.
const LIKE_CONFIRMED: &str =
    "nearest is a part of a photo that was confirmed before, not a picture of the brand's own";

impl Judged {
    /// Allows for what the brand's decisions have taught. Comes after the places were shared: what decisions
    /// are made on is the probability that allows for rivals.
    fn learn(&mut self, lesson: Lesson, policy: &Policy) {
        let before = self.finding.probability;
        if lesson.bias != 0.0 {
            self.log_odds += lesson.bias;
            self.own_log_odds += lesson.bias;
            self.finding.probability = probability(self.log_odds);
            self.finding.untaught_probability = Some(before);
            self.finding.reasons.push(format!(
                "decisions on earlier findings of this brand moved the probability from {} to {}",
                percent(before),
                percent(self.finding.probability)
            ));
        }
        self.finding.promise = lesson.promise;
        if let Some(promise) = lesson.promise
            && self.finding.probability >= policy.flag_at()
            && promise
                .flag_at
                .is_none_or(|at| self.finding.probability < at)
        {
            self.finding.reasons.push(match promise.flag_at {
                None => format!(
                    "for a person to look at, not flagged: too few decisions on this brand's findings bear \
                     out that {} of those flagged are right, as was promised",
                    percent(promise.precision)
                ),
                Some(flag_at) => format!(
                    "for a person to look at, not flagged: that {} of those flagged are right, as was \
                     promised, decisions bear out only from a probability of {} on",
                    percent(promise.precision),
                    percent(flag_at)
                ),
            });
        }
    }

    /// The finding without regard to what else may be shown in its place.
    pub fn own_finding(&self) -> Finding {
        let mut own = self.finding.clone();
        own.probability = probability(self.own_log_odds);
        own.untaught_probability = None;
        own.reasons.retain(|reason| reason != DOUBT);
        own
    }
}

/// Probability on its own from which a rival is worth a word.
const NOTABLE_RIVAL: f64 = 0.2;

impl Judgement {
    /// Forgets candidates of brands that are not `seen`; what is left was measured against them all the same.
    pub fn keep_brands(&mut self, seen: impl Fn(&str) -> bool) {
        self.judged.retain(|judged| seen(&judged.finding.brand));
    }

    /// The findings that `policy` asks to report. Two of one brand and kind in the same place are one,
    /// the mark in two versions, or the same product registered twice: only the most probable.
    pub fn reported(&self, policy: &Policy) -> Vec<Finding> {
        let mut reported: Vec<Finding> = Vec::new();
        let probable = self.judged.iter().map(|judged| &judged.finding);
        for finding in probable.filter(|f| f.probability >= policy.review_at()) {
            let is_repeat = reported.iter().any(|other| {
                other.brand == finding.brand
                    && other.kind == finding.kind
                    && other.region.is_same_place(&finding.region)
            });
            if !is_repeat {
                reported.push(finding.clone());
            }
        }
        reported
    }

    /// The answer for the photo, by `policy`.
    pub fn verdict(
        &self,
        policy: &Policy,
        photo_size: [u32; 2],
        timings_ms: StageTimings,
    ) -> PhotoVerdict {
        let findings = self.reported(policy);
        PhotoVerdict {
            verdict: policy.verdict(&findings),
            findings,
            photo_size,
            timings_ms,
        }
    }
}

impl Engine {
    /// Stage 5: how probable is each candidate, and as what? `seller` is checked against the assets'
    /// allow-lists.
    pub fn judge(
        &self,
        photo: &Picture,
        verified: Vec<Verified>,
        seller: Option<&Seller>,
    ) -> Judgement {
        self.judge_in(photo, verified, seller, &self.lessons())
    }

    /// As [`Engine::judge`], with these lessons.
    pub(super) fn judge_in(
        &self,
        photo: &Picture,
        verified: Vec<Verified>,
        seller: Option<&Seller>,
        lessons: &Lessons,
    ) -> Judgement {
        let place =
            |region| original_region(photo.original_size, photo.to_original_scale(), region);
        self.judge_placed(place, verified, seller, lessons)
    }

    /// As [`Engine::judge`], with these lessons; `place` takes a region of the prepared photo to the upright original.
    #[tracing::instrument(level = "info", name = "judge", skip_all)]
    pub(super) fn judge_placed(
        &self,
        place: impl Fn(Region) -> Region,
        verified: Vec<Verified>,
        seller: Option<&Seller>,
        lessons: &Lessons,
    ) -> Judgement {
        let registry = self.registry();
        let mut judged: Vec<Judged> = verified
            .into_iter()
            .filter_map(|verified| {
                // Disabled or removed since the candidates were found: no finding any more.
                let asset = registry.active_asset(verified.candidate.asset_id)?;
                let measured = verified.candidate.measured;
                let is_exemplar = registry.is_exemplar(verified.candidate.picture_id);
                // A seller's photo is not the brand's own: whoever copies it steals nothing of the brand's.
                let is_near_own = measured.hash_distance.is_some_and(|d| d <= NEAR_HASH);
                let may_be_copy = !is_exemplar || is_near_own;
                let kind = asset.draft.kind;
                let (kind, log_odds) = self.judge.best_kind(kind, &measured, may_be_copy)?;
                let mut reasons = reasons(&verified);
                if is_exemplar {
                    reasons.push(LIKE_CONFIRMED.to_owned());
                }
                let finding = Finding {
                    asset_id: asset.id,
                    asset: asset.draft.name.clone(),
                    brand: asset.draft.brand.clone(),
                    asset_kind: asset.draft.kind,
                    kind,
                    region: place(verified.region()),
                    probability: probability(log_odds),
                    untaught_probability: None,
                    promise: None,
                    measurements: measured,
                    authorised_seller: asset.draft.authorises(seller),
                    reasons,
                };
                Some(Judged {
                    finding,
                    log_odds,
                    own_log_odds: log_odds,
                    rival: None,
                })
            })
            .collect();
        share_places(&mut judged);
        for one in &mut judged {
            one.learn(lessons.of(&one.finding.brand), &self.settings.policy);
        }
        // The id makes the order of equals the same on every run.
        judged.sort_by(|a, b| {
            let by_odds = b.log_odds.total_cmp(&a.log_odds);
            by_odds.then(a.finding.asset_id.cmp(&b.finding.asset_id))
        });
        Judgement { judged }
    }
}

/// One place shows one brand's thing: each candidate's log-odds become those against the likeliest of
/// another brand in its place, and against nothing of the kind being there. On its own each may be
/// near certain, as the flavours of two brands' like-looking packs are.
fn share_places(judged: &mut [Judged]) {
    let alone: Vec<f64> = judged.iter().map(|j| j.own_log_odds).collect();
    let rivals: Vec<Option<usize>> = judged
        .iter()
        .map(|one| {
            let (brand, region) = (&one.finding.brand, &one.finding.region);
            let in_place = judged.iter().enumerate().filter(|(_, other)| {
                other.finding.brand != *brand && other.finding.region.is_same_place(region)
            });
            let likeliest = in_place.max_by(|(i, a), (j, b)| {
                let by_odds = alone[*i].total_cmp(&alone[*j]);
                by_odds.then(b.finding.asset_id.cmp(&a.finding.asset_id))
            });
            likeliest.map(|(position, _)| position)
        })
        .collect();
    for (position, rival) in rivals.into_iter().enumerate() {
        let Some(rival) = rival else { continue };
        let rival_id = judged[rival].finding.asset_id;
        let one = &mut judged[position];
        if probability(alone[rival]) >= NOTABLE_RIVAL {
            one.finding.reasons.push(DOUBT.to_owned());
        }
        one.log_odds = alone[position] - alone[rival].exp().ln_1p();
        one.finding.probability = probability(one.log_odds);
        one.rival = Some(rival_id);
    }
}

/// A region of a prepared photo in its upright original, `scale` times as large.
pub(super) fn original_region(size: [u32; 2], scale: f32, region: Region) -> Region {
    let [width, height] = size.map(|side| side as f32);
    region.scaled(scale).clipped(width, height)
}
