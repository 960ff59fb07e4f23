//! Findings that were kept: lists of them, one of them, the photo they are about.

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::{BrandScope, Caller};
use super::ids::finding_id;
use super::images::{content_headers, is_known, tagged};
use super::paging::{cursor, cursor_text, cut, malformed, page_length, since, with_one_more};
use super::problem::{Problem, ProblemKind};
use super::workers::Lane;
use crate::domain::{AssetId, FindingKind, FindingStatus, PhotoId};
use crate::store::{Decision, FindingFilter, FindingOrder, FindingRecord};

/// Which findings, in the address.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FindingQuery {
    status: Option<FindingStatus>,
    brand: Option<String>,
    kind: Option<FindingKind>,
    asset_id: Option<AssetId>,
    min_probability: Option<f64>,
    /// Id or name.
    seller: Option<String>,
    listing_id: Option<String>,
    cluster: Option<PhotoId>,
    since: Option<String>,
    #[serde(default)]
    order: FindingOrder,
    /// `next` of the page before.
    after: Option<String>,
    limit: Option<u32>,
    /// Of an export only.
    pub(super) format: Option<super::export::ExportFormat>,
}

impl FindingQuery {
    /// The filter, of brands that are seen, without a limit.
    pub fn filter(self, scope: &BrandScope) -> Result<FindingFilter, Problem> {
        if let Some(p) = self.min_probability.filter(|p| !(0.0..=1.0).contains(p)) {
            let detail = format!("min_probability is {p}, it must lie within 0 and 1");
            return Err(malformed(detail));
        }
        Ok(FindingFilter {
            status: self.status,
            brand: self.brand,
            brands: scope.brands(),
            kind: self.kind,
            asset: self.asset_id,
            min_probability: self.min_probability,
            seller: self.seller,
            listing_id: self.listing_id,
            cluster: self.cluster,
            since: self.since.as_deref().map(since).transpose()?,
            order: self.order,
            after: self.after.as_deref().map(cursor).transpose()?,
            limit: None,
        })
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct FindingPage {
    findings: Vec<FindingRecord>,
    /// What to ask for as `after`; `null` on the last page.
    next: Option<String>,
}

/// A page of the findings that pass the filters, in the order asked for.
#[utoipa::path(
    get, path = "/v1/findings", tag = "findings", params(FindingQuery),
    responses((status = 200, description = "A page", body = FindingPage)),
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<FindingQuery>,
) -> Result<Json<FindingPage>, Problem> {
    if query.format.is_some() {
        return Err(malformed("format belongs to /v1/findings/export"));
    }
    let limit = page_length(query.limit)?;
    let scope = caller.scope.clone();
    let mut filter = query.filter(&scope)?;
    filter.limit = Some(with_one_more(limit));
    let read = caller.run(Lane::Reads, move |engine| {
        let mut findings = engine.store().findings(&filter)?;
        let next = cut(&mut findings, limit, |last| cursor_text(filter.order, last));
        Ok(FindingPage {
            next,
            findings: findings.into_iter().map(|f| scope.narrowed(f)).collect(),
        })
    });
    read.await.map(Json)
}

/// A finding with everything that was said of it.
#[derive(Serialize, ToSchema)]
pub(super) struct FindingDetail {
    #[serde(flatten)]
    finding: FindingRecord,
    /// Oldest first.
    decisions: Vec<Decision>,
}

/// One finding with everything that was said of it.
#[utoipa::path(
    get, path = "/v1/findings/{id}", tag = "findings",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 200, description = "The finding", body = FindingDetail)),
)]
pub(super) async fn show(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<FindingDetail>, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let read = caller.run(Lane::Reads, move |engine| {
        Ok(FindingDetail {
            finding: scope.finding(engine, id)?,
            decisions: engine.store().decisions_of(id)?,
        })
    });
    read.await.map(Json)
}

/// The photo that a finding is about: the file as it came, if it was kept.
#[utoipa::path(
    get, path = "/v1/findings/{id}/photo", tag = "findings",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "image/*", headers(("ETag" = String))),
        (status = 304, description = "It is the one of `If-None-Match`"),
    ),
)]
pub(super) async fn photo(
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, scope) = (finding_id(&id)?, caller.scope.clone());
    let read = caller.run(Lane::Reads, move |engine| {
        let sha256 = scope.finding(engine, id)?.photo.sha256;
        let bytes = engine.store().finding_photo(id)?;
        let bytes = bytes.ok_or_else(|| {
            let detail = format!("the photo of finding {} was not kept", id.0);
            Problem::new(ProblemKind::NotFound, detail)
        })?;
        Ok((format!("\"{sha256}\""), bytes))
    });
    let (tag, bytes) = read.await?;
    let response = if is_known(&headers, &tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        (content_headers(&bytes), bytes).into_response()
    };
    Ok(tagged(&tag, response))
}
