//! Scans from source to results: what the command line and the server have in common.
//!
//! Rows are gathered beside the results, so that a scan that was cut off goes on where it was; documents
//! are made of them when all are there. How photos are looked at is the engine's, how rows and documents
//! look is the report's.

mod documents;
mod job;

use std::time::SystemTime;

use crate::domain::{ScannedPhoto, Shard};
use crate::engine::manifest::Source;
use crate::engine::{Engine, EngineError, ScanUnit};
use crate::fetch::BlockingFetcher;
use crate::report::{ScanIdentity, SourceState};

pub use documents::{Document, Documents, MAX_GROUPS, summarised};
pub use job::{JobError, JobFiles, count_photos, plain_reason, run_job};

/// What a scan of `source` is of and made with, as things are now; `fetcher` is what reads its photos elsewhere.
///
/// # Errors
/// [`EngineError`] when a file of the networks cannot be read, and those of the database.
pub fn identity(
    engine: &Engine,
    source: &Source,
    shard: Option<Shard>,
    fetcher: Option<&BlockingFetcher>,
) -> Result<ScanIdentity, EngineError> {
    let settings = engine.settings();
    let fingerprint = engine.fingerprint()?;
    let fetches = fetcher.map(|fetcher| fetcher.fetcher().policy());
    let mut stores: Vec<_> = fetches.map_or_else(Vec::new, |policy| {
        policy.stores.iter().map(ToString::to_string).collect()
    });
    stores.sort_unstable();
    stores.dedup();
    Ok(ScanIdentity {
        touchstone: fingerprint.touchstone,
        stamp: engine.scan_stamp()?,
        files: fingerprint.files,
        review_at: settings.policy.review_at(),
        flag_at: settings.policy.flag_at(),
        stages: format!("{:?}", settings.stages),
        source: source.name(),
        shard,
        fetches_urls: fetches.is_some_and(|policy| !policy.stores_only),
        stores,
        source_state: state_of(source),
    })
}

fn state_of(source: &Source) -> Option<SourceState> {
    match source {
        Source::Here(path) => SourceState::of(path),
        Source::Stored(_) => {
            let state = source.object_state()?;
            let since = state.changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some(SourceState {
                bytes: state.n_bytes,
                changed_ns: since.as_nanos().try_into().ok()?,
            })
        }
    }
}

/// Whether the source's next photo is that of `row`.
///
/// # Errors
/// What it is otherwise, in words.
pub fn is_next(
    units: &mut impl Iterator<Item = ScanUnit>,
    row: &ScannedPhoto,
) -> Result<(), String> {
    match units.next() {
        Some(unit)
            if unit.photo == row.photo && unit.listing.listing_id == row.listing.listing_id =>
        {
            Ok(())
        }
        Some(unit) => Err(format!(
            "photo {:?} of listing {:?}",
            unit.photo, unit.listing.listing_id
        )),
        None => Err("nothing more".to_owned()),
    }
}
