//! The queue: what was found and kept, most important first, one finding at a time beside it.

use askama::Template;
use axum::extract::{Path, Query};
use serde::Deserialize;

use super::super::access::{BrandScope, Caller};
use super::super::ids::finding_id;
use super::super::paging::{cursor_text, cut};
use super::super::problem::Problem;
use super::super::workers::Lane;
use super::filters::{Filters, PAGE};
use super::page::{Page, Shell, capitalised};
use super::phrases::{Row, counted, rows};
use crate::domain::{
    Brand, Decided, Finding, FindingId, FindingKind, FindingSource, FindingStatus, Opinion,
    PictureId, Region, percent,
};
use crate::engine::Engine;
use crate::matching::teaching::reliability;
use crate::report::kind_words;
use crate::store::{Decision, FindingRecord};

/// What led to the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    /// An opinion, `undone`, `kept`, `learnt` or `unlearnt`.
    done: String,
    /// The finding that was decided on.
    of: i64,
    /// Findings that were decided on at once.
    n: usize,
}

impl Outcome {
    fn sentence(&self) -> Option<String> {
        let n = counted(self.n.max(1), "finding", "findings");
        if let Some(opinion) = Opinion::of_word(&self.done) {
            return Some(format!("{}: {n}.", capitalised(opinion.as_str())));
        }
        match self.done.as_str() {
            "undone" => Some(format!("Taken back: {n}.")),
            "kept" => Some(format!("Kept for review: {n}.")),
            "learnt" => Some("Learnt: later photos are compared with this part, too.".to_owned()),
            "unlearnt" => Some("No photo is compared with this part any more.".to_owned()),
            _ => None,
        }
    }

    /// What can be taken back from here.
    fn undoable(&self) -> Option<i64> {
        Opinion::of_word(&self.done).map(|_| self.of)
    }
}

/// A finding in the queue.
struct Entry {
    id: i64,
    address: String,
    is_current: bool,
    has_photo: bool,
    title: String,
    kind: String,
    probability: String,
    class: &'static str,
    status: FindingStatus,
    /// Where it was seen, and how often.
    place: String,
}

impl Entry {
    fn of(record: &FindingRecord, filters: &Filters, current: Option<FindingId>) -> Self {
        let finding = &record.finding;
        let place = match &record.listing {
            Some(listing) => format!("listing {}", listing.listing_id),
            None => record.photo.name.clone(),
        };
        Self {
            id: record.id.0,
            address: filters.address(&format!("/review/{}", record.id.0)),
            is_current: current == Some(record.id),
            has_photo: record.photo.is_kept,
            title: format!("{}, {}", finding.brand, finding.asset),
            kind: capitalised(kind_words(finding.kind)),
            probability: percent(finding.probability),
            class: class_of(record.status),
            status: record.status,
            place: match record.n_repeats {
                0 => place,
                n => format!("{place}, and {n} more like it"),
            },
        }
    }
}

fn class_of(status: FindingStatus) -> &'static str {
    match status {
        FindingStatus::Open => "review",
        FindingStatus::Confirmed => "flagged",
        FindingStatus::Rejected => "clear",
        FindingStatus::Unsure | FindingStatus::Suppressed | FindingStatus::Authorised => "failed",
    }
}

/// The finding that is looked at.
struct Pane {
    record: FindingRecord,
    picture: Option<PictureId>,
    kind: String,
    class: &'static str,
    probability: String,
    /// How far it can be relied on, as decisions say.
    reliability: String,
    /// Length of the bar, `0..=100`.
    bar: String,
    region: Region,
    rows: Vec<Row>,
    history: Vec<Decision>,
    nearest: Option<String>,
    /// Of the neighbours in the queue.
    previous: Option<String>,
    next: Option<String>,
    /// The finding that comes when this one is decided; 0 for none.
    next_id: i64,
}

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    shell: Shell,
    filters: Filters,
    brands: Vec<Brand>,
    outcome: Option<String>,
    undoable: Option<i64>,
    /// The finding just confirmed, if its asset can learn from it.
    teaches: Option<i64>,
    entries: Vec<Entry>,
    pane: Option<Pane>,
    more: Option<String>,
}

/// `GET /review`: the queue with its first finding.
pub(super) async fn queue(
    caller: Caller,
    Query(filters): Query<Filters>,
    Query(outcome): Query<Outcome>,
) -> Result<Page, Problem> {
    let asking = caller.clone();
    let look = move |engine: &Engine| review_page(engine, &asking, filters, &outcome, None);
    Page::of(&caller.run(Lane::Reads, look).await?)
}

