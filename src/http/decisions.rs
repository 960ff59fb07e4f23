//! What people say of findings.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};

use super::HttpState;
use super::findings::finding_id;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionBody {
    decision: Opinion,
    reason: Option<String>,
    decided_by: Option<String>,
    #[serde(default)]
    scope: DecisionScope,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UndoQuery {
    decided_by: Option<String>,
    #[serde(default)]
    scope: DecisionScope,
}

/// What a decision changed.
#[derive(Serialize)]
pub(super) struct Decided {
    /// The finding as it stands now.
    finding: FindingRecord,
    /// The findings that were decided on, or whose decision was taken back.
    changed: Vec<FindingId>,
}

/// `POST /v1/findings/{id}/decision`.
pub(super) async fn decide(
    State(state): State<Arc<HttpState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Decided>, Problem> {
    let id = finding_id(&id)?;
    let body: DecisionBody = receive_json(request).await?;
    let decision = NewDecision {
        opinion: body.decision,
        reason: text("reason", body.reason, MAX_REASON_CHARS)?,
        decided_by: person(body.decided_by)?,
    };
    let write = state.workers.run(Lane::Writes, move |engine| {
        let changed = engine.store().decide(id, &decision, body.scope)?;
        let finding = engine.store().finding(id)?;
        Ok(Decided { finding, changed })
    });
    write.await.map(Json)
}

/// `DELETE /v1/findings/{id}/decision`: takes back the decision that holds; what was said before
/// holds again, and the history keeps both.
pub(super) async fn undo(
    State(state): State<Arc<HttpState>>,
    Path(id): Path<String>,
    Query(query): Query<UndoQuery>,
) -> Result<Json<Decided>, Problem> {
    let id = finding_id(&id)?;
    let decided_by = person(query.decided_by)?;
    let write = state.workers.run(Lane::Writes, move |engine| {
        let changed = engine.store().undo(id, &decided_by, query.scope)?;
        let finding = engine.store().finding(id)?;
        Ok(Decided { finding, changed })
    });
    write.await.map(Json)
}

fn person(name: Option<String>) -> Result<String, Problem> {
    let name = text("decided_by", name, MAX_NAME_CHARS)?;
    Ok(name.unwrap_or_else(|| NOBODY.to_owned()))
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
