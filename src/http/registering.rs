//! Taking assets and pictures in.

use axum::Json;
use axum::extract::{Path, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::access::{BrandScope, Caller};
use super::ids::asset_id;
use super::openapi::{
    AssetBody, AssetForm, BinaryBody, EXAMPLE_PICTURE, IdempotencyKey, PictureForm,
};
use super::problem::{Problem, ProblemKind};
use super::screening::{MAX_VALUES, check_values};
use super::uploads::{
    FormFields, JsonPicture, Offered, Sent, Upload, decode_all, invalid, parse_json, receive,
};
use super::workers::Lane;
use crate::domain::{Asset, AssetDraft, AssetId, AssetKind};
use crate::engine::{Engine, EngineError};
use crate::imaging::{self, DecodeLimits};
use crate::store::Registered;

const ASSET_FIELDS: FormFields = FormFields {
    file: "picture",
    url: None,
    texts: &["asset"],
};
const PICTURE_FIELDS: FormFields = FormFields {
    file: "picture",
    url: None,
    texts: &[],
};

/// What became of a registration.
#[derive(Serialize, ToSchema)]
pub(super) struct RegisteredAnswer {
    pub asset: Asset,
    #[serde(flatten)]
    pub registered: Registered,
}

impl IntoResponse for RegisteredAnswer {
    /// 201 when something is new, 200 when all of it was there.
    fn into_response(self) -> Response {
        let is_new = self.registered.created || !self.registered.added.is_empty();
        let status = if is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let location = HeaderValue::from_str(&format!("/v1/assets/{}", self.asset.id))
            .expect("digits are a header value");
        (status, [(header::LOCATION, location)], Json(self)).into_response()
    }
}

/// Registers an asset with its pictures, all of it or nothing.
///
/// An asset that its brand has under that name is added to. Searchable when this is answered.
#[utoipa::path(
    post, path = "/v1/assets", tag = "registry", params(IdempotencyKey),
    request_body(content(
        (AssetBody = "application/json", example = json!({
            "brand": "Acme", "name": "Star", "kind": "logo",
            "pictures": [{ "name": "star.png", "base64": EXAMPLE_PICTURE }]
        })),
        (AssetForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "Something of it is new", body = RegisteredAnswer,
            headers(("Location" = String))),
        (status = 200, description = "All of it was there", body = RegisteredAnswer,
            headers(("Location" = String))),
    ),
)]
pub(super) async fn register(
    caller: Caller,
    request: Request,
) -> Result<RegisteredAnswer, Problem> {
    let scope = caller.scope.clone();
    let sent = receive(request, &ASSET_FIELDS).await?;
    let work = caller.run(Lane::Pictures, move |engine| {
        let (draft, pictures) = read_asset(sent)?;
        take_in(engine, &scope, draft, pictures)
    });
    work.await
}

