//! Who is let in: every request to a route passes [`enter`], which finds its line in the table of
//! [`rules`], knows the caller by key or session, and hands them to the handler as a [`Caller`].

mod caller;
mod entrance;
mod presented;
mod rate;
mod rules;
mod scope;
mod tenants;

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::HttpState;
use super::console::{as_page, wants_page};
use super::problem::{Problem, ProblemKind};
use super::track::RequestId;
use crate::domain::{Actor, Role, TenantName};
use crate::store::Holder;
use presented::Presented;
use rules::{Rule, Who, methods_of, rule_for};
use scope::Scope;

pub(super) use caller::Caller;
pub use entrance::{Entrance, EntranceSettings};
pub(super) use presented::{session_cookie, session_ended, session_token};
pub use rate::KeyRate;
pub use rules::{Bound, RULES, Rule as AccessRule, Who as AccessWho};
pub(super) use scope::Scope as BrandScope;
pub(super) use tenants::Tenants;

/// Lets a request through to its handler, with its caller; or refuses it. Addresses that are no route
/// pass: there is nothing behind them.
pub(super) async fn enter(
    State(state): State<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    if let Some(path) = head.extensions.get::<MatchedPath>().cloned() {
        match admit(&state, &head, path.as_str()).await {
            Ok(Some(caller)) => {
                head.extensions.insert(caller);
            }
            Ok(None) => {}
            Err(refusal) => return refused(refusal, &head, path.as_str()).await,
        }
    }
    next.run(Request::from_parts(head, body)).await
}

/// `None` where nobody is asked who they are.
async fn admit(
    state: &Arc<HttpState>,
    head: &Parts,
    path: &str,
) -> Result<Option<Caller>, Problem> {
    let Some(rule) = rule_for(head.method.as_str(), path) else {
        return Err(without_line(&head.method, path));
    };
    if rule.who == Who::Anyone {
        return Ok(None);
    }
    let entrance = &state.entrance;
    let presented = Presented::of(&head.headers, entrance.behind_tls())?;
    let caller = match (&presented, entrance.is_open()) {
        (Presented::Nothing | Presented::Session(_), true) => anyone(state, head),
        (Presented::Nothing, false) => return Err(no_key("a key is needed")),
        _ => {
            check_crossing(&presented, head)?;
            known(state, head, &presented).await?
        }
    };
    check_role(rule, &caller)?;
    Ok(Some(caller))
}

/// On an open server whoever has no key is an operator of the default tenant.
fn anyone(state: &HttpState, head: &Parts) -> Caller {
    Caller {
        tenant: TenantName::default(),
        role: Role::Operator,
        scope: Scope::default(),
        is_open: true,
        actor: Actor {
            role: Some(Role::Operator),
            request_id: request_id(&head.extensions),
            ..Actor::named("anyone")
        },
        workers: state.tenants.default_workers(),
    }
}

async fn known(
    state: &Arc<HttpState>,
    head: &Parts,
    presented: &Presented,
) -> Result<Caller, Problem> {
    let entrance = &state.entrance;
    let checked = entrance.holder(presented).await?;
    let holder = checked.map_err(|refusal| {
        if let Some(key) = refusal.key() {
            tracing::info!(key = %key.id, tenant = %key.tenant, %refusal, "a key was refused");
        }
        no_key(refusal.to_string())
    })?;
    entrance.check_rate(&holder)?;
    entrance.note_use(&holder);
    let workers = state.tenants.workers(&holder.tenant).await?;
    Ok(Caller {
        role: holder.role,
        scope: Scope::of(holder.brands.clone()),
        is_open: false,
        actor: actor(&holder, request_id(&head.extensions)),
        tenant: holder.tenant,
        workers,
    })
}

/// A holder as the audit log names them.
pub(super) fn actor(holder: &Holder, request_id: Option<String>) -> Actor {
    Actor {
        who: holder.who.clone(),
        role: Some(holder.role),
        key_id: holder.key_id.clone(),
        request_id,
    }
}

/// The id under which the request is logged.
pub(super) fn request_id(extensions: &Extensions) -> Option<String> {
    let id = extensions.get::<RequestId>();
    id.map(|id| id.0.clone())
}

/// A browser sends its cookie along whichever page asked. The guard has refused other sites' pages
/// by what the browser says of them; here one that says nothing is refused too.
fn check_crossing(presented: &Presented, head: &Parts) -> Result<(), Problem> {
    let changes = !matches!(head.method, Method::GET | Method::HEAD);
    let says = |name: &str| head.headers.contains_key(name);
    if matches!(presented, Presented::Session(_))
        && changes
        && !says("origin")
        && !says("sec-fetch-site")
    {
        return Err(Problem::new(
            ProblemKind::ForeignOrigin,
            "a signed-in browser must say which page a change comes from: send Origin, or use a key",
        ));
    }
    Ok(())
}

fn check_role(rule: &Rule, caller: &Caller) -> Result<(), Problem> {
    if rule.admits(caller.role, caller.scope.is_bound()) {
        return Ok(());
    }
    let detail = if rule.admits(caller.role, false) {
        "a key that is bound to brands may not ask for this: it tells of others too".to_owned()
    } else {
        format!("this is not for the role {}", caller.role)
    };
    Err(Problem::new(ProblemKind::NotAllowed, detail))
}

fn without_line(method: &Method, path: &str) -> Problem {
    let methods = methods_of(path);
    if methods.is_empty() {
        tracing::error!(%method, path, "a route without a line in the access table");
        return Problem::new(ProblemKind::NotAllowed, "nobody may ask for this");
    }
    Problem {
        allow: Some(methods),
        ..Problem::new(
            ProblemKind::MethodNotAllowed,
            format!("{method} does not fit {path}"),
        )
    }
}

fn no_key(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::NoKey, detail)
}

/// The refusal as whoever asks can read it: people are led to the page where they sign in.
async fn refused(problem: Problem, head: &Parts, path: &str) -> Response {
    let is_page = !path.starts_with("/v1/") && wants_page(&head.headers);
    if !is_page {
        return problem.into_response();
    }
    if problem.kind == ProblemKind::NoKey && head.method == Method::GET {
        let wanted = head.uri.path_and_query();
        let wanted = wanted.map_or("/", |address| address.as_str());
        let query = serde_urlencoded::to_string([("next", wanted)]).unwrap_or_default();
        return Redirect::to(&format!("/sign-in?{query}")).into_response();
    }
    let id = request_id(&head.extensions).unwrap_or_default();
    as_page(problem.into_response(), &id, None).await
}

/// What asks for a key, for programs.
pub(super) const CHALLENGE: (header::HeaderName, HeaderValue) = (
    header::WWW_AUTHENTICATE,
    HeaderValue::from_static("Bearer realm=\"touchstone\""),
);

/// The one value of a header; an error when there are several.
fn sole<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(value.to_str().unwrap_or_default())),
        (Some(_), Some(_)) => Err(Problem::new(
            ProblemKind::Malformed,
            format!("there are several {name} headers: send one"),
        )),
    }
}
