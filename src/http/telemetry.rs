//! `GET /metrics`: how the server fares, for Prometheus. Counts of the whole server, of all tenants
//! together, so only the default tenant's operators are told.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::HttpState;
use super::access::Caller;
use super::problem::{Problem, ProblemKind};
use crate::engine::STAGE_SECONDS;

const REQUESTS: &str = "touchstone_requests_total";
const REQUEST_SECONDS: &str = "touchstone_request_seconds";
const IN_PROGRESS: &str = "touchstone_requests_in_progress";
const WEBHOOKS: &str = "touchstone_webhook_tries_total";
const WAITING: &str = "touchstone_jobs_waiting";

/// Upper ends of the histograms' buckets: a record is read in under a millisecond, a photo takes about
/// a second, a request ends after 30.
const BUCKETS_S: [f64; 12] = [
    0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
];

/// One for the process. `None` when another was there before: then nothing can be told.
static RECORDER: LazyLock<Option<PrometheusHandle>> = LazyLock::new(|| {
    let full = |name: &str| Matcher::Full(name.to_owned());
    let installed = PrometheusBuilder::new()
        .set_buckets_for_metric(full(REQUEST_SECONDS), &BUCKETS_S)
        .and_then(|builder| builder.set_buckets_for_metric(full(STAGE_SECONDS), &BUCKETS_S))
        .and_then(PrometheusBuilder::install_recorder);
    match installed {
        Ok(handle) => {
            describe();
            Some(handle)
        }
        Err(error) => {
            tracing::warn!(%error, "nothing is measured");
            None
        }
    }
});

fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests answered, by route, method and status");
    metrics::describe_histogram!(
        REQUEST_SECONDS,
        "Seconds until the head of an answer, by route"
    );
    metrics::describe_gauge!(IN_PROGRESS, "Requests in progress that have a place");
    metrics::describe_gauge!(WAITING, "Jobs that wait for room, by kind of work");
    metrics::describe_counter!(WEBHOOKS, "Tries to tell webhooks something, by outcome");
    metrics::describe_histogram!(STAGE_SECONDS, "Seconds that a photo takes in a stage");
}

/// Begins to measure.
pub(super) fn start() {
    LazyLock::force(&RECORDER);
}

/// Sums up what was measured; to be called now and then, also when nobody asks.
pub(super) fn sum_up() {
    if let Some(recorder) = &*RECORDER {
        recorder.run_upkeep();
    }
}

/// Counts an answered request.
pub(super) fn note_request(route: &str, method: &str, status: u16, took: Duration) {
    let (route, method) = (route.to_owned(), method.to_owned());
    counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(took.as_secs_f64());
}

/// Counts a try to tell a webhook something.
pub(super) fn note_webhook(is_taken: bool) {
    let outcome = if is_taken { "taken" } else { "failed" };
    counter!(WEBHOOKS, "outcome" => outcome).increment(1);
}

/// A job that waits for room, until this is dropped.
pub(super) struct Waiting(&'static str);

impl Waiting {
    pub fn begin(lane: &'static str) -> Self {
        gauge!(WAITING, "lane" => lane).increment(1.0);
        Self(lane)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        gauge!(WAITING, "lane" => self.0).decrement(1.0);
    }
}

/// Requests, their times, what waits, and the stages of photos, in Prometheus' text form.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "The measurements", body = String,
        content_type = "text/plain")),
)]
pub(super) async fn show(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
) -> Result<Response, Problem> {
    if !caller.tenant.is_default() {
        let detail = "the server's measurements are of all tenants: the default one's are told";
        return Err(Problem::new(ProblemKind::NotAllowed, detail));
    }
    let Some(recorder) = &*RECORDER else {
        return Err(Problem::internal(ProblemKind::NotReady));
    };
    let free = state.places.available_permits();
    gauge!(IN_PROGRESS).set(state.limits.max_requests.saturating_sub(free) as f64);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, kind)], recorder.render()).into_response())
}
