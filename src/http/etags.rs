//! Versions of what can be changed, so that nobody overwrites what another changed meanwhile.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::images::is_known;
use super::problem::{Problem, ProblemKind};
use crate::domain::FileDigest;

/// The version of what is answered with `value`: the same value has the same tag.
pub(super) fn tag(value: &impl Serialize) -> String {
    let text = serde_json::to_vec(value).expect("plain values are JSON");
    let digest = FileDigest::of(&text).to_hex();
    format!("\"{}\"", &digest[..32])
}

/// `value` as JSON under its tag.
pub(super) fn tagged(value: &impl Serialize) -> Response {
    let tag = HeaderValue::from_str(&tag(value)).expect("hexadecimal digits are a header value");
    ([(header::ETAG, tag)], Json(value)).into_response()
}

/// As [`tagged`], for a client that may have it already, as its `If-None-Match` says: then only the tag comes.
pub(super) fn tagged_unless_known(headers: &HeaderMap, value: &impl Serialize) -> Response {
    let whole = tagged(value);
    let tag = whole.headers()[header::ETAG].clone();
    match tag.to_str() {
        Ok(text) if is_known(headers, text) => {
            (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()
        }
        _ => whole,
    }
}

/// Refuses a change of `current` that was meant for another version of it. Without `If-Match`, or with
/// `*`, any version will do.
pub(super) fn check_match(headers: &HeaderMap, current: &impl Serialize) -> Result<(), Problem> {
    let mut wanted = headers.get_all(header::IF_MATCH).iter().peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let current = tag(current);
    let fits = wanted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim() == "*" || value.trim() == current);
    if fits {
        return Ok(());
    }
    let detail = format!("it is at version {current} now: read it again, then repeat the change");
    Err(Problem::new(ProblemKind::Stale, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_that_was_read_may_be_changed() {
        let mut headers = HeaderMap::new();
        assert!(check_match(&headers, &7).is_ok());
        let list = format!("\"other\", {}", tag(&7));
        headers.insert(header::IF_MATCH, list.parse().expect("a header"));
        assert!(check_match(&headers, &7).is_ok());
        let refused = check_match(&headers, &8).expect_err("another version");
        assert_eq!(refused.kind, ProblemKind::Stale);
        headers.insert(header::IF_MATCH, HeaderValue::from_static("*"));
        assert!(check_match(&headers, &8).is_ok());
    }
}
