//! `touchstone scan merge`: the shards of a scan into one.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use jiff::civil::Date;

use super::destinations::Destination;
use super::outcome_of;
use super::telling::print_summary;
use crate::cli::Outcome;
use crate::cli::args::MergeCommand;
use crate::config::Settings;
use crate::domain::{FileDigest, ScannedPhoto, Shard};
use crate::engine::Engine;
use crate::engine::manifest::{PhotoFinder, Source};
use crate::report::{Output, ReportFormat, ScanIdentity, SummaryFile, read_rows};
use crate::scanning::Documents;

pub(super) fn run(settings: Settings, command: MergeCommand) -> anyhow::Result<Outcome> {
    let destination = Destination::new(&command.out, command.format)?;
    let is_page = destination.format == ReportFormat::Html;
    let parts = Parts::read(&command.parts)?;
    let repeated = parts.check_rows()?;
    // Pages have pictures, which come from the registry and the source.
    let engine = is_page.then(|| Engine::open(settings.engine)).transpose()?;
    let finder = PhotoFinder::new(
        Arc::new(Source::Here(parts.identity.source.clone().into())),
        None,
    );
    let source = parts.identity.source.clone();
    let mut documents = Documents::open(
        engine.as_ref(),
        finder,
        &source,
        vec![destination.document()],
    )?;
    let mut given = HashSet::new();
    let mut n_left_out = 0;
    for part in parts.by_shard.values() {
        for row in read_rows(&part.path)? {
            let row = row?;
            if repeated.contains(&key_number(&row)) && !given.insert(said_in(&row)) {
                n_left_out += 1;
                continue;
            }
            documents.add(&row)?;
        }
    }
    let summary = documents.finish(parts.elapsed, 0)?;
    if n_left_out > 0 {
        eprintln!("{n_left_out} photos stand twice in the source; each is given once");
    }
    let names: Vec<_> = parts
        .by_shard
        .values()
        .map(|part| display(&part.path))
        .collect();
    if !Output::is_stream(&command.out) {
        SummaryFile::new(parts.identity, &summary, &names)
            .begun_on(parts.began_on)
            .write(&command.out)?;
    }
    print_summary(&summary)?;
    Ok(outcome_of(summary.n_failed))
}

struct Part {
    path: PathBuf,
    n_photos: u64,
}

/// The shards of one scan, every one.
struct Parts {
    by_shard: BTreeMap<Shard, Part>,
    /// Of the whole.
    identity: ScanIdentity,
    /// Of the slowest.
    elapsed: Duration,
    /// Of the first; `None` when it is not known of all.
    began_on: Option<Date>,
}

impl Parts {
    fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut by_shard: BTreeMap<Shard, Part> = BTreeMap::new();
        let mut first: Option<(ScanIdentity, &Path)> = None;
        let mut elapsed_s = 0.0_f64;
        let mut days = Vec::new();
        for path in paths {
            let name = display(path);
            let summary = SummaryFile::read(path)?.with_context(|| {
                let summary = SummaryFile::path_of(path);
                format!(
                    "{name} is not finished, or {} is not beside it",
                    summary.display()
                )
            })?;
            let shard = summary
                .scan
                .shard
                .with_context(|| format!("{name} is no shard: it was scanned without --shard"))?;
            if let Some((identity, first)) = &first {
                if let Some(difference) = summary.scan.difference_but_for(identity, &["shard"]) {
                    bail!(
                        "{name} is of another scan than {}: {difference}",
                        first.display()
                    );
                }
                let n_shards = identity.shard.map_or(0, |shard| shard.n_shards());
                ensure!(
                    shard.n_shards() == n_shards,
                    "{name} is shard {shard}, but {} is one of {n_shards}",
                    first.display()
                );
            } else {
                first = Some((summary.scan.clone(), path));
            }
            let elapsed = summary.rest.get("elapsed_s").and_then(|s| s.as_f64());
            elapsed_s = elapsed_s.max(elapsed.unwrap_or(0.0));
            days.push(summary.began_on());
            let part = Part {
                path: path.clone(),
                n_photos: summary.n_photos,
            };
            if let Some(other) = by_shard.insert(shard, part) {
                bail!(
                    "shard {shard} is given twice: {} and {name}",
                    other.path.display()
                );
            }
        }
        let (identity, _) = first.context("no parts are given")?;
        let n_shards = identity.shard.map_or(0, |shard| shard.n_shards());
        let missing: Vec<_> = (1..=n_shards)
            .filter(|number| !by_shard.keys().any(|shard| shard.number() == *number))
            .map(|number| format!("{number}/{n_shards}"))
            .collect();
        ensure!(
            missing.is_empty(),
            "shards are missing: {}",
            missing.join(", ")
        );
        Ok(Self {
            by_shard,
            identity: ScanIdentity {
                shard: None,
                ..identity
            },
            elapsed: Duration::try_from_secs_f64(elapsed_s).unwrap_or_default(),
            // What is not known comes before all days.
            began_on: days.into_iter().min().flatten(),
        })
    }

    /// Checks that every row is where it belongs and made as all others; gives the numbers of keys that
    /// come again, which takes 8 bytes of memory a row.
    fn check_rows(&self) -> anyhow::Result<HashSet<u64>> {
        let mut keys: Vec<u64> = Vec::new();
        for (shard, part) in &self.by_shard {
            let name = display(&part.path);
            let before = keys.len();
            for row in read_rows(&part.path)? {
                let row = row?;
                let number = keys.len() - before + 1;
                ensure!(
                    *row.stamp == self.identity.stamp,
                    "{name} row {number} was made with network {} and revision {} of the registry, all \
                     others with {} and {}",
                    row.stamp.model.0,
                    row.stamp.registry_revision,
                    self.identity.stamp.model.0,
                    self.identity.stamp.registry_revision
                );
                ensure!(
                    shard.holds(&row.listing.listing_id),
                    "{name} row {number}: listing {:?} is not in shard {shard}",
                    row.listing.listing_id
                );
                keys.push(key_number(&row));
            }
            let n_rows = (keys.len() - before) as u64;
            ensure!(
                n_rows == part.n_photos,
                "{name} has {n_rows} rows, but its summary says {}: it was changed since",
                part.n_photos
            );
        }
        keys.sort_unstable();
        let again = keys.windows(2).filter(|pair| pair[0] == pair[1]);
        Ok(again.map(|pair| pair[0]).collect())
    }
}

/// What rows have in common that say the same of the same photo of the same offer. A listing may come twice: at two
/// sellers, of whom one is authorised, or at another price.
fn said_in(row: &ScannedPhoto) -> FileDigest {
    let listing = serde_json::to_string(&*row.listing).expect("its keys are texts");
    let verdict = row.outcome.as_ref().ok().map(|photo| photo.verdict);
    FileDigest::of(format!("{} {verdict:?} {listing}", row.key()).as_bytes())
}

/// The beginning of the row's key, as a number.
fn key_number(row: &ScannedPhoto) -> u64 {
    let key = row.key();
    u64::from_str_radix(&key[..16], 16).expect("a key is hexadecimal")
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
