//! What goes into the case files and what comes out of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    AssetId, DecisionId, FileDigest, Finding, FindingId, FindingKind, FindingSource, FindingStatus,
    Keeping, Listing, ModelId, Opinion, PhotoId, PictureId, Seller,
};

/// Database identity of one photo in one listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SightingId(pub i64);

/// Database identity of a listing from when it is first kept until it is forgotten; one that comes again
/// gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListingRowId(pub i64);

/// A photo as it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPhoto {
    /// SHA-256 of the file.
    pub sha256: FileDigest,
    /// Width of the upright photo, pixels.
    pub width: u32,
    /// Height of the upright photo, pixels.
    pub height: u32,
    /// Its perceptual hash, 32 bytes.
    pub hash: Vec<u8>,
    /// The vector of the whole photo, in a form that only its maker reads.
    pub whole: Vec<u8>,
    /// The cluster it belongs to; `None` founds one.
    pub cluster: Option<PhotoId>,
    /// The network that described it.
    pub model: ModelId,
    /// All that look-back needs, in a form that only its maker reads.
    pub description: Vec<u8>,
    /// The registry's revision that it was compared with.
    pub compared_revision: u64,
    /// The file, when it is to be kept.
    pub file: Option<Vec<u8>>,
}

/// The best candidate of another brand, to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NearestOther {
    /// Its asset.
    pub asset_id: AssetId,
    /// The asset's name.
    pub asset: String,
    /// Its owner.
    pub brand: String,
    /// Probability of its finding, `0..=1`.
    pub probability: f64,
}

/// A finding to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct NewFinding {
    /// What was found.
    pub finding: Finding,
    /// The best candidate of another brand.
    pub nearest_other: Option<NearestOther>,
    /// The network it rests on.
    pub model: ModelId,
    /// SHA-256 of the judge; `None` when it came from no file.
    pub judge: Option<FileDigest>,
}

/// One photo of one listing with what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct NewSighting<'a> {
    /// The photo.
    pub photo: NewPhoto,
    /// Its name in the listing, for people.
    pub name: &'a str,
    /// The listing; `None` for a photo on its own. An empty `listing_id` is none either.
    pub listing: Option<&'a Listing>,
    /// What the listing was kept as when its check began: if that was forgotten since, nothing is kept.
    /// `None` keeps the listing anew.
    pub kept_as: Option<ListingRowId>,
    /// What was found.
    pub findings: Vec<NewFinding>,
    /// What was being done.
    pub source: FindingSource,
    /// How much of it is kept, and how long.
    pub keeping: Keeping,
    /// Brands whose it is: nothing of others is ever made of it. `None`: everybody's.
    pub brands: Option<&'a [String]>,
}

/// A photo that is known already, in one more listing, with what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct KnownSighting<'a> {
    /// SHA-256 of the photo's file.
    pub photo: FileDigest,
    /// The registry's revision that it was compared with.
    pub compared_revision: u64,
    /// Its name in the listing, for people.
    pub name: &'a str,
    /// The listing. An empty `listing_id` is none.
    pub listing: &'a Listing,
    /// What was found.
    pub findings: Vec<NewFinding>,
    /// What was being done.
    pub source: FindingSource,
    /// How much of it is kept, and how long.
    pub keeping: Keeping,
}

/// A photo seen earlier that may be nearly the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearPhoto {
    /// Its cluster.
    pub cluster: PhotoId,
    /// Its perceptual hash.
    pub hash: Vec<u8>,
    /// The vector of the whole photo.
    pub whole: Vec<u8>,
    /// The network that made it.
    pub model: ModelId,
}

/// What people said earlier of an asset in a cluster of photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precedent {
    /// The latest opinion.
    pub opinion: Opinion,
    /// The decision.
    pub decision: DecisionId,
}

/// A photo as look-back needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenPhoto {
    /// Database identity.
    pub id: PhotoId,
    /// The registry's revision that it was compared with.
    pub compared_revision: u64,
    /// The network that described it.
    pub model: ModelId,
    /// As it was given.
    pub description: Vec<u8>,
    /// Where it was seen.
    pub sightings: Vec<SeenIn>,
}

/// Where a photo was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenIn {
    /// Database identity.
    pub sighting: SightingId,
    /// Who sold there.
    pub seller: Option<Seller>,
    /// Brands whose findings may be made of it; `None`: all.
    pub brands: Option<Vec<String>>,
}

/// A photo that is still to be checked, held through a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct PendingPhoto {
    /// Its listing.
    pub listing: Listing,
    /// What the listing was kept as when its check began; `None` when it was not.
    pub kept_as: Option<ListingRowId>,
    /// Its name in the listing.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// How much of it is to be kept.
    pub keeping: Keeping,
}

/// What a person said of a finding, or that it was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Decision {
    /// Database identity.
    pub id: DecisionId,
    /// The finding.
    pub finding_id: FindingId,
    /// What was said; `None` when a decision was taken back.
    pub decision: Option<Opinion>,
    /// The decision that was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<DecisionId>,
    /// Why.
    pub reason: Option<String>,
    /// Who said it.
    pub decided_by: String,
    /// When, RFC 3339 UTC.
    pub created_at: String,
}

/// A decision to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDecision {
    /// What is said.
    pub opinion: Opinion,
    /// Why.
    pub reason: Option<String>,
    /// Who says it.
    pub decided_by: String,
}

/// What a decision is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionScope {
    /// One finding.
    #[default]
    Finding,
    /// Also all undecided findings of the same asset on nearly the same photo.
    Cluster,
}

