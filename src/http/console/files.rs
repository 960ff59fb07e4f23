//! Style, script and icon, held in the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::super::problem::{Problem, ProblemKind};
use crate::domain::FileDigest;

const STYLE: &str = include_str!("files/console.css");
const SCRIPT: &str = include_str!("files/console.js");
const ICON: &str = include_str!("files/icon.svg");

/// First digits of the files' digest: part of their addresses, so that a new program's are fetched.
pub(super) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let all = [STYLE, SCRIPT, ICON].concat();
        FileDigest::of(all.as_bytes()).to_hex()[..12].to_owned()
    });
    &VERSION
}

/// `GET /console/{file}`.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Problem> {
    let (media_type, text) = match name.as_str() {
        "console.css" => ("text/css; charset=utf-8", STYLE),
        "console.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => {
            let detail = format!("the console has no file {name:?}");
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, max-age=31536000, immutable"),
        ),
    ];
    Ok((headers, text).into_response())
}