/// `GET /review/{id}`: the queue with that finding.
pub(super) async fn finding(
    caller: Caller,
    Path(id): Path<String>,
    Query(filters): Query<Filters>,
    Query(outcome): Query<Outcome>,
) -> Result<Page, Problem> {
    let id = finding_id(&id)?;
    let asking = caller.clone();
    let look = move |engine: &Engine| review_page(engine, &asking, filters, &outcome, Some(id));
    Page::of(&caller.run(Lane::Reads, look).await?)
}

fn review_page(
    engine: &Engine,
    caller: &Caller,
    filters: Filters,
    outcome: &Outcome,
    asked: Option<FindingId>,
) -> Result<ReviewPage, Problem> {
    let mut records = engine.store().findings(&filters.filter(&caller.scope)?)?;
    let current = asked.or(records.first().map(|record| record.id));
    let more = cut(&mut records, PAGE, |last| {
        let after = cursor_text(filters.order(), last);
        let next = Filters {
            after,
            ..filters.clone()
        };
        next.address("/review")
    });
    Ok(ReviewPage {
        shell: Shell::new(caller, "review", "Review"),
        brands: caller.scope.seen_brands(engine.store())?,
        outcome: outcome.sentence(),
        undoable: outcome.undoable(),
        teaches: teaches(engine, caller, outcome),
        pane: current
            .map(|id| pane(engine, &caller.scope, id, &records, &filters))
            .transpose()?,
        entries: records
            .iter()
            .map(|record| Entry::of(record, &filters, current))
            .collect(),
        more,
        filters,
    })
}

/// Whether a picture of its asset can be made of the finding that was just confirmed.
fn teaches(engine: &Engine, caller: &Caller, outcome: &Outcome) -> Option<i64> {
    let id = outcome.undoable()?;
    let record = caller.scope.finding(engine, FindingId(id)).ok()?;
    can_teach(&record).then_some(id)
}

fn can_teach(record: &FindingRecord) -> bool {
    record.status == FindingStatus::Confirmed && record.photo.is_kept && record.exemplar.is_none()
}

/// How findings of the brand that were about as probable turned out.
fn reliability_words(decided: &[Decided], finding: &Finding) -> String {
    let judged = finding.untaught_probability.unwrap_or(finding.probability);
    let known = reliability(decided, judged);
    let [from, to] = known.band.map(percent);
    if known.n_decided == 0 {
        return format!("No finding of this brand between {from} and {to} was decided yet.");
    }
    let [low, high] = known.range.map(percent);
    format!(
        "Of {} decided findings of this brand between {from} and {to}, {} were confirmed: {low} to {high} of such are right.",
        known.n_decided, known.n_right
    )
}

fn pane(
    engine: &Engine,
    scope: &BrandScope,
    id: FindingId,
    queue: &[FindingRecord],
    filters: &Filters,
) -> Result<Pane, Problem> {
    let store = engine.store();
    let record = scope.finding(engine, id)?;
    let place = queue.iter().position(|record| record.id == id);
    let address = |i: usize| {
        let neighbour = queue.get(i)?;
        Some(filters.address(&format!("/review/{}", neighbour.id.0)))
    };
    let next_place = place.map_or(0, |place| place + 1);
    let finding = &record.finding;
    let size = [record.photo.width as f32, record.photo.height as f32];
    Ok(Pane {
        picture: store.pictures_of(finding.asset_id)?.first().map(|p| p.id),
        kind: capitalised(kind_words(finding.kind)),
        class: class_of(record.status),
        probability: percent(finding.probability),
        reliability: reliability_words(&store.decided(&finding.brand)?, finding),
        bar: format!("{:.1}", finding.probability.clamp(0.0, 1.0) * 100.0),
        region: finding.region.clipped(size[0], size[1]),
        rows: rows(&finding.measurements),
        history: store.decisions_of(id)?,
        nearest: record.nearest_other.as_ref().map(|other| {
            format!(
                "{}, {}, at {}",
                other.brand,
                other.asset,
                percent(other.probability)
            )
        }),
        previous: place.and_then(|place| address(place.checked_sub(1)?)),
        next: address(next_place),
        next_id: queue.get(next_place).map_or(0, |record| record.id.0),
        record,
    })
}
