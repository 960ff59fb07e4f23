//! One finding as its card shows it: photo and registered picture side by side with the place drawn on
//! both, the one laid over the other, and the numbers in words.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::problem::Problem;
use super::page::capitalised;
use super::phrases::{Row, lie, next_brand, rows, why_not};
use super::pictures::jpeg;
use crate::domain::{Finding, Region, Verdict, percent};
use crate::engine::{Engine, Examination, Verified};
use crate::matching::geometry::Alignment;
use crate::report::kind_words;

/// Largest side of a registered picture on a card.
const REFERENCE_SIDE_PX: u32 = 640;
/// Agreeing points that are drawn; more hide the picture.
const MAX_POINTS: usize = 60;
/// Room around the place in the overlay, as a share of its longer side.
const MARGIN: f32 = 0.15;

/// A photo on the page, defined once and drawn on every card.
pub(super) struct PhotoView {
    /// Where its pixels are.
    pub uri: String,
    /// Of its pixels as they were compared.
    pub size: [u32; 2],
}

/// A finding, or a candidate that came near.
pub(super) struct Card {
    /// Its number on the photo.
    pub n: usize,
    pub asset_id: i64,
    pub brand: String,
    pub asset: String,
    pub asset_kind: &'static str,
    pub kind: String,
    pub class: &'static str,
    pub badge: &'static str,
    pub probability: String,
    /// Length of the bar, `0..=100`.
    pub bar: String,
    pub authorised: bool,
    pub photo_size: [u32; 2],
    /// Corners of the place in the photo, as SVG writes them.
    pub place: String,
    /// Where its number stands.
    pub at: [f32; 2],
    /// Agreeing points in the photo.
    pub points: Vec<[f32; 2]>,
    /// Radius of points and half the size of numbers, photo pixels.
    pub dot: f32,
    pub reference: Option<ReferenceView>,
    /// How the registered picture lies in the photo, in words.
    pub lie: Option<String>,
    pub reasons: Vec<String>,
    /// What speaks against it; for candidates that came near.
    pub why_not: Vec<String>,
    pub next_brand: Option<String>,
    pub rows: Vec<Row>,
}

/// The registered picture on a card.
pub(super) struct ReferenceView {
    pub uri: String,
    pub size: [u32; 2],
    pub points: Vec<[f32; 2]>,
    pub dot: f32,
    pub overlay: Option<OverlayView>,
}

/// What the script needs to lay the registered picture over the photo.
pub(super) struct OverlayView {
    /// From pixels of the registered picture to pixels of the photo, row by row.
    pub transform: String,
    /// Part of the photo that is shown: left, top, width, height.
    pub view: String,
    pub inverted: bool,
}

impl Card {
    /// The card of `finding`, a candidate of `examined`.
    pub fn new(
        engine: &Engine,
        examined: &Examination,
        finding: &Finding,
        n: usize,
    ) -> Result<Self, Problem> {
        let verified = examined.verified(finding.asset_id);
        let alignment = verified.and_then(Verified::firm_alignment);
        let pixels = &examined.photo.pixels;
        let photo_size = [pixels.width(), pixels.height()];
        let policy = &engine.settings().policy;
        let corners = verified.map(corners).unwrap_or_default();
        // That the seller may is said beside it.
        let whoever_sells = Finding {
            authorised_seller: false,
            ..finding.clone()
        };
        let (class, badge) = match policy.verdict_on(&whoever_sells) {
            Verdict::Flagged => ("flagged", "Flagged"),
            Verdict::Review => ("review", "To review"),
            Verdict::Clear => ("clear", "Not a match"),
        };
        Ok(Self {
            n,
            asset_id: finding.asset_id.0,
            brand: finding.brand.clone(),
            asset: finding.asset.clone(),
            asset_kind: finding.asset_kind.as_str(),
            kind: capitalised(kind_words(finding.kind)),
            class,
            badge,
            probability: percent(finding.probability),
            bar: format!("{:.1}", finding.probability.clamp(0.0, 1.0) * 100.0),
            authorised: finding.authorised_seller,
            photo_size,
            place: svg_points(&corners),
            at: number_place(&corners, photo_size),
            points: alignment.map_or_else(Vec::new, |a| points(a, 1)),
            dot: dot(photo_size),
            reference: verified
                .map(|verified| reference_view(engine, verified, photo_size))
                .transpose()?
                .flatten(),
            lie: alignment.map(|alignment| lie(alignment, photo_size)),
            reasons: finding.reasons.iter().map(|r| capitalised(r)).collect(),
            why_not: verified.map(why_not).unwrap_or_default(),
            next_brand: next_brand(examined, finding),
            rows: rows(&finding.measurements),
        })
    }
}