/// Registers further pictures of an asset, all of them or none.
#[utoipa::path(
    post, path = "/v1/assets/{id}/images", tag = "registry",
    params(("id" = i64, Path, minimum = 1, example = 1), IdempotencyKey),
    request_body(content(
        (PicturesBody = "application/json", example = json!({
            "pictures": [{ "name": "star.png", "base64": EXAMPLE_PICTURE }]
        })),
        (PictureForm = "multipart/form-data"),
        (BinaryBody = "image/*"),
    )),
    responses(
        (status = 201, description = "Some of them are new", body = RegisteredAnswer),
        (status = 200, description = "All of them were there", body = RegisteredAnswer),
    ),
)]
pub(super) async fn add_pictures(
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<RegisteredAnswer, Problem> {
    let (id, scope) = (asset_id(&id)?, caller.scope.clone());
    let sent = receive(request, &PICTURE_FIELDS).await?;
    let work = caller.run(Lane::Pictures, move |engine| {
        let known = scope.asset(engine, id)?.draft;
        // Nothing but what finds it again: the rest stays as it is, whoever changes it meanwhile.
        let draft = AssetDraft::new(known.brand, known.name, known.kind);
        take_in(engine, &scope, draft, read_pictures(sent)?)
    });
    work.await
}

fn read_asset(sent: Sent) -> Result<(AssetDraft, Vec<Upload>), Problem> {
    match sent {
        Sent::Form(mut form) => {
            let draft = form.texts.remove("asset").ok_or_else(|| {
                invalid("the form has no field \"asset\" with the asset's description as JSON")
            })?;
            Ok((read_draft(parse_json(draft.as_bytes())?)?, form.files()))
        }
        Sent::Json(text) => {
            check_values(&text, 0, MAX_VALUES)?;
            let mut fields: Map<String, Value> = parse_json(&text)?;
            let pictures = match fields.remove("pictures") {
                Some(pictures) => serde_json::from_value(pictures)
                    .map_err(|error| invalid(format!("pictures: {error}")))?,
                None => Vec::new(),
            };
            Ok((read_draft(fields)?, files_of(pictures)?))
        }
        Sent::Raw(_) => Err(Problem::new(
            ProblemKind::UnsupportedMediaType,
            "a bare picture does not say whose it is: send multipart/form-data or application/json",
        )),
    }
}

fn read_draft(fields: Map<String, Value>) -> Result<AssetDraft, Problem> {
    // A misspelt date or seller list must not be dropped in silence.
    let known = serde_json::to_value(AssetDraft::new("", "", AssetKind::Logo))
        .expect("a draft is a JSON object");
    if let Some(unknown) = fields.keys().find(|key| known.get(key.as_str()).is_none()) {
        return Err(invalid(format!("unknown field {unknown:?} of an asset")));
    }
    let draft: AssetDraft = serde_json::from_value(Value::Object(fields))
        .map_err(|error| invalid(format!("asset: {error}")))?;
    draft.checked().map_err(|error| invalid(error.to_string()))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PicturesBody {
    pictures: Vec<JsonPicture>,
}

fn read_pictures(sent: Sent) -> Result<Vec<Upload>, Problem> {
    match sent {
        Sent::Form(mut form) => Ok(form.files()),
        Sent::Json(text) => {
            check_values(&text, 0, MAX_VALUES)?;
            files_of(parse_json::<PicturesBody>(&text)?.pictures)
        }
        Sent::Raw(bytes) => Ok(vec![Upload::unnamed(bytes.into())]),
    }
}

/// Pictures of assets come along: what is registered is kept for good, and must be what the client saw.
fn files_of(pictures: Vec<JsonPicture>) -> Result<Vec<Upload>, Problem> {
    let offered = decode_all(pictures)?;
    offered.into_iter().map(Offered::here).collect()
}

/// Registers `pictures` under `draft`, all of them or nothing; tells of other assets with the same
/// picture as far as they are seen.
pub(super) fn take_in(
    engine: &Engine,
    scope: &BrandScope,
    draft: AssetDraft,
    pictures: Vec<Upload>,
) -> Result<RegisteredAnswer, Problem> {
    if pictures.is_empty() {
        return Err(invalid(
            "an asset without a picture is never found: send at least one picture",
        ));
    }
    scope.check_brand(&draft.brand)?;
    let pictures: Vec<(String, Vec<u8>)> =
        pictures.into_iter().map(|p| (p.name, p.bytes)).collect();
    let mut registered = match engine.register(draft, &pictures) {
        Ok(registered) => registered,
        Err(error) if error.is_bad_input() => return Err(blame(&pictures, error)),
        Err(error) => return Err(error.into()),
    };
    let is_seen = |asset: AssetId| scope.asset(engine, asset).is_ok();
    registered
        .same_picture_elsewhere
        .retain(|(asset, _)| is_seen(*asset));
    Ok(RegisteredAnswer {
        asset: engine.store().asset(registered.asset_id)?,
        registered,
    })
}

/// Names the picture that is to blame: the engine stops at the first it meets, and does not say which.
fn blame(pictures: &[(String, Vec<u8>)], error: EngineError) -> Problem {
    let first = pictures.iter().find_map(|(name, bytes)| {
        let problem = check(bytes).err()?;
        Some(problem.about(name))
    });
    first.unwrap_or_else(|| error.into())
}

fn check(bytes: &[u8]) -> Result<(), Problem> {
    let picture = imaging::decode_reference(bytes, &DecodeLimits::default())?;
    if imaging::is_uniform(&picture.on_natural_ground().pixels) {
        return Err(EngineError::BlankReference.into());
    }
    Ok(())
}
