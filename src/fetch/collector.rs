//! The HTTP client under the exporter of traces: the one that is here already, instead of one more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, ResponseExt};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::transport::{AGENT, MAX_IDLE_CONNECTIONS, operators_client};

/// How long a collector may take to take something.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for its answer.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// Sends what the OpenTelemetry exporter makes to the collector that the operator named.
#[derive(Debug)]
pub struct CollectorClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The exporter waits on a thread of its own, in which nothing asynchronous runs.
    runtime: Runtime,
    has_complained: AtomicBool,
}

impl CollectorClient {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// That of the system where there are no threads left.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("traces")
            .enable_all()
            .build()?;
        Ok(Self {
            client: operators_client(PATIENCE, MAX_IDLE_CONNECTIONS, &[]),
            runtime,
            has_complained: AtomicBool::new(false),
        })
    }

    /// Said once: whoever has no collector running does not want to read it with every batch.
    fn complain(&self, error: &HttpError) {
        if !self.has_complained.swap(true, Ordering::Relaxed) {
            let cause = crate::domain::with_causes(&**error);
            tracing::warn!(cause, "traces do not reach the collector");
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answering = self.runtime.spawn(answer(self.client.clone(), request));
        let answer = match answering.await {
            Ok(answer) => answer.and_then(ResponseExt::error_for_status),
            Err(ended) => Err(ended.into()),
        };
        answer.inspect_err(|error| self.complain(error))
    }
}

async fn answer(
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let mut request = request.map(Full::new);
    request
        .headers_mut()
        .insert(hyper::header::USER_AGENT, AGENT);
    timeout(PATIENCE, async {
        let (head, body) = client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    })
    .await?
}
