//! The pictures of an asset.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::{BrandScope, Caller};
use super::ids::{asset_id, picture_id};
use super::problem::{Problem, ProblemKind};
use super::workers::Lane;
use crate::domain::{AssetId, PictureId};
use crate::engine::Engine;
use crate::imaging::PictureFormat;
use crate::store::Picture;

#[derive(Serialize, ToSchema)]
pub(super) struct Pictures {
    pictures: Vec<Picture>,
}

/// What is known of each picture of an asset, oldest first.
#[utoipa::path(
    get, path = "/v1/assets/{id}/images", tag = "registry",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 200, description = "The pictures", body = Pictures)),
)]
pub(super) async fn list(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Pictures>, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let read = caller.run(Lane::Reads, move |engine| {
        scope.asset(engine, id)?;
        Ok(Pictures {
            pictures: engine.store().pictures_of(id)?,
        })
    });
    read.await.map(Json)
}

/// A picture's file, as it was registered.
#[utoipa::path(
    get, path = "/v1/assets/{id}/images/{picture}", tag = "registry",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("picture" = i64, Path, minimum = 1, example = 1),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "image/*", headers(("ETag" = String))),
        (status = 304, description = "It is the one of `If-None-Match`"),
    ),
)]
pub(super) async fn file(
    caller: Caller,
    Path((id, picture)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, picture) = (asset_id(&id)?, picture_id(&picture)?);
    let scope = caller.scope.clone();
    let read = caller.run(Lane::Reads, move |engine| {
        let known = picture_of(engine, &scope, id, picture)?;
        let tag = format!("\"{}\"", known.sha256.to_hex());
        if is_known(&headers, &tag) {
            return Ok((tag, None));
        }
        Ok((tag, Some(engine.store().picture_bytes(picture)?)))
    });
    let (tag, bytes) = read.await?;
    let response = match bytes {
        Some(bytes) => (content_headers(&bytes), bytes).into_response(),
        None => StatusCode::NOT_MODIFIED.into_response(),
    };
    Ok(tagged(&tag, response))
}

/// An answer that may be kept under `tag`, hexadecimal digits in quotes, but is asked for again each
/// time: a removed picture must be gone everywhere.
pub(super) fn tagged(tag: &str, mut response: Response) -> Response {
    let tag = HeaderValue::from_str(tag).expect("digits in quotes are a header value");
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    response
}

/// Removes a picture, for good, at once.
#[utoipa::path(
    delete, path = "/v1/assets/{id}/images/{picture}", tag = "registry",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("picture" = i64, Path, minimum = 1, example = 1),
    ),
    responses((status = 204, description = "It is removed")),
)]
pub(super) async fn remove(
    caller: Caller,
    Path((id, picture)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (id, picture) = (asset_id(&id)?, picture_id(&picture)?);
    let scope = caller.scope.clone();
    let write = caller.run(Lane::Writes, move |engine| {
        picture_of(engine, &scope, id, picture)?;
        engine.store().remove_picture(picture)?;
        Ok(engine.refresh()?)
    });
    write.await.map(|()| StatusCode::NO_CONTENT)
}

/// The picture, if it is this asset's.
pub(super) fn picture_of(
    engine: &Engine,
    scope: &BrandScope,
    id: AssetId,
    picture: PictureId,
) -> Result<Picture, Problem> {
    let known = scope.picture(engine, picture)?;
    if known.asset_id == id {
        return Ok(known);
    }
    Err(Problem::new(
        ProblemKind::NotFound,
        format!("asset {id} has no picture {}", picture.0),
    ))
}

/// Whether the client has the version under `tag` already.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    known
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| {
            matches!(value.trim().trim_start_matches("W/"), "*")
                || value.trim().trim_start_matches("W/") == tag
        })
}

/// An SVG is a document that may hold scripts: a browser must show it as a picture only.
const SVG_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'";
/// First bytes of a gzip stream.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Headers by the file's content, whatever it was called when it came.
pub(super) fn content_headers(bytes: &[u8]) -> HeaderMap {
    let format = PictureFormat::of(bytes).ok();
    let media_type = match format {
        Some(PictureFormat::Jpeg) => "image/jpeg",
        Some(PictureFormat::Png) => "image/png",
        Some(PictureFormat::WebP) => "image/webp",
        Some(PictureFormat::Gif) => "image/gif",
        Some(PictureFormat::Tiff) => "image/tiff",
        Some(PictureFormat::Bmp) => "image/bmp",
        Some(PictureFormat::Svg) => "image/svg+xml",
        None => "application/octet-stream",
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, media_type);
    if format == Some(PictureFormat::Svg) {
        set(header::CONTENT_SECURITY_POLICY, SVG_POLICY);
        if bytes.starts_with(&GZIP_MAGIC) {
            set(header::CONTENT_ENCODING, "gzip");
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_served_as_what_they_are() {
        let svg = content_headers(b"<svg xmlns='http://www.w3.org/2000/svg'/>");
        assert_eq!(svg[header::CONTENT_TYPE], "image/svg+xml");
        assert!(svg.contains_key(header::CONTENT_SECURITY_POLICY));
        let html = content_headers(b"<html><script>alert(1)</script></html>");
        assert_eq!(html[header::CONTENT_TYPE], "application/octet-stream");
    }

    #[test]
    fn a_known_tag_is_recognised_in_a_list() {
        let mut headers = HeaderMap::new();
        assert!(!is_known(&headers, "\"a\""));
        headers.insert(
            header::IF_NONE_MATCH,
            HeaderValue::from_static("\"b\", W/\"a\""),
        );
        assert!(is_known(&headers, "\"a\""));
        assert!(!is_known(&headers, "\"c\""));
    }
}
