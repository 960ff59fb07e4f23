//! Listings that were kept.

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::paging::{cut, page_length, with_one_more};
use super::problem::Problem;
use super::workers::Lane;
use crate::store::ListingRecord;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListingQuery {
    /// `next` of the page before.
    after: Option<i64>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ListingPage {
    listings: Vec<ListingRecord>,
    /// What to ask for as `after`; `null` on the last page.
    next: Option<i64>,
}

/// A page of the listings whose fields were kept, the last one kept first.
#[utoipa::path(
    get, path = "/v1/listings", tag = "listings", params(ListingQuery),
    responses((status = 200, description = "A page", body = ListingPage)),
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<ListingQuery>,
) -> Result<Json<ListingPage>, Problem> {
    let limit = page_length(query.limit)?;
    let read = caller.run(Lane::Reads, move |engine| {
        let store = engine.store();
        let mut found = store.listings(query.after, with_one_more(limit))?;
        Ok(ListingPage {
            next: cut(&mut found, limit, |(place, _)| *place),
            listings: found.into_iter().map(|(_, listing)| listing).collect(),
        })
    });
    read.await.map(Json)
}

/// One listing, by the marketplace's id.
#[utoipa::path(
    get, path = "/v1/listings/{listing_id}", tag = "listings",
    params(("listing_id" = String, Path, example = "L1")),
    responses((status = 200, description = "The listing", body = ListingRecord)),
)]
pub(super) async fn show(
    caller: Caller,
    Path(listing_id): Path<String>,
) -> Result<Json<ListingRecord>, Problem> {
    let read = caller.run(Lane::Reads, move |engine| {
        Ok(engine.store().listing(&listing_id)?)
    });
    read.await.map(Json)
}

/// Forgets a listing, its seller, its photos, and the findings that nobody has decided on.
#[utoipa::path(
    delete, path = "/v1/listings/{listing_id}", tag = "listings",
    params(("listing_id" = String, Path, example = "L1")),
    responses((status = 204, description = "It is forgotten")),
)]
pub(super) async fn remove(
    caller: Caller,
    Path(listing_id): Path<String>,
) -> Result<StatusCode, Problem> {
    let write = caller.run(Lane::Writes, move |engine| {
        Ok(engine.store().remove_listing(&listing_id)?)
    });
    write.await.map(|()| StatusCode::NO_CONTENT)
}
