//! The API described for programs (OpenAPI 3.1, `/openapi.json`) and a page to browse and try it
//! (`/docs`). What is described is made from the handlers and their types; a test holds every route to
//! have a description.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, ResponseBuilder};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use super::export::ExportFormat;
use super::scans::ResultFormat;
use super::uploads::JsonPicture;
use super::{
    assets, audit, decisions, export, findings, health, images, keys, listings, matching,
    registering, scans, screening, teaching, telemetry, webhooks,
};
use crate::domain::{AssetDraft, Keep, PhotoVerdict, Seller};
use crate::store::{DecisionScope, FindingOrder};

/// A small chequered PNG, so that examples can be sent as they are.
pub(super) const EXAMPLE_PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAAAAAA6mKC9AAAAF0lEQVR42mN4BgUiUMAwQAIwBkxigAQAbO59AbV+I0YAAAAASUVORK5CYII=";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "touchstone",
        description = "Finds registered marks, products and pictures in the photos of listings. \
            Errors are `application/problem+json` (RFC 9457). A key goes into `Authorization: Bearer` or `X-API-Key`. Regions are in pixels of the upright \
            photo, probabilities calibrated, 0 to 1, times RFC 3339 UTC."
    ),
    tags(
        (name = "screening", description = "Photos and listings to check"),
        (name = "findings", description = "What was found, and what people say of it"),
        (name = "listings", description = "Listings that were kept"),
        (name = "scans", description = "Many listings at once, in the background"),
        (name = "registry", description = "Brands, assets, pictures"),
        (name = "access", description = "Keys, and who did what"),
        (name = "webhooks", description = "Other programs, told what happens"),
        (name = "operation", description = "Whether the server is well"),
    ),
    paths(
        matching::match_photos,
        screening::screen,
        findings::list,
        export::export,
        findings::show,
        findings::photo,
        decisions::decide,
        decisions::undo,
        teaching::add_exemplar,
        teaching::remove_exemplar,
        listings::list,
        listings::show,
        listings::remove,
        scans::list,
        scans::create,
        scans::show,
        scans::result,
        scans::remove,
        assets::brands,
        teaching::brand,
        teaching::promise,
        teaching::take_promise_back,
        assets::list,
        registering::register,
        assets::show,
        assets::change,
        assets::remove,
        images::list,
        registering::add_pictures,
        images::file,
        images::remove,
        keys::list,
        keys::create,
        keys::revoke,
        audit::list,
        webhooks::list,
        webhooks::create,
        webhooks::show,
        webhooks::change,
        webhooks::remove,
        webhooks::rotate,
        webhooks::deliveries,
        telemetry::show,
        health::alive,
        health::ready,
    ),
    // Those that only parameters name are not found by themselves.
    components(schemas(ProblemBody, DecisionScope, ExportFormat, FindingOrder, Keep, ResultFormat)),
    modifiers(&Problems, &KeyNeeded)
)]
struct Api;

/// The description of all routes.
pub fn document() -> Document {
    Api::openapi()
}

/// `/openapi.json` and the page at `/docs`, which needs no other site.
pub(super) fn pages<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document()))
        .layer(map_response(allow_own_scripts))
}

/// The page's own scripts and styles, and nothing from elsewhere.
async fn allow_own_scripts(mut response: Response) -> Response {
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
             frame-ancestors 'none'",
        ),
    );
    response
}

/// Says how keys are shown.
struct KeyNeeded;

impl Modify for KeyNeeded {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "key",
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
        );
        let none: [&str; 0] = [];
        document.security = Some(vec![SecurityRequirement::new("key", none)]);
    }
}

/// Adds to every operation that whatever else it answers is a problem.
struct Problems;

