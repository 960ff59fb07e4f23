//! `touchstone eval`: the figures that the project is judged by.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::args::{EvalBy, EvalCommand};
use super::{Outcome, eval_teach, print_json, progress, register, told};
use crate::config::Settings;
use crate::domain::{Finding, StageTimings};
use crate::engine::manifest::{FolderDefaults, read_assets, read_table};
use crate::engine::{Engine, Judgement};
use crate::eval::{Answer, Quality, percentile};

/// The contract of `eval --json`.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    quality: Quality,
    ms_per_photo_p50: Option<f64>,
    ms_per_photo_p99: Option<f64>,
    photos_per_s: f64,
    n_failed: usize,
    stage_ms_mean: StageTimings,
}

/// A labelled photo.
#[derive(Debug, Clone)]
pub(super) struct LabelledPhoto {
    pub path: std::path::PathBuf,
    pub brand: String,
    pub asset: String,
    pub kind: String,
    pub note: String,
    /// Share of the photo that the labelled box covers, where it is known.
    pub box_pixels: Option<f64>,
}

/// A photo with what the engine says of it.
pub(super) struct Answered {
    pub photo: LabelledPhoto,
    pub judgement: Judgement,
    pub photo_size: [u32; 2],
    pub timings: StageTimings,
}

pub(super) fn run(settings: Settings, command: EvalCommand) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let (engine, _home) = throw_away_engine(settings, &command.assets)?;
    tracing::debug!(
        "assets registered after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    let photos = read_photos(&command.photos)?;
    if !command.teach.is_empty() {
        let (taught, n_failed) = eval_teach::teach(&engine, &photos, command.teach, command.by)?;
        if command.json {
            print_json(&json!({ "taught": taught, "n_failed": n_failed }))?;
        } else {
            eval_teach::print_table(&taught)?;
        }
        return Ok(Outcome::of_failures(n_failed));
    }
    let started = Instant::now();
    let (answered, n_failed) = answer_all(&engine, photos);
    let elapsed = started.elapsed().as_secs_f64();
    if let Some(path) = &command.details {
        write_details(path, &answered, command.by)?;
    }
    let report = report(&answered, command.by, n_failed, elapsed);
    if command.json {
        print_json(&report)?;
    } else {
        print_table(&report)?;
    }
    Ok(Outcome::of_failures(n_failed))
}

/// An engine in a home that vanishes with the second value, with everything in `assets` registered.
pub(super) fn throw_away_engine(
    mut settings: Settings,
    assets: &Path,
) -> anyhow::Result<(Engine, tempfile::TempDir)> {
    let home = tempfile::tempdir().context("making a throw-away home")?;
    settings.engine.home = home.path().to_owned();
    let engine = Engine::open(settings.engine)?;
    let report = register::register(&engine, read_assets(assets, &FolderDefaults::default())?)?;
    for failure in &report.failures {
        tracing::warn!("not registered: {}: {}", failure.source, failure.reason);
    }
    if report.n_pictures_added == 0 {
        bail!("nothing could be registered from {}", assets.display());
    }
    Ok((engine, home))
}

