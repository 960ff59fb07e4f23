//! `touchstone scan`

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};

use super::args::ScanCommand;
use super::{Outcome, progress};
use crate::config::Settings;
use crate::domain::{AssetId, Listing, ScannedPhoto};
use crate::engine::manifest::{ManifestError, read_listings};
use crate::engine::{Engine, ScanProgress};
use crate::report::{
    AssetThumbnails, HtmlOptions, MAX_FINDINGS, ReportFormat, ScanWriter, Summary,
    THUMBNAIL_SIDE_PX, TextStyle, open_report, thumbnail, write_summary,
};

pub(super) fn run(settings: Settings, command: ScanCommand) -> anyhow::Result<Outcome> {
    let engine = Engine::open(settings.engine)?;
    if engine.with_registry(|registry| registry.n_references())? == 0 {
        bail!("nothing is registered yet: start with `touchstone register`");
    }
    // Counted in a pass of its own: a bar with the time left is worth one reading of the manifest.
    let n_photos = count_photos(&command.source)?;
    let listings = read_listings(&command.source)?;
    let mut writers = open_writers(&engine, &command)?;
    let bar = progress::bar(Some(n_photos), "photos");
    let started = Instant::now();
    let mut summary = Summary::default();
    engine.scan(listings, |progress| -> anyhow::Result<()> {
        let (scanned, path) = match progress {
            ScanProgress::Photo { scanned, path } => (*scanned, Some(path)),
            ScanProgress::BadLine(error) => (bad_line(&error), None),
        };
        if let Err(reason) = &scanned.outcome {
            bar.suspend(|| eprintln!("{} {}: {reason}", scanned.listing.listing_id, scanned.photo));
        }
        summary.add(&scanned);
        let mut photo_thumbnail = || thumbnail_of_file(&engine, path.as_deref()?);
        for writer in &mut writers {
            writer.write(&scanned, &mut photo_thumbnail)?;
        }
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    summary.elapsed = started.elapsed();
    for writer in writers {
        writer.finish(&summary)?;
    }
    let style = TextStyle {
        colour: io::stderr().is_terminal(),
        ..TextStyle::default()
    };
    write_summary(&mut io::stderr().lock(), &summary, style)?;
    io::stderr().flush()?;
    Ok(Outcome::of_failures(
        usize::try_from(summary.n_failed).unwrap_or(usize::MAX),
    ))
}

/// Photos that the source names; a bad line counts as one.
fn count_photos(source: &Path) -> anyhow::Result<u64> {
    Ok(read_listings(source)?
        .map(|listing| listing.map_or(1, |(_, paths)| paths.len() as u64))
        .sum())
}

/// A line that could not be read takes the place of the photos that it would have named.
fn bad_line(error: &ManifestError) -> ScannedPhoto {
    ScannedPhoto {
        listing: Arc::new(Listing {
            listing_id: error.place(),
            ..Listing::default()
        }),
        photo: String::new(),
        sha256: None,
        outcome: Err(error.reason()),
    }
}

fn open_writers<'a>(
    engine: &'a Engine,
    command: &ScanCommand,
) -> anyhow::Result<Vec<Box<dyn ScanWriter + 'a>>> {
    if !command.format.is_empty() && command.format.len() != command.out.len() {
        bail!(
            "{} --format for {} --out: give one for each, or none",
            command.format.len(),
            command.out.len()
        );
    }
    let open = |(i, destination): (usize, &std::path::PathBuf)| {
        let format = match command.format.get(i) {
            Some(format) => *format,
            None if destination == Path::new("-") => ReportFormat::Jsonl,
            None => ReportFormat::of_path(destination).with_context(|| {
                format!("{}: say with --format what to write", destination.display())
            })?,
        };
        let options = HtmlOptions {
            source: command.source.display().to_string(),
            made_at: jiff::Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
            max_findings: MAX_FINDINGS,
        };
        let asset_thumbnail: AssetThumbnails<'a> =
            Box::new(move |asset| thumbnail_of_asset(engine, asset));
        Ok(open_report(format, destination, options, asset_thumbnail)?)
    };
    command.out.iter().enumerate().map(open).collect()
}

fn thumbnail_of_file(engine: &Engine, path: &Path) -> Option<Vec<u8>> {
    let picture = engine.prepare(&engine.read_file(path).ok()?).ok()?;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}

/// The first picture of an asset, on the ground that shows it.
fn thumbnail_of_asset(engine: &Engine, asset: AssetId) -> Option<Vec<u8>> {
    let picture = engine.reference_picture(asset).ok()??;
    thumbnail(&picture.pixels, THUMBNAIL_SIDE_PX).ok()
}
