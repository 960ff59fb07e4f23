//! `/keys`: the tenant's keys, making one, which is shown once, and revoking them.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use jiff::Timestamp;
use serde::Deserialize;

use super::super::HttpState;
use super::super::access::Caller;
use super::super::keys::{KeyBody, end_key, issue, keys_of};
use super::super::problem::Problem;
use super::super::uploads::invalid;
use super::page::{Page, Shell, day, moment};
use crate::domain::Role;
use crate::store::{IssuedKey, KeyRecord, KeyStanding};

/// A key in the table.
struct Row {
    key: KeyRecord,
    created: String,
    expires: Option<String>,
    used: Option<String>,
    state: &'static str,
    class: &'static str,
}

impl Row {
    fn of(key: KeyRecord, now: Timestamp) -> Self {
        let standing = key.standing(now);
        Self {
            created: day(&key.created_at).to_owned(),
            expires: key.expires_at.as_deref().map(|end| day(end).to_owned()),
            used: key.last_used_at.as_deref().map(moment),
            state: standing.as_str(),
            class: match standing {
                KeyStanding::Holds => "clear",
                KeyStanding::Revoked | KeyStanding::Expired => "failed",
            },
            key,
        }
    }
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    shell: Shell,
    tenant: String,
    outcome: Option<String>,
    issued: Option<IssuedKey>,
    rows: Vec<Row>,
}

/// What led to the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Outcome {
    done: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    role: String,
    label: String,
    /// One a line.
    #[serde(default)]
    brands: String,
    /// Empty: it does not end by itself.
    #[serde(default)]
    days: String,
}

/// `GET /keys`.
pub(super) async fn list(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Query(outcome): Query<Outcome>,
) -> Result<Page, Problem> {
    let told =
        (outcome.done == "revoked").then(|| "Revoked: it opens nothing any more.".to_owned());
    page(&state, &caller, told, None).await
}

/// `POST /keys`: the page with the new key, this once.
pub(super) async fn create(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Form(wanted): Form<Wanted>,
) -> Result<Page, Problem> {
    let role: Role = wanted
        .role
        .parse()
        .map_err(|error: crate::domain::AccessWordError| invalid(error.to_string()))?;
    let days = match wanted.days.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("days is no number"))?),
    };
    let body = KeyBody {
        role,
        label: wanted.label,
        brands: wanted.brands.lines().map(str::to_owned).collect(),
        days,
    };
    let issued = issue(&state, &caller, body).await?;
    page(&state, &caller, None, Some(issued)).await
}

/// `POST /keys/{id}/revoke`.
pub(super) async fn revoke(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Redirect, Problem> {
    end_key(&state, &caller, &id).await?;
    Ok(Redirect::to("/keys?done=revoked"))
}

async fn page(
    state: &HttpState,
    caller: &Caller,
    outcome: Option<String>,
    issued: Option<IssuedKey>,
) -> Result<Page, Problem> {
    let mut keys = keys_of(state, caller).await?;
    // Those that hold first, the newest before the others.
    keys.sort_by(|a, b| {
        let ended = |key: &KeyRecord| key.revoked_at.is_some();
        (ended(a), &b.created_at).cmp(&(ended(b), &a.created_at))
    });
    let now = Timestamp::now();
    Page::of(&KeysPage {
        shell: Shell::new(caller, "keys", "Keys"),
        tenant: caller.tenant.to_string(),
        outcome,
        issued,
        rows: keys.into_iter().map(|key| Row::of(key, now)).collect(),
    })
}
