//! The parts of the page around its cards, as their templates want them.

use std::collections::BTreeSet;
use std::io::Cursor;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, ImageReader};
use sha2::{Digest, Sha256};

use super::super::Summary;
use super::super::words::{count, counted, duration, kind_words, share, stages};
use super::HtmlOptions;
use super::kept::KeptFinding;
use crate::domain::{AssetId, FindingKind, ScannedPhoto, Verdict, percent, shortened};

const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// Brands in the summary.
const MAX_BRANDS: usize = 20;
/// Characters of a listing's text on a card.
const MAX_TEXT_CHARS: usize = 400;

pub(super) fn rendered(template: &impl Template) -> String {
    template
        .render()
        .expect("every value on the page can be displayed")
}

/// A source expression of a content security policy that allows exactly `text`.
pub(super) fn csp_hash(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text)))
}

pub(super) fn data_uri(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg))
}

pub(super) fn clipped(text: &str) -> String {
    shortened(text, MAX_TEXT_CHARS)
}

pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// A count with its share of a whole, as a row with a bar.
struct Row {
    name: String,
    n: String,
    share: String,
    /// Length of the bar, `0..=100`.
    bar: String,
}

impl Row {
    fn new(name: impl Into<String>, n: u64, whole: u64, longest: u64) -> Self {
        Self {
            name: name.into(),
            n: count(n),
            share: percent(share(n, whole)),
            bar: format!("{:.1}", 100.0 * share(n, longest)),
        }
    }
}

/// A verdict's count, and its part of the bar that shows them all.
struct Tile {
    class: &'static str,
    name: &'static str,
    n: String,
    share: String,
    x: String,
    width: String,
}

fn tiles(summary: &Summary) -> Vec<Tile> {
    let mut before = 0;
    [
        ("flagged", "Flagged", summary.n_flagged),
        ("review", "To review", summary.n_review),
        ("clear", "Clear", summary.n_clear),
        ("failed", "Failed", summary.n_failed),
    ]
    .into_iter()
    .map(|(class, name, n)| {
        let x = 100.0 * share(before, summary.n_photos);
        before += n;
        Tile {
            class,
            name,
            n: count(n),
            share: percent(share(n, summary.n_photos)),
            x: format!("{x:.2}"),
            width: format!("{:.2}", 100.0 * share(n, summary.n_photos)),
        }
    })
    .collect()
}

