//! What every answer gets, whoever made it: a request id, a line in the log, safe headers, and errors
//! in the one form.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span, error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::problem::{Problem, ProblemKind};
use super::telemetry::note_request;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over from a client.
const MAX_ID_CHARS: usize = 64;
/// Longest explanation of a library's error that is passed on.
const MAX_TEXT_BYTES: usize = 1024;

/// The request's id, for handlers that show it.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub String);

/// Marks an error that has been shown as a page already, with what is to be logged of it.
#[derive(Debug, Clone)]
pub(super) struct Shown(pub Option<String>);

/// The outermost layer.
pub(super) async fn track(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = info_span!(
        "request",
        id = %id,
        method = %request.method(),
        path = %request.uri().path(),
    );
    continue_trace(&span, request.headers());
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let response = next.run(request).instrument(span.clone()).await;
    let (mut response, cause) = with_problem_body(response, &id).await;
    add_headers(response.headers_mut(), &id);
    let status = response.status().as_u16();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    note_request(route, counted(&method), status, started.elapsed());
    let ms = started.elapsed().as_secs_f64() * 1e3;
    span.set_attribute("http.route", route.to_owned());
    span.set_attribute("http.response.status_code", i64::from(status));
    span.in_scope(|| match cause {
        Some(cause) => error!(status, ms, cause, "failed"),
        None => info!(status, ms, "answered"),
    });
    response
}

/// Makes the request part of the client's trace, where it says which that is (W3C's `traceparent`).
fn continue_trace(span: &Span, headers: &HeaderMap) {
    let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    if context.span().span_context().is_valid() {
        // Fails where no traces are sent.
        let _ = span.set_parent(context);
    }
}

/// A method as it is counted. Clients may make up as many names as they like, and each that is counted
/// stays in memory for as long as the server runs.
fn counted(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::PATCH
        | Method::DELETE
        | Method::OPTIONS
        | Method::CONNECT
        | Method::TRACE => method.as_str(),
        _ => "other",
    }
}

/// A panic in a handler is the answer of that request, and of no other.
pub(super) fn on_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let mut problem = Problem::internal(ProblemKind::Internal);
    problem.cause = Some(format!("panic: {text}"));
    problem.into_response()
}

/// The client's id when it is a plain word, so that its log and ours can be joined; else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| {
        (1..=MAX_ID_CHARS).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    given.filter(is_plain).map_or_else(new_id, str::to_owned)
}

/// Unlike any other of this server, also after a restart. Not a secret.
fn new_id() -> String {
    static N_MADE: AtomicU64 = AtomicU64::new(0);
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64);
    let n = N_MADE.fetch_add(1, Ordering::Relaxed);
    format!("{micros:x}-{n:x}")
}

/// Writes the body of an error, whether a handler's or a library's; gives back what is to be logged.
async fn with_problem_body(mut response: Response, id: &str) -> (Response, Option<String>) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return (response, None);
    }
    if let Some(Shown(cause)) = response.extensions_mut().remove() {
        return (response, cause);
    }
    let (problem, mut response) = problem_of(response).await;
    let mut rendered = problem.render(id);
    // A library's 405 lists the methods that would do.
    if let Some(allow) = response.headers_mut().remove(header::ALLOW) {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    (rendered, problem.cause)
}

/// What an answer that is an error says, whether a handler's or a library's, and what is left of it.
pub(super) async fn problem_of(mut response: Response) -> (Problem, Response) {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return (problem, response);
    }
    let body = std::mem::take(response.body_mut());
    let text = to_bytes(body, MAX_TEXT_BYTES).await.unwrap_or_default();
    let problem = Problem::of_status(response.status(), &String::from_utf8_lossy(&text));
    (problem, response)
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ids_are_kept_and_others_replaced() {
        let id_for = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, given.parse().expect("a header"));
            request_id(&headers)
        };
        assert_eq!(id_for("order-7.a_B"), "order-7.a_B");
        let too_long = "x".repeat(MAX_ID_CHARS + 1);
        for given in ["", "two words", "a\"b", too_long.as_str()] {
            assert_ne!(id_for(given), given);
        }
        assert_ne!(new_id(), new_id());
    }

    #[test]
    fn methods_that_clients_make_up_are_counted_as_one() {
        let counted = |name: &str| {
            let method = name.parse::<Method>().expect("a method");
            super::counted(&method).to_owned()
        };
        for name in ["GET", "HEAD", "PATCH", "TRACE"] {
            assert_eq!(counted(name), name);
        }
        for name in ["get", "PROPFIND", "X-7f3a"] {
            assert_eq!(counted(name), "other");
        }
    }
}
