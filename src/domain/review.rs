//! What becomes of findings: where they came from, and what people said of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Database identity of a finding that was kept.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct FindingId(pub i64);

/// Database identity of a decision.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct DecisionId(pub i64);

/// Database identity of a photo that was seen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct PhotoId(pub i64);

macro_rules! words {
    ($type:ty, $($variant:ident => $word:literal),+) => {
        impl $type {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word used in JSON, CSV, addresses and the database.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }

            /// Reads what [`as_str`](Self::as_str) writes; `None` for anything else.
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) use words;

/// What a person says of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// It is right.
    Confirmed,
    /// It is wrong.
    Rejected,
    /// It cannot be told.
    Unsure,
}

words!(Opinion, Confirmed => "confirmed", Rejected => "rejected", Unsure => "unsure");

/// A finding that people decided on, with what was said of it before anything was learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decided {
    /// Probability as the judge gave it, `0..=1`.
    pub probability: f64,
    /// Whether people confirmed it.
    pub is_right: bool,
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingStatus {
    /// Nobody has decided yet.
    Open,
    /// A person said it is right.
    Confirmed,
    /// A person said it is wrong.
    Rejected,
    /// A person could not tell.
    Unsure,
    /// The same was rejected on nearly the same photo; nobody needs to look.
    Suppressed,
    /// The seller may use the asset; nobody needs to look.
    Authorised,
}

words!(
    FindingStatus,
    Open => "open",
    Confirmed => "confirmed",
    Rejected => "rejected",
    Unsure => "unsure",
    Suppressed => "suppressed",
    Authorised => "authorised"
);

impl From<Opinion> for FindingStatus {
    fn from(opinion: Opinion) -> Self {
        match opinion {
            Opinion::Confirmed => Self::Confirmed,
            Opinion::Rejected => Self::Rejected,
            Opinion::Unsure => Self::Unsure,
        }
    }
}

/// What was being done when a finding was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingSource {
    /// A listing was checked before it went live.
    Screen,
    /// A photo was matched and kept.
    Match,
    /// An asset was registered after the photo had been seen.
    LookBack,
    /// A catalogue was scanned.
    Scan,
}

words!(FindingSource, Screen => "screen", Match => "match", LookBack => "look_back", Scan => "scan");

/// What should happen with a listing; ordered from harmless to grave.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Screening {
    /// Nothing speaks against it.
    Allow,
    /// A person should look, or something was not checked.
    Review,
    /// It shows something registered.
    Block,
}

words!(Screening, Allow => "allow", Review => "review", Block => "block");

/// How much is kept of what was checked; each level keeps what those before it keep.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Nothing at all.
    Nothing,
    /// Findings, ids of listing and seller, and the photos' descriptions, from which no photo can be
    /// made: enough to look back.
    Findings,
    /// The listing with all its fields.
    Listing,
    /// The photos themselves.
    Photos,
}

words!(
    Keep,
    Nothing => "nothing",
    Findings => "findings",
    Listing => "listing",
    Photos => "photos"
);

/// What is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeping {
    /// What.
    pub keep: Keep,
    /// Days until it is forgotten, `1..=3650`. Findings and decisions stay.
    pub days: u32,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            keep: Keep::Findings,
            days: 365,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_are_those_of_json() {
        for &status in FindingStatus::ALL {
            assert_eq!(FindingStatus::of_word(status.as_str()), Some(status));
            let json = serde_json::to_value(status).expect("a word");
            assert_eq!(json, status.as_str());
        }
        for &source in FindingSource::ALL {
            let json = serde_json::to_value(source).expect("a word");
            assert_eq!(json, source.as_str());
        }
        assert_eq!(Opinion::of_word("Confirmed"), None);
    }
}
