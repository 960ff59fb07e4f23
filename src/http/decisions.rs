//! What people say of findings.

use axum::Json;
use axum::extract::{Path, Query, Request};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::ids::finding_id;
use super::openapi::ProblemBody;
use super::problem::Problem;
use super::uploads::{invalid, receive_json};
use super::workers::Lane;
use crate::domain::{FindingId, Opinion};
use crate::store::{DecisionScope, FindingRecord, NewDecision};

/// Longest reason, characters.
const MAX_REASON_CHARS: usize = 1000;
/// Longest name of a person, characters.
const MAX_NAME_CHARS: usize = 200;
/// Who decides, when the client does not say.
const NOBODY: &str = "anonymous";

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    decision: Opinion,
    reason: Option<String>,
    decided_by: Option<String>,
    #[serde(default)]
    scope: DecisionScope,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UndoQuery {
    decided_by: Option<String>,
    #[serde(default)]
    scope: DecisionScope,
}

/// What a decision changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Decided {
    /// The finding as it stands now.
    finding: FindingRecord,
    /// The findings that were decided on, or whose decision was taken back.
    changed: Vec<FindingId>,
}

/// Says what a person thinks of a finding.
///
/// A later decision takes the place of an earlier one. A rejection also spares people the undecided
/// findings of the same asset on nearly the same photo; `scope: cluster` decides on those too.
#[utoipa::path(
    post, path = "/v1/findings/{id}/decision", tag = "findings",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    request_body(content = DecisionBody, example = json!({
        "decision": "rejected", "reason": "a generic star", "decided_by": "ann", "scope": "finding"
    })),
    responses((status = 200, description = "What it changed", body = Decided)),
)]
pub(super) async fn decide(
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Decided>, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let body: DecisionBody = receive_json(request).await?;
    let decision = NewDecision {
        opinion: body.decision,
        reason: reason(body.reason)?,
        decided_by: person(&caller, body.decided_by)?,
    };
    let write = caller.run(Lane::Writes, move |engine| {
        scope.finding(engine, id)?;
        let changed = engine.store().decide(id, &decision, body.scope)?;
        let finding = scope.finding(engine, id)?;
        Ok(Decided { finding, changed })
    });
    write.await.map(Json)
}

/// Takes back the decision that holds of a finding.
///
/// What was said before holds again, and the history keeps both. `scope=cluster` takes back all that
/// were made in the same call.
#[utoipa::path(
    delete, path = "/v1/findings/{id}/decision", tag = "findings",
    params(("id" = i64, Path, minimum = 1, example = 1), UndoQuery),
    responses(
        (status = 200, description = "What it changed", body = Decided),
        (status = 409, description = "Nobody has decided on it", body = ProblemBody,
            content_type = "application/problem+json"),
    ),
)]
pub(super) async fn undo(
    caller: Caller,
    Path(id): Path<String>,
    Query(query): Query<UndoQuery>,
) -> Result<Json<Decided>, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let decided_by = person(&caller, query.decided_by)?;
    let write = caller.run(Lane::Writes, move |engine| {
        scope.finding(engine, id)?;
        let changed = engine.store().undo(id, &decided_by, query.scope)?;
        let finding = scope.finding(engine, id)?;
        Ok(Decided { finding, changed })
    });
    write.await.map(Json)
}

/// A reason as it is kept, checked.
pub(super) fn reason(given: Option<String>) -> Result<Option<String>, Problem> {
    text("reason", given, MAX_REASON_CHARS)
}

/// Who decides: whoever the client names, and always the key that says so.
fn person(caller: &Caller, name: Option<String>) -> Result<String, Problem> {
    let name = text("decided_by", name, MAX_NAME_CHARS)?;
    Ok(match (name, caller.is_open) {
        (Some(name), true) => name,
        (Some(name), false) => format!("{name}, by {}", caller.name_or(NOBODY)),
        (None, _) => caller.name_or(NOBODY),
    })
}

fn text(field: &str, text: Option<String>, limit: usize) -> Result<Option<String>, Problem> {
    let text = text.map(|text| text.trim().to_owned());
    let text = text.filter(|text| !text.is_empty());
    match text.as_ref().map(|text| text.chars().count()) {
        Some(actual) if actual > limit => Err(invalid(format!(
            "{field} has {actual} characters, at most {limit} are kept"
        ))),
        _ => Ok(text),
    }
}
