//! `touchstone screen`

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;

use super::args::ScreenCommand;
use super::{Outcome, open_registered, print_json};
use crate::config::Settings;
use crate::domain::Keeping;
use crate::engine::manifest::{PhotoPlace, read_listing};
use crate::engine::{Engine, ReasonCode, ScreenPhoto, ScreenRequest, Screened};
use crate::report::visible;

pub(super) fn run(settings: Settings, command: ScreenCommand) -> anyhow::Result<Outcome> {
    let engine = Arc::new(open_registered(settings.engine)?);
    let request = read_request(&engine, &command)?;
    let running = engine.start_screening(request)?;
    let budget = command.budget_ms.map(Duration::from_millis);
    let screened = running.answer(budget)?;
    if command.json {
        print_json(&screened)?;
    } else {
        print(&screened)?;
    }
    if screened.continues_in_background {
        // The answer is out; the rest is kept when it is done.
        running.answer(None)?;
    }
    let n_unreadable = screened
        .reasons
        .iter()
        .filter(|reason| reason.code == ReasonCode::Unreadable)
        .count();
    Ok(Outcome::of_failures(n_unreadable))
}

fn read_request(engine: &Engine, command: &ScreenCommand) -> anyhow::Result<ScreenRequest> {
    ensure!(
        (1..=3650).contains(&command.keep_days),
        "--keep-days must lie within 1 and 3650"
    );
    let (listing, places) = read_listing(&command.listing)?;
    let photo = |(name, place): (&String, PhotoPlace)| ScreenPhoto {
        name: name.clone(),
        bytes: read_photo(engine, place),
    };
    Ok(ScreenRequest {
        photos: listing.photos.iter().zip(places).map(photo).collect(),
        listing,
        keeping: Keeping {
            keep: command.keep,
            days: command.keep_days,
        },
    })
}

/// The bytes of a photo, or in words why there are none.
fn read_photo(engine: &Engine, place: PhotoPlace) -> Result<Vec<u8>, String> {
    match place {
        PhotoPlace::File(path) => engine.read_file(&path),
        PhotoPlace::Held(bytes) => Ok(bytes),
        PhotoPlace::Nowhere(reason) => Err(reason),
        PhotoPlace::Address(_) => Err(
            "addresses are not fetched here: use `serve --fetch-urls` or `scan --fetch-urls` (--fetch-store for stores)"
                .to_owned(),
        ),
    }
}

fn print(screened: &Screened) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", screened.decision)?;
    for reason in &screened.reasons {
        let photo = reason.photo.as_deref().unwrap_or_default();
        writeln!(out, "  {} {}", visible(photo), visible(&reason.detail))?;
    }
    for unchecked in &screened.unchecked {
        let photo = visible(&unchecked.photo);
        writeln!(
            out,
            "  {photo} still to do: {} stages",
            unchecked.stages.len()
        )?;
    }
    out.flush()?;
    Ok(())
}
