//! Brands and assets: listing, showing, switching on and off, removing.

use axum::Json;
use axum::extract::{Path, Query, Request};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::etags::{check_match, tagged, tagged_unless_known};
use super::ids::asset_id;
use super::paging::{cut, page_length, with_one_more};
use super::problem::Problem;
use super::uploads::receive_json;
use super::workers::Lane;
use crate::domain::{Asset, AssetId, AssetKind, Brand};
use crate::store::AssetFilter;

#[derive(Serialize, ToSchema)]
pub(super) struct Brands {
    brands: Vec<Brand>,
}

/// All brands, by name.
#[utoipa::path(
    get, path = "/v1/brands", tag = "registry",
    responses((status = 200, description = "The brands", body = Brands,
        example = json!({ "brands": [{ "id": 1, "name": "Acme", "n_assets": 3 }] }))),
)]
pub(super) async fn brands(caller: Caller) -> Result<Json<Brands>, Problem> {
    let scope = caller.scope.clone();
    let read = caller.run(Lane::Reads, move |engine| {
        Ok(Brands {
            brands: scope.seen_brands(engine.store())?,
        })
    });
    read.await.map(Json)
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AssetQuery {
    brand: Option<String>,
    kind: Option<AssetKind>,
    enabled: Option<bool>,
    /// Part of the name.
    name: Option<String>,
    /// `next` of the page before.
    after: Option<AssetId>,
    limit: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AssetPage {
    assets: Vec<Asset>,
    /// What to ask for as `after`; `null` on the last page.
    next: Option<AssetId>,
}

/// A page of the assets that pass the filters, oldest first.
#[utoipa::path(
    get, path = "/v1/assets", tag = "registry", params(AssetQuery),
    responses((status = 200, description = "A page", body = AssetPage)),
)]
pub(super) async fn list(
    caller: Caller,
    Query(query): Query<AssetQuery>,
) -> Result<Json<AssetPage>, Problem> {
    let limit = page_length(query.limit)?;
    let filter = AssetFilter {
        brand: query.brand,
        brands: caller.scope.brands(),
        kind: query.kind,
        enabled: query.enabled,
        name_contains: query.name,
        after: query.after,
        limit: Some(with_one_more(limit)),
    };
    let read = caller.run(Lane::Reads, move |engine| {
        let mut assets = engine.store().assets(&filter)?;
        let next = cut(&mut assets, limit, |last| last.id);
        Ok(AssetPage { assets, next })
    });
    read.await.map(Json)
}

/// One asset, with its version as `ETag`.
#[utoipa::path(
    get, path = "/v1/assets/{id}", tag = "registry",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("If-None-Match" = Option<String>, Header, description = "ETag of an earlier answer"),
    ),
    responses(
        (status = 200, description = "The asset", body = Asset, headers(("ETag" = String))),
        (status = 304, description = "It is the one of `If-None-Match`"),
    ),
)]
pub(super) async fn show(
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let read = caller.run(Lane::Reads, move |engine| scope.asset(engine, id));
    Ok(tagged_unless_known(&headers, &read.await?))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AssetChange {
    enabled: bool,
}

/// Takes an asset into matching or out of it, at once; with `If-Match` only if it is still at that
/// version.
#[utoipa::path(
    patch, path = "/v1/assets/{id}", tag = "registry",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("If-Match" = Option<String>, Header, description = "ETag of the version that was read"),
    ),
    request_body(content = AssetChange, example = json!({ "enabled": false })),
    responses((status = 200, description = "The asset", body = Asset, headers(("ETag" = String)))),
)]
pub(super) async fn change(
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let headers = request.headers().clone();
    let change: AssetChange = receive_json(request).await?;
    let write = caller.run(Lane::Writes, move |engine| {
        check_match(&headers, &scope.asset(engine, id)?)?;
        engine.store().set_enabled(id, change.enabled)?;
        engine.refresh()?;
        Ok(engine.store().asset(id)?)
    });
    write.await.map(|asset| tagged(&asset))
}

/// Removes an asset with its pictures, for good, at once; with `If-Match` only if it is still at that
/// version.
#[utoipa::path(
    delete, path = "/v1/assets/{id}", tag = "registry",
    params(
        ("id" = i64, Path, minimum = 1, example = 1),
        ("If-Match" = Option<String>, Header, description = "ETag of the version that was read"),
    ),
    responses((status = 204, description = "It is removed")),
)]
pub(super) async fn remove(
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let write = caller.run(Lane::Writes, move |engine| {
        check_match(&headers, &scope.asset(engine, id)?)?;
        engine.store().remove_asset(id)?;
        Ok(engine.refresh()?)
    });
    write.await.map(|()| StatusCode::NO_CONTENT)
}
