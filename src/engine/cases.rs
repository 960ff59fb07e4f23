//! Looking at a photo and keeping what was found, in the light of what people said of the same on
//! nearly the same photo.

use serde::Serialize;
use utoipa::ToSchema;

use super::seen::{quantised, to_bytes};
use super::{Clock, Engine, EngineError, Judgement, PhotoDescription, PipelineStage};
use crate::domain::{
    AssetId, FileDigest, Finding, FindingId, FindingSource, FindingStatus, Keep, Keeping, Listing,
    Opinion, PhotoId, StageTimings, Verdict,
};
use crate::imaging::Picture;
use crate::store::{ListingRowId, NearestOther, NewFinding, NewPhoto, NewSighting};

/// A finding with where it stands.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CaseFinding {
    /// Its number, to decide on it; `None` when it was not kept.
    pub id: Option<FindingId>,
    /// Where it stands.
    pub status: FindingStatus,
    /// What people said of the same asset on nearly the same photo.
    pub seen_before: Option<Opinion>,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
}

impl CaseFinding {
    /// Whether it speaks against the photo: not when the seller is authorised or people rejected it.
    pub fn counts(&self) -> bool {
        !matches!(
            self.status,
            FindingStatus::Authorised | FindingStatus::Suppressed | FindingStatus::Rejected
        )
    }
}

/// The answer for one photo that may be kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CasePhoto {
    /// What should happen with it.
    pub verdict: Verdict,
    /// What was found, most probable first.
    pub findings: Vec<CaseFinding>,
    /// Width and height of the upright photo, pixels.
    pub photo_size: [u32; 2],
    /// Milliseconds per stage.
    pub timings_ms: StageTimings,
}

/// What is to be looked at, and what for.
pub(super) struct Subject<'a> {
    pub bytes: &'a [u8],
    /// The photo's name, for people.
    pub name: &'a str,
    pub listing: Option<&'a Listing>,
    /// What the listing was kept as when its check began; if it is forgotten meanwhile, nothing is kept.
    pub kept_as: Option<ListingRowId>,
    pub source: FindingSource,
    pub keeping: Keeping,
    /// Of which brands it is told and kept what is found; `None`: of all.
    pub brands: Option<&'a [String]>,
}

/// A photo, described and judged.
struct Looked {
    photo: NewPhoto,
    judgement: Judgement,
    timings_ms: StageTimings,
}

impl Engine {
    /// All stages for a photo on its own, with what people said before; on disk when this returns,
    /// unless nothing is to be kept. With `brands`, what is found of others is neither told nor kept.
    ///
    /// # Errors
    /// As [`Engine::match_photo`].
    pub fn match_and_keep(
        &self,
        bytes: &[u8],
        name: &str,
        listing: Option<&Listing>,
        keeping: Keeping,
        brands: Option<&[String]>,
    ) -> Result<CasePhoto, EngineError> {
        let subject = Subject {
            bytes,
            name,
            listing,
            kept_as: None,
            source: FindingSource::Match,
            keeping,
            brands,
        };
        self.open_case(&subject, |_| {})
    }

    /// `enter` is told of each stage before it begins.
    pub(super) fn open_case(
        &self,
        subject: &Subject<'_>,
        enter: impl Fn(PipelineStage),
    ) -> Result<CasePhoto, EngineError> {
        let mut looked = self.look(subject, enter)?;
        if let Some(brands) = subject.brands {
            looked
                .judgement
                .keep_brands(|brand| brands.iter().any(|seen| seen == brand));
        }
        let photo_size = [looked.photo.width, looked.photo.height];
        let findings = looked.judgement.reported(&self.settings.policy);
        let cluster = looked.photo.cluster;
        let kept = if subject.keeping.keep == Keep::Nothing {
            None
        } else {
            self.store.record_sighting(&NewSighting {
                findings: self.to_keep(&findings, &looked.judgement)?,
                photo: looked.photo,
                name: subject.name,
                listing: subject.listing,
                kept_as: subject.kept_as,
                source: subject.source,
                keeping: subject.keeping,
                brands: subject.brands,
            })?
        };
        let standing = match kept {
            Some(kept) => kept.into_iter().map(Some).collect(),
            None => vec![None; findings.len()],
        };
        let findings = findings
            .into_iter()
            .zip(standing)
            .map(|(finding, standing)| self.case_finding(finding, standing, cluster))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(CasePhoto {
            verdict: self.verdict_on(&findings),
            findings,
            photo_size,
            timings_ms: looked.timings_ms,
        })
    }

