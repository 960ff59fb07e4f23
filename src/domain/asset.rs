//! Brands and what they register.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::listing::Seller;

/// What is wrong with a value that came from outside.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DomainError {
    /// The kind is none of the three.
    #[error("unknown asset kind {found:?}: use logo, product or packaging")]
    UnknownKind {
        /// The word that was given.
        found: String,
    },
    /// A field that must not be empty is.
    #[error("{field} is empty")]
    Empty {
        /// Name of the field.
        field: &'static str,
    },
    /// A text field is longer than the registry keeps.
    #[error("{field} has {actual} characters, at most {limit} are kept")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Characters given.
        actual: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// The asset would end before it begins.
    #[error("valid_until {until} is before valid_from {from}")]
    EndsBeforeStart {
        /// First day of validity.
        from: Date,
        /// Last day of validity.
        until: Date,
    },
}

/// Database identity of a brand.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct BrandId(pub i64);

/// Database identity of an asset.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct AssetId(pub i64);

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Database identity of one reference picture of an asset.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct PictureId(pub i64);

/// What was registered: a mark, a product, or its packaging.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum AssetKind {
    /// A mark: symbol, word mark, or both.
    Logo,
    /// A product as the brand photographs it.
    Product,
    /// A box, bottle, label or other packaging.
    Packaging,
}

impl AssetKind {
    /// The word used in manifests, flags and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logo => "logo",
            Self::Product => "product",
            Self::Packaging => "packaging",
        }
    }
}

impl fmt::Display for AssetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for AssetKind {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_lowercase().as_str() {
            "logo" => Ok(Self::Logo),
            "product" => Ok(Self::Product),
            "packaging" => Ok(Self::Packaging),
            _ => Err(DomainError::UnknownKind {
                found: text.to_owned(),
            }),
        }
    }
}

/// An owner of marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Brand {
    /// Database identity.
    pub id: BrandId,
    /// Name, unique in a home.
    pub name: String,
    /// Assets registered under it, disabled ones included.
    pub n_assets: u64,
}

/// What a caller says about an asset when registering it; everything but brand and name is optional.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetDraft {
    /// Owner's name.
    pub brand: String,
    /// Name of the asset, unique within its brand.
    pub name: String,
    /// What it is.
    pub kind: AssetKind,
    /// Number in a trade mark or design register.
    #[serde(default)]
    pub registration_number: Option<String>,
    /// First day on which it is matched.
    #[serde(default)]
    pub valid_from: Option<Date>,
    /// Last day on which it is matched.
    #[serde(default)]
    pub valid_until: Option<Date>,
    /// Free text.
    #[serde(default)]
    pub notes: Option<String>,
    /// Ids or names of sellers that may use it.
    #[serde(default)]
    pub authorised_sellers: Vec<String>,
    /// Words that the mark shows, in any script; without them the brand's and asset's names stand in.
    #[serde(default)]
    pub word_marks: Vec<String>,
}

/// Longest brand, asset, seller or word mark that is kept, in characters.
const MAX_NAME_CHARS: usize = 200;
/// Longest note, in characters.
const MAX_NOTE_CHARS: usize = 4000;

impl AssetDraft {
    /// Whether `seller`, if known, may sell what the asset stands for.
    pub fn authorises(&self, seller: Option<&Seller>) -> bool {
        seller.is_some_and(|seller| seller.is_among(&self.authorised_sellers))
    }

    /// A draft with nothing but the three required facts.
    pub fn new(brand: impl Into<String>, name: impl Into<String>, kind: AssetKind) -> Self {
        Self {
            brand: brand.into(),
            name: name.into(),
            kind,
            registration_number: None,
            valid_from: None,
            valid_until: None,
            notes: None,
            authorised_sellers: Vec::new(),
            word_marks: Vec::new(),
        }
    }

