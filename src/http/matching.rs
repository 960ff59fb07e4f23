//! `POST /v1/match`: what does a photo show that is registered?

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;

use super::HttpState;
use super::problem::Problem;
use super::uploads::{FormFields, JsonPicture, Sent, Upload, invalid, parse_json, receive};
use super::workers::Lane;
use crate::domain::{PhotoVerdict, Seller};
use crate::engine::Engine;

const FIELDS: FormFields = FormFields {
    file: "photo",
    texts: &["seller_id", "seller_name", "seller_country"],
};

/// Who sells, in the address or in fields of a form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SellerFields {
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchBody {
    base64: Option<String>,
    url: Option<String>,
    seller: Option<Value>,
}

/// One photo is answered with its verdict; several, in a form, with a list of verdicts in the same
/// order. A photo that cannot be read fails the request and is named.
pub(super) async fn match_photos(
    State(state): State<Arc<HttpState>>,
    Query(in_address): Query<SellerFields>,
    request: Request,
) -> Result<Response, Problem> {
    match receive(request, &FIELDS).await? {
        Sent::Raw(bytes) => {
            let seller = in_address.seller();
            let look = move |engine: &Engine| Ok(engine.match_photo(&bytes, seller.as_ref())?);
            one(state.workers.run(Lane::Pictures, look).await?)
        }
        Sent::Json(text) => {
            let seller = in_address.seller();
            let look = move |engine: &Engine| match_json(engine, &text, seller);
            one(state.workers.run(Lane::Pictures, look).await?)
        }
        Sent::Form(mut form) => {
            let mut text = |name| form.texts.remove(name);
            let in_form = SellerFields {
                seller_id: text("seller_id"),
                seller_name: text("seller_name"),
                seller_country: text("seller_country"),
            };
            let seller = in_form.or(in_address).seller();
            match_files(&state, form.files, seller).await
        }
    }
}

fn one(verdict: PhotoVerdict) -> Result<Response, Problem> {
    Ok(Json(verdict).into_response())
}

fn match_json(
    engine: &Engine,
    text: &[u8],
    in_address: Option<Seller>,
) -> Result<PhotoVerdict, Problem> {
    let body: MatchBody = parse_json(text)?;
    let photo = JsonPicture::new(body.base64, body.url).decoded(0)?;
    let seller = match body.seller {
        Some(value) => Some(
            Seller::deserialize_lenient(&value)
                .map_err(|error| invalid(format!("seller: {error}")))?,
        ),
        None => in_address,
    };
    Ok(engine.match_photo(&photo.bytes, seller.as_ref())?)
}

/// One job for each photo, one after another: a form with many does not keep others waiting.
async fn match_files(
    state: &HttpState,
    photos: Vec<Upload>,
    seller: Option<Seller>,
) -> Result<Response, Problem> {
    if photos.is_empty() {
        return Err(invalid("the form has no field \"photo\""));
    }
    let seller = Arc::new(seller);
    let mut verdicts = Vec::with_capacity(photos.len());
    for photo in photos {
        let seller = Arc::clone(&seller);
        let look = move |engine: &Engine| {
            engine
                .match_photo(&photo.bytes, seller.as_ref().as_ref())
                .map_err(|error| Problem::from(error).about(&photo.name))
        };
        verdicts.push(state.workers.run(Lane::Pictures, look).await?);
    }
    match <[PhotoVerdict; 1]>::try_from(verdicts) {
        Ok([verdict]) => one(verdict),
        Err(verdicts) => Ok(Json(verdicts).into_response()),
    }
}