    fn look(
        &self,
        subject: &Subject<'_>,
        enter: impl Fn(PipelineStage),
    ) -> Result<Looked, EngineError> {
        self.refresh()?;
        // Before the stages: what is registered meanwhile may or may not be seen, and look-back
        // compares with it again.
        let revision = self.registry().revision();
        let (photo, description, verified, mut timings_ms) =
            self.describe_and_measure(subject.bytes, &enter)?;
        enter(PipelineStage::Judge);
        let mut clock = Clock::start();
        let seller = subject.listing.and_then(|listing| listing.seller.as_ref());
        let judgement = self.judge(&photo, verified, seller);
        timings_ms.judge = clock.lap_ms();
        Ok(Looked {
            photo: NewPhoto {
                file: (subject.keeping.keep == Keep::Photos).then(|| subject.bytes.to_vec()),
                ..self.new_photo(
                    FileDigest::of(subject.bytes),
                    &photo,
                    &description,
                    revision,
                )?
            },
            judgement,
            timings_ms,
        })
    }

    /// What is kept of a photo, but for the file itself.
    pub(super) fn new_photo(
        &self,
        sha256: FileDigest,
        photo: &Picture,
        description: &PhotoDescription,
        compared_revision: u64,
    ) -> Result<NewPhoto, EngineError> {
        let hash = description.upright_hash(&photo.pixels);
        let whole = quantised(&description.whole);
        let (width, height) = photo.pixels.dimensions();
        Ok(NewPhoto {
            sha256,
            width: photo.original_size[0],
            height: photo.original_size[1],
            hash: hash.as_bytes().to_vec(),
            cluster: self.cluster_of(sha256, hash, &whole)?,
            whole,
            model: self.model().clone(),
            description: to_bytes(description, [width, height], photo.original_size),
            compared_revision,
            file: None,
        })
    }

    /// Findings with what is to be known of them later.
    pub(super) fn to_keep(
        &self,
        findings: &[Finding],
        judgement: &Judgement,
    ) -> Result<Vec<NewFinding>, EngineError> {
        if findings.is_empty() {
            return Ok(Vec::new());
        }
        let judge = self.judge_digest()?;
        let keep = |finding: &Finding| NewFinding {
            nearest_other: nearest_other(judgement, &finding.brand),
            finding: finding.clone(),
            model: self.model().clone(),
            judge,
        };
        Ok(findings.iter().map(keep).collect())
    }

    fn case_finding(
        &self,
        finding: Finding,
        standing: Option<(FindingId, FindingStatus)>,
        cluster: Option<PhotoId>,
    ) -> Result<CaseFinding, EngineError> {
        let seen_before = self.opinion_before(cluster, finding.asset_id)?;
        let status = match (standing, seen_before) {
            (Some((_, status)), _) => status,
            (None, _) if finding.authorised_seller => FindingStatus::Authorised,
            (None, Some(Opinion::Rejected)) => FindingStatus::Suppressed,
            (None, _) => FindingStatus::Open,
        };
        Ok(CaseFinding {
            id: standing.map(|(id, _)| id),
            status,
            seen_before,
            finding,
        })
    }

    fn opinion_before(
        &self,
        cluster: Option<PhotoId>,
        asset: AssetId,
    ) -> Result<Option<Opinion>, EngineError> {
        let Some(cluster) = cluster else {
            return Ok(None);
        };
        let precedent = self.store.precedent(cluster, asset)?;
        Ok(precedent.map(|precedent| precedent.opinion))
    }

    /// The policy's verdict on the findings that count; what people confirmed on nearly the same photo
    /// flags it, however probable.
    fn verdict_on(&self, findings: &[CaseFinding]) -> Verdict {
        let counting: Vec<&CaseFinding> = findings.iter().filter(|f| f.counts()).collect();
        if counting
            .iter()
            .any(|f| f.seen_before == Some(Opinion::Confirmed))
        {
            return Verdict::Flagged;
        }
        let counting: Vec<Finding> = counting.into_iter().map(|f| f.finding.clone()).collect();
        self.settings.policy.verdict(&counting)
    }
}

/// The most probable candidate of another brand.
pub(super) fn nearest_other(judgement: &Judgement, brand: &str) -> Option<NearestOther> {
    let findings = judgement.judged.iter().map(|judged| &judged.finding);
    let nearest = findings.into_iter().find(|f| f.brand != brand)?;
    Some(NearestOther {
        asset_id: nearest.asset_id,
        asset: nearest.asset.clone(),
        brand: nearest.brand.clone(),
        probability: nearest.probability,
    })
}