fn reference_view(
    engine: &Engine,
    verified: &Verified,
    photo_size: [u32; 2],
) -> Result<Option<ReferenceView>, Problem> {
    let Some(detail) = engine.reference_detail(verified.candidate.picture_id)? else {
        return Ok(None);
    };
    let size = [detail.pixels.width(), detail.pixels.height()];
    let alignment = verified.firm_alignment();
    Ok(Some(ReferenceView {
        uri: data_uri(&jpeg(&detail.pixels, REFERENCE_SIDE_PX)?),
        size,
        points: alignment.map_or_else(Vec::new, |a| points(a, 0)),
        dot: dot(size),
        overlay: alignment.map(|a| overlay_view(a, verified.region(), photo_size)),
    }))
}

fn overlay_view(alignment: &Alignment, region: Region, [width, height]: [u32; 2]) -> OverlayView {
    let margin = MARGIN * region.w.max(region.h);
    let view = Region::new(
        region.x - margin,
        region.y - margin,
        region.w + 2.0 * margin,
        region.h + 2.0 * margin,
    )
    .clipped(width as f32, height as f32);
    let numbers = alignment.transform.as_flattened();
    let numbers: Vec<String> = numbers.iter().map(f64::to_string).collect();
    OverlayView {
        transform: numbers.join(" "),
        view: format!("{} {} {} {}", view.x, view.y, view.w, view.h),
        inverted: alignment.variant.inverted,
    }
}

/// Corners of the place, clockwise from the top left of the registered picture.
fn corners(verified: &Verified) -> [[f32; 2]; 4] {
    match verified.firm_alignment() {
        Some(alignment) => alignment.quad,
        None => {
            let Region { x, y, w, h } = verified.region();
            [[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
        }
    }
}

/// Beside the corner that is highest and leftmost, within the photo.
fn number_place(corners: &[[f32; 2]; 4], size: [u32; 2]) -> [f32; 2] {
    let least = |axis: usize| {
        corners
            .iter()
            .map(|c| c[axis])
            .fold(f32::INFINITY, f32::min)
    };
    let half = 3.0 * dot(size);
    [0, 1].map(|axis| {
        let most = size[axis] as f32 - half;
        (least(axis) + half).clamp(half, most.max(half))
    })
}

/// Agreeing points of one side (0: on the reference, 1: in the photo), spread over all.
fn points(alignment: &Alignment, side: usize) -> Vec<[f32; 2]> {
    let step = alignment.places.len().div_ceil(MAX_POINTS).max(1);
    let spread = alignment.places.iter().step_by(step);
    spread.map(|place| place[side]).collect()
}

fn dot(size: [u32; 2]) -> f32 {
    size[0].max(size[1]) as f32 / 150.0
}

fn svg_points(corners: &[[f32; 2]; 4]) -> String {
    let corners = corners.iter().filter(|c| c.iter().all(|v| v.is_finite()));
    let corners: Vec<String> = corners.map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    corners.join(" ")
}

/// A JPEG as an address that holds it.
pub(super) fn data_uri(jpeg: &[u8]) -> String {
    format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg))
}
