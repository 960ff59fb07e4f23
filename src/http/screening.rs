//! `POST /v1/screen`: should this listing go live?

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Query, Request, State};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::timeout;
use utoipa::IntoParams;

use super::HttpState;
use super::access::Caller;
use super::fetching;
use super::openapi::{EXAMPLE_PICTURE, IdempotencyKey, ListingBody, ListingForm};
use super::paging::malformed;
use super::problem::{Problem, ProblemKind};
use super::uploads::{
    FormFields, JsonPicture, MAX_FIELDS_BYTES, MAX_PICTURES, Offered, Sent, decode_all, invalid,
    parse_json, receive,
};
use super::workers::Lane;
use crate::domain::{Keep, Keeping, Listing, Seller};
use crate::engine::{ScreenPhoto, ScreenRequest, Screened};

const FIELDS: FormFields = FormFields {
    file: "photo",
    url: Some("url"),
    texts: &["listing"],
};
/// Longest id of a listing, characters.
const MAX_ID_CHARS: usize = 500;
/// Longest time for which anything is kept.
const MAX_DAYS: u32 = 3650;
/// Values in a listing, brackets and names counted too: more do not fit into what its fields may take,
/// beside its pictures.
pub(super) const MAX_VALUES: usize = MAX_FIELDS_BYTES + 16 * MAX_PICTURES;

/// What is kept, and for how long, in the address.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeepingQuery {
    keep: Option<Keep>,
    keep_days: Option<u32>,
    /// Milliseconds until an answer is needed; without it, until all is checked.
    budget_ms: Option<u64>,
}

/// Checks what a client asks to be kept.
pub(super) fn keeping(keep: Option<Keep>, days: Option<u32>) -> Result<Keeping, Problem> {
    let defaults = Keeping::default();
    let days = days.unwrap_or(defaults.days);
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(malformed(format!(
            "keep_days is {days}, it must lie within 1 and {MAX_DAYS}"
        )));
    }
    let keep = keep.unwrap_or(defaults.keep);
    Ok(Keeping { keep, days })
}

/// Says whether a listing should go live: `allow`, `review` or `block`, with reasons.
///
/// With `budget_ms` the answer comes in time; what is unchecked then is named, asks for a review, and is
/// checked in the background. Photos given by their address are fetched where the server's operator lets
/// them be, within half of the budget; one that cannot be fetched asks for a review. What people rejected on nearly the same photo, and what the seller may
/// use, does not count; what they confirmed blocks.
#[utoipa::path(
    post, path = "/v1/screen", tag = "screening", params(KeepingQuery, IdempotencyKey),
    request_body(content(
        (ListingBody = "application/json", example = json!({
            "listing_id": "L1", "title": "Shoe", "seller": { "id": "9", "name": "Joe" },
            "photos": [{ "name": "front.png", "base64": EXAMPLE_PICTURE }]
        })),
        (ListingForm = "multipart/form-data"),
    )),
    responses((status = 200, description = "The decision", body = Screened)),
)]
pub(super) async fn screen(
    State(state): State<Arc<HttpState>>,
    caller: Caller,
    Query(query): Query<KeepingQuery>,
    request: Request,
) -> Result<Json<Screened>, Problem> {
    let keeping = keeping(query.keep, query.keep_days)?;
    let budget = query.budget_ms.map(Duration::from_millis);
    let sent = receive(request, &FIELDS).await?;
    let started = Instant::now();
    let left = move || budget.map(|budget| budget.saturating_sub(started.elapsed()));
    let engine = caller.engine();
    let begin = move |listing, photos| {
        let running = engine.start_screening(ScreenRequest {
            listing,
            photos,
            keeping,
        })?;
        Ok::<_, Problem>(running.answer(left())?)
    };
    let begin_at_once = begin.clone();
    // The photos are worked on elsewhere; this place only waits, but bounds how many do.
    let wait = run_within(&caller, left(), move || {
        let (listing, photos) = read_listing(sent)?;
        check(&listing, keeping, photos.len())?;
        match all_here(photos) {
            Ok(photos) => Ok(Read::Screened(Box::new(begin_at_once(listing, photos)?))),
            Err(photos) => Ok(Read::ToFetch(Box::new(listing), photos)),
        }
    });
    let (listing, photos) = match wait.await? {
        Read::Screened(screened) => return Ok(Json(*screened)),
        Read::ToFetch(listing, photos) => (listing, photos),
    };
    let total = match (budget, left()) {
        (Some(budget), Some(left)) => left.min(budget / 2),
        _ => state.limits.request_timeout,
    };
    let photos = fetching::screen_photos(&state, photos, total).await?;
    let wait = run_within(&caller, left(), move || begin(*listing, photos));
    wait.await.map(Json)
}

