//! How many requests are in progress, and for how long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

use super::HttpState;
use super::problem::{Problem, ProblemKind};

/// Turns a request away at once when too many are in progress: waiting in an endless queue would
/// make all of them late.
pub(super) async fn admit(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    match Arc::clone(&state.places).try_acquire_owned() {
        Ok(_place) => next.run(request).await,
        Err(_) => Problem::internal(ProblemKind::Busy).into_response(),
    }
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
        let detail = format!("the body did not arrive within {} s", limit.as_secs_f64());
        Problem::new(ProblemKind::TooSlow, detail)
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
