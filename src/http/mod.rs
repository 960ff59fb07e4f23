//! The engine over HTTP: routes, JSON bodies, limits, and errors in one form.
//!
//! [`router`] is a plain function from requests to answers; [`serve`] puts it on a listener. A request
//! passes, from the outside in: `track` (request id, log, safe headers, errors as
//! `application/problem+json`), `linger` (bodies that nobody wants), a net for panics, `guard` (host and
//! origin), `access` (who asks, and whether they may), then for everything under `/v1` `admit` (how many at
//! once), `limit_time`, the bound on its body, and its handler, which hands all real work to `workers`. Who
//! signs in shows no key yet, and passes `admit_stranger`, with narrower limits, in place of `admit`.
//! Nothing here decides what matches; that is the engine's.
//!
//! | route | methods |
//! |---|---|
//! | `/v1/match` | `POST` |
//! | `/v1/brands`, `/v1/brands/{id}`, `/v1/brands/{id}/promise` | `GET`; `GET`; `PUT`, `DELETE` |
//! | `/v1/assets` | `GET`, `POST` |
//! | `/v1/assets/{id}` | `GET`, `PATCH`, `DELETE` |
//! | `/v1/assets/{id}/images` | `GET`, `POST` |
//! | `/v1/assets/{id}/images/{picture}` | `GET`, `DELETE` |
//! | `/v1/screen` | `POST` |
//! | `/v1/scans`, `/v1/scans/{id}`, `/v1/scans/{id}/result` | `GET`, `POST`; `GET`, `DELETE`; `GET` |
//! | `/v1/findings`, `/v1/findings/export`, `/v1/findings/{id}`, `/v1/findings/{id}/photo` | `GET` |
//! | `/v1/findings/{id}/decision`, `/v1/findings/{id}/exemplar` | `POST`, `DELETE`; `PUT`, `DELETE` |
//! | `/v1/listings` | `GET` |
//! | `/v1/listings/{listing_id}` | `GET`, `DELETE` |
//! | `/v1/keys`, `/v1/keys/{id}` | `GET`, `POST`; `DELETE` |
//! | `/v1/audit` | `GET` |
//! | `/v1/webhooks`, `/v1/webhooks/{id}` | `GET`, `POST`; `GET`, `PATCH`, `DELETE` |
//! | `/v1/webhooks/{id}/rotate`, `/v1/webhooks/{id}/deliveries` | `POST`; `GET` |
//! | `/metrics`, `/healthz`, `/readyz`, `/openapi.json`, `/docs` | `GET` |
//!
//! The pages of the console are listed in `console/mod.rs`; who may ask for what in `access/rules.rs`.

mod access;
mod admission;
mod assets;
mod audit;
mod console;
mod decisions;
mod etags;
mod export;
mod fetching;
mod findings;
mod guard;
mod health;
mod idempotency;
mod ids;
mod images;
mod keys;
mod limits;
mod linger;
mod listings;
mod matching;
mod openapi;
mod paging;
mod pieces;
mod problem;
mod registering;
mod scans;
mod screening;
mod server;
mod statuses;
mod teaching;
mod telemetry;
mod tending;
mod track;
mod uploads;
mod webhooks;
mod workers;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{delete, get, post, put};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

use crate::engine::Engine;
use crate::fetch::{FetchPolicy, Fetcher};
use access::Tenants;
use problem::{Problem, ProblemKind};

pub use access::{AccessRule, AccessWho, Bound, Entrance, EntranceSettings, KeyRate, RULES};
pub(crate) use keys::note_key;
pub use limits::ServeLimits;
pub use openapi::document;
pub use server::{ServeError, serve};

/// Requests to sign in or out at once: each takes some milliseconds.
const N_STRANGERS: usize = 16;
/// Bytes of the form of one who signs in: a key, and where to go afterwards.
const MAX_STRANGERS_BODY_BYTES: usize = 8 << 10;

/// What handlers share.
pub struct HttpState {
    tenants: Arc<Tenants>,
    entrance: Entrance,
    limits: ServeLimits,
    /// One for each request in progress.
    places: Arc<Semaphore>,
    /// The same for those who sign in or out, and need no key for it: they take nobody else's.
    strangers: Arc<Semaphore>,
    keys_in_use: idempotency::KeysInUse,
    downloads: pieces::Downloads,
    /// For photos that requests name by their address; `None`: they may not.
    fetcher: Option<Arc<Fetcher>>,
    /// For what webhooks are told.
    teller: Arc<Fetcher>,
}

impl HttpState {
    /// Handlers for `engine`, the default tenant's, and for other tenants' beside it, within `limits`;
    /// for those whom `entrance` lets in.
    pub fn new(engine: Arc<Engine>, entrance: Entrance, limits: ServeLimits) -> Self {
        telemetry::start();
        Self {
            tenants: Arc::new(Tenants::new(engine)),
            entrance,
            places: Arc::new(Semaphore::new(limits.max_requests)),
            strangers: Arc::new(Semaphore::new(N_STRANGERS)),
            limits,
            keys_in_use: idempotency::KeysInUse::default(),
            downloads: pieces::Downloads::default(),
            fetcher: None,
            teller: Arc::new(Fetcher::new(FetchPolicy::default())),
        }
    }

