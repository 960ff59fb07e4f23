//! What was seen in listings, what was found there, and what people said of it.
//!
//! A *sighting* is one photo in one listing. A photo that is seen in several listings is kept once;
//! photos that are nearly the same make a *cluster*, named after the first of them. A finding is one
//! asset in one sighting.

mod decisions;
mod findings;
mod listings;
mod look_back;
mod pending;
mod records;
mod remembered;
mod retention;
mod sightings;
mod statistics;
mod teaching;

#[cfg(test)]
pub(super) mod tests;

pub use records::{
    BrandStatistics, CaseStatistics, Decision, DecisionScope, EarlierDecision, FindingCursor,
    FindingFilter, FindingOrder, FindingRecord, KnownSighting, ListingRecord, ListingRef,
    ListingRowId, NearPhoto, NearestOther, NewDecision, NewFinding, NewPhoto, NewSighting,
    PendingPhoto, PhotoRef, Precedent, RememberedAnswer, SeenIn, SeenPhoto, SightingId,
    Suppression,
};
pub use teaching::{Taught, TeachingState};
