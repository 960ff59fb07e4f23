//! `/try`: what does this photo show, and why; for what it does not show, why not.
//!
//! The photo comes with the request and goes back in the page; it is kept only when that is asked for.

use askama::Template;
use axum::extract::Request;

use super::super::access::{BrandScope, Caller};
use super::super::problem::Problem;
use super::super::uploads::{FormFields, Sent, Upload, invalid, receive};
use super::super::workers::Lane;
use super::card::{Card, PhotoView, data_uri};
use super::page::{Page, Shell};
use super::phrases::{counted, why_not};
use super::pictures::jpeg;
use crate::domain::{
    Finding, FindingStatus, Keep, Keeping, Listing, PhotoVerdict, PictureId, Seller, Verdict,
    percent,
};
use crate::engine::{Engine, Examination, Judged};
use crate::report::kind_words;

const FIELDS: FormFields = FormFields {
    file: "photo",
    url: None,
    texts: &["seller", "keep"],
};
/// Largest side of the photo on the page.
const PHOTO_SIDE_PX: u32 = 1280;
/// Candidates listed that were not found.
const MAX_NEAR: usize = 6;
/// Findings shown in full; a photo has rarely more.
const MAX_CARDS: usize = 12;

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    shell: Shell,
    n_assets: usize,
    seller: String,
    /// Whether photos are kept.
    keeps: bool,
    answer: Option<Answer>,
}

/// What was asked.
struct Asked {
    photo: Upload,
    seller: String,
    keeps: bool,
}

/// What is said of one photo.
struct Answer {
    photo: PhotoView,
    name: String,
    class: &'static str,
    headline: String,
    /// What the verdict means.
    meaning: String,
    /// How long it took, and what it was compared with.
    facts: String,
    /// What was kept, and where it is reviewed.
    kept: Option<(String, String)>,
    cards: Vec<Card>,
    /// Most probable of what was not found, in full; only when nothing was found.
    nearest: Option<Card>,
    near: Vec<Near>,
}

/// A registered thing that came near and was not found.
struct Near {
    asset_id: i64,
    picture: PictureId,
    brand: String,
    asset: String,
    /// Probability and kind.
    odds: String,
    why_not: Vec<String>,
}

/// `GET /try`: the empty form.
pub(super) async fn ask(caller: Caller) -> Result<Page, Problem> {
    let scope = caller.scope.clone();
    let count = caller.run(Lane::Reads, move |engine| n_assets(engine, &scope));
    Page::of(&TryPage {
        shell: Shell::new(&caller, "try", "Try a photo"),
        n_assets: count.await?,
        seller: String::new(),
        keeps: false,
        answer: None,
    })
}

/// `POST /try`: the photo with what was found in it.
pub(super) async fn answer(caller: Caller, request: Request) -> Result<Page, Problem> {
    let Sent::Form(mut form) = receive(request, &FIELDS).await? else {
        return Err(invalid("the page's form sends multipart/form-data"));
    };
    let seller = form.texts.remove("seller").unwrap_or_default();
    let keeps = form.texts.contains_key("keep");
    let mut files = form.files().into_iter();
    let Some(photo) = files.find(|file| !file.bytes.is_empty()) else {
        return Err(invalid("no photo was chosen: drop one on the page"));
    };
    let asked = Asked {
        photo,
        seller,
        keeps,
    };
    let asking = caller.clone();
    let work = caller.run(Lane::Pictures, move |engine| {
        try_page(engine, &asking, asked)
    });
    Page::of(&work.await?)
}

fn try_page(engine: &Engine, caller: &Caller, asked: Asked) -> Result<TryPage, Problem> {
    let Asked {
        photo,
        seller,
        keeps,
    } = asked;
    let sold_by = (!seller.trim().is_empty()).then(|| Seller {
        id: Some(seller.trim().to_owned()),
        ..Seller::default()
    });
    let mut examined = engine
        .examine(&photo.bytes, sold_by.as_ref())
        .map_err(|error| Problem::from(error).about(&photo.name))?;
    let scope = &caller.scope;
    examined.judgement.keep_brands(|brand| scope.sees(brand));
    let n_assets = n_assets(engine, scope)?;
    let mut answer = answer_of(engine, &examined, photo.name.clone(), n_assets)?;
    if keeps {
        answer.kept = Some(keep(engine, scope, &photo, sold_by)?);
    }
    Ok(TryPage {
        shell: Shell::new(caller, "try", "Try a photo"),
        n_assets,
        seller,
        keeps,
        answer: Some(answer),
    })
}

/// Assets of the brands that are seen.
fn n_assets(engine: &Engine, scope: &BrandScope) -> Result<usize, Problem> {
    let brands = scope.seen_brands(engine.store())?;
    let n: u64 = brands.iter().map(|brand| brand.n_assets).sum();
    Ok(usize::try_from(n).unwrap_or(usize::MAX))
}

