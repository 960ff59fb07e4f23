//! The audit log over HTTP.

use axum::Json;
use axum::extract::Query;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::paging::{cut, page_length, with_one_more};
use super::problem::Problem;
use super::workers::Lane;
use crate::domain::AuditAction;
use crate::store::{AuditEntry, AuditPage};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Only what was done so.
    action: Option<AuditAction>,
    /// `next` of the page before.
    after: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntries {
    pub entries: Vec<AuditEntry>,
    /// What to ask for as `after`; `null` on the last page.
    pub next: Option<i64>,
}

/// A page of what was done in the tenant, newest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "access", params(AuditQuery),
    responses((status = 200, description = "A page", body = AuditEntries)),
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditEntries>, Problem> {
    let limit = page_length(query.limit)?;
    entries(&caller, query.action, query.after, limit)
        .await
        .map(Json)
}

/// A page of the caller's tenant's log.
pub(super) async fn entries(
    caller: &Caller,
    action: Option<AuditAction>,
    before: Option<i64>,
    limit: u32,
) -> Result<AuditEntries, Problem> {
    let page = AuditPage {
        before,
        action,
        limit: with_one_more(limit),
    };
    let read = caller.run(Lane::Reads, move |engine| {
        let mut entries = engine.store().audit_entries(&page)?;
        let next = cut(&mut entries, limit, |last| last.id);
        Ok(AuditEntries { entries, next })
    });
    read.await
}