/// Why nobody needs to look at a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Suppression {
    /// The rejection.
    pub decision_id: DecisionId,
    /// The finding that was rejected.
    pub finding_id: FindingId,
}

/// A decision on another finding in nearly the same photo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct EarlierDecision {
    /// The other finding.
    pub finding_id: FindingId,
    /// Its asset.
    pub asset_id: AssetId,
    /// What was said.
    pub decision: Opinion,
    /// Who said it.
    pub decided_by: String,
    /// When, RFC 3339 UTC.
    pub created_at: String,
}

/// The listing that a finding is about.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ListingRef {
    /// The marketplace's id of it.
    pub listing_id: String,
    /// Who sells; only id, name and country.
    pub seller: Option<Seller>,
}

/// The photo that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PhotoRef {
    /// SHA-256 of the file.
    pub sha256: FileDigest,
    /// Its name in the listing.
    pub name: String,
    /// Width of the upright photo, pixels.
    pub width: u32,
    /// Height of the upright photo, pixels.
    pub height: u32,
    /// Nearly equal photos have the same number.
    pub cluster: PhotoId,
    /// Whether the file is kept.
    pub is_kept: bool,
}

/// A finding with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FindingRecord {
    /// Database identity.
    pub id: FindingId,
    /// Where it stands.
    pub status: FindingStatus,
    /// What was being done when it was made.
    pub source: FindingSource,
    /// What it is ranked by: the probability times 1 + ln(sightings of the photo's cluster).
    pub priority: f64,
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Where.
    pub photo: PhotoRef,
    /// In which listing; `None` for a photo on its own.
    pub listing: Option<ListingRef>,
    /// The best candidate of another brand.
    pub nearest_other: Option<NearestOther>,
    /// The decision that holds.
    pub decision: Option<Decision>,
    /// The rejection that spares people this finding.
    pub suppressed_by: Option<Suppression>,
    /// Decisions on other findings in nearly the same photo, newest first, at most 5.
    pub earlier_decisions: Vec<EarlierDecision>,
    /// Other findings of the same asset on nearly the same photo.
    pub n_repeats: u64,
    /// The picture of its asset that was made of it; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemplar: Option<PictureId>,
    /// The network it rests on.
    pub model: ModelId,
    /// SHA-256 of the judge.
    pub judge_sha256: Option<FileDigest>,
    /// The registry's revision it rests on.
    pub registry_revision: u64,
    /// When it was made, RFC 3339 UTC.
    pub created_at: String,
    /// When it was last found again or decided, RFC 3339 UTC.
    pub updated_at: String,
}

/// The order of a list of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingOrder {
    /// What matters most first.
    #[default]
    Priority,
    /// The newest first.
    Newest,
    /// The most probable first.
    Probability,
}

/// A place in a list of findings: the last one of a page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FindingCursor {
    /// The number it is ranked by; 0 where the id alone ranks.
    pub rank: f64,
    /// The finding.
    pub id: FindingId,
}

/// Which findings to list; the default is all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FindingFilter {
    /// Only where they stand so.
    pub status: Option<FindingStatus>,
    /// Only of the brand with this name.
    pub brand: Option<String>,
    /// Only of brands with these names.
    pub brands: Option<Vec<String>>,
    /// Only of this kind.
    pub kind: Option<FindingKind>,
    /// Only of this asset.
    pub asset: Option<AssetId>,
    /// Only with at least this probability.
    pub min_probability: Option<f64>,
    /// Only of the seller with this id or name.
    pub seller: Option<String>,
    /// Only in this listing.
    pub listing_id: Option<String>,
    /// Only in this cluster of photos.
    pub cluster: Option<PhotoId>,
    /// Only those made at or after this time, as `created_at` writes it.
    pub since: Option<String>,
    /// The order.
    pub order: FindingOrder,
    /// Only those behind this place.
    pub after: Option<FindingCursor>,
    /// At most this many.
    pub limit: Option<u32>,
}

/// A listing that was kept.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ListingRecord {
    /// The listing as it came; photos by name.
    #[serde(flatten)]
    pub listing: Listing,
    /// Findings in it, decided ones included.
    pub n_findings: u64,
    /// When it was first checked, RFC 3339 UTC.
    pub created_at: String,
    /// When it was last checked, RFC 3339 UTC.
    pub updated_at: String,
    /// When it will be forgotten, RFC 3339 UTC.
    pub keep_until: String,
}

/// An answer to be given again to the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedAnswer {
    /// Digest of the request that it answers.
    pub request: FileDigest,
    /// HTTP status.
    pub status: u16,
    /// Headers worth repeating.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Counts over all findings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CaseStatistics {
    /// Findings that nobody has decided on.
    pub n_open: u64,
    /// Findings that an earlier rejection spares people.
    pub n_suppressed: u64,
    /// When the oldest open one was made, RFC 3339 UTC.
    pub oldest_open: Option<String>,
    /// Days, as `2026-01-31`, with the findings made on them; days without are left out.
    pub n_by_day: Vec<(String, u64)>,
    /// Brands that anything was found of, those with the most open findings first.
    pub brands: Vec<BrandStatistics>,
}

/// Where the findings of a brand stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrandStatistics {
    /// Its name.
    pub brand: String,
    /// Undecided.
    pub n_open: u64,
    /// Said to be right.
    pub n_confirmed: u64,
    /// Said to be wrong.
    pub n_rejected: u64,
    /// Could not be told.
    pub n_unsure: u64,
}
