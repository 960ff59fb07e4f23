//! Whether the server lives, and whether it can answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::HttpState;
use super::problem::{Problem, ProblemKind};
use super::workers::Lane;
use crate::engine::{Engine, EngineError, Registry};
use crate::store::AssetFilter;

/// Longest wait for store and registry; they answer in milliseconds when all is well.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Serialize, ToSchema)]
pub(super) struct Alive {
    status: &'static str,
}

/// The process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It lives", body = Alive)),
)]
pub(super) async fn alive() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    status: &'static str,
    model: String,
    /// Only where nobody is asked for a key: how much is registered is not everyone's business.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    n_assets: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    n_pictures: Option<usize>,
}

/// Store and registry answer. Takes no request's place, so that a busy server is not taken for a dead
/// one.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses((status = 200, description = "It can answer", body = Ready)),
)]
pub(super) async fn ready(State(state): State<Arc<HttpState>>) -> Result<Json<Ready>, Problem> {
    let workers = state.tenants.default_workers();
    match timeout(READY_TIMEOUT, workers.run(Lane::Reads, look)).await {
        Ok(ready) => ready.map(|ready| Json(told(ready, state.entrance.is_open()))),
        Err(elapsed) => Err(Problem::hidden(ProblemKind::NotReady, &elapsed)),
    }
}

fn told(ready: Ready, to_all: bool) -> Ready {
    Ready {
        n_assets: ready.n_assets.filter(|_| to_all),
        n_pictures: ready.n_pictures.filter(|_| to_all),
        ..ready
    }
}

fn look(engine: &Engine) -> Result<Ready, Problem> {
    // The registry in memory may be whole while the records behind it are not.
    let first = AssetFilter {
        limit: Some(1),
        ..AssetFilter::default()
    };
    let records = engine.store().assets(&first).map_err(EngineError::from);
    records
        .and_then(|_| engine.with_registry(|registry| ready_with(engine, registry)))
        .map_err(|error| Problem::hidden(ProblemKind::NotReady, &error))
}

fn ready_with(engine: &Engine, registry: &Registry) -> Ready {
    Ready {
        status: "ready",
        model: engine.model().to_string(),
        n_assets: Some(registry.n_assets()),
        n_pictures: Some(registry.n_references()),
    }
}
