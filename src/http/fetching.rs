//! Photos that a request names by their address.
//!
//! They are fetched before the work on them begins, and hold no worker while they are under way.

use std::time::Duration;

use tokio::task::JoinSet;

use super::HttpState;
use super::problem::{Problem, ProblemKind};
use super::uploads::{Offered, Upload};
use crate::engine::ScreenPhoto;
use crate::fetch::FetchError;

/// A photo's file, or why there is none.
type Fetched = Result<Vec<u8>, FetchError>;

/// All `photos` as files.
///
/// The first in order that cannot be fetched fails the request, and is named.
pub(super) async fn uploads(
    state: &HttpState,
    photos: Vec<Offered>,
) -> Result<Vec<Upload>, Problem> {
    let fetched = fetch_all(state, photos, state.limits.request_timeout).await?;
    let upload = |(name, bytes): (String, Fetched)| match bytes {
        Ok(bytes) => Ok(Upload { name, bytes }),
        Err(error) => Err(not_fetched(&error).about(&name)),
    };
    fetched.into_iter().map(upload).collect()
}

/// All `photos` to be screened; one that cannot be fetched within `total` is one that cannot be read.
pub(super) async fn screen_photos(
    state: &HttpState,
    photos: Vec<Offered>,
    total: Duration,
) -> Result<Vec<ScreenPhoto>, Problem> {
    let fetched = fetch_all(state, photos, total).await?;
    let photo = |(name, bytes): (String, Fetched)| ScreenPhoto {
        name,
        bytes: bytes.map_err(|error| error.to_string()),
    };
    Ok(fetched.into_iter().map(photo).collect())
}

fn not_fetched(error: &FetchError) -> Problem {
    Problem::new(ProblemKind::UrlNotFetched, error.to_string())
}

/// Fetches what is elsewhere, all at once, and gives all in the order given. Together they may be no
/// larger than a body that brings its photos along.
async fn fetch_all(
    state: &HttpState,
    photos: Vec<Offered>,
    total: Duration,
) -> Result<Vec<(String, Fetched)>, Problem> {
    // Dropped with the request: what is under way ends then.
    let mut under_way = JoinSet::new();
    let mut all: Vec<Option<(String, Fetched)>> = Vec::with_capacity(photos.len());
    for (position, photo) in photos.into_iter().enumerate() {
        match photo {
            Offered::Here(upload) => all.push(Some((upload.name, Ok(upload.bytes)))),
            Offered::Elsewhere { name, url } => {
                let fetcher = state.photo_fetcher().ok_or_else(no_fetcher)?;
                under_way.spawn(async move {
                    let fetched = fetcher.get_within(&url, total).await;
                    (position, name, fetched)
                });
                all.push(None);
            }
        }
    }
    let mut n_bytes = 0;
    while let Some(done) = under_way.join_next().await {
        let (position, name, fetched) =
            done.map_err(|error| Problem::hidden(ProblemKind::Internal, &error))?;
        match &fetched {
            Ok(bytes) => n_bytes += bytes.len(),
            Err(error) => tracing::info!(error = ?error, "a photo was not fetched"),
        }
        if n_bytes > state.limits.max_body_bytes {
            let limit = state.limits.max_body_bytes;
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!("the photos have more than {limit} bytes together"),
            ));
        }
        all[position] = Some((name, fetched));
    }
    let whole = all.into_iter().map(|photo| photo.expect("all are done"));
    Ok(whole.collect())
}

fn no_fetcher() -> Problem {
    Problem::new(
        ProblemKind::UrlNotSupported,
        "this server does not fetch photos (its operator can, with --fetch-urls or --fetch-store): send the bytes, as base64 or in a form",
    )
}
