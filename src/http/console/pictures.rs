//! Registered pictures, as large as a page needs them.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};

use super::super::access::Caller;
use super::super::ids::{asset_id, picture_id};
use super::super::images::{is_known, picture_of, tagged};
use super::super::problem::{Problem, ProblemKind};
use super::super::workers::Lane;
use crate::imaging::{DecodeLimits, decode_reference};
use crate::report::thumbnail;

/// `GET /pictures/{picture}/{size}`: a JPEG, on the ground that the picture is compared on; `small`
/// has at most 320 pixels a side, `large` 960.
pub(super) async fn scaled(
    caller: Caller,
    Path((picture, size)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, scope) = (picture_id(&picture)?, caller.scope.clone());
    let side_px = match size.as_str() {
        "small" => 320,
        "large" => 960,
        _ => {
            let detail = format!("pictures are small or large, not {size:?}");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
    };
    let known = caller.run(Lane::Reads, move |engine| scope.picture(engine, id));
    let tag = format!("\"{}-{side_px}\"", known.await?.sha256.to_hex());
    let response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let draw = caller.run(Lane::Pictures, move |engine| {
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
    caller: Caller,
    Path((id, picture)): Path<(String, String)>,
) -> Result<Redirect, Problem> {
    let (id, picture) = (asset_id(&id)?, picture_id(&picture)?);
    let scope = caller.scope.clone();
    let write = caller.run(Lane::Writes, move |engine| {
        picture_of(engine, &scope, id, picture)?;
        engine.store().remove_picture(picture)?;
        Ok(engine.refresh()?)
    });
    write.await?;
    Ok(Redirect::to(&format!("/assets/{id}?done=picture-removed")))
}
