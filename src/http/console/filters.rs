//! Which findings the queue shows, as the address says it.

use serde::{Deserialize, Serialize};

use super::super::access::BrandScope;
use super::super::paging::{cursor, with_one_more};
use super::super::problem::Problem;
use crate::domain::{FindingKind, FindingStatus, PhotoId};
use crate::store::{FindingFilter, FindingOrder};

/// Findings on a page of the queue.
pub(super) const PAGE: u32 = 40;

/// Filters as forms send them: a field left alone is empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Filters {
    /// A word of [`FindingStatus`] or `all`; empty: open.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub brand: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Id or name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub seller: String,
    /// A word of [`FindingOrder`]; empty: what matters most first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    /// Where the page begins.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
}

impl Filters {
    /// Reads what [`Filters::text`] wrote; anything else filters nothing.
    pub fn read(text: &str) -> Self {
        serde_urlencoded::from_str(text).unwrap_or_default()
    }

    /// As the part of an address behind `?`.
    pub fn text(&self) -> String {
        serde_urlencoded::to_string(self).unwrap_or_default()
    }

    /// `path` with these filters.
    pub fn address(&self, path: &str) -> String {
        let text = self.text();
        let mark = if text.is_empty() { "" } else { "?" };
        format!("{path}{mark}{text}")
    }

    /// The address of the same findings in a file.
    pub fn export(&self, format: &str) -> String {
        let mut query = vec![("format", format)];
        if self.status() != "all" {
            query.push(("status", self.status()));
        }
        let given = [
            ("brand", &self.brand),
            ("kind", &self.kind),
            ("seller", &self.seller),
            ("order", &self.order),
            ("cluster", &self.cluster),
        ];
        let given = given.into_iter().filter(|(_, text)| !text.is_empty());
        query.extend(given.map(|(name, text)| (name, text.as_str())));
        let text = serde_urlencoded::to_string(query).unwrap_or_default();
        format!("/v1/findings/export?{text}")
    }

    /// The word of the status, `open` unless another is asked for.
    pub fn status(&self) -> &str {
        if self.status.is_empty() {
            "open"
        } else {
            &self.status
        }
    }

    /// Whether anything but the status is asked for.
    pub fn is_narrow(&self) -> bool {
        [&self.brand, &self.kind, &self.seller, &self.cluster]
            .iter()
            .any(|text| !text.is_empty())
    }

    pub fn order(&self) -> FindingOrder {
        match self.order.as_str() {
            "newest" => FindingOrder::Newest,
            "probability" => FindingOrder::Probability,
            _ => FindingOrder::Priority,
        }
    }

    /// What the store is asked for of the brands that are seen, one more than a page.
    pub fn filter(&self, scope: &BrandScope) -> Result<FindingFilter, Problem> {
        let given = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let mut kinds = FindingKind::ALL.into_iter();
        Ok(FindingFilter {
            status: FindingStatus::of_word(self.status()),
            brand: given(&self.brand),
            brands: scope.brands(),
            kind: kinds.find(|kind| kind.as_str() == self.kind),
            seller: given(&self.seller),
            cluster: self.cluster.parse().ok().map(PhotoId),
            order: self.order(),
            after: given(&self.after).as_deref().map(cursor).transpose()?,
            limit: Some(with_one_more(PAGE)),
            ..FindingFilter::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_survive_an_address_whatever_they_hold() {
        let filters = Filters {
            status: "all".to_owned(),
            brand: "A&B = C?#\r\n".to_owned(),
            ..Filters::default()
        };
        let again = Filters::read(&filters.text());
        assert_eq!(again.brand, filters.brand);
        assert_eq!(again.text(), filters.text());
        let address = filters.address("/review");
        assert!(address.bytes().all(|b| b.is_ascii_graphic()), "{address}");
        assert_eq!(Filters::default().address("/review"), "/review");
        assert_eq!(
            Filters::default().export("csv"),
            "/v1/findings/export?format=csv&status=open"
        );
    }
}
