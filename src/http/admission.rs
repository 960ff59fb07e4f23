//! How many requests are in progress, and for how long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::HttpState;
use super::problem::{Problem, ProblemKind};
use super::uploads::receive_bytes;

/// Longest time for the body of a request that shows no key: it is a short form.
const STRANGERS_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request's place. Requests carry it along for work that goes on when they are over.
pub(super) type Place = Arc<OwnedSemaphorePermit>;

/// Turns a request away at once when too many are in progress: waiting in an endless queue would
/// make all of them late.
pub(super) async fn admit(
    State(state): State<Arc<HttpState>>,
    mut request: Request,
    next: Next,
) -> Response {
    match Arc::clone(&state.places).try_acquire_owned() {
        Ok(place) => {
            let place: Place = Arc::new(place);
            request.extensions_mut().insert(Arc::clone(&place));
            next.run(request).await
        }
        Err(_) => Problem::internal(ProblemKind::Busy).into_response(),
    }
}

/// As [`admit`], for requests that show no key. Their body is received first, so that one that comes
/// slowly takes nobody's place, and their places are none of those that others have.
pub(super) async fn admit_stranger(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let limit = state.limits.request_timeout.min(STRANGERS_BODY_TIMEOUT);
    let request = match timeout(limit, received(request)).await {
        Ok(Ok(request)) => request,
        Ok(Err(problem)) => return problem.into_response(),
        Err(_) => return too_slow(limit).into_response(),
    };
    match Arc::clone(&state.strangers).try_acquire_owned() {
        Ok(_place) => next.run(request).await,
        Err(_) => Problem::internal(ProblemKind::Busy).into_response(),
    }
}

/// The request with all of its body.
async fn received(request: Request) -> Result<Request, Problem> {
    let (head, body) = request.into_parts();
    let body = receive_bytes(Request::from_parts(head.clone(), body)).await?;
    Ok(Request::from_parts(head, Body::from(body)))
}

fn too_slow(limit: Duration) -> Problem {
    let detail = format!("the body did not arrive within {} s", limit.as_secs_f64());
    Problem::new(ProblemKind::TooSlow, detail)
}

/// Ends a request whose time is up; whose fault it is depends on whether its body had arrived.
pub(super) async fn limit_time(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let limit = state.limits.request_timeout;
    let arrived = Arc::new(AtomicBool::new(request.body().is_end_stream()));
    let watch = Arc::clone(&arrived);
    let request = request.map(|inner| {
        Body::new(WatchedBody {
            inner,
            arrived: watch,
        })
    });
    if let Ok(response) = timeout(limit, next.run(request)).await {
        return response;
    }
    let problem = if arrived.load(Ordering::Relaxed) {
        let detail = format!(
            "no answer within {} s; a change that was asked for may still take place",
            limit.as_secs_f64()
        );
        Problem::new(ProblemKind::TimedOut, detail)
    } else {
        too_slow(limit)
    };
    problem.into_response()
}

/// A body that says when it has been read to its end.
struct WatchedBody {
    inner: Body,
    arrived: Arc<AtomicBool>,
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.arrived.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
