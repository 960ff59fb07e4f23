//! Registered pictures, as large as a page needs them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::HttpState;
use super::super::images::{is_known, picture_id, picture_of, tagged};
use super::super::problem::{Problem, ProblemKind};
use super::super::workers::Lane;
use crate::http::assets::asset_id;
use crate::imaging::{DecodeLimits, decode_reference};
use crate::report::thumbnail;

/// `GET /pictures/{picture}/{size}`: a JPEG, on the ground that the picture is compared on; `small`
/// has at most 320 pixels a side, `large` 960.
pub(super) async fn scaled(
    State(state): State<Arc<HttpState>>,
    Path((picture, size)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = picture_id(&picture)?;
    let side_px = match size.as_str() {
        "small" => 320,
        "large" => 960,
        _ => {
            let detail = format!("pictures are small or large, not {size:?}");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
    };
    let known = state
        .workers
        .run(Lane::Reads, move |engine| Ok(engine.store().picture(id)?));
    let tag = format!("\"{}-{side_px}\"", known.await?.sha256.to_hex());
    let response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let draw = state.workers.run(Lane::Pictures, move |engine| {
            let bytes = engine.store().picture_bytes(id)?;
            let picture = decode_reference(&bytes, &DecodeLimits::default())?;
            jpeg(&picture.on_natural_ground().pixels, side_px)
        });
        let jpeg_type = HeaderValue::from_static("image/jpeg");
        ([(header::CONTENT_TYPE, jpeg_type)], draw.await?).into_response()
    };
    Ok(tagged(&tag, response))
}

/// `pixels` as a JPEG of at most `side_px` a side.
pub(super) fn jpeg(pixels: &image::RgbImage, side_px: u32) -> Result<Vec<u8>, Problem> {
    thumbnail(pixels, side_px).map_err(|error| Problem::hidden(ProblemKind::Internal, &error))
}

/// `POST /assets/{id}/pictures/{picture}/remove`.
pub(super) async fn remove(
    State(state): State<Arc<HttpState>>,
    Path((id, picture)): Path<(String, String)>,
) -> Result<Redirect, Problem> {
    let (id, picture) = (asset_id(&id)?, picture_id(&picture)?);
    let write = state.workers.run(Lane::Writes, move |engine| {
        picture_of(engine, id, picture)?;
        engine.store().remove_picture(picture)?;
        Ok(engine.refresh()?)
    });
    write.await?;
    Ok(Redirect::to(&format!("/assets/{id}?done=picture-removed")))
}