/// Keeps the photo with its findings; says what was kept, and where it is reviewed.
fn keep(
    engine: &Engine,
    scope: &BrandScope,
    photo: &Upload,
    seller: Option<Seller>,
) -> Result<(String, String), Problem> {
    let listing = seller.map(|seller| Listing {
        seller: Some(seller),
        ..Listing::default()
    });
    let keeping = Keeping {
        keep: Keep::Photos,
        ..Keeping::default()
    };
    let (listing, brands) = (listing.as_ref(), scope.brands());
    let kept = engine.match_and_keep(
        &photo.bytes,
        &photo.name,
        listing,
        keeping,
        brands.as_deref(),
    )?;
    let mut open = kept.findings.iter();
    let open = open.find(|finding| finding.status == FindingStatus::Open);
    let address = match open.and_then(|finding| finding.id) {
        Some(id) => format!("/review/{}", id.0),
        None => "/review?status=all".to_owned(),
    };
    let n = counted(kept.findings.len(), "finding", "findings");
    Ok((
        format!("Kept for {} days, with {n}.", keeping.days),
        address,
    ))
}

fn answer_of(
    engine: &Engine,
    examined: &Examination,
    name: String,
    n_assets: usize,
) -> Result<Answer, Problem> {
    let policy = &engine.settings().policy;
    let verdict = examined.verdict(policy);
    let pixels = &examined.photo.pixels;
    let card = |n: usize, finding: &Finding| Card::new(engine, examined, finding, n);
    let cards = verdict
        .findings
        .iter()
        .take(MAX_CARDS)
        .enumerate()
        .map(|(i, finding)| card(i + 1, finding))
        .collect::<Result<Vec<_>, _>>()?;
    let nearest = match examined.judgement.judged.first() {
        Some(judged) if cards.is_empty() => Some(card(1, &judged.finding)?),
        _ => None,
    };
    Ok(Answer {
        photo: PhotoView {
            uri: data_uri(&jpeg(pixels, PHOTO_SIDE_PX)?),
            size: [pixels.width(), pixels.height()],
        },
        name,
        class: class_of(verdict.verdict),
        headline: headline(&verdict),
        meaning: meaning(&verdict, policy.review_at()),
        facts: format!(
            "Compared with {} in {:.1} s.",
            counted(n_assets, "asset", "assets"),
            verdict.timings_ms.total() / 1e3
        ),
        kept: None,
        near: near(examined, &verdict, nearest.is_some()),
        cards,
        nearest,
    })
}

fn class_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Clear => "clear",
        Verdict::Review => "review",
        Verdict::Flagged => "flagged",
    }
}

fn headline(verdict: &PhotoVerdict) -> String {
    let n = verdict.findings.len();
    match verdict.verdict {
        Verdict::Clear if n > 0 => "Clear: the seller is authorised".to_owned(),
        Verdict::Clear => "Clear: nothing registered was found".to_owned(),
        Verdict::Review => format!("Review: {}", counted(n, "finding", "findings")),
        Verdict::Flagged => format!("Flagged: {}", counted(n, "finding", "findings")),
    }
}

fn meaning(verdict: &PhotoVerdict, review_at: f64) -> String {
    match verdict.verdict {
        Verdict::Clear if verdict.findings.is_empty() => format!(
            "No asset reaches {}, from where a person should look.",
            percent(review_at)
        ),
        Verdict::Clear => "What is shown may be sold by this seller.".to_owned(),
        Verdict::Review => "Probable enough that a person should look.".to_owned(),
        Verdict::Flagged => "Probable enough to act on.".to_owned(),
    }
}

/// The most probable candidates that are not shown in full.
fn near(examined: &Examination, verdict: &PhotoVerdict, skips_first: bool) -> Vec<Near> {
    let is_shown = |judged: &&Judged| {
        let asset = judged.finding.asset_id;
        verdict.findings.iter().any(|f| f.asset_id == asset)
    };
    let judged = examined.judgement.judged.iter();
    judged
        .filter(|judged| !is_shown(judged))
        .skip(usize::from(skips_first))
        .take(MAX_NEAR)
        .filter_map(|judged| {
            let finding = &judged.finding;
            let verified = examined.verified(finding.asset_id)?;
            Some(Near {
                asset_id: finding.asset_id.0,
                picture: verified.candidate.picture_id,
                brand: finding.brand.clone(),
                asset: finding.asset.clone(),
                odds: format!(
                    "{} {}",
                    percent(finding.probability),
                    kind_words(finding.kind)
                ),
                why_not: why_not(verified),
            })
        })
        .collect()
}