impl Modify for Problems {
    fn modify(&self, document: &mut Document) {
        let problem = ResponseBuilder::new()
            .description("What is wrong, in words and as a type for programs")
            .content(
                "application/problem+json",
                ContentBuilder::new()
                    .schema(Some(Ref::from_schema_name("ProblemBody")))
                    .build(),
            )
            .build();
        for item in document.paths.paths.values_mut() {
            let operations = [
                &mut item.get,
                &mut item.post,
                &mut item.patch,
                &mut item.delete,
                &mut item.put,
            ];
            for operation in operations.into_iter().flatten() {
                let responses = &mut operation.responses.responses;
                responses.insert("default".to_owned(), problem.clone().into());
            }
        }
    }
}

/// What is wrong with a request.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "urn:problem:touchstone:not-found", "title": "there is nothing here", "status": 404,
    "detail": "no asset has id 7", "request_id": "6610966-1"
}))]
pub(super) struct ProblemBody {
    /// For programs: `urn:problem:touchstone:` and a word.
    #[serde(rename = "type")]
    kind: String,
    /// The same in words.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong this time.
    detail: String,
    /// Name of the picture that is to blame.
    #[schema(required = false)]
    picture: Option<String>,
    /// Finds the request in the server's log.
    request_id: String,
}

/// A key of the client's choosing: the same request under the same key, within a day, is answered as
/// before and does nothing. 409 while the first is in progress, 422 for another request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes a header that a layer reads")]
pub(super) struct IdempotencyKey {
    /// 1 to 200 ASCII characters; a succeeded request's answer is given again for a day.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 200,
        required = false
    )]
    idempotency_key: Option<String>,
}

/// A picture's file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "describes a body")]
pub(super) struct BinaryBody(Vec<u8>);

/// The verdict on one photo, or on several in their order. With `keep`, findings also have `id`,
/// `status` and `seen_before`, as those of a screened listing.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes an answer that is written in parts")]
pub(super) enum MatchAnswers {
    One(PhotoVerdict),
    Several(Vec<PhotoVerdict>),
}

/// Photos, and who sells.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct PhotoForm {
    /// One file or several.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    photo: Vec<Vec<u8>>,
    /// Addresses of photos, among the files.
    #[schema(max_items = 64)]
    url: Option<Vec<String>>,
    seller_id: Option<String>,
    seller_name: Option<String>,
    seller_country: Option<String>,
}

/// A listing. Further fields are kept with it and come back.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct ListingBody {
    /// The marketplace's id; needed to keep the listing.
    listing_id: Option<String>,
    seller: Option<Seller>,
    /// Its photos, 1 to 64.
    #[schema(min_items = 1, max_items = 64)]
    photos: Vec<JsonPicture>,
    /// `url`, `title`, `marketplace`, `brand_claimed`, `price`, `currency`, `quantity`, and others.
    #[schema(additional_properties)]
    other: Map<String, Value>,
}

/// A listing with its photos as files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct ListingForm {
    /// The listing as JSON, without photos.
    listing: String,
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    photo: Vec<Vec<u8>>,
    /// Addresses of photos, among the files.
    #[schema(max_items = 64)]
    url: Option<Vec<String>>,
}

/// What is to be scanned, as a file whose name tells its form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct ScanForm {
    /// `.csv`, `.jsonl`, `.zip`, `.tar` or `.tar.gz`.
    #[schema(value_type = String, format = Binary)]
    source: Option<Vec<u8>>,
    /// Where it is instead, if the server fetches from addresses.
    source_url: Option<String>,
}

/// An asset with its pictures.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct AssetBody {
    #[serde(flatten)]
    draft: AssetDraft,
    #[schema(min_items = 1, max_items = 64)]
    pictures: Vec<JsonPicture>,
}

/// An asset with its pictures as files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct AssetForm {
    /// The asset as JSON, without pictures.
    asset: String,
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    picture: Vec<Vec<u8>>,
}

/// Pictures as files.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
pub(super) struct PictureForm {
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1, max_items = 64)]
    picture: Vec<Vec<u8>>,
}
