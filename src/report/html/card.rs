//! One finding on the page, as its template wants it.

use askama::Template;

use super::super::words::{kind_words, listing_field, measured, place, value_words};
use super::kept::KeptFinding;
use super::page::{capitalised, clipped, data_uri, rendered};
use crate::domain::{Listing, Region, Verdict, percent};

/// Unknown fields of a listing on a card.
const MAX_FIELDS: usize = 40;

/// One finding.
#[derive(Template)]
#[template(path = "report_card.html")]
pub(super) struct Card<'a> {
    kept: &'a KeptFinding,
    position: usize,
    kind: String,
    verdict: &'static str,
    verdict_class: &'static str,
    probability: String,
    /// Length of the bar, `0..=100`.
    bar: String,
    photo_uri: Option<String>,
    /// Within the photo.
    region: Region,
    /// Radius of the box's corners, photo pixels.
    radius: f32,
    place: String,
    asset_size: Option<[u32; 2]>,
    title: Option<String>,
    link: Option<String>,
    facts: Vec<(String, String)>,
    more: Vec<(String, String)>,
    measured: Vec<(String, String)>,
}

impl<'a> Card<'a> {
    /// The card at `position` of the page. `thumbnail`: a JPEG of the photo; `asset_size`: of the picture
    /// defined before, if any.
    pub(super) fn new(
        position: usize,
        kept: &'a KeptFinding,
        thumbnail: Option<&[u8]>,
        asset_size: Option<[u32; 2]>,
    ) -> Self {
        let finding = &kept.finding;
        let [width, height] = kept.photo_size.map(|side| side as f32);
        let (verdict, verdict_class) = match kept.verdict {
            Verdict::Flagged => ("Flagged", "flagged"),
            Verdict::Review => ("To review", "review"),
            Verdict::Clear => ("Clear", "clear"),
        };
        Self {
            kept,
            position,
            kind: capitalised(kind_words(finding.kind)),
            verdict,
            verdict_class,
            probability: percent(finding.probability),
            bar: format!("{:.1}", finding.probability.clamp(0.0, 1.0) * 100.0),
            photo_uri: thumbnail.map(data_uri),
            region: finding.region.clipped(width, height),
            radius: width.max(height) / 160.0,
            place: place(&finding.region),
            asset_size,
            title: listing_field(&kept.listing, "title").map(|title| clipped(&title)),
            link: web_link(&kept.listing),
            facts: facts(&kept.listing),
            more: more_fields(&kept.listing),
            measured: measured(&finding.measurements),
        }
    }

    pub(super) fn html(&self) -> String {
        rendered(self)
    }
}

/// The listing's address, if following it means opening a web page and nothing else.
fn web_link(listing: &Listing) -> Option<String> {
    let url = listing_field(listing, "url")?;
    let lower = url.trim_start().to_ascii_lowercase();
    let is_web = lower.starts_with("https://") || lower.starts_with("http://");
    is_web.then(|| url.trim().to_owned())
}

/// What a card says of a listing at first sight.
fn facts(listing: &Listing) -> Vec<(String, String)> {
    let field = |name| listing_field(listing, name);
    let seller = listing.seller.as_ref();
    let price = field("price").map(|price| match field("currency") {
        Some(currency) => format!("{price} {currency}"),
        None => price,
    });
    let known = [
        ("Seller", seller.and_then(|s| s.name.clone())),
        ("Seller id", seller.and_then(|s| s.id.clone())),
        ("Country", seller.and_then(|s| s.country.clone())),
        ("Marketplace", field("marketplace")),
        ("Brand claimed", field("brand_claimed")),
        ("Price", price),
        ("Quantity", field("quantity")),
        ("Listing", Some(listing.listing_id.clone())),
    ];
    known
        .into_iter()
        .filter_map(|(name, value)| Some((name.into(), clipped(&value.filter(|v| !v.is_empty())?))))
        .collect()
}

/// The fields of a listing and its seller that [`facts`] does not know.
fn more_fields(listing: &Listing) -> Vec<(String, String)> {
    const KNOWN: [&str; 6] = [
        "title",
        "marketplace",
        "brand_claimed",
        "price",
        "currency",
        "quantity",
    ];
    let own = listing
        .other
        .iter()
        .filter(|(name, _)| !KNOWN.contains(&name.as_str()));
    let own = own.map(|(name, value)| (clipped(name), value));
    let seller = listing.seller.iter().flat_map(|s| &s.other);
    let sellers = seller.map(|(name, value)| (format!("seller {}", clipped(name)), value));
    own.chain(sellers)
        .filter_map(|(name, value)| Some((name, clipped(&value_words(value)?))))
        .take(MAX_FIELDS)
        .collect()
}
