//! Errors as clients see them: `application/problem+json` after RFC 9457.
//!
//! A client is told what it did wrong. What went wrong on this side is logged with the request's id,
//! and only the id is told.

use std::error::Error;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::access::CHALLENGE;
use crate::domain::with_causes;

/// What kind of error, each with a status, a type and a title of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProblemKind {
    Malformed,
    UrlNotSupported,
    NoKey,
    NotAllowed,
    ForeignOrigin,
    NotFound,
    MethodNotAllowed,
    TooSlow,
    Conflict,
    Stale,
    TooLarge,
    UnsupportedMediaType,
    UnknownHost,
    Invalid,
    BadPicture,
    UrlNotFetched,
    TooManyRequests,
    Internal,
    Busy,
    NotReady,
    TimedOut,
    DiskFull,
}

impl ProblemKind {
    /// Status, last part of the type, and title.
    fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Malformed => (S::BAD_REQUEST, "malformed", "the request is malformed"),
            Self::UrlNotSupported => (
                S::BAD_REQUEST,
                "url-not-supported",
                "this picture is not fetched from a URL",
            ),
            Self::NoKey => (
                S::UNAUTHORIZED,
                "no-key",
                "the request shows no key that holds",
            ),
            Self::NotAllowed => (S::FORBIDDEN, "not-allowed", "the key does not allow this"),
            Self::ForeignOrigin => (
                S::FORBIDDEN,
                "foreign-origin",
                "the request comes from another site's page",
            ),
            Self::NotFound => (S::NOT_FOUND, "not-found", "there is nothing here"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "the method does not fit this address",
            ),
            Self::TooSlow => (
                S::REQUEST_TIMEOUT,
                "too-slow",
                "the request took too long to arrive",
            ),
            Self::Conflict => (
                S::CONFLICT,
                "conflict",
                "the request does not fit what is there",
            ),
            Self::Stale => (
                S::PRECONDITION_FAILED,
                "stale",
                "it has changed since it was read",
            ),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "too many bytes"),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "the body's type is not read here",
            ),
            Self::UnknownHost => (
                S::MISDIRECTED_REQUEST,
                "unknown-host",
                "the request is meant for another host",
            ),
            Self::Invalid => (
                S::UNPROCESSABLE_ENTITY,
                "invalid",
                "the request asks for what cannot be",
            ),
            Self::BadPicture => (
                S::UNPROCESSABLE_ENTITY,
                "bad-picture",
                "a picture cannot be used",
            ),
            Self::UrlNotFetched => (
                S::UNPROCESSABLE_ENTITY,
                "url-not-fetched",
                "a photo cannot be fetched from its URL",
            ),
            Self::TooManyRequests => (
                S::TOO_MANY_REQUESTS,
                "too-many-requests",
                "the key is used too often",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal",
                "something went wrong on this side",
            ),
            Self::Busy => (
                S::SERVICE_UNAVAILABLE,
                "busy",
                "too many requests are in progress",
            ),
            Self::NotReady => (
                S::SERVICE_UNAVAILABLE,
                "not-ready",
                "the server cannot answer now",
            ),
            Self::TimedOut => (S::GATEWAY_TIMEOUT, "timed-out", "the answer took too long"),
            Self::DiskFull => (
                S::INSUFFICIENT_STORAGE,
                "disk-full",
                "there is no room left for this",
            ),
        }
    }

    /// The kind for a bare status, as libraries answer with.
    fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::UNPROCESSABLE_ENTITY => Self::Invalid,
            _ if status.is_client_error() => Self::Malformed,
            _ => Self::Internal,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        self.facts().0
    }
}

/// Seconds after which a client that was turned away may try again: a photo takes about one.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("2");

/// An error on its way to a client.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub kind: ProblemKind,
    /// What this client should know; never a cause on this side.
    pub detail: String,
    /// Name of the picture that is to blame.
    pub picture: Option<String>,
    /// What is logged and not told.
    pub cause: Option<String>,
    /// Seconds after which to come again.
    pub retry_after_s: Option<u64>,
    /// The methods that would do.
    pub allow: Option<String>,
}

impl Problem {
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            picture: None,
            cause: None,
            retry_after_s: None,
            allow: None,
        }
    }

    /// An error of this side: `error` and its causes are logged, the client hears only `kind`.
    pub fn hidden(kind: ProblemKind, error: &dyn Error) -> Self {
        Self {
            cause: Some(with_causes(error)),
            ..Self::internal(kind)
        }
    }

    /// An error of this side that has no error value, such as a panic.
    pub fn internal(kind: ProblemKind) -> Self {
        let detail = match kind {
            ProblemKind::Busy | ProblemKind::NotReady => "try again in a moment",
            _ => "the cause is in the server's log under this request id",
        };
        Self::new(kind, detail)
    }

    /// The same, naming the picture that is to blame.
    pub fn about(self, picture: &str) -> Self {
        Self {
            detail: format!("{picture}: {}", self.detail),
            picture: Some(picture.to_owned()),
            ..self
        }
    }

    /// What kind of error it is, in words.
    pub fn title(&self) -> &'static str {
        self.kind.facts().2
    }

    /// A bare status with the text that came with it.
    pub fn of_status(status: StatusCode, text: &str) -> Self {
        let kind = ProblemKind::of_status(status);
        match text.trim() {
            "" => Self::new(kind, kind.facts().2),
            _ if status.is_server_error() => Self {
                cause: Some(text.to_owned()),
                ..Self::internal(kind)
            },
            text => Self::new(kind, text),
        }
    }

    /// The finished answer.
    pub fn render(&self, request_id: &str) -> Response {
        let (status, name, title) = self.kind.facts();
        let body = Body {
            kind: format!("urn:problem:touchstone:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            picture: self.picture.as_deref(),
            request_id,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_AFTER_S);
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let (name, value) = CHALLENGE;
            headers.insert(name, value);
        }
        if let Some(allow) = self.allow.as_ref().and_then(|text| text.parse().ok()) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    request_id: &'a str,
}

impl IntoResponse for Problem {
    /// Status only; the outermost layer knows the request's id and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