/// Runs `job` in a place for photos. When none is free within `left`, the time for the answer is over: then
/// it runs as a change of the records, since all that it has to do is to write down what is unchecked.
async fn run_within<T: Send + 'static>(
    caller: &Caller,
    left: Option<Duration>,
    job: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let Some(left) = left else {
        return caller.run(Lane::Pictures, move |_| job()).await;
    };
    let waiting = Arc::new(Mutex::new(Some(job)));
    let take = |waiting: &Mutex<Option<_>>| {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.take()
    };
    let begun = Arc::clone(&waiting);
    let mut wait = Box::pin(caller.run(Lane::Pictures, move |_| match take(&begun) {
        Some(job) => job(),
        // Nobody waits for this answer.
        None => Err(Problem::internal(ProblemKind::TimedOut)),
    }));
    if let Ok(done) = timeout(left, &mut wait).await {
        return done;
    }
    match take(&waiting) {
        Some(job) => {
            drop(wait);
            caller.run(Lane::Writes, move |_| job()).await
        }
        // It has begun, and keeps the time itself.
        None => wait.await,
    }
}

/// A request that was read, as far as that goes without the network.
enum Read {
    Screened(Box<Screened>),
    ToFetch(Box<Listing>, Vec<Offered>),
}

/// The photos, if all of them came along; otherwise as they were.
fn all_here(photos: Vec<Offered>) -> Result<Vec<ScreenPhoto>, Vec<Offered>> {
    if photos
        .iter()
        .any(|p| matches!(p, Offered::Elsewhere { .. }))
    {
        return Err(photos);
    }
    let files = photos.into_iter().filter_map(|photo| photo.here().ok());
    let photos = files.map(|upload| ScreenPhoto {
        name: upload.name,
        bytes: Ok(upload.bytes),
    });
    Ok(photos.collect())
}

fn read_listing(sent: Sent) -> Result<(Listing, Vec<Offered>), Problem> {
    let (mut fields, photos) = match sent {
        Sent::Form(mut form) => {
            let text = form.texts.remove("listing").ok_or_else(|| {
                invalid("the form has no field \"listing\" with the listing as JSON")
            })?;
            check_values(text.as_bytes(), 0, MAX_VALUES)?;
            let mut fields: Map<String, Value> = parse_json(text.as_bytes())?;
            fields.remove("photos");
            (fields, form.pictures)
        }
        Sent::Json(text) => {
            check_values(&text, 0, MAX_VALUES)?;
            let mut fields: Map<String, Value> = parse_json(&text)?;
            let photos = fields.remove("photos").unwrap_or_default();
            (fields, decode_all(pictures(photos)?)?)
        }
        Sent::Raw(_) => {
            return Err(Problem::new(
                ProblemKind::UnsupportedMediaType,
                "a bare picture is no listing: send multipart/form-data or application/json",
            ));
        }
    };
    let listing_id = match fields.remove("listing_id") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(id)) => id.trim().to_owned(),
        Some(Value::Number(id)) => id.to_string(),
        Some(_) => return Err(invalid("listing_id must be a text or a number")),
    };
    let seller = match fields.remove("seller") {
        None | Some(Value::Null) => None,
        Some(seller) => Some(
            Seller::deserialize_lenient(&seller)
                .map_err(|error| invalid(format!("seller: {error}")))?,
        ),
    };
    let listing = Listing {
        listing_id,
        photos: photos.iter().map(|photo| photo.name().to_owned()).collect(),
        seller,
        other: fields,
    };
    Ok((listing, photos))
}

