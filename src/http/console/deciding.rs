//! Decisions from the queue: what is said of a finding, and taking it back.

use axum::Form;
use axum::extract::Path;
use axum::response::Redirect;
use serde::Deserialize;

use super::super::access::Caller;
use super::super::decisions::reason;
use super::super::ids::finding_id;
use super::super::problem::Problem;
use super::super::teaching::{drop_exemplar, make_exemplar};
use super::super::workers::Lane;
use super::filters::Filters;
use crate::domain::{FindingId, Opinion};
use crate::store::{DecisionScope, NewDecision};

/// Who decides where nobody signs in.
const NOBODY: &str = "console";

#[derive(Deserialize)]
pub(super) struct Said {
    opinion: Opinion,
    #[serde(default)]
    reason: String,
    /// Checked: all undecided findings of the asset on nearly the same photo.
    #[serde(default)]
    repeats: String,
    #[serde(default)]
    filters: String,
    /// The finding that comes next; 0 for none.
    #[serde(default)]
    next: i64,
}

#[derive(Deserialize)]
pub(super) struct Back {
    #[serde(default)]
    filters: String,
}

/// `POST /review/{id}/decide`: leads to the next finding of the queue.
pub(super) async fn decide(
    caller: Caller,
    Path(id): Path<String>,
    Form(said): Form<Said>,
) -> Result<Redirect, Problem> {
    let (id, brands) = (finding_id(&id)?, caller.scope.clone());
    let decision = NewDecision {
        opinion: said.opinion,
        reason: reason(Some(said.reason))?,
        decided_by: caller.name_or(NOBODY),
    };
    let scope = if said.repeats.is_empty() {
        DecisionScope::Finding
    } else {
        DecisionScope::Cluster
    };
    let done = said.opinion.as_str();
    let write = caller.run(Lane::Writes, move |engine| {
        brands.finding(engine, id)?;
        let changed = engine.store().decide(id, &decision, scope)?;
        // Decided together with this one, it is no longer what comes next.
        let next = FindingId(said.next);
        let has_next = said.next > 0 && !changed.contains(&next);
        Ok((changed.len(), has_next.then_some(next)))
    });
    let (n, next) = write.await?;
    let path = next.map_or("/review".to_owned(), |next| format!("/review/{}", next.0));
    Ok(led_to(&path, &said.filters, done, id, n))
}

/// `POST /review/{id}/undo`: takes back what was said of the finding, and of those with it.
pub(super) async fn undo(
    caller: Caller,
    Path(id): Path<String>,
    Form(taken_back): Form<Back>,
) -> Result<Redirect, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let who = caller.name_or(NOBODY);
    let write = caller.run(Lane::Writes, move |engine| {
        scope.finding(engine, id)?;
        Ok(engine.store().undo(id, &who, DecisionScope::Cluster)?)
    });
    let n = write.await?.len();
    let path = format!("/review/{}", id.0);
    Ok(led_to(&path, &taken_back.filters, "undone", id, n))
}

/// `POST /review/{id}/exemplar`: makes it a picture of its asset.
pub(super) async fn learn(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Back>,
) -> Result<Redirect, Problem> {
    let id = finding_id(&id)?;
    make_exemplar(&caller, id).await?;
    let path = format!("/review/{}", id.0);
    Ok(led_to(&path, &form.filters, "learnt", id, 1))
}

/// `POST /review/{id}/exemplar/remove`.
pub(super) async fn unlearn(
    caller: Caller,
    Path(id): Path<String>,
    Form(form): Form<Back>,
) -> Result<Redirect, Problem> {
    let id = finding_id(&id)?;
    drop_exemplar(&caller, id).await?;
    let path = format!("/review/{}", id.0);
    Ok(led_to(&path, &form.filters, "unlearnt", id, 1))
}

/// `path` with the filters, which are read so that nothing else gets into the address.
fn led_to(path: &str, filters: &str, done: &str, id: FindingId, n: usize) -> Redirect {
    let address = Filters::read(filters).address(path);
    let mark = if address.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{address}{mark}done={done}&of={}&n={n}", id.0))
}