    /// Trims the texts and checks them.
    ///
    /// # Errors
    /// [`DomainError::Empty`] without brand or name, [`DomainError::TooLong`] for an over-long text,
    /// [`DomainError::EndsBeforeStart`] when the dates are swapped.
    pub fn checked(mut self) -> Result<Self, DomainError> {
        self.brand = checked_text("brand", &self.brand, MAX_NAME_CHARS)?;
        self.name = checked_text("asset", &self.name, MAX_NAME_CHARS)?;
        self.registration_number = checked_option(
            "registration_number",
            self.registration_number,
            MAX_NAME_CHARS,
        )?;
        self.notes = checked_option("notes", self.notes, MAX_NOTE_CHARS)?;
        self.authorised_sellers = checked_list("authorised_sellers", &self.authorised_sellers)?;
        self.word_marks = checked_list("word_marks", &self.word_marks)?;
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until < from
        {
            return Err(DomainError::EndsBeforeStart { from, until });
        }
        Ok(self)
    }
}

fn checked_text(field: &'static str, text: &str, limit: usize) -> Result<String, DomainError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(DomainError::Empty { field });
    }
    let actual = text.chars().count();
    if actual > limit {
        return Err(DomainError::TooLong {
            field,
            actual,
            limit,
        });
    }
    Ok(text.to_owned())
}

fn checked_option(
    field: &'static str,
    text: Option<String>,
    limit: usize,
) -> Result<Option<String>, DomainError> {
    text.filter(|t| !t.trim().is_empty())
        .map(|t| checked_text(field, &t, limit))
        .transpose()
}

fn checked_list(field: &'static str, texts: &[String]) -> Result<Vec<String>, DomainError> {
    texts
        .iter()
        .filter(|t| !t.trim().is_empty())
        .map(|t| checked_text(field, t, MAX_NAME_CHARS))
        .collect()
}

/// Splits a manifest's list cell, `a|b|c`, into its trimmed, non-empty parts.
pub fn split_list(cell: &str) -> Vec<String> {
    cell.split('|')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A registered thing as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asset {
    /// Database identity.
    pub id: AssetId,
    /// What the owner said about it.
    #[serde(flatten)]
    pub draft: AssetDraft,
    /// Whether it is matched at all.
    pub enabled: bool,
    /// Reference pictures it has.
    pub n_pictures: u64,
    /// When it was registered, RFC 3339 UTC.
    pub created_at: String,
}

impl Asset {
    /// Whether photos are compared with it on `day`: enabled, and within its dates (both inclusive).
    pub fn is_active(&self, day: Date) -> bool {
        self.enabled
            && self.draft.valid_from.is_none_or(|from| from <= day)
            && self.draft.valid_until.is_none_or(|until| day <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn kinds_round_trip_and_refuse_others() {
        for kind in [AssetKind::Logo, AssetKind::Product, AssetKind::Packaging] {
            assert_eq!(kind.as_str().parse::<AssetKind>(), Ok(kind));
        }
        assert!("banner".parse::<AssetKind>().is_err());
    }

    #[test]
    fn drafts_are_trimmed_and_checked() {
        let mut draft = AssetDraft::new("  Acme ", " Star ", AssetKind::Logo);
        draft.notes = Some("   ".into());
        let checked = draft.clone().checked().expect("a good draft");
        assert_eq!(
            (checked.brand.as_str(), checked.name.as_str()),
            ("Acme", "Star")
        );
        assert_eq!(checked.notes, None);

        draft.brand = " ".into();
        assert_eq!(
            draft.clone().checked(),
            Err(DomainError::Empty { field: "brand" })
        );
        draft.brand = "x".repeat(MAX_NAME_CHARS + 1);
        assert!(matches!(
            draft.checked(),
            Err(DomainError::TooLong { actual: 201, .. })
        ));
    }

    #[test]
    fn validity_includes_both_ends() {
        let mut draft = AssetDraft::new("a", "b", AssetKind::Logo);
        draft.valid_from = Some(date(2026, 1, 1));
        draft.valid_until = Some(date(2026, 1, 31));
        let mut asset = Asset {
            id: AssetId(1),
            draft,
            enabled: true,
            n_pictures: 1,
            created_at: String::new(),
        };
        assert!(asset.is_active(date(2026, 1, 1)) && asset.is_active(date(2026, 1, 31)));
        assert!(!asset.is_active(date(2026, 2, 1)) && !asset.is_active(date(2025, 12, 31)));
        asset.enabled = false;
        assert!(!asset.is_active(date(2026, 1, 2)));
    }
}
