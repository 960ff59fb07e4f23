//! `/sign-in`: a key, or the first start's link, for a session that a browser shows in a cookie.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::super::HttpState;
use super::super::access::{actor, request_id, session_cookie, session_ended, session_token};
use super::super::problem::Problem;
use super::page::{Page, Shell};
use crate::domain::{Actor, AuditAction, TenantName};
use crate::http::access::AccessRule;
use crate::store::{Holder, KeyRefusal, SignedIn, acting_as};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    shell: Shell,
    once: String,
    next: String,
    refusal: Option<String>,
}

impl SignInPage {
    fn new(asked: &Asked, refusal: Option<String>) -> Self {
        Self {
            shell: Shell::bare("Sign in", None),
            once: asked.once.trim().to_owned(),
            next: asked.next.clone(),
            refusal,
        }
    }
}

/// Longest text of an address or form that a page repeats, bytes.
const MAX_REPEATED_BYTES: usize = 2000;

/// What the address or the form says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    key: String,
    /// Token of the first start's link.
    #[serde(deserialize_with = "short")]
    once: String,
    /// Where to go afterwards.
    #[serde(deserialize_with = "short")]
    next: String,
}

/// A text that a page repeats; one that is too long is as if it had not been sent.
fn short<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let text = String::deserialize(from)?;
    Ok(Some(text)
        .filter(|text| text.len() <= MAX_REPEATED_BYTES)
        .unwrap_or_default())
}

/// `GET /sign-in`. A link is followed only by the button of the page: programs that look ahead at
/// links must not use it up.
pub(super) async fn ask(
    State(state): State<Arc<HttpState>>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    if state.entrance.is_open() {
        return Ok(Redirect::to("/").into_response());
    }
    Ok(Page::of(&SignInPage::new(&asked, None))?.into_response())
}

/// `POST /sign-in`.
pub(super) async fn sign_in(
    State(state): State<Arc<HttpState>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let id = request_id(request.extensions());
    let asked = read(request).await?;
    let now = Timestamp::now();
    let (key, once) = (asked.key.trim().to_owned(), asked.once.trim().to_owned());
    let tried = state.entrance.run(move |keys| {
        if key.is_empty() && !once.is_empty() {
            keys.follow_link(&once, now)
        } else {
            keys.sign_in(&key, now)
        }
    });
    match tried.await? {
        Ok(SignedIn { token, holder }) => {
            note(&state, &holder, AuditAction::SignedIn, id).await?;
            // Whoever was signed in here before is so no longer.
            end_session(&state, &headers).await?;
            let cookie = session_cookie(&token, state.entrance.behind_tls());
            let to = Redirect::to(&destination(&asked.next, &holder));
            Ok(([(header::SET_COOKIE, cookie)], to).into_response())
        }
        Err(refusal) => {
            note_failure(&state, &refusal, id).await;
            let told = if asked.once.is_empty() || !asked.key.is_empty() {
                refusal.to_string()
            } else {
                "the link was used already, or is older than an hour".to_owned()
            };
            let page = Page::of(&SignInPage::new(&asked, Some(told)))?;
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

/// `POST /sign-out`.
pub(super) async fn sign_out(
    State(state): State<Arc<HttpState>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let id = request_id(request.extensions());
    if let Some(holder) = end_session(&state, &headers).await? {
        note(&state, &holder, AuditAction::SignedOut, id).await?;
    }
    let cookie = session_ended(state.entrance.behind_tls());
    let to = Redirect::to("/sign-in");
    Ok(([(header::SET_COOKIE, cookie)], to).into_response())
}

async fn read(request: Request) -> Result<Asked, Problem> {
    use axum::extract::FromRequest;
    let form = Form::<Asked>::from_request(request, &()).await;
    form.map(|Form(asked)| asked)
        .map_err(|refusal| Problem::of_status(refusal.status(), &refusal.body_text()))
}

/// Ends the session that the browser shows; gives whose it was.
async fn end_session(state: &HttpState, headers: &HeaderMap) -> Result<Option<Holder>, Problem> {
    let Some(token) = session_token(headers, state.entrance.behind_tls()) else {
        return Ok(None);
    };
    let ended = state.entrance.run(move |keys| {
        let holder = keys.session(&token, Timestamp::now())?;
        keys.sign_out(&token)?;
        Ok(holder.ok())
    });
    ended.await
}

/// Where the wish leads, within this server; else to the first page that is the holder's.
fn destination(next: &str, holder: &Holder) -> String {
    // `//host` and `/\host` are addresses of other servers.
    let is_own = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    if is_own && next.bytes().all(|b| b.is_ascii_graphic()) {
        return next.to_owned();
    }
    if holder.key_id.is_none() {
        return "/keys".to_owned();
    }
    let is_bound = !holder.brands.is_empty();
    let may = |rule: &&AccessRule| {
        rule.method == "GET"
            && ["/", "/try"].contains(&rule.path)
            && rule.admits(holder.role, is_bound)
    };
    let first = crate::http::RULES.iter().find(may);
    first.map_or("/", |rule| rule.path).to_owned()
}

async fn note(
    state: &HttpState,
    holder: &Holder,
    action: AuditAction,
    request_id: Option<String>,
) -> Result<(), Problem> {
    let actor = actor(holder, request_id);
    write(state, &holder.tenant, actor, action).await
}

/// A failure that cannot be written down is logged, and no reason to fail otherwise.
async fn note_failure(state: &HttpState, refusal: &KeyRefusal, request_id: Option<String>) {
    tracing::warn!(%refusal, "a sign-in failed");
    if !state.entrance.notes_failure() {
        return;
    }
    let key = refusal.key();
    let actor = Actor {
        key_id: key.map(|key| key.id.clone()),
        request_id,
        ..Actor::named(key.map_or("unknown", |key| &key.label))
    };
    let tenant = key.map(|key| key.tenant.clone()).unwrap_or_default();
    if let Err(problem) = write(state, &tenant, actor, AuditAction::SignInFailed).await {
        tracing::error!(
            cause = problem.cause,
            "a failed sign-in was not written down"
        );
    }
}

async fn write(
    state: &HttpState,
    tenant: &TenantName,
    actor: Actor,
    action: AuditAction,
) -> Result<(), Problem> {
    let workers = state.tenants.workers(tenant).await?;
    let write = workers.run(super::super::workers::Lane::Writes, move |engine| {
        let entry = || engine.store().audit(action, "console", None);
        Ok(acting_as(actor, entry)?)
    });
    write.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{KeyId, Role};

    #[test]
    fn wishes_lead_nowhere_else() {
        let holder = |role, brands: &[&str]| Holder {
            tenant: TenantName::default(),
            role,
            who: "ann".to_owned(),
            key_id: Some(KeyId::of_bytes([0; 6])),
            brands: brands.iter().map(|&b| b.to_owned()).collect(),
            last_used_at: None,
        };
        let ann = holder(Role::Reviewer, &[]);
        assert_eq!(
            destination("/review?status=all", &ann),
            "/review?status=all"
        );
        for next in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\r\nx",
        ] {
            assert_eq!(destination(next, &ann), "/", "{next}");
        }
        assert_eq!(destination("", &holder(Role::Screener, &[])), "/try");
        assert_eq!(destination("", &holder(Role::Owner, &["Acme"])), "/");
    }
}
