//! `POST /v1/match`: what does a photo show that is registered?

use axum::Json;
use axum::extract::{Query, Request};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::access::Caller;
use super::openapi::{BinaryBody, EXAMPLE_PICTURE, IdempotencyKey, MatchAnswers, PhotoForm};
use super::problem::Problem;
use super::screening::keeping;
use super::uploads::{FormFields, JsonPicture, Sent, Upload, invalid, parse_json, receive};
use super::workers::Lane;
use crate::domain::{Keep, Keeping, Listing, PhotoVerdict, Seller};
use crate::engine::{CasePhoto, Engine};

const FIELDS: FormFields = FormFields {
    file: "photo",
    texts: &["seller_id", "seller_name", "seller_country"],
};

/// Who sells and what is kept, in the address.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MatchQuery {
    seller_id: Option<String>,
    seller_name: Option<String>,
    seller_country: Option<String>,
    /// Without it nothing is kept, and nothing is said of earlier decisions.
    keep: Option<Keep>,
    keep_days: Option<u32>,
}

impl MatchQuery {
    fn parts(self) -> Result<(SellerFields, Option<Keeping>), Problem> {
        let seller = SellerFields {
            seller_id: self.seller_id,
            seller_name: self.seller_name,
            seller_country: self.seller_country,
        };
        let keeping = match self.keep {
            Some(keep) => Some(keeping(Some(keep), self.keep_days)?),
            None => None,
        };
        Ok((seller, keeping))
    }
}

/// Who sells, in the address or in fields of a form.
#[derive(Debug, Default)]
struct SellerFields {
    seller_id: Option<String>,
    seller_name: Option<String>,
    seller_country: Option<String>,
}

impl SellerFields {
    fn or(self, other: Self) -> Self {
        Self {
            seller_id: self.seller_id.or(other.seller_id),
            seller_name: self.seller_name.or(other.seller_name),
            seller_country: self.seller_country.or(other.seller_country),
        }
    }

    fn seller(self) -> Option<Seller> {
        let (id, name, country) = (self.seller_id, self.seller_name, self.seller_country);
        (id.is_some() || name.is_some() || country.is_some()).then(|| Seller {
            id,
            name,
            country,
            ..Seller::default()
        })
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MatchBody {
    base64: Option<String>,
    url: Option<String>,
    #[schema(value_type = Option<Seller>)]
    seller: Option<Value>,
}

/// The answer for one photo; with numbers to decide on, and earlier decisions, where it was kept.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum MatchAnswer {
    Kept(CasePhoto),
    Unkept(PhotoVerdict),
}

/// Says what a photo shows that is registered.
///
/// One photo is answered with its verdict; several, in a form, with a list of verdicts in the same
/// order. A photo that cannot be read fails the request and is named. With `keep` findings are kept, and
/// come with their numbers.
#[utoipa::path(
    post, path = "/v1/match", tag = "screening", params(MatchQuery, IdempotencyKey),
    request_body(content(
        (MatchBody = "application/json", example = json!({ "base64": EXAMPLE_PICTURE })),
        (PhotoForm = "multipart/form-data"),
        (BinaryBody = "image/*"),
        (BinaryBody = "application/octet-stream"),
    )),
    responses((status = 200, description = "The verdict, or a list of them", body = MatchAnswers)),
)]
pub(super) async fn match_photos(
    caller: Caller,
    Query(query): Query<MatchQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let (in_address, keeping) = query.parts()?;
    match receive(request, &FIELDS).await? {
        Sent::Raw(bytes) => {
            let photo = Upload::unnamed(bytes.into());
            let seller = in_address.seller();
            let look = move |engine: &Engine| look(engine, &photo, seller, keeping);
            one(caller.run(Lane::Pictures, look).await?)
        }
        Sent::Json(text) => {
            let seller = in_address.seller();
            let look = move |engine: &Engine| match_json(engine, &text, seller, keeping);
            one(caller.run(Lane::Pictures, look).await?)
        }
        Sent::Form(mut form) => {
            let mut text = |name| form.texts.remove(name);
            let in_form = SellerFields {
                seller_id: text("seller_id"),
                seller_name: text("seller_name"),
                seller_country: text("seller_country"),
            };
            let seller = in_form.or(in_address).seller();
            match_files(&caller, form.files, seller, keeping).await
        }
    }
}

fn one(answer: MatchAnswer) -> Result<Response, Problem> {
    Ok(Json(answer).into_response())
}

fn look(
    engine: &Engine,
    photo: &Upload,
    seller: Option<Seller>,
    keeping: Option<Keeping>,
) -> Result<MatchAnswer, Problem> {
    let Some(keeping) = keeping else {
        let verdict = engine.match_photo(&photo.bytes, seller.as_ref())?;
        return Ok(MatchAnswer::Unkept(verdict));
    };
    let listing = Listing {
        seller,
        ..Listing::default()
    };
    let case = engine.match_and_keep(&photo.bytes, &photo.name, Some(&listing), keeping)?;
    Ok(MatchAnswer::Kept(case))
}

fn match_json(
    engine: &Engine,
    text: &[u8],
    in_address: Option<Seller>,
    keeping: Option<Keeping>,
) -> Result<MatchAnswer, Problem> {
    let body: MatchBody = parse_json(text)?;
    let photo = JsonPicture::new(body.base64, body.url).decoded(0)?;
    let seller = match body.seller {
        Some(value) => Some(
            Seller::deserialize_lenient(&value)
                .map_err(|error| invalid(format!("seller: {error}")))?,
        ),
        None => in_address,
    };
    look(engine, &photo, seller, keeping)
}

/// One job for each photo, one after another: a form with many does not keep others waiting.
async fn match_files(
    caller: &Caller,
    photos: Vec<Upload>,
    seller: Option<Seller>,
    keeping: Option<Keeping>,
) -> Result<Response, Problem> {
    if photos.is_empty() {
        return Err(invalid("the form has no field \"photo\""));
    }
    let mut answers = Vec::with_capacity(photos.len());
    for photo in photos {
        let seller = seller.clone();
        let look = move |engine: &Engine| {
            look(engine, &photo, seller, keeping).map_err(|problem| problem.about(&photo.name))
        };
        answers.push(caller.run(Lane::Pictures, look).await?);
    }
    match <[MatchAnswer; 1]>::try_from(answers) {
        Ok([answer]) => one(answer),
        Err(answers) => Ok(Json(answers).into_response()),
    }
}
