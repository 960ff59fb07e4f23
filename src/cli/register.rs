//! `touchstone register`

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::ensure;

use super::args::RegisterCommand;
use super::{Outcome, print_json, progress};
use crate::config::Settings;
use crate::engine::manifest::{AssetSource, FolderDefaults, ManifestError, read_assets};
use crate::engine::{Engine, RegistrationReport};

pub(super) fn run(settings: Settings, command: RegisterCommand) -> anyhow::Result<Outcome> {
    let engine = Engine::open(settings.engine)?;
    let defaults = FolderDefaults {
        brand: command.brand,
        asset: command.asset,
        kind: command.kind,
    };
    let sources = command
        .sources
        .iter()
        .map(|path| read_assets(path, &defaults))
        .collect::<Result<Vec<_>, _>>()?;
    let report = register(&engine, sources.into_iter().flatten())?;
    let n_inputs = report.n_pictures_added + report.n_duplicates + report.failures.len();
    ensure!(
        n_inputs > 0,
        "nothing to register in {}: no picture and no line of a manifest is there",
        named(&command.sources)
    );
    if command.json {
        print_json(&report)?;
    } else {
        print_report(&report)?;
    }
    Ok(Outcome::of_failures(report.failures.len()))
}

fn named(sources: &[PathBuf]) -> String {
    let names = sources.iter().map(|path| path.display().to_string());
    names.collect::<Vec<_>>().join(", ")
}

/// Registers with a progress bar.
pub(super) fn register(
    engine: &Engine,
    sources: impl Iterator<Item = Result<AssetSource, ManifestError>>,
) -> anyhow::Result<RegistrationReport> {
    let bar = progress::bar(None, "pictures");
    let report = engine.register_all(sources, |n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    Ok(report)
}

/// Says on stderr what was skipped, and why.
pub(super) fn print_failures(report: &RegistrationReport) {
    for failure in &report.failures {
        eprintln!("skipped {}: {}", failure.source, failure.reason);
    }
}

fn print_report(report: &RegistrationReport) -> io::Result<()> {
    print_failures(report);
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} pictures registered, {} assets new, {} pictures known already, {} skipped",
        report.n_pictures_added,
        report.n_assets_created,
        report.n_duplicates,
        report.failures.len()
    )?;
    if report.n_shared_with_others > 0 {
        writeln!(
            out,
            "note: {} of the pictures are registered for other assets too",
            report.n_shared_with_others
        )?;
    }
    Ok(())
}