/// The labelled photos of a CSV: `path,brand,asset,kind,x,y,w,h,note`.
pub(super) fn read_photos(path: &Path) -> anyhow::Result<Vec<LabelledPhoto>> {
    let table = read_table(path)?.with_context(|| format!("{} is no .csv file", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    table
        .map(|row| {
            let row = row?;
            let text = |column: &str| row.text(column).unwrap_or_default();
            let file = row
                .text("path")
                .with_context(|| format!("{}: {}", row.source_name, row.nothing_in("path")))?;
            let sides = row.number("w").zip(row.number("h"));
            Ok(LabelledPhoto {
                path: folder.join(file),
                brand: text("brand"),
                asset: text("asset"),
                kind: text("kind"),
                note: text("note"),
                box_pixels: sides.map(|(w, h)| w * h),
            })
        })
        .collect()
}

/// Every photo with its judgement; those that cannot be read are logged, counted, and answered with
/// nothing.
pub(super) fn answer_all(engine: &Engine, photos: Vec<LabelledPhoto>) -> (Vec<Answered>, usize) {
    let bar = progress::bar(Some(photos.len() as u64), "photos");
    let answered: Vec<(Answered, bool)> = photos
        .into_par_iter()
        .with_max_len(1)
        .map(|photo| {
            let outcome = engine
                .read_file(&photo.path)
                .map_err(anyhow::Error::msg)
                .and_then(|bytes| Ok(engine.judge_photo(&bytes, None)?));
            bar.inc(1);
            let failed = outcome.is_err();
            let (judgement, photo_size, timings) = outcome.unwrap_or_else(|error| {
                tracing::warn!("{}: {}", photo.path.display(), told(&error));
                (Judgement::default(), [0, 0], StageTimings::default())
            });
            let answered = Answered {
                photo,
                judgement,
                photo_size,
                timings,
            };
            (answered, failed)
        })
        .collect();
    bar.finish_and_clear();
    let n_failed = answered.iter().filter(|(_, failed)| *failed).count();
    (answered.into_iter().map(|(a, _)| a).collect(), n_failed)
}

fn label(finding: &Finding, by: EvalBy) -> &str {
    match by {
        EvalBy::Brand => &finding.brand,
        EvalBy::Asset => &finding.asset,
    }
}

/// The expected label; a photo without a brand has none. A set that names no asset for a photo is
/// asked by brand, whatever the flag.
fn expected(photo: &LabelledPhoto, by: EvalBy) -> (&str, EvalBy) {
    match by {
        EvalBy::Asset if !photo.asset.is_empty() => (&photo.asset, EvalBy::Asset),
        _ => (&photo.brand, EvalBy::Brand),
    }
}

pub(super) fn answer(answered: &Answered, by: EvalBy) -> Answer {
    let (wanted, by) = expected(&answered.photo, by);
    let has_label = !answered.photo.brand.is_empty();
    match answered.judgement.judged.first() {
        Some(best) => Answer {
            score: best.log_odds,
            probability: best.finding.probability,
            is_right: has_label && label(&best.finding, by) == wanted,
            has_label,
        },
        None => Answer {
            score: f64::NEG_INFINITY,
            probability: 0.0,
            is_right: false,
            has_label,
        },
    }
}

fn report(answered: &[Answered], by: EvalBy, n_failed: usize, elapsed: f64) -> Report {
    let answers: Vec<Answer> = answered.iter().map(|a| answer(a, by)).collect();
    let times: Vec<f64> = answered.iter().map(|a| a.timings.total()).collect();
    Report {
        quality: Quality::of(&answers),
        ms_per_photo_p50: percentile(&times, 0.5),
        ms_per_photo_p99: percentile(&times, 0.99),
        photos_per_s: answered.len() as f64 / elapsed,
        n_failed,
        stage_ms_mean: mean_timings(answered),
    }
}

fn mean_timings(answered: &[Answered]) -> StageTimings {
    let n = answered.len().max(1) as f64;
    let mean = |stage: fn(&StageTimings) -> f64| {
        answered.iter().map(|a| stage(&a.timings)).sum::<f64>() / n
    };
    StageTimings {
        prepare: mean(|t| t.prepare),
        embed: mean(|t| t.embed),
        find_candidates: mean(|t| t.find_candidates),
        verify: mean(|t| t.verify),
        judge: mean(|t| t.judge),
    }
}

fn print_table(report: &Report) -> io::Result<()> {
    let q = &report.quality;
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.3}"));
    let mut out = io::stdout().lock();
    writeln!(out, "photos with a label       {}", q.n_positive)?;
    writeln!(out, "photos without            {}", q.n_negative)?;
    writeln!(out, "recall at 1               {}", shown(q.recall_at_1))?;
    writeln!(out, "µAP                       {}", shown(q.micro_ap))?;
    writeln!(out, "recall at 90 % precision  {}", shown(q.recall_at_p90))?;
    writeln!(out, "recall at 99 % precision  {}", shown(q.recall_at_p99))?;
    writeln!(out, "recall at 1 % false alarms {}", shown(q.recall_at_fa1))?;
    writeln!(
        out,
        "calibration error         {}",
        shown(q.calibration_error)
    )?;
    writeln!(
        out,
        "milliseconds a photo      p50 {}, p99 {}",
        shown(report.ms_per_photo_p50),
        shown(report.ms_per_photo_p99)
    )?;
    writeln!(out, "photos a second           {:.1}", report.photos_per_s)
}

/// Candidates written per photo: enough to see what came instead of the right one.
const N_DETAILS: usize = 16;

fn write_details(path: &Path, answered: &[Answered], by: EvalBy) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
    let mut lines = BufWriter::new(file);
    for one in answered {
        let answer = answer(one, by);
        let candidates: Vec<_> = one
            .judgement
            .judged
            .iter()
            .take(N_DETAILS)
            .map(|j| json!({ "log_odds": j.log_odds, "finding": j.finding }))
            .collect();
        let pixels: f64 = one.photo_size.iter().map(|&side| f64::from(side)).product();
        let line = json!({
            "path": one.photo.path,
            "brand": one.photo.brand,
            "asset": one.photo.asset,
            "kind": one.photo.kind,
            "note": one.photo.note,
            "mark_share": one.photo.box_pixels.map(|b| b / pixels),
            "is_right": answer.is_right,
            "probability": answer.probability,
            "timings_ms": one.timings,
            "candidates": candidates,
        });
        writeln!(lines, "{line}")?;
    }
    lines
        .flush()
        .with_context(|| format!("writing {}", path.display()))
}
