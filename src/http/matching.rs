//! `POST /v1/match`: what does a photo show that is registered?

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::HttpState;
use super::access::{BrandScope, Caller};
use super::fetching;
use super::openapi::{BinaryBody, EXAMPLE_PICTURE, IdempotencyKey, MatchAnswers, PhotoForm};
use super::problem::Problem;
use super::screening::{MAX_VALUES, check_values, keeping};
use super::uploads::{
    FormFields, JsonPicture, Offered, Sent, Upload, invalid, parse_json, receive,
};
use super::workers::Lane;
use crate::domain::{Keep, Keeping, Listing, PhotoVerdict, Seller};
use crate::engine::{CasePhoto, Engine};

const FIELDS: FormFields = FormFields {
    file: "photo",
    url: Some("url"),
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
/// order. A photo that cannot be read fails the request and is named. Addresses (`url`) are fetched where
/// the server's operator lets them be. With `keep` findings are kept, and
/// come with their numbers. A key that is bound to brands is told, and keeps, what is found of these.
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
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Query(query): Query<MatchQuery>,
    request: Request,
) -> Result<Response, Problem> {
    let (in_address, keeping) = query.parts()?;
    match receive(request, &FIELDS).await? {
        Sent::Raw(bytes) => {
            let photo = Upload::unnamed(bytes.into());
            let seller = in_address.seller();
            let scope = caller.scope.clone();
            let look = move |engine: &Engine| look(engine, &photo, seller, keeping, &scope);
            one(caller.run(Lane::Pictures, look).await?)
        }
        Sent::Json(text) => {
            let seller = in_address.seller();
            match_json(&state, &caller, text, seller, keeping).await
        }
        Sent::Form(mut form) => {
            let mut text = |name| form.texts.remove(name);
            let in_form = SellerFields {
                seller_id: text("seller_id"),
                seller_name: text("seller_name"),
                seller_country: text("seller_country"),
            };
            let seller = in_form.or(in_address).seller();
            match_all(&state, &caller, form.pictures, seller, keeping).await
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
    scope: &BrandScope,
) -> Result<MatchAnswer, Problem> {
    let Some(keeping) = keeping else {
        let (mut judgement, size, timings) = engine.judge_photo(&photo.bytes, seller.as_ref())?;
        judgement.keep_brands(|brand| scope.sees(brand));
        let verdict = judgement.verdict(&engine.settings().policy, size, timings);
        return Ok(MatchAnswer::Unkept(verdict));
    };
    let listing = Listing {
        seller,
        ..Listing::default()
    };
    let (bytes, brands) = (&photo.bytes, scope.brands());
    let case = engine.match_and_keep(
        bytes,
        &photo.name,
        Some(&listing),
        keeping,
        brands.as_deref(),
    )?;
    Ok(MatchAnswer::Kept(case))
}

/// A body that was read, as far as that goes without the network.
enum Read {
    Looked(Box<MatchAnswer>),
    ToFetch(Offered, Option<Seller>),
}

async fn match_json(
    state: &HttpState,
    caller: &Caller,
    text: Bytes,
    in_address: Option<Seller>,
    keeping: Option<Keeping>,
) -> Result<Response, Problem> {
    let scope = caller.scope.clone();
    let read = move |engine: &Engine| {
        let (photo, seller) = read_json(&text)?;
        let seller = seller.or(in_address);
        match photo {
            Offered::Here(photo) => {
                let answer = look(engine, &photo, seller, keeping, &scope)?;
                Ok(Read::Looked(Box::new(answer)))
            }
            elsewhere @ Offered::Elsewhere { .. } => Ok(Read::ToFetch(elsewhere, seller)),
        }
    };
    match caller.run(Lane::Pictures, read).await? {
        Read::Looked(answer) => one(*answer),
        Read::ToFetch(photo, seller) => {
            match_all(state, caller, vec![photo], seller, keeping).await
        }
    }
}

fn read_json(text: &[u8]) -> Result<(Offered, Option<Seller>), Problem> {
    check_values(text, 0, MAX_VALUES)?;
    let body: MatchBody = parse_json(text)?;
    let photo = JsonPicture::new(body.base64, body.url).decoded(0)?;
    let seller = body.seller.map(|value| {
        Seller::deserialize_lenient(&value).map_err(|error| invalid(format!("seller: {error}")))
    });
    Ok((photo, seller.transpose()?))
}

/// One job for each photo, one after another: a form with many does not keep others waiting.
async fn match_all(
    state: &HttpState,
    caller: &Caller,
    photos: Vec<Offered>,
    seller: Option<Seller>,
    keeping: Option<Keeping>,
) -> Result<Response, Problem> {
    if photos.is_empty() {
        return Err(invalid("the form has no field \"photo\" and no \"url\""));
    }
    let photos = fetching::uploads(state, photos).await?;
    let mut answers = Vec::with_capacity(photos.len());
    for photo in photos {
        let (seller, scope) = (seller.clone(), caller.scope.clone());
        let look = move |engine: &Engine| {
            let looked = look(engine, &photo, seller, keeping, &scope);
            looked.map_err(|problem| problem.about(&photo.name))
        };
        answers.push(caller.run(Lane::Pictures, look).await?);
    }
    match <[MatchAnswer; 1]>::try_from(answers) {
        Ok([answer]) => one(answer),
        Err(answers) => Ok(Json(answers).into_response()),
    }
}
