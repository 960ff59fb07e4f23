//! What a kept finding rests on, compared anew from its kept photo.

use askama::Template;
use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::access::{BrandScope, Caller};
use super::super::ids::finding_id;
use super::super::problem::{Problem, ProblemKind};
use super::super::workers::Lane;
use super::card::{Card, PhotoView, data_uri};
use super::page::Page;
use super::pictures::jpeg;
use crate::domain::FindingId;
use crate::engine::Engine;

/// Largest side of the photo.
const PHOTO_SIDE_PX: u32 = 1280;
/// Largest side of a photo in the queue.
const SMALL_SIDE_PX: u32 = 160;

#[derive(Template)]
#[template(path = "evidence.html")]
struct Evidence {
    photo: PhotoView,
    card: Card,
}

/// `GET /review/{id}/evidence`: a part of a page.
pub(super) async fn part(caller: Caller, Path(id): Path<String>) -> Result<Page, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let work = caller.run(Lane::Pictures, move |engine| evidence(engine, &scope, id));
    Page::of(&work.await?)
}

fn evidence(engine: &Engine, scope: &BrandScope, id: FindingId) -> Result<Evidence, Problem> {
    let record = scope.finding(engine, id)?;
    let seller = record.listing.and_then(|listing| listing.seller);
    let examined = engine.examine(&photo_bytes(engine, id)?, seller.as_ref())?;
    let asset = record.finding.asset_id;
    let mut judged = examined.judgement.judged.iter();
    let Some(judged) = judged.find(|judged| judged.finding.asset_id == asset) else {
        return Err(gone(
            "compared anew, the asset does not come near: it was changed, switched off or removed",
        ));
    };
    let mut card = Card::new(engine, &examined, &judged.finding, 1)?;
    if scope.is_bound() {
        card.next_brand = None;
    }
    let pixels = &examined.photo.pixels;
    Ok(Evidence {
        photo: PhotoView {
            uri: data_uri(&jpeg(pixels, PHOTO_SIDE_PX)?),
            size: card.photo_size,
        },
        card,
    })
}

/// `GET /review/{id}/photo/{size}`: the kept photo as an upright JPEG, `small` or `large`.
pub(super) async fn photo(
    caller: Caller,
    Path((id, size)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let side_px = match size.as_str() {
        "small" => SMALL_SIDE_PX,
        "large" => PHOTO_SIDE_PX,
        _ => {
            let detail = format!("photos are small or large, not {size:?}");
            return Err(gone(&detail));
        }
    };
    let work = caller.run(Lane::Pictures, move |engine| {
        scope.finding(engine, id)?;
        let photo = engine.prepare(&photo_bytes(engine, id)?)?;
        jpeg(&photo.pixels, side_px)
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        // A finding's photo never changes; it may be forgotten, soon enough here too.
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=3600"),
        ),
    ];
    Ok((headers, work.await?).into_response())
}

fn photo_bytes(engine: &Engine, id: FindingId) -> Result<Vec<u8>, Problem> {
    let bytes = engine.store().finding_photo(id)?;
    bytes.ok_or_else(|| gone("the photo was not kept"))
}

fn gone(detail: &str) -> Problem {
    Problem::new(ProblemKind::NotFound, detail)
}
