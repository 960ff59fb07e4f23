//! Letting a refused client finish its sentence.
//!
//! A client that sends a large body reads the answer only when it is done sending. When the connection
//! is closed on it before that, it learns of a reset, and neither of the 413 nor of the 503 and its
//! Retry-After. So the rest of a body that nobody wants is read and thrown away, within bounds, while
//! the answer is on its way.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::timeout;

/// Longest time that is spent on a body that nobody wants.
const LINGER: Duration = Duration::from_secs(2);
/// Most bytes that are read of it.
const MAX_BYTES: usize = 128 << 20;

/// Reads the rest of the body when the answer is there before its end.
pub(super) async fn linger(request: Request, next: Next) -> Response {
    // A client that asks first sends nothing when it is refused.
    let asks_first = request.headers().contains_key(header::EXPECT);
    if asks_first || request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let body = SharedBody(Arc::new(Mutex::new(body)));
    let lent = Body::new(body.clone());
    let response = next.run(Request::from_parts(head, lent)).await;
    if !body.is_end_stream() {
        tokio::spawn(timeout(LINGER, discard(body)));
    }
    response
}

async fn discard(mut body: SharedBody) {
    let mut n_bytes = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        n_bytes += frame.data_ref().map_or(0, Bytes::len);
        if n_bytes > MAX_BYTES {
            break;
        }
    }
}

/// A body that can still be read when the handler has let go of it.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Body>>);

impl SharedBody {
    fn with<T>(&self, look: impl FnOnce(&mut Body) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for SharedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
