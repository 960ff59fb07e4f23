//! From photos, checked or not, to what should happen with the listing, and why.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{FileDigest, FindingStatus, Listing, Opinion, Screening, Verdict};
use crate::engine::{CaseFinding, CasePhoto, PipelineStage};

/// What was seen on one photo.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ScreenedPhoto {
    /// Its name in the listing.
    pub name: String,
    /// SHA-256 of the file; `None` when there is none.
    pub sha256: Option<FileDigest>,
    /// The answer; `None` when there is none, or not yet.
    #[serde(flatten)]
    pub answer: Option<CasePhoto>,
    /// Why there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A photo that was not checked in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Unchecked {
    /// Its name in the listing.
    pub photo: String,
    /// Stages that were not done, the one in progress included.
    pub stages: Vec<PipelineStage>,
}

/// What kind of thing decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// Something registered was found.
    Finding,
    /// Something was found that people confirmed on nearly the same photo.
    ConfirmedBefore,
    /// Something was found that people rejected on nearly the same photo; it does not count.
    RejectedBefore,
    /// Something was found that the seller may use; it does not count.
    AuthorisedSeller,
    /// A photo was not checked in time.
    Unchecked,
    /// A photo cannot be read.
    Unreadable,
    /// Nothing was found.
    NothingFound,
}

/// Why the answer is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScreenReason {
    /// For programs.
    pub code: ReasonCode,
    /// The photo; `None` for the listing as a whole.
    pub photo: Option<String>,
    /// For people.
    pub detail: String,
}

/// What should happen with a listing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Screened {
    /// `allow`, `review` or `block`. What was not checked, or cannot be read, asks for a review.
    pub decision: Screening,
    /// Why, the gravest first.
    pub reasons: Vec<ScreenReason>,
    /// The listing as it came; photos by name.
    pub listing: Listing,
    /// Its photos, in the order of the listing.
    pub photos: Vec<ScreenedPhoto>,
    /// Photos that were not checked in time.
    pub unchecked: Vec<Unchecked>,
    /// Whether what was not checked in time is checked now; its findings are kept.
    pub continues_in_background: bool,
    /// Milliseconds from the beginning to this answer.
    pub elapsed_ms: f64,
}

/// A photo in whatever state it is.
pub(super) struct PhotoState {
    pub photo: ScreenedPhoto,
    /// Stages that are not done.
    pub stages_left: Vec<PipelineStage>,
}

/// Puts the answer together.
pub(super) fn answer(listing: &Listing, states: Vec<PhotoState>) -> Screened {
    let mut weighed: Vec<(Screening, ScreenReason)> = states.iter().flat_map(reasons).collect();
    // Stable: within equal gravity in the order of the listing.
    weighed.sort_by_key(|(gravity, _)| std::cmp::Reverse(*gravity));
    let decision = weighed
        .first()
        .map_or(Screening::Allow, |(gravity, _)| *gravity);
    let mut reasons: Vec<_> = weighed.into_iter().map(|(_, reason)| reason).collect();
    if reasons.is_empty() {
        reasons.push(ScreenReason {
            code: ReasonCode::NothingFound,
            photo: None,
            detail: format!("nothing registered was found on {} photos", states.len()),
        });
    }
    let unchecked = states
        .iter()
        .filter(|state| !state.stages_left.is_empty())
        .map(|state| Unchecked {
            photo: state.photo.name.clone(),
            stages: state.stages_left.clone(),
        })
        .collect();
    Screened {
        decision,
        reasons,
        listing: listing.clone(),
        photos: states.into_iter().map(|state| state.photo).collect(),
        unchecked,
        continues_in_background: false,
        elapsed_ms: 0.0,
    }
}

fn reasons(state: &PhotoState) -> Vec<(Screening, ScreenReason)> {
    let reason = |code, detail| ScreenReason {
        code,
        photo: Some(state.photo.name.clone()),
        detail,
    };
    if let Some(error) = &state.photo.error {
        let reason = reason(ReasonCode::Unreadable, error.clone());
        return vec![(Screening::Review, reason)];
    }
    let Some(answer) = &state.photo.answer else {
        let detail = "it was not checked in time".to_owned();
        return vec![(Screening::Review, reason(ReasonCode::Unchecked, detail))];
    };
    // The whole photo's verdict belongs to its first finding that counts.
    let mut gravity = match answer.verdict {
        Verdict::Flagged => Screening::Block,
        Verdict::Review => Screening::Review,
        Verdict::Clear => Screening::Allow,
    };
    let mut reasons = Vec::new();
    for found in &answer.findings {
        let (code, words) = code_and_words(found);
        let finding = &found.finding;
        let detail = format!(
            "{} of {} ({}), probability {:.2}{words}",
            finding.kind, finding.brand, finding.asset, finding.probability
        );
        let weight = if found.counts() {
            gravity
        } else {
            Screening::Allow
        };
        reasons.push((weight, reason(code, detail)));
        if found.counts() {
            gravity = gravity.min(Screening::Review);
        }
    }
    reasons
}

fn code_and_words(found: &CaseFinding) -> (ReasonCode, &'static str) {
    match (found.status, found.seen_before) {
        (FindingStatus::Authorised, _) => {
            (ReasonCode::AuthorisedSeller, "; the seller is authorised")
        }
        (FindingStatus::Suppressed | FindingStatus::Rejected, _) => (
            ReasonCode::RejectedBefore,
            "; people rejected it on nearly the same photo",
        ),
        (_, Some(Opinion::Confirmed)) => (
            ReasonCode::ConfirmedBefore,
            "; people confirmed it on nearly the same photo",
        ),
        _ => (ReasonCode::Finding, ""),
    }
}
