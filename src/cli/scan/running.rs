//! A scan under way: what of it is left, the rows it makes, and what is made of them.

use std::io::{self, IsTerminal};
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde_json::json;

use super::super::args::ScanArguments;
use super::super::{Outcome, progress};
use super::destinations::Destinations;
use super::earlier::EarlierScan;
use super::finished::Finished;
use super::telling::{print_summary, tell, told_to_go_on};
use super::{Writers, already_done, outcome_of};
use crate::domain::{EventKind, ScannedPhoto};
use crate::engine::manifest::{PhotoFinder, Source};
use crate::engine::{EarlierAnswers, Engine, ScanOptions, ScanUnit, scan_units};
use crate::fetch::BlockingFetcher;
use crate::report::{ReportError, Reuse, ScanIdentity, Spool, Summary, SummaryFile};
use crate::scanning::{Documents, MAX_GROUPS, is_next, summarised};

/// A scan with all that it needs.
pub(super) struct Scan<'a> {
    pub(super) engine: &'a Engine,
    pub(super) arguments: &'a ScanArguments,
    pub(super) source: Arc<Source>,
    pub(super) destinations: Destinations,
    pub(super) identity: ScanIdentity,
    pub(super) fetcher: Option<Arc<BlockingFetcher>>,
    /// A scan that was the same, but for what its source holds.
    pub(super) finished: Option<SummaryFile>,
}

/// The photos of a source.
type Units = Peekable<Box<dyn Iterator<Item = ScanUnit> + Send>>;

/// What is to be done.
enum Task {
    /// Nothing: it was done before.
    Done(Outcome),
    /// All rows are there; what is made of them is not.
    Finish,
    /// To look at what is left of the source, behind the rows that there are, if these are not to be compared with it.
    Look(Units, Option<u64>),
}

impl Scan<'_> {
    pub(super) fn run(self) -> anyhow::Result<Outcome> {
        let main = self.destinations.main().map(|main| main.path.clone());
        let started = Instant::now();
        let (mut units, n_finished) = match self.task()? {
            Task::Look(units, n_finished) => (units, n_finished),
            Task::Done(outcome) => return Ok(outcome),
            Task::Finish => {
                let main = main.expect("its rows are there");
                let documents = self.documents()?;
                let summary = summarised(&main, documents, started.elapsed(), 0)?;
                return self.finish(None, summary);
            }
        };
        // Rows have a place of their own even when all results go to standard output, unless each can be
        // written there at once.
        let lent = match &main {
            None if self.destinations.need_rows() => Some(tempfile::tempdir()?),
            _ => None,
        };
        let has_file = main.is_some();
        let rows_at = main.or_else(|| lent.as_ref().map(|folder| folder.path().join("rows")));
        let mut spool = match &rows_at {
            Some(rows_at) => Some(self.spool(rows_at, n_finished, &mut units)?),
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

    /// Compares a finished scan with its source, where only that can tell whether they still belong together.
    fn task(&self) -> anyhow::Result<Task> {
        let is_rows = self.destinations.main_is_rows();
        let Some(main) = self.destinations.main().filter(|_| is_rows) else {
            return Ok(Task::Look(self.units()?, None));
        };
        let is_published =
            self.arguments.resume && Spool::is_published(&main.path, &self.identity)?;
        if is_published && self.identity.source_state.is_some() {
            return Ok(Task::Finish);
        }
        // Standard input is read but once: who does not ask to go on with it has all of it looked at.
        let is_read_once = self.arguments.source == Path::new("-");
        let is_asked = self.arguments.resume || !is_read_once;
        let is_there = is_published || (self.finished.is_some() && is_asked);
        if !is_there || Spool::has_rows(&main.path) {
            return Ok(Task::Look(self.units()?, None));
        }
        let finished = self.finished.as_ref().filter(|_| !is_published);
        let mut units = self.units()?;
        let n_rows = finished.map(|summary| summary.n_photos);
        match (Finished::of(&main.path, n_rows, &mut units)?, finished) {
            (Finished::Whole, Some(summary)) => Ok(Task::Done(already_done(&main.path, summary))),
            (Finished::Whole, None) => Ok(Task::Finish),
            (Finished::Front { n_rows }, _) if self.arguments.resume => {
                Ok(Task::Look(units, Some(n_rows)))
            }
            _ if is_read_once => bail!(
                "{} holds the results of other lines than standard input has now: write to another --out, or \
                 leave out --resume",
                main.path.display()
            ),
            _ => {
                eprintln!(
                    "the source has other photos than when {} was made: all are looked at",
                    main.path.display()
                );
                Ok(Task::Look(self.units()?, None))
            }
        }
    }

    fn units(&self) -> anyhow::Result<Units> {
        let units = scan_units(self.source.listings()?, self.arguments.shard);
        let units: Box<dyn Iterator<Item = ScanUnit> + Send> = Box::new(units);
        Ok(units.peekable())
    }

    /// The rows so far, which are taken from `units`; `n_finished` of them are those of a finished scan, and were.
    fn spool(
        &self,
        rows_at: &Path,
        n_finished: Option<u64>,
        units: &mut Units,
    ) -> anyhow::Result<Spool> {
        if let Some(n_rows) = n_finished {
            let began_on = self.finished.as_ref().and_then(SummaryFile::began_on);
            return Ok(Spool::behind(rows_at, &self.identity, n_rows, began_on)?);
        }
        if !self.arguments.resume {
            return Ok(Spool::begin(rows_at, &self.identity)?);
        }
        let mut broken_off = None;
        let resumed = Spool::resume(rows_at, &self.identity, |row| {
            let next = units.peek().and_then(ScanUnit::broken_off);
            broken_off = broken_off.take().or(next);
            is_next(units, row)
        });
        match broken_off {
            // The rows are those of the source, as far as it could be read.
            Some(error) => Err(error.into()),
            None => Ok(resumed?),
        }
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
            queue_days: self.arguments.queue_days,
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
