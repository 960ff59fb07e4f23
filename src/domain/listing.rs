//! A seller's offer, as manifests and requests carry it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Who sells.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Seller {
    /// The marketplace's id of the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name shown to buyers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Country, as the marketplace writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Unknown fields, given back as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Seller {
    /// Reads a JSON object whose id may be a number, as many marketplaces write it.
    ///
    /// # Errors
    /// When a field is neither text nor number.
    pub fn deserialize_lenient(value: &Value) -> Result<Self, serde_json::Error> {
        let mut value = value.clone();
        for field in ["id", "name"] {
            if let Some(Value::Number(number)) = value.get(field) {
                value[field] = Value::String(number.to_string());
            }
        }
        serde_json::from_value(value)
    }

    /// Whether `allowed` holds this seller's id or name; letter case does not matter.
    pub fn is_among(&self, allowed: &[String]) -> bool {
        [&self.id, &self.name].into_iter().flatten().any(|mine| {
            allowed
                .iter()
                .any(|entry| entry.trim().eq_ignore_ascii_case(mine.trim()))
        })
    }
}

/// One offer with its photos; one JSON object a line in manifests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Listing {
    /// The marketplace's id of the offer.
    pub listing_id: String,
    /// Photo locations: paths relative to the manifest, or absolute.
    #[serde(default)]
    pub photos: Vec<String>,
    /// Who sells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<Seller>,
    /// `url`, `marketplace`, `title`, `brand_claimed`, `price`, `currency`, `quantity` and unknown
    /// fields, given back as they came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}
