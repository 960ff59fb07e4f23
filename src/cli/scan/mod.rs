//! `touchstone scan`

mod destinations;
mod earlier;
mod merge;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::json;

use self::destinations::Destinations;
use self::earlier::EarlierScan;
use super::args::{FetchArguments, ScanAction, ScanArguments, ScanCommand};
use super::{Outcome, fetching, progress};
use crate::config::Settings;
use crate::domain::{EventKind, ScannedPhoto};
use crate::engine::manifest::{PhotoFinder, Source};
use crate::engine::{EarlierAnswers, Engine, EngineError, ScanOptions, ScanUnit, scan_units};
use crate::fetch::BlockingFetcher;
use crate::report::{
    ReportError, Reuse, ScanIdentity, ScanWriter, Spool, Summary, SummaryFile, TextStyle,
    write_summary,
};
use crate::scanning::{Documents, MAX_GROUPS, identity, is_next, summarised};

/// Failures that are told one by one.
const MAX_TOLD: u64 = 100;

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
    let engine = Engine::open(settings.engine)?;
    if engine.with_registry(|registry| registry.n_references())? == 0 {
        bail!("nothing is registered yet: start with `touchstone register`");
    }
    let fetcher = fetcher(fetching, &arguments.source)?;
    let source = Source::open(&arguments.source, fetcher.as_ref())?;
    let identity = identity(&engine, &source, arguments.shard, fetcher.as_deref())?;
    let may_be_done = arguments.resume || arguments.shard.is_some();
    if may_be_done && let Some(outcome) = already_done(&destinations, &identity)? {
        return Ok(outcome);
    }
    destinations.check()?;
    let under_way = Scan {
        engine: &engine,
        arguments: &arguments,
        source: Arc::new(source),
        destinations,
        identity,
        fetcher,
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

/// How a scan ended that needs not be done again; `None` when it must be.
fn already_done(
    destinations: &Destinations,
    identity: &ScanIdentity,
) -> anyhow::Result<Option<Outcome>> {
    let Some(main) = destinations.main() else {
        return Ok(None);
    };
    let Some(summary) = SummaryFile::read(&main.path)? else {
        return Ok(None);
    };
    if summary.scan != *identity || !destinations.are_there() {
        return Ok(None);
    }
    Spool::clear(&main.path);
    eprintln!(
        "already done: {} photos, {} failed; {}",
        summary.n_photos,
        summary.n_failed,
        SummaryFile::path_of(&main.path).display()
    );
    Ok(Some(outcome_of(summary.n_failed)))
}

/// A scan with all that it needs.
struct Scan<'a> {
    engine: &'a Engine,
    arguments: &'a ScanArguments,
    source: Arc<Source>,
    destinations: Destinations,
    identity: ScanIdentity,
    fetcher: Option<Arc<BlockingFetcher>>,
}

