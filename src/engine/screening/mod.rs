//! Checking one listing before it goes live: all photos at once, an answer when the caller needs it,
//! and the rest afterwards.

mod answer;
mod running;

use crate::domain::{Keeping, Listing};

pub use answer::{ReasonCode, ScreenReason, Screened, ScreenedPhoto, Unchecked};
pub use running::RunningScreening;

/// A photo to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenPhoto {
    /// For people: as the listing names it.
    pub name: String,
    /// The file, or why there is none.
    pub bytes: Result<Vec<u8>, String>,
}

/// A listing to check.
#[derive(Debug, Clone, PartialEq)]
pub struct ScreenRequest {
    /// The listing; its photos are names only.
    pub listing: Listing,
    /// Its photos, in the order of the listing.
    pub photos: Vec<ScreenPhoto>,
    /// How much of it is kept.
    pub keeping: Keeping,
}
