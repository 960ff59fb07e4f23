//! `Idempotency-Key`: a client that did not get its answer may send the same request again, and gets
//! the first one's answer instead of a second deed. After the IETF's draft-ietf-httpapi-idempotency-key-header-07.

use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::HttpState;
use super::access::Caller;
use super::admission::Place;
use super::paging::malformed;
use super::problem::{Problem, ProblemKind};
use super::uploads::invalid;
use super::workers::Lane;
use crate::domain::FileDigest;
use crate::store::RememberedAnswer;

const KEY: &str = "idempotency-key";
/// Tells a client that nothing was done this time.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, characters.
const MAX_KEY_CHARS: usize = 200;
/// Headers of an answer that are given again.
const REPEATED: [HeaderName; 3] = [header::CONTENT_TYPE, header::LOCATION, header::ETAG];

/// Keys whose request is being worked on.
#[derive(Default)]
pub(super) struct KeysInUse(Mutex<HashSet<String>>);

impl KeysInUse {
    fn set(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees its key when the request is over, however it ends.
struct InUse {
    state: Arc<HttpState>,
    key: String,
}

impl InUse {
    fn take(state: &Arc<HttpState>, key: String) -> Result<Self, Problem> {
        if !state.keys_in_use.set().insert(key.clone()) {
            return Err(Problem::new(
                ProblemKind::Conflict,
                "a request with this Idempotency-Key is in progress: wait for its answer",
            ));
        }
        Ok(Self {
            state: Arc::clone(state),
            key,
        })
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.state.keys_in_use.set().remove(&self.key);
    }
}

/// Answers a `POST` with a known key as before; remembers for a day what a new one is answered with
/// when it succeeds. What failed may be tried again under the same key.
pub(super) async fn remember(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let answered = match (key_of(&request), caller) {
        (Ok(Some(key)), Some(caller)) => answer_once(&state, &caller, &key, request, next).await,
        (Ok(_), _) => return next.run(request).await,
        (Err(problem), _) => Err(problem),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn key_of(request: &Request) -> Result<Option<String>, Problem> {
    let Some(key) = request.headers().get(KEY) else {
        return Ok(None);
    };
    if request.method() != Method::POST {
        return Ok(None);
    }
    let key = key.to_str().unwrap_or_default();
    if !(1..=MAX_KEY_CHARS).contains(&key.len()) {
        return Err(malformed(format!(
            "an Idempotency-Key has 1 to {MAX_KEY_CHARS} ASCII characters"
        )));
    }
    Ok(Some(key.to_owned()))
}

async fn answer_once(
    state: &Arc<HttpState>,
    caller: &Caller,
    key: &str,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let memory = caller.memory();
    let in_use = InUse::take(state, format!("{} {memory} {key}", caller.tenant))?;
    let (head, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(head.clone(), body), &())
        .await
        .map_err(|rejection| Problem::of_status(rejection.status(), &rejection.body_text()))?;
    let (uri, headers) = (head.uri.clone(), head.headers.clone());
    let (asked, sent) = (key.to_owned(), body.clone());
    let whose = memory.clone();
    let look_up = caller.run(Lane::Reads, move |engine| {
        let digest = digest(&uri, &headers, &sent);
        Ok((digest, engine.store().remembered_answer(&whose, &asked)?))
    });
    let (digest, remembered) = look_up.await?;
    match remembered {
        Some(answer) if answer.request == digest => return Ok(replay(answer)),
        Some(_) => {
            return Err(invalid(
                "this Idempotency-Key belongs to another request: use a new one",
            ));
        }
        None => {}
    }
    let place = head.extensions.get::<Place>().cloned();
    let request = Request::from_parts(head, Body::from(body));
    let (caller, key) = (caller.clone(), key.to_owned());
    let deed = async move {
        let _held = (in_use, place);
        let response = next.run(request).await;
        if !response.status().is_success() {
            return Ok(response);
        }
        keep(&caller, memory, &key, digest, response).await
    };
    to_the_end(deed).await
}

/// Waits for `deed`, which goes on to its end also when nobody waits for it any more. A request's future
/// is dropped when its client hangs up or its time is up; the jobs that it began are not, and the client
/// that comes again because of that must get their answer.
async fn to_the_end(
    deed: impl Future<Output = Result<Response, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let done = tokio::spawn(deed.in_current_span()).await;
    done.unwrap_or_else(|error| match error.try_into_panic() {
        // Into the net for the panics of all requests.
        Ok(panic) => resume_unwind(panic),
        Err(error) => Err(Problem::hidden(ProblemKind::NotReady, &error)),
    })
}

async fn keep(
    caller: &Caller,
    memory: String,
    key: &str,
    request: FileDigest,
    response: Response,
) -> Result<Response, Problem> {
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .map_err(|error| Problem::hidden(ProblemKind::Internal, &error))?;
    let text = |name: &HeaderName| {
        let value = head.headers.get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    };
    let answer = RememberedAnswer {
        request,
        status: head.status.as_u16(),
        headers: REPEATED.iter().filter_map(text).collect(),
        body: body.to_vec(),
    };
    let key = key.to_owned();
    let write = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().remember_answer(&memory, &key, &answer)?)
    });
    write.await?;
    Ok(Response::from_parts(head, Body::from(body)))
}

fn replay(answer: RememberedAnswer) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            headers.insert(name, value);
        }
    }
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    (status, headers, answer.body).into_response()
}

/// What makes two requests the same: address, type and body. A form's boundary, which programs draw
/// anew each time, does not count.
fn digest(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> FileDigest {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let (kind, boundary) = match kind.split_once("boundary=") {
        Some((kind, boundary)) => (kind, boundary.trim_matches('"').as_bytes()),
        None => (kind, &[][..]),
    };
    let address = uri.path_and_query().map_or("", |p| p.as_str());
    let mut text = format!("{address}\n{kind}\n").into_bytes();
    text.extend(without(body, boundary));
    FileDigest::of(&text)
}

fn without(body: &[u8], boundary: &[u8]) -> Vec<u8> {
    if boundary.is_empty() {
        return body.to_vec();
    }
    let mut rest = body;
    let mut kept = Vec::with_capacity(body.len());
    while let Some(&first) = rest.first() {
        if let Some(behind) = rest.strip_prefix(boundary) {
            rest = behind;
        } else {
            kept.push(first);
            rest = &rest[1..];
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_boundary_makes_no_new_request_and_anything_else_does() {
        let of = |uri: &str, boundary: &str, content: &str| {
            let mut headers = HeaderMap::new();
            let kind = format!("multipart/form-data; boundary={boundary}");
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
            let body = format!("--{boundary}\r\n\r\n{content}\r\n--{boundary}--\r\n");
            digest(&uri.parse().expect("an address"), &headers, body.as_bytes())
        };
        let first = of("/v1/screen", "aaaa", "x");
        assert_eq!(first, of("/v1/screen", "bbbbbb", "x"));
        assert_ne!(first, of("/v1/screen", "aaaa", "y"));
        assert_ne!(first, of("/v1/screen?keep=photos", "aaaa", "x"));
    }
}
