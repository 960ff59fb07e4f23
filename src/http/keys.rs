//! Keys over HTTP, of the caller's own tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::HttpState;
use super::access::Caller;
use super::problem::{Problem, ProblemKind};
use super::uploads::{invalid, receive_json};
use super::workers::Lane;
use crate::domain::{AuditAction, KeyId, Role};
use crate::store::{IssuedKey, KeyRecord, NewKey, Store, StoreError};

/// Longest life of a key, days.
const MAX_DAYS: u32 = 3650;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyBody {
    pub role: Role,
    /// Who holds it, for people.
    #[schema(min_length = 1, max_length = 200)]
    pub label: String,
    /// The brands that an owner is bound to; none: all of the tenant's.
    #[serde(default)]
    pub brands: Vec<String>,
    /// Days after which it ends; left out: not by itself.
    #[schema(minimum = 1, maximum = 3650)]
    pub days: Option<u32>,
}

/// A key as it is handed out: this once.
#[derive(Serialize, ToSchema)]
pub(super) struct NewKeyAnswer {
    #[serde(flatten)]
    record: KeyRecord,
    /// The key, which nobody can be shown again.
    #[schema(pattern = "^ts_[0-9a-f]{12}_[0-9a-f]{64}$")]
    key: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<KeyRecord>,
}

/// The tenant's keys, oldest first, revoked ones included.
#[utoipa::path(
    get, path = "/v1/keys", tag = "access",
    responses((status = 200, description = "The keys", body = Keys)),
)]
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
) -> Result<Json<Keys>, Problem> {
    let keys = keys_of(&state, &caller).await?;
    Ok(Json(Keys { keys }))
}

/// The keys of the caller's tenant.
pub(super) async fn keys_of(state: &HttpState, caller: &Caller) -> Result<Vec<KeyRecord>, Problem> {
    let tenant = caller.tenant.clone();
    state
        .entrance
        .run(move |keys| keys.keys(Some(&tenant)))
        .await
}

/// Makes a key, which is shown this once.
#[utoipa::path(
    post, path = "/v1/keys", tag = "access",
    request_body(content = KeyBody, example = json!({
        "role": "owner", "label": "Acme's brand desk", "brands": ["Acme"], "days": 365
    })),
    responses((status = 201, description = "The key", body = NewKeyAnswer)),
)]
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    request: Request,
) -> Result<(StatusCode, Json<NewKeyAnswer>), Problem> {
    let body: KeyBody = receive_json(request).await?;
    let issued = issue(&state, &caller, body).await?;
    let answer = NewKeyAnswer {
        record: issued.record,
        key: issued.text,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Makes a key of the caller's tenant, with a line in its audit log.
pub(super) async fn issue(
    state: &HttpState,
    caller: &Caller,
    body: KeyBody,
) -> Result<IssuedKey, Problem> {
    let now = Timestamp::now();
    let new = NewKey {
        tenant: caller.tenant.clone(),
        role: body.role,
        label: body.label,
        brands: body.brands,
        expires_at: body.days.map(|days| end(days, now)).transpose()?,
    };
    let keys = state.entrance.store();
    // In the writer's lane, since the audit log lies with the tenant's records.
    let work = caller.run(Lane::Writes, move |engine| {
        let note = |key: &KeyRecord| note_key(engine.store(), AuditAction::KeyCreated, key);
        Ok(keys.create_key(new, now, note)?)
    });
    work.await
}

fn end(days: u32, now: Timestamp) -> Result<Timestamp, Problem> {
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(invalid(format!(
            "days is {days}, it must lie within 1 and {MAX_DAYS}"
        )));
    }
    let span = SignedDuration::from_hours(24 * i64::from(days));
    now.checked_add(span)
        .map_err(|error| invalid(error.to_string()))
}

/// Writes down what is done to a key, before it is done: an entry without a deed misleads nobody for
/// long, a deed without an entry does.
pub(crate) fn note_key(
    store: &Store,
    action: AuditAction,
    key: &KeyRecord,
) -> Result<(), StoreError> {
    let details = json!({
        "role": key.role, "label": key.label, "brands": key.brands, "expires_at": key.expires_at,
    });
    store.audit(action, &format!("key {}", key.id), Some(&details))
}

/// Ends a key, and whatever was signed in with it, at once.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "access",
    params(("id" = KeyId, Path, example = "0123456789ab")),
    responses((status = 200, description = "The key, as it ended", body = KeyRecord)),
)]
pub(super) async fn revoke(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<KeyRecord>, Problem> {
    end_key(&state, &caller, &id).await.map(Json)
}

/// Revokes a key of the caller's tenant, with a line in its audit log.
pub(super) async fn end_key(
    state: &HttpState,
    caller: &Caller,
    id: &str,
) -> Result<KeyRecord, Problem> {
    let id: KeyId = id
        .parse()
        .map_err(|_| Problem::new(ProblemKind::NotFound, format!("no key has id {id:?}")))?;
    let (keys, tenant) = (state.entrance.store(), caller.tenant.clone());
    let work = caller.run(Lane::Writes, move |engine| {
        let note = |key: &KeyRecord| note_key(engine.store(), AuditAction::KeyRevoked, key);
        Ok(keys.revoke_key(&id, Some(&tenant), Timestamp::now(), note)?)
    });
    work.await
}
