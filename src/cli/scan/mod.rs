//! `touchstone scan`

mod destinations;
mod earlier;
mod finished;
mod merge;
mod running;
mod telling;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use self::destinations::Destinations;
use self::running::Scan;
use super::args::{FetchArguments, ScanAction, ScanArguments, ScanCommand};
use super::{Outcome, fetching};
use crate::config::Settings;
use crate::engine::manifest::Source;
use crate::fetch::BlockingFetcher;
use crate::report::{ScanIdentity, ScanWriter, Spool, SummaryFile};
use crate::scanning::identity;

pub(super) fn run(settings: Settings, command: ScanCommand) -> anyhow::Result<Outcome> {
    match (command.action, command.arguments) {
        (Some(ScanAction::Merge(merge)), _) => merge::run(settings, merge),
        (None, Some(arguments)) => scan(settings, arguments, &command.fetching),
        (None, None) => bail!("say what to scan"),
    }
}

fn scan(
    settings: Settings,
    arguments: ScanArguments,
    fetching: &FetchArguments,
) -> anyhow::Result<Outcome> {
    let destinations = Destinations::new(&arguments.out, &arguments.format)?;
    if arguments.resume && destinations.main().is_none() {
        bail!("--resume goes on with a file: standard output cannot be continued");
    }
    let engine = super::open_registered(settings.engine)?;
    let fetcher = fetcher(fetching, &arguments.source)?;
    let source = Source::open(&arguments.source, fetcher.as_ref())?;
    let identity = identity(&engine, &source, arguments.shard, fetcher.as_deref())?;
    let may_be_done = arguments.resume || arguments.shard.is_some();
    let finished = match may_be_done {
        true => finished(&destinations, &identity)?,
        false => None,
    };
    // Where the source has no state to compare, its photos are.
    if identity.source_state.is_some()
        && let (Some(summary), Some(main)) = (&finished, destinations.main())
    {
        return Ok(already_done(&main.path, summary));
    }
    destinations.check()?;
    let under_way = Scan {
        engine: &engine,
        arguments: &arguments,
        source: Arc::new(source),
        destinations,
        identity,
        fetcher,
        finished,
    };
    under_way.run()
}

/// What fetches photos, if any may be fetched.
fn fetcher(
    arguments: &FetchArguments,
    source: &Path,
) -> anyhow::Result<Option<Arc<BlockingFetcher>>> {
    let Some(fetcher) = fetching::fetcher(arguments, Source::address(source)?, usize::MAX)? else {
        return Ok(None);
    };
    let fetcher = BlockingFetcher::new(fetcher).context("starting the thread that fetches")?;
    Ok(Some(Arc::new(fetcher)))
}

/// What a scan came to that was the same, as far as that shows without reading the source; `None` when there was
/// none.
fn finished(
    destinations: &Destinations,
    identity: &ScanIdentity,
) -> anyhow::Result<Option<SummaryFile>> {
    let Some(main) = destinations.main() else {
        return Ok(None);
    };
    let summary = SummaryFile::read(&main.path)?;
    Ok(summary.filter(|summary| summary.scan == *identity && destinations.are_there()))
}

/// Says how a scan ended that needs not be done again.
fn already_done(main: &Path, summary: &SummaryFile) -> Outcome {
    Spool::clear(main);
    eprintln!(
        "already done: {} photos, {} failed; {}",
        summary.n_photos,
        summary.n_failed,
        SummaryFile::path_of(main).display()
    );
    outcome_of(summary.n_failed)
}

fn outcome_of(n_failed: u64) -> Outcome {
    Outcome::of_failures(usize::try_from(n_failed).unwrap_or(usize::MAX))
}

/// Writers that are fed as rows come.
type Writers<'a> = Vec<Box<dyn ScanWriter + 'a>>;
