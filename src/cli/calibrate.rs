//! `touchstone calibrate`: fits the judge to labelled photos, the user's own or ours.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use rayon::prelude::*;

use super::args::CalibrateCommand;
use super::eval::{LabelledPhoto, read_photos, throw_away_engine};
use super::{Outcome, progress};
use crate::config::Settings;
use crate::domain::{Asset, AssetKind, FindingKind};
use crate::engine::{Engine, Verified};
use crate::matching::judge::{LabelledRow, fit_judge};
use crate::report::{Output, write_json};

pub(super) fn run(settings: Settings, command: CalibrateCommand) -> anyhow::Result<Outcome> {
    let rows = match &command.refit {
        Some(path) => read_rows(path)?,
        None => measure(&settings, &command)?,
    };
    if let Some(path) = &command.rows {
        let mut output = Output::create(path)?;
        for row in &rows {
            output.write_record((serde_json::to_string(row)? + "\n").as_bytes())?;
        }
        output.finish()?;
    }
    let judge = fit_judge(&rows, &command.provenance)?;
    write_json(&command.out, &judge)?;
    let kinds: Vec<_> = judge.models.keys().map(|kind| kind.as_str()).collect();
    let n_photos = rows
        .iter()
        .map(|row| row.photo_idx)
        .collect::<HashSet<_>>()
        .len();
    eprintln!(
        "fitted {} on {} candidates of {n_photos} photos",
        kinds.join(", "),
        rows.len()
    );
    Ok(Outcome::Done)
}

/// What an earlier run wrote with `--rows`.
fn read_rows(path: &Path) -> anyhow::Result<Vec<LabelledRow>> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let lines = BufReader::new(file).lines().enumerate();
    lines
        .map(|(i, line)| {
            let row = serde_json::from_str(&line?);
            row.with_context(|| format!("{} line {}", path.display(), i + 1))
        })
        .collect()
}

/// All candidates of all photos, pair by pair of `--assets` and `--photos`.
fn measure(settings: &Settings, command: &CalibrateCommand) -> anyhow::Result<Vec<LabelledRow>> {
    if command.assets.len() != command.photos.len() {
        bail!(
            "{} --assets for {} --photos: give them in pairs",
            command.assets.len(),
            command.photos.len()
        );
    }
    let mut rows: Vec<LabelledRow> = Vec::new();
    let mut n_photos = 0;
    for (i, (assets, photos)) in command.assets.iter().zip(&command.photos).enumerate() {
        let weight = command.weight.get(i).copied().unwrap_or(1.0);
        if !(weight.is_finite() && weight > 0.0) {
            bail!("the weight {weight} of {} is not above 0", photos.display());
        }
        let (engine, _home) = throw_away_engine(settings.clone(), assets)?;
        let photos = read_photos(photos)?;
        let measured = measured_rows(&engine, &photos, n_photos)?;
        rows.extend(
            measured
                .into_iter()
                .map(|row| LabelledRow { weight, ..row }),
        );
        n_photos += photos.len();
    }
    Ok(rows)
}

/// The candidates of all photos with what is true of them; photos are numbered from `first_idx`.
fn measured_rows(
    engine: &Engine,
    photos: &[LabelledPhoto],
    first_idx: usize,
) -> anyhow::Result<Vec<LabelledRow>> {
    let bar = progress::bar(Some(photos.len() as u64), "photos");
    let rows: Vec<Vec<LabelledRow>> = photos
        .par_iter()
        .enumerate()
        .with_max_len(1)
        .map(|(i, photo)| {
            bar.inc(1);
            rows_of(engine, photo, first_idx + i)
        })
        .collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    Ok(rows.into_iter().flatten().collect())
}

fn rows_of(
    engine: &Engine,
    photo: &LabelledPhoto,
    photo_idx: usize,
) -> anyhow::Result<Vec<LabelledRow>> {
    let bytes = engine
        .read_file(&photo.path)
        .map_err(|reason| anyhow!("reading {}: {reason}", photo.path.display()))?;
    let verified = match engine.measure_photo(&bytes) {
        Ok((_, verified, _)) => verified,
        Err(error) if error.is_bad_input() => {
            tracing::warn!("{}: {error}", photo.path.display());
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    engine
        .with_registry(|registry| {
            verified
                .iter()
                .filter_map(|v| {
                    let asset = registry.active_asset(v.candidate.asset_id)?;
                    labelled(photo, photo_idx, v, asset)
                })
                .collect()
        })
        .map_err(Into::into)
}

/// The candidate with what `photo`'s label says of it; `None` where it says nothing: whoever labelled a
/// pack need not have said that its maker's mark is on it.
fn labelled(
    photo: &LabelledPhoto,
    photo_idx: usize,
    verified: &Verified,
    asset: &Asset,
) -> Option<LabelledRow> {
    let same_brand = !photo.brand.is_empty() && asset.draft.brand == photo.brand;
    let same_asset = photo.asset.is_empty() || asset.draft.name == photo.asset;
    if same_brand && !same_asset && asset.draft.kind == AssetKind::Logo {
        return None;
    }
    Some(LabelledRow {
        photo_idx,
        asset_kind: asset.draft.kind,
        measured: verified.candidate.measured,
        truth: if same_brand && same_asset {
            kind_of(&photo.kind)
        } else {
            None
        },
        weight: 1.0,
    })
}

/// The finding kind that a label's word stands for.
fn kind_of(word: &str) -> Option<FindingKind> {
    match word {
        "logo" => Some(FindingKind::LogoPresent),
        "altered" => Some(FindingKind::AlteredLogo),
        "copy" => Some(FindingKind::StolenPhoto),
        "product" | "packaging" => Some(FindingKind::LookalikeProduct),
        _ => None,
    }
}
