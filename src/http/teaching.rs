//! What decisions teach: confirmed findings as pictures of their assets, promises to brands, and what was
//! learnt of each brand.

use axum::Json;
use axum::extract::{Path, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::{BrandScope, Caller};
use super::ids::{brand_id, finding_id};
use super::openapi::ProblemBody;
use super::problem::Problem;
use super::uploads::receive_json;
use super::workers::Lane;
use crate::domain::{AssetId, Brand, BrandId, FindingId, PictureId};
use crate::engine::{BrandTeaching, Engine};
use crate::store::Taught;

/// The picture of an asset that a confirmed finding became.
#[derive(Serialize, ToSchema)]
pub(super) struct Exemplar {
    asset_id: AssetId,
    picture: PictureId,
}

/// Makes a confirmed finding a picture of its asset: the part of the photo that it is about. Photos are
/// compared with it from now on, and those seen earlier in the background.
///
/// The photo must have been kept. The picture goes when the decision is taken back.
#[utoipa::path(
    put, path = "/v1/findings/{id}/exemplar", tag = "findings",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses(
        (status = 201, description = "The picture is made", body = Exemplar),
        (status = 200, description = "It was there already", body = Exemplar),
        (status = 409, description = "It is not confirmed, its photo was not kept, or the asset has as many as it may",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add_exemplar(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (asset_id, taught) = make_exemplar(&caller, finding_id(&id)?).await?;
    let status = if taught.is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let exemplar = Exemplar {
        asset_id,
        picture: taught.picture,
    };
    Ok((status, Json(exemplar)).into_response())
}

/// Makes a picture of the asset that a finding is of, if the caller sees it.
pub(super) async fn make_exemplar(
    caller: &Caller,
    id: FindingId,
) -> Result<(AssetId, Taught), Problem> {
    let scope = caller.scope.clone();
    let write = caller.run(Lane::Pictures, move |engine| {
        let asset_id = scope.finding(engine, id)?.finding.asset_id;
        Ok((asset_id, engine.add_exemplar(id)?))
    });
    write.await
}

/// Removes the picture that a finding became; the decision stays.
#[utoipa::path(
    delete, path = "/v1/findings/{id}/exemplar", tag = "findings",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 204, description = "It is removed, or there was none")),
)]
pub(super) async fn remove_exemplar(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let dropped = drop_exemplar(&caller, finding_id(&id)?);
    dropped.await.map(|()| StatusCode::NO_CONTENT)
}

/// Removes the picture that a finding became, if the caller sees the finding and there is one.
pub(super) async fn drop_exemplar(caller: &Caller, id: FindingId) -> Result<(), Problem> {
    let scope = caller.scope.clone();
    let write = caller.run(Lane::Writes, move |engine| {
        if let Some(picture) = scope.finding(engine, id)?.exemplar {
            engine.store().remove_picture(picture)?;
        }
        Ok(engine.refresh()?)
    });
    write.await
}

/// A brand with what people's decisions on its findings have taught.
#[derive(Serialize, ToSchema)]
pub(super) struct BrandDetail {
    #[serde(flatten)]
    brand: Brand,
    teaching: BrandTeaching,
}

/// One brand, with what people's decisions on its findings have taught.
#[utoipa::path(
    get, path = "/v1/brands/{id}", tag = "registry",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 200, description = "The brand", body = BrandDetail)),
)]
pub(super) async fn brand(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<BrandDetail>, Problem> {
    let (id, scope) = (brand_id(&id)?, caller.scope.clone());
    let read = caller.run(Lane::Reads, move |engine| detail(engine, &scope, id));
    read.await.map(Json)
}

fn detail(engine: &Engine, scope: &BrandScope, id: BrandId) -> Result<BrandDetail, Problem> {
    let brand = scope.brand(engine, id)?;
    engine.refresh()?;
    let lessons = engine.lessons();
    let teaching = lessons.brands().get(&brand.name).cloned();
    Ok(BrandDetail {
        teaching: teaching.unwrap_or_default(),
        brand,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PromiseBody {
    /// The share of flagged findings that is to be right, at least.
    #[schema(minimum = 0.5, maximum = 0.999)]
    precision: f64,
}

/// Promises a brand how often its flagged findings are right.
///
/// Its findings are then flagged from the lowest probability from which decisions bear that out (with 90 %
/// confidence, after Clopper and Pearson), whatever `flag_at` the server has; the others are for review. Of a brand with too
/// few decisions nothing is flagged.
#[utoipa::path(
    put, path = "/v1/brands/{id}/promise", tag = "registry",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    request_body(content = PromiseBody, example = json!({ "precision": 0.95 })),
    responses((status = 200, description = "The brand", body = BrandDetail)),
)]
pub(super) async fn promise(
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<BrandDetail>, Problem> {
    let id = brand_id(&id)?;
    let body: PromiseBody = receive_json(request).await?;
    set_promise(&caller, id, Some(body.precision))
        .await
        .map(Json)
}

/// Takes a promise back: the server's thresholds hold again.
#[utoipa::path(
    delete, path = "/v1/brands/{id}/promise", tag = "registry",
    params(("id" = i64, Path, minimum = 1, example = 1)),
    responses((status = 200, description = "The brand", body = BrandDetail)),
)]
pub(super) async fn take_promise_back(
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<BrandDetail>, Problem> {
    set_promise(&caller, brand_id(&id)?, None).await.map(Json)
}

/// Writes down a promise, or that there is none.
pub(super) async fn set_promise(
    caller: &Caller,
    id: BrandId,
    precision: Option<f64>,
) -> Result<BrandDetail, Problem> {
    let scope = caller.scope.clone();
    let write = caller.run(Lane::Writes, move |engine| {
        let brand = scope.brand(engine, id)?;
        engine.store().set_promise(&brand.name, precision)?;
        detail(engine, &scope, id)
    });
    write.await
}
