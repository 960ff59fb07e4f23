//! What touchstone says of a photo.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AssetId, AssetKind, Measurements, Region};

/// How a photo uses something registered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum FindingKind {
    /// An edited copy of the brand's own picture.
    StolenPhoto,
    /// The registered mark is on it.
    LogoPresent,
    /// An imitation of the mark.
    AlteredLogo,
    /// The same product or packaging, photographed by someone else.
    LookalikeProduct,
}

impl FindingKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 4] = [
        Self::StolenPhoto,
        Self::LogoPresent,
        Self::AlteredLogo,
        Self::LookalikeProduct,
    ];

    /// The word used in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StolenPhoto => "StolenPhoto",
            Self::LogoPresent => "LogoPresent",
            Self::AlteredLogo => "AlteredLogo",
            Self::LookalikeProduct => "LookalikeProduct",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What should happen with a photo; ordered from harmless to grave.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub enum Verdict {
    /// Nothing registered was found.
    Clear,
    /// A person should look.
    Review,
    /// Something registered is shown.
    Flagged,
}

impl Verdict {
    /// The word used in JSON and CSV.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "Clear",
            Self::Review => "Review",
            Self::Flagged => "Flagged",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A judged candidate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The registered thing.
    pub asset_id: AssetId,
    /// Its name.
    pub asset: String,
    /// Its owner.
    pub brand: String,
    /// What was registered.
    pub asset_kind: AssetKind,
    /// How the photo uses it.
    pub kind: FindingKind,
    /// Where, in pixels of the upright photo.
    pub region: Region,
    /// Calibrated probability that the finding is right, `0..=1`.
    pub probability: f64,
    /// The probability before it was moved by what people decided on the brand's findings, `0..=1`;
    /// absent where nothing moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untaught_probability: Option<f64>,
    /// What was promised of the brand's flagged findings; absent where nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// What the probability was computed from.
    pub measurements: Measurements,
    /// Whether the asset's owner has allow-listed the seller; such a finding raises no verdict.
    #[serde(default)]
    pub authorised_seller: bool,
    /// Why, in words and numbers that a person can check.
    pub reasons: Vec<String>,
}

/// A promise on how often a brand's flagged findings are right.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    /// The share of flagged findings that is right, at least; `0.5..=0.999`.
    pub precision: f64,
    /// The least probability that flags, so that the promise is kept. `null`: the decisions so far bear
    /// out none, and nothing is flagged; a person looks instead.
    pub flag_at: Option<f64>,
}

/// Milliseconds spent in each stage of the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct StageTimings {
    /// Decoding, turning upright, scaling.
    pub prepare: f64,
    /// The network.
    pub embed: f64,
    /// Index, hashes and words.
    pub find_candidates: f64,
    /// Geometry and photometry.
    pub verify: f64,
    /// Probabilities and policy.
    pub judge: f64,
}

impl StageTimings {
    /// All stages together.
    pub fn total(&self) -> f64 {
        self.prepare + self.embed + self.find_candidates + self.verify + self.judge
    }
}

/// The answer for one photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PhotoVerdict {
    /// What should happen with it.
    pub verdict: Verdict,
    /// What was found, most probable first; empty when `Clear`.
    pub findings: Vec<Finding>,
    /// Width and height of the upright photo, pixels.
    pub photo_size: [u32; 2],
    /// Milliseconds per stage.
    pub timings_ms: StageTimings,
}