    /// The same; photos that requests name by their address are fetched by `fetcher`.
    pub fn fetching_photos(self, fetcher: Arc<Fetcher>) -> Self {
        Self {
            fetcher: Some(fetcher),
            ..self
        }
    }

    /// The same; webhooks are told by `teller`, which may reach what others may not.
    pub fn telling_by(self, teller: Arc<Fetcher>) -> Self {
        Self { teller, ..self }
    }

    fn photo_fetcher(&self) -> Option<Arc<Fetcher>> {
        self.fetcher.clone()
    }
}

/// All routes with all their limits.
pub fn router(state: HttpState) -> Router {
    let state = Arc::new(state);
    Router::new()
        .merge(within_limits(
            api().route_layer(from_fn_with_state(
                Arc::clone(&state),
                idempotency::remember,
            )),
            &state,
        ))
        .merge(within_limits(access_routes(), &state))
        .merge(pages(&state))
        .merge(openapi::pages())
        .route("/metrics", get(telemetry::show))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(unknown_address.layer(from_fn(console::errors_as_pages)))
        .layer(
            ServiceBuilder::new()
                .layer(from_fn(track::track))
                .layer(from_fn(linger::linger))
                .layer(CatchPanicLayer::custom(track::on_panic))
                .layer(from_fn_with_state(Arc::clone(&state), guard::guard))
                .layer(from_fn_with_state(Arc::clone(&state), access::enter)),
        )
        .with_state(state)
}

/// The console, whose errors are pages too.
fn pages(state: &Arc<HttpState>) -> Router<Arc<HttpState>> {
    within_limits(console::routes(), state)
        .merge(within_strangers_limits(console::entry(), state))
        .route_layer(from_fn(console::errors_as_pages))
}

fn api() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/v1/match", post(matching::match_photos))
        .route("/v1/brands", get(assets::brands))
        .route("/v1/brands/{id}", get(teaching::brand))
        .route(
            "/v1/brands/{id}/promise",
            put(teaching::promise).delete(teaching::take_promise_back),
        )
        .route("/v1/assets", get(assets::list).post(registering::register))
        .route(
            "/v1/assets/{id}",
            get(assets::show)
                .patch(assets::change)
                .delete(assets::remove),
        )
        .route(
            "/v1/assets/{id}/images",
            get(images::list).post(registering::add_pictures),
        )
        .route(
            "/v1/assets/{id}/images/{picture}",
            get(images::file).delete(images::remove),
        )
        .route("/v1/scans", get(scans::list).post(scans::create))
        .route("/v1/scans/{id}", get(scans::show).delete(scans::remove))
        .route("/v1/scans/{id}/result", get(scans::result))
        .merge(cases())
}

/// `routes` with what every request to them has to pass.
fn within_limits(routes: Router<Arc<HttpState>>, state: &Arc<HttpState>) -> Router<Arc<HttpState>> {
    routes.route_layer(
        ServiceBuilder::new()
            .layer(from_fn_with_state(Arc::clone(state), admission::admit))
            .layer(from_fn_with_state(Arc::clone(state), admission::limit_time))
            // axum's own limit knows less: it ignores a Content-Length that is too large.
            .layer(DefaultBodyLimit::disable())
            .layer(RequestBodyLimitLayer::new(state.limits.max_body_bytes)),
    )
}

/// `routes` that need no key, with limits so narrow that nobody can wear the server out by them.
fn within_strangers_limits(
    routes: Router<Arc<HttpState>>,
    state: &Arc<HttpState>,
) -> Router<Arc<HttpState>> {
    let max_body_bytes = MAX_STRANGERS_BODY_BYTES.min(state.limits.max_body_bytes);
    routes
        .route_layer(from_fn_with_state(
            Arc::clone(state),
            admission::admit_stranger,
        ))
        .route_layer(
            ServiceBuilder::new()
                .layer(from_fn_with_state(Arc::clone(state), admission::limit_time))
                .layer(RequestBodyLimitLayer::new(max_body_bytes)),
        )
}

fn cases() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/v1/screen", post(screening::screen))
        .route("/v1/findings", get(findings::list))
        .route("/v1/findings/export", get(export::export))
        .route("/v1/findings/{id}", get(findings::show))
        .route("/v1/findings/{id}/photo", get(findings::photo))
        .route(
            "/v1/findings/{id}/decision",
            post(decisions::decide).delete(decisions::undo),
        )
        .route(
            "/v1/findings/{id}/exemplar",
            put(teaching::add_exemplar).delete(teaching::remove_exemplar),
        )
        .route("/v1/listings", get(listings::list))
        .route(
            "/v1/listings/{listing_id}",
            get(listings::show).delete(listings::remove),
        )
}

/// Answers that hold a secret, or tell of them; none is remembered for a request that comes again.
fn access_routes() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/audit", get(audit::list))
        .route("/v1/webhooks", get(webhooks::list).post(webhooks::create))
        .route(
            "/v1/webhooks/{id}",
            get(webhooks::show)
                .patch(webhooks::change)
                .delete(webhooks::remove),
        )
        .route("/v1/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/v1/webhooks/{id}/deliveries", get(webhooks::deliveries))
}

async fn unknown_address(request: Request) -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        format!("there is no {}", request.uri().path()),
    )
}