/// From the doctype to the heading of the findings.
#[derive(Template)]
#[template(path = "report_head.html")]
pub(super) struct Head<'a> {
    /// Number of the page; only the first shows the summary.
    page: usize,
    /// Links to other pages, HTML.
    links: String,
    options: &'a HtmlOptions,
    policy: String,
    style: &'static str,
    n_photos: String,
    speed: String,
    stages: Vec<(&'static str, String)>,
    total_ms: String,
    tiles: Vec<Tile>,
    kinds: Vec<Row>,
    brands: Vec<Row>,
    brands_note: Option<String>,
    n_findings: String,
    note: Option<String>,
    n_cards: usize,
    authorised: Option<String>,
    /// Choices of the filters.
    card_brands: BTreeSet<&'a str>,
    card_kinds: Vec<(&'static str, String)>,
    card_verdicts: Vec<Verdict>,
}

impl<'a> Head<'a> {
    /// `cards`: of this page; `n_cards`: of all pages.
    pub(super) fn new(
        options: &'a HtmlOptions,
        summary: &Summary,
        cards: &'a [KeptFinding],
        n_cards: usize,
    ) -> Self {
        let kinds: BTreeSet<_> = cards.iter().map(|kept| kept.finding.kind).collect();
        let verdicts: BTreeSet<_> = cards.iter().map(|kept| kept.verdict).collect();
        let mean = summary.mean_ms();
        Self {
            page: 1,
            links: String::new(),
            options,
            policy: policy(),
            style: STYLE,
            n_photos: counted(summary.n_photos, "photo", "photos"),
            speed: format!(
                "{} · {:.1} photos/s",
                duration(summary.elapsed),
                summary.photos_per_s()
            ),
            stages: mean
                .iter()
                .flat_map(stages)
                .map(|(s, ms)| (s, format!("{ms:.1}")))
                .collect(),
            total_ms: mean
                .map(|mean| format!("{:.1}", mean.total()))
                .unwrap_or_default(),
            tiles: tiles(summary),
            kinds: kind_rows(summary),
            brands: brand_rows(summary),
            brands_note: (summary.by_brand.len() > MAX_BRANDS)
                .then(|| format!("The {MAX_BRANDS} foremost of {}.", summary.by_brand.len())),
            n_findings: counted(summary.n_findings, "finding", "findings"),
            note: left_out(summary, n_cards),
            n_cards: cards.len(),
            authorised: (summary.n_authorised > 0)
                .then(|| counted(summary.n_authorised, "finding", "findings")),
            card_brands: cards
                .iter()
                .map(|kept| kept.finding.brand.as_str())
                .collect(),
            card_kinds: kinds
                .into_iter()
                .map(|kind| (kind.as_str(), capitalised(kind_words(kind))))
                .collect(),
            card_verdicts: verdicts.into_iter().rev().collect(),
        }
    }

    pub(super) fn html(mut self, page: usize, links: &str) -> String {
        self.page = page;
        links.clone_into(&mut self.links);
        rendered(&self)
    }
}

fn policy() -> String {
    format!(
        "default-src 'none'; img-src data:; style-src {}; script-src {}; base-uri 'none'; \
         form-action 'none'",
        csp_hash(STYLE),
        csp_hash(SCRIPT)
    )
}

fn kind_rows(summary: &Summary) -> Vec<Row> {
    let longest = summary.by_kind.values().copied().max().unwrap_or(0);
    FindingKind::ALL
        .iter()
        .map(|kind| {
            let n = summary.by_kind.get(kind).copied().unwrap_or(0);
            Row::new(
                capitalised(kind_words(*kind)),
                n,
                summary.n_findings,
                longest,
            )
        })
        .collect()
}

fn brand_rows(summary: &Summary) -> Vec<Row> {
    let top = summary.top_brands(MAX_BRANDS);
    let longest = top.first().map_or(0, |top| top.1);
    top.into_iter()
        .map(|(brand, n)| Row::new(brand, n, summary.n_findings, longest))
        .collect()
}

/// Says how many findings have no card.
fn left_out(summary: &Summary, n_cards: usize) -> Option<String> {
    let all = summary.n_findings + summary.n_authorised;
    let missing = all.saturating_sub(n_cards as u64);
    (missing > 0).then(|| {
        format!(
            "Shown are the {} most probable of {} findings; {} less probable are left out here. \
             The JSON lines and CSV reports hold all of them.",
            count(n_cards as u64),
            count(all),
            count(missing)
        )
    })
}

/// The place where the assets' pictures are defined; cards refer to them, so that a picture stands
/// once in the file however many findings it has.
pub(super) struct Symbols;

impl Symbols {
    pub(super) const OPENING: &str =
        "<svg class=\"symbols\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>\n";
    pub(super) const CLOSING: &str = "</defs></svg>\n<div id=\"cards\">\n";
}

/// The picture of an asset.
pub(super) struct AssetPicture {
    id: AssetId,
    size: [u32; 2],
    uri: String,
}

impl AssetPicture {
    /// `None` when `jpeg` is none.
    pub(super) fn new(id: AssetId, jpeg: &[u8]) -> Option<Self> {
        let reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
        let (width, height) = reader.into_dimensions().ok()?;
        Some(Self {
            id,
            size: [width, height],
            uri: data_uri(jpeg),
        })
    }

    /// Width and height, pixels.
    pub(super) fn size(&self) -> [u32; 2] {
        self.size
    }

    pub(super) fn html(&self) -> String {
        let [width, height] = self.size;
        format!(
            "<image id=\"asset-{}\" width=\"{width}\" height=\"{height}\" href=\"{}\"/>\n",
            self.id, self.uri
        )
    }
}

/// A photo without a verdict.
#[derive(Debug)]
pub(super) struct Failure {
    listing_id: String,
    photo: String,
    error: String,
}

impl Failure {
    pub(super) fn new(scanned: &ScannedPhoto, error: &str) -> Self {
        Self {
            listing_id: clipped(&scanned.listing.listing_id),
            photo: clipped(&scanned.photo),
            error: clipped(error),
        }
    }
}

/// From the end of the cards to the end of the page.
#[derive(Template)]
#[template(path = "report_foot.html")]
#[derive(Clone)]
pub(super) struct Foot<'a> {
    /// Links to other pages, HTML.
    links: String,
    n_cards: usize,
    failures: &'a [Failure],
    n_failed: String,
    n_left_out: u64,
    script: &'static str,
    version: &'static str,
}

impl<'a> Foot<'a> {
    pub(super) fn new(failures: &'a [Failure], n_failed: u64) -> Self {
        Self {
            links: String::new(),
            n_cards: 0,
            failures,
            n_failed: counted(n_failed, "photo", "photos"),
            n_left_out: n_failed.saturating_sub(failures.len() as u64),
            script: SCRIPT,
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    /// The failures are listed on the first page alone.
    pub(super) fn html(&self, page: usize, n_cards: usize, links: &str) -> String {
        let failures = if page == 1 { self.failures } else { &[] };
        rendered(&Self {
            links: links.to_owned(),
            n_cards,
            failures,
            ..self.clone()
        })
    }
}
