//! Webhooks: other programs are told what happens, by requests that are signed. Operators say who is told
//! of what; `telling` tells.

mod attempt;
mod signature;
mod telling;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::access::Caller;
use super::paging::{cut, page_length, with_one_more};
use super::problem::{Problem, ProblemKind};
use super::uploads::{invalid, receive_json};
use super::workers::Lane;
use crate::domain::{DeliveryState, EventKind, WebhookId};
use crate::store::{
    DeliveryPage, DeliveryRecord, IssuedSecret, NewWebhook, WebhookChange, WebhookRecord,
};

pub(super) use telling::Telling;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookBody {
    /// Where events are posted: `http:` or `https:`, on the public internet unless the server's operator
    /// allows more.
    url: String,
    /// For people.
    #[serde(default)]
    #[schema(max_length = 500)]
    description: String,
    /// What is told; left out: everything.
    #[serde(default)]
    events: Vec<EventKind>,
    /// Of which brands' findings; left out: of all.
    #[serde(default)]
    brands: Vec<String>,
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPatch {
    url: Option<String>,
    #[schema(max_length = 500)]
    description: Option<String>,
    events: Option<Vec<EventKind>>,
    brands: Option<Vec<String>>,
    /// `false` also gives up what is still to be told.
    enabled: Option<bool>,
}

/// A webhook with its secret: this once.
#[derive(Serialize, ToSchema)]
pub(super) struct SecretAnswer {
    #[serde(flatten)]
    record: WebhookRecord,
    /// What signatures are checked with, which nobody can be shown again.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]{43}=$")]
    secret: String,
}

impl From<IssuedSecret> for SecretAnswer {
    fn from(issued: IssuedSecret) -> Self {
        Self {
            record: issued.record,
            secret: issued.secret,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct Webhooks {
    webhooks: Vec<WebhookRecord>,
}

/// The tenant's webhooks, oldest first.
#[utoipa::path(
    get, path = "/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "The webhooks", body = Webhooks)),
)]
pub(super) async fn list(caller: Caller) -> Result<Json<Webhooks>, Problem> {
    let read = caller.run(Lane::Reads, |engine| {
        let webhooks = engine.store().webhooks()?;
        Ok(Json(Webhooks { webhooks }))
    });
    read.await
}

/// Makes a webhook: events are posted to its address from now on, signed after Standard Webhooks with the
/// secret that is shown this once.
///
/// Each event comes at least once, with the same `webhook-id` each time. What is not answered with a 2xx
/// within 15 seconds is tried again, later each time, for a day; a receiver that has taken nothing by then
/// is disabled.
#[utoipa::path(
    post, path = "/v1/webhooks", tag = "webhooks",
    request_body(content = WebhookBody, example = json!({
        "url": "https://shop.example/hooks/touchstone", "events": ["finding.created"]
    })),
    responses((status = 201, description = "The webhook and its secret", body = SecretAnswer)),
)]
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<SecretAnswer>), Problem> {
    let body: WebhookBody = receive_json(request).await?;
    let new = NewWebhook {
        url: checked(&state, &body.url)?,
        description: body.description,
        events: without_repeats(body.events),
        brands: body.brands,
    };
    let write = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().create_webhook(&new)?)
    });
    Ok((StatusCode::CREATED, Json(write.await?.into())))
}

/// Where a host is found may change, so that is checked whenever something is sent; the rest is now.
fn checked(state: &HttpState, url: &str) -> Result<String, Problem> {
    let url = state.teller.policy().check_url(url);
    let url = url.map_err(|error| invalid(format!("url: {error}")))?;
    Ok(url.to_string())
}

fn without_repeats(mut events: Vec<EventKind>) -> Vec<EventKind> {
    events.sort_unstable();
    events.dedup();
    events
}

/// One webhook.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, example = "wh_0123456789ab")),
    responses((status = 200, description = "The webhook", body = WebhookRecord)),
)]
pub(super) async fn show(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WebhookRecord>, Problem> {
    let id = webhook_id(&id)?;
    let read = caller.run(Lane::Reads, move |engine| {
        Ok(engine.store().webhook(&id)?)
    });
    read.await.map(Json)
}

fn webhook_id(text: &str) -> Result<WebhookId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(ProblemKind::NotFound, format!("no webhook has id {text:?}")))
}

/// Changes a webhook, or disables it, or enables it again. What happens while it is disabled is not told
/// later.
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, example = "wh_0123456789ab")),
    request_body(content = WebhookPatch, example = json!({ "enabled": false })),
    responses((status = 200, description = "The webhook", body = WebhookRecord)),
)]
pub(super) async fn change(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<WebhookRecord>, Problem> {
    let id = webhook_id(&id)?;
    let patch: WebhookPatch = receive_json(request).await?;
    let change = WebhookChange {
        url: patch.url.map(|url| checked(&state, &url)).transpose()?,
        description: patch.description,
        events: patch.events.map(without_repeats),
        brands: patch.brands,
        enabled: patch.enabled,
    };
    let write = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().change_webhook(&id, &change)?)
    });
    write.await.map(Json)
}

/// Forgets a webhook, and what was and is to be told to it.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path, example = "wh_0123456789ab")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn remove(caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = webhook_id(&id)?;
    let write = caller.run(Lane::Writes, move |engine| {
        engine.store().remove_webhook(&id)?;
        Ok(StatusCode::NO_CONTENT)
    });
    write.await
}

/// Gives a webhook a new secret, shown this once. For a day what is sent is signed with both, the new one
/// first.
#[utoipa::path(
    post, path = "/v1/webhooks/{id}/rotate", tag = "webhooks",
    params(("id" = WebhookId, Path, example = "wh_0123456789ab")),
    responses((status = 200, description = "The webhook and its secret", body = SecretAnswer)),
)]
pub(super) async fn rotate(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<SecretAnswer>, Problem> {
    let id = webhook_id(&id)?;
    let write = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().rotate_webhook(&id)?)
    });
    Ok(Json(write.await?.into()))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeliveriesQuery {
    /// Only what became of it so.
    state: Option<DeliveryState>,
    /// `next` of the page before.
    after: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<DeliveryRecord>,
    /// What to ask for as `after`; `null` on the last page.
    next: Option<i64>,
}

/// A page of what was told to a webhook, and what became of it, newest first; for 30 days.
#[utoipa::path(
    get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = WebhookId, Path, example = "wh_0123456789ab"), DeliveriesQuery),
    responses((status = 200, description = "A page", body = Deliveries)),
)]
pub(super) async fn deliveries(
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Deliveries>, Problem> {
    let id = webhook_id(&id)?;
    let limit = page_length(query.limit)?;
    let page = DeliveryPage {
        before: query.after,
        state: query.state,
        limit: with_one_more(limit),
    };
    let read = caller.run(Lane::Reads, move |engine| {
        let mut deliveries = engine.store().deliveries(&id, &page)?;
        let next = cut(&mut deliveries, limit, |last| last.id);
        Ok(Json(Deliveries { deliveries, next }))
    });
    read.await
}
