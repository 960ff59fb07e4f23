//! Who asks, and the room they work in: their tenant's engine, their brands, their name on what they
//! do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::super::problem::{Problem, ProblemKind};
use super::super::workers::{Lane, Workers};
use super::rules::rule_for;
use super::scope::Scope;
use crate::domain::{Actor, Role, TenantName};
use crate::engine::Engine;
use crate::store::acting_as;

/// Who asks. Handlers reach engine and records through this alone, so that none can reach another
/// tenant's.
#[derive(Clone)]
pub(in crate::http) struct Caller {
    /// Whose data.
    pub tenant: TenantName,
    /// What may be done.
    pub role: Role,
    /// Of which brands.
    pub scope: Scope,
    /// Whether nobody is asked for a key here.
    pub is_open: bool,
    pub(super) actor: Actor,
    pub(super) workers: Arc<Workers>,
}

impl Caller {
    /// Runs `job` in the caller's tenant and name when its lane has room; see [`Workers::run`].
    pub async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        job: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let actor = self.actor.clone();
        self.workers
            .run(lane, move |engine| acting_as(actor, || job(engine)))
            .await
    }

    /// The tenant's engine, for work that outlives its request.
    pub fn engine(&self) -> Arc<Engine> {
        self.workers.engine()
    }

    /// What the caller is called; `otherwise` where nobody needs a name.
    pub fn name_or(&self, otherwise: &str) -> String {
        if self.is_open {
            otherwise.to_owned()
        } else {
            self.actor.who.clone()
        }
    }

    /// What the caller is called in the audit log.
    pub fn who(&self) -> &str {
        &self.actor.who
    }

    /// Whose idempotency keys these are: nobody gets an answer that was another's.
    pub fn memory(&self) -> String {
        match (&self.actor.key_id, self.is_open) {
            (Some(key), _) => key.to_string(),
            (None, true) => String::new(),
            (None, false) => self.actor.who.clone(),
        }
    }

    /// Whether the caller may ask for a route, by the table.
    pub fn may(&self, method: &str, path: &str) -> bool {
        rule_for(method, path).is_some_and(|rule| rule.admits(self.role, self.scope.is_bound()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route that the table does not open to anyone has one.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::internal(ProblemKind::Internal))
    }
}
