//! The console: pages for people, made on the server from the same engine that answers `/v1`.
//!
//! Every page works as plain HTML with forms; one script (`files/console.js`) adds dropping, pasting,
//! overlays and keys. Nothing is loaded from elsewhere, nothing is inline: the policy in [`page`] says
//! so to the browser. Handlers read their form, hand the work to the same lanes as `/v1`, and fill a
//! template; nothing here decides what matches.
//!
//! | page | methods |
//! |---|---|
//! | `/` | `GET` |
//! | `/try` | `GET`, `POST` |
//! | `/review`, `/review/{id}` | `GET` |
//! | `/review/{id}/decide`, `undo`, `exemplar`, `exemplar/remove` | `POST` |
//! | `/brands/{id}/promise` | `POST` |
//! | `/review/{id}/evidence`, `/review/{id}/photo/{size}` | `GET` |
//! | `/assets` | `GET`, `POST` |
//! | `/assets/{id}` | `GET` |
//! | `/assets/{id}/enable`, `disable`, `remove` | `POST` |
//! | `/assets/{id}/pictures` | `POST` |
//! | `/assets/{id}/pictures/{picture}/remove` | `POST` |
//! | `/pictures/{picture}/{size}` | `GET` |
//! | `/scans`, `/scans/{id}`, `/scans/{id}/report/{page}` | `GET`, `POST`; `GET`; `GET` |
//! | `/scans/{id}/remove` | `POST` |
//! | `/sign-in` | `GET`, `POST` |
//! | `/sign-out` | `POST` |
//! | `/keys` | `GET`, `POST` |
//! | `/keys/{id}/revoke` | `POST` |
//! | `/audit` | `GET` |
//! | `/console/{file}` | `GET` |

mod assets;
mod audit;
mod card;
mod deciding;
mod evidence;
mod files;
mod filters;
mod keys;
mod overview;
mod page;
mod phrases;
mod pictures;
mod registering;
mod review;
mod scans;
mod sign_in;
mod trying;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::HttpState;

pub(super) use page::{as_page, errors_as_pages, wants_page};

/// The pages that also those without a key may ask for, without limits.
pub(super) fn entry() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/sign-in", get(sign_in::ask).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
}

/// All other pages, without limits.
pub(super) fn routes() -> Router<Arc<HttpState>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/try", get(trying::ask).post(trying::answer))
        .route("/review", get(review::queue))
        .route("/review/{id}", get(review::finding))
        .route("/review/{id}/decide", post(deciding::decide))
        .route("/review/{id}/undo", post(deciding::undo))
        .route("/review/{id}/exemplar", post(deciding::learn))
        .route("/review/{id}/exemplar/remove", post(deciding::unlearn))
        .route("/brands/{id}/promise", post(overview::promise))
        .route("/review/{id}/evidence", get(evidence::part))
        .route("/review/{id}/photo/{size}", get(evidence::photo))
        .route("/assets", get(assets::list).post(registering::register))
        .route("/assets/{id}", get(assets::show))
        .route("/assets/{id}/{change}", post(assets::change))
        .route("/assets/{id}/pictures", post(registering::add_pictures))
        .route(
            "/assets/{id}/pictures/{picture}/remove",
            post(pictures::remove),
        )
        .route("/pictures/{picture}/{size}", get(pictures::scaled))
        .route("/scans", get(scans::list).post(scans::create))
        .route("/scans/{id}", get(scans::show))
        .route("/scans/{id}/remove", post(scans::remove))
        .route("/scans/{id}/report/{*page}", get(scans::report))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}/revoke", post(keys::revoke))
        .route("/audit", get(audit::list))
        .route("/console/{file}", get(files::file))
}