impl Scan<'_> {
    fn run(self) -> anyhow::Result<Outcome> {
        let main = self.destinations.main().map(|main| main.path.clone());
        let started = Instant::now();
        if self.arguments.resume
            && let Some(main) = &main
            && self.destinations.main_is_rows()
            && Spool::is_published(main, &self.identity)?
        {
            let documents = self.documents()?;
            let summary = summarised(main, documents, started.elapsed(), 0)?;
            return self.finish(None, summary);
        }
        let mut units = scan_units(self.source.listings()?, self.arguments.shard);
        // Rows have a place of their own even when all results go to standard output, unless each can be
        // written there at once.
        let lent = match &main {
            None if self.destinations.need_rows() => Some(tempfile::tempdir()?),
            _ => None,
        };
        let rows_at = main.or_else(|| lent.as_ref().map(|folder| folder.path().join("rows")));
        let mut spool = match &rows_at {
            Some(rows_at) if self.arguments.resume => {
                Some(Spool::resume(rows_at, &self.identity, |row| {
                    is_next(&mut units, row)
                })?)
            }
            Some(rows_at) => Some(Spool::begin(rows_at, &self.identity)?),
            None => None,
        };
        let n_resumed = spool.as_ref().map_or(0, Spool::n_rows);
        let mut live = self.destinations.open_live()?;
        let mut summary = Summary::default();
        let mut reuse = Reuse::default();
        let bar = self.bar(n_resumed)?;
        let mut n_told = 0;
        self.look_at(units, |scanned| {
            tell(&bar, &scanned, &mut n_told);
            write_live(&mut live, &scanned, has_file)?;
            match &mut spool {
                Some(spool) => spool.write(&scanned)?,
                None => {
                    summary.add(&scanned);
                    reuse.add(&scanned);
                }
        let has_file = main.is_some();
            }
            bar.inc(1);
            Ok(())
        })
        .map_err(|error| told_to_go_on(error, spool.as_ref().filter(|_| has_file)))?;
        bar.finish_and_clear();
        let summary = match &mut spool {
            Some(spool) => {
                spool.sync()?;
                let (rows, documents) = (spool.path().to_owned(), self.documents()?);
                summarised(&rows, documents, started.elapsed(), n_resumed).with_context(|| {
                    format!(
                        "all rows are in {}: run again with --resume",
                        rows.display()
                    )
                })?
            }
            None => {
                summary.elapsed = started.elapsed();
                summary.reuse = reuse.largest(MAX_GROUPS);
                summary.n_reuse_forgotten = reuse.n_forgotten();
                summary
            }
        };
        for writer in live {
            writer.finish(&summary)?;
        }
        self.finish(spool, summary)
    }

    fn look_at(
        &self,
        units: impl Iterator<Item = ScanUnit> + Send + 'static,
        take: impl FnMut(ScannedPhoto) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let earlier = match &self.arguments.since {
            Some(path) => EarlierScan::open(path, &self.identity)?,
            None => None,
        };
        let options = ScanOptions {
            cache_bytes: self.arguments.cache_mib << 20,
            earlier: earlier
                .as_ref()
                .map(|earlier| earlier as &dyn EarlierAnswers),
            keep_days: self.arguments.keep_days,
            fetcher: self.fetcher.clone(),
        };
        self.engine.scan(units, &options, take)
    }

    fn documents(&self) -> anyhow::Result<Documents<'_>> {
        let finder = PhotoFinder::new(Arc::clone(&self.source), self.fetcher.clone());
        let to_write = self.destinations.documents();
        let source = &self.identity.source;
        Ok(Documents::open(
            Some(self.engine),
            finder,
            source,
            to_write,
        )?)
    }

    /// Gives results their names, then says so.
    fn finish(self, spool: Option<Spool>, summary: Summary) -> anyhow::Result<Outcome> {
        if let Some(main) = self.destinations.main() {
            let mut spool = spool;
            if let Some(spool) = &mut spool
                && self.destinations.main_is_rows()
            {
                spool.publish(&main.path)?;
            }
            // Before the file that says that all is done: after a kill in between it is told twice, not never.
            self.announce(&summary)?;
            let began_on = spool.as_ref().and_then(Spool::began_on);
            SummaryFile::new(self.identity, &summary, &[])
                .begun_on(began_on)
                .write(&main.path)?;
            match spool {
                Some(spool) => spool.close(),
                None => Spool::clear(&main.path),
            }
        }
        print_summary(&summary)?;
        Ok(outcome_of(summary.n_failed))
    }

    /// Tells the webhooks of the home; the server on it does the telling.
    fn announce(&self, summary: &Summary) -> anyhow::Result<()> {
        let data = json!({
            "source": self.identity.source, "shard": self.identity.shard,
            "n_photos": summary.n_photos, "n_flagged": summary.n_flagged,
            "n_review": summary.n_review, "n_clear": summary.n_clear,
            "n_failed": summary.n_failed, "n_findings": summary.n_findings,
        });
        let store = self.engine.store();
        store.announce(EventKind::ScanFinished, &data)?;
        Ok(())
    }

    /// A bar with the time left where a pass over the source is worth it: not for what can be read but
    /// once, or is large to read.
    fn bar(&self, n_done: u64) -> anyhow::Result<ProgressBar> {
        let n_photos = if self.source.is_cheap() && io::stderr().is_terminal() {
            let units = scan_units(self.source.listings()?, self.arguments.shard);
            Some(units.count() as u64)
        } else {
            None
        };
        let bar = progress::bar(n_photos, "photos");
        bar.set_position(n_done);
        bar.reset_eta();
        Ok(bar)
    }
}

fn tell(bar: &ProgressBar, scanned: &ScannedPhoto, n_told: &mut u64) {
    let Err(reason) = &scanned.outcome else {
        return;
    };
    *n_told += 1;
    if *n_told <= MAX_TOLD {
        let listing = &scanned.listing.listing_id;
        bar.suspend(|| eprintln!("{listing} {}: {reason}", scanned.photo));
    } else if *n_told == MAX_TOLD + 1 {
        bar.suspend(|| eprintln!("further failures are in the results and in the summary"));
    }
}

fn print_summary(summary: &Summary) -> anyhow::Result<()> {
    let style = TextStyle {
        colour: io::stderr().is_terminal(),
        ..TextStyle::default()
    };
    write_summary(&mut io::stderr().lock(), summary, style)?;
    io::stderr().flush()?;
    Ok(())
}

fn outcome_of(n_failed: u64) -> Outcome {
    Outcome::of_failures(usize::try_from(n_failed).unwrap_or(usize::MAX))
}

/// Writers that are fed as rows come.
type Writers<'a> = Vec<Box<dyn ScanWriter + 'a>>;

fn display(path: &Path) -> String {
    path.display().to_string()
}
/// Writes a row to those who read as it is made. One who has gone ends the scan, unless a file is to be written.
fn write_live(
    live: &mut Writers<'_>,
    scanned: &ScannedPhoto,
    has_file: bool,
) -> Result<(), ReportError> {
    let mut written = Ok(());
    live.retain_mut(|writer| match writer.write(scanned) {
        Err(ReportError::ReaderGone { .. }) if has_file => false,
        Err(error) => {
            written = Err(error);
            true
        }
        Ok(()) => true,
    });
    written
}

/// Says that what is done is kept, where an error is neither of the rows nor of their readers.
fn told_to_go_on(error: anyhow::Error, spool: Option<&Spool>) -> anyhow::Error {
    match spool.filter(|_| error.is::<EngineError>()) {
        Some(spool) => {
            let rows = spool.path().display();
            error.context(format!(
                "the rows so far are in {rows}: run again with --resume"
            ))
        }
        None => error,
    }
}