/// Refuses JSON in which what lies below `depth` brackets holds more than `limit` values, before any is made:
/// a value takes many times the memory that it takes in the text. Commas, colons and brackets are counted;
/// that it is JSON is seen later.
pub(super) fn check_values(text: &[u8], depth: usize, limit: usize) -> Result<(), Problem> {
    let (mut here, mut n_values) = (0usize, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => pass_string(&mut bytes),
            b'{' | b'[' => here += 1,
            b'}' | b']' => {
                here = here.saturating_sub(1);
                continue;
            }
            b',' | b':' => {}
            _ => continue,
        }
        n_values = if here > depth { n_values + 1 } else { 0 };
        if n_values > limit {
            return Err(invalid(format!("more than {limit} values in one object")));
        }
    }
    Ok(())
}

/// Passes over the rest of a string.
fn pass_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// Each photo an object with `base64` or `url`, or a text: a `data:` URL or another one.
fn pictures(photos: Value) -> Result<Vec<JsonPicture>, Problem> {
    let photos: Vec<Value> = match photos {
        Value::Array(photos) => photos,
        Value::Null => Vec::new(),
        _ => return Err(invalid("photos must be a list")),
    };
    let picture = |photo| match photo {
        Value::String(text) if text.starts_with("data:") => Ok(JsonPicture::new(Some(text), None)),
        Value::String(url) => Ok(JsonPicture::new(None, Some(url))),
        other => serde_json::from_value(other).map_err(|error| invalid(format!("photos: {error}"))),
    };
    photos.into_iter().map(picture).collect()
}

fn check(listing: &Listing, keeping: Keeping, n_photos: usize) -> Result<(), Problem> {
    if n_photos == 0 {
        return Err(invalid(
            "the listing has no photos: there is nothing to check",
        ));
    }
    let n_chars = listing.listing_id.chars().count();
    if n_chars > MAX_ID_CHARS {
        return Err(invalid(format!(
            "listing_id has {n_chars} characters, at most {MAX_ID_CHARS} are kept"
        )));
    }
    if keeping.keep >= Keep::Listing && n_chars == 0 {
        return Err(invalid(
            "a listing without listing_id cannot be kept: nobody would find it again",
        ));
    }
    let n_bytes = serde_json::to_vec(listing).map_or(0, |text| text.len());
    if n_bytes > MAX_FIELDS_BYTES {
        return Err(invalid(format!(
            "the listing's fields take {n_bytes} bytes, at most {MAX_FIELDS_BYTES} are taken"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts_and_below_a_depth() {
        let fits = |text: &str, depth| check_values(text.as_bytes(), depth, 10).is_ok();
        let zeros = |n: usize| vec!["0"; n].join(",");
        assert!(fits(&format!("[{}]", zeros(9)), 0));
        assert!(!fits(&format!("[{}]", zeros(12)), 0));
        assert!(!fits(&format!("[{}", "[".repeat(11)), 0));
        let text = format!(r#"{{"title":"{}\"{}"}}"#, ",".repeat(20), "[".repeat(20));
        assert!(fits(&text, 0));
        // Many listings, each with few values; then one with many.
        let few = [r#"{"a":[0,0]}"#; 50].join(",");
        assert!(fits(&format!(r#"{{"listings":[{few}]}}"#), 2));
        assert!(!fits(&format!(r#"{{"listings":[{few}]}}"#), 0));
        let many = format!(r#"{{"listings":[{few},{{"a":[{}]}}]}}"#, zeros(12));
        assert!(!fits(&many, 2));
        for broken in ["", "\"", "\"\\", "]]]]"] {
            assert!(fits(broken, 0), "{broken}");
        }
    }
}
