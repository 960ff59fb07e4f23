//! `touchstone eval --teach`: what confirmations are worth, played through on labelled photos.
//!
//! Of each brand the first photos, in an order that has nothing to do with what is on them, are looked at,
//! kept and decided on as their labels say, until so many findings of the brand are confirmed. Each
//! confirmed finding becomes an exemplar. The photos that nobody decided on are measured before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context;
use rayon::prelude::*;
use serde::Serialize;

use super::args::EvalBy;
use super::eval::{LabelledPhoto, answer, answer_all};
use crate::domain::{FileDigest, Keep, Keeping, Opinion};
use crate::engine::Engine;
use crate::eval::{Answer, Quality};
use crate::store::{DecisionScope, NewDecision};

/// What so many confirmations a brand came to.
#[derive(Debug, Serialize)]
pub(super) struct Taught {
    /// Findings confirmed of each brand, of those with enough to be found.
    confirmations_per_brand: usize,
    n_confirmed: usize,
    n_rejected: usize,
    /// Of the photos that nobody decided on, without what was learnt.
    before: Quality,
    /// Of the same photos, with it.
    after: Quality,
}

/// Decisions so far.
#[derive(Debug, Default)]
struct Decisions {
    n_confirmed: usize,
    n_rejected: usize,
    /// Photos that were decided on, and are measured no longer.
    photos: BTreeSet<PathBuf>,
}

/// The photos of a brand that nobody has looked at yet, and the findings confirmed so far.
struct Pupil {
    brand: String,
    waiting: Vec<LabelledPhoto>,
    n_confirmed: usize,
}

/// Teaches `engine` step by step, so many confirmations a brand each, in rising order; gives what came of each
/// step and how many photos could not be read.
pub(super) fn teach(
    engine: &Engine,
    photos: &[LabelledPhoto],
    mut steps: Vec<usize>,
    by: EvalBy,
) -> anyhow::Result<(Vec<Taught>, usize)> {
    steps.sort_unstable();
    steps.dedup();
    let (untaught, n_failed) = answer_all(engine, photos.to_vec());
    let untaught: BTreeMap<PathBuf, Answer> = untaught
        .into_iter()
        .map(|one| (one.photo.path.clone(), answer(&one, by)))
        .collect();
    let mut pupils = pupils(photos);
    let decisions = Mutex::new(Decisions::default());
    let mut taught = Vec::new();
    for step in steps {
        pupils
            .par_iter_mut()
            .try_for_each(|pupil| pupil.learn(engine, step, &decisions))?;
        let so_far = decisions.lock().expect("no panic while it was held");
        let is_left = |photo: &&LabelledPhoto| !so_far.photos.contains(&photo.path);
        let left: Vec<LabelledPhoto> = photos.iter().filter(is_left).cloned().collect();
        let before: Vec<Answer> = left.iter().map(|p| untaught[&p.path]).collect();
        let after: Vec<Answer> = if so_far.n_confirmed + so_far.n_rejected == 0 {
            before.clone()
        } else {
            let (answered, _) = answer_all(engine, left);
            answered.iter().map(|one| answer(one, by)).collect()
        };
        taught.push(Taught {
            confirmations_per_brand: step,
            n_confirmed: so_far.n_confirmed,
            n_rejected: so_far.n_rejected,
            before: Quality::of(&before),
            after: Quality::of(&after),
        });
    }
    Ok((taught, n_failed))
}

fn pupils(photos: &[LabelledPhoto]) -> Vec<Pupil> {
    let mut by_brand: BTreeMap<&str, Vec<LabelledPhoto>> = BTreeMap::new();
    for photo in photos.iter().filter(|photo| !photo.brand.is_empty()) {
        by_brand
            .entry(&photo.brand)
            .or_default()
            .push(photo.clone());
    }
    by_brand
        .into_iter()
        .map(|(brand, mut waiting)| {
            // The last is taken first.
            waiting.sort_by_key(|photo| {
                let name = photo.path.file_name().unwrap_or_default();
                FileDigest::of(name.as_encoded_bytes()).0
            });
            Pupil {
                brand: brand.to_owned(),
                waiting,
                n_confirmed: 0,
            }
        })
        .collect()
}

impl Pupil {
    /// Looks at photos until `n` findings of the brand are confirmed, or no photo is left.
    fn learn(
        &mut self,
        engine: &Engine,
        n: usize,
        decisions: &Mutex<Decisions>,
    ) -> anyhow::Result<()> {
        while self.n_confirmed < n
            && let Some(photo) = self.waiting.pop()
        {
            let (n_confirmed, n_rejected) = decide(engine, &photo.path, &self.brand)
                .with_context(|| format!("learning from {}", photo.path.display()))?;
            self.n_confirmed += n_confirmed;
            if n_confirmed + n_rejected > 0 {
                let mut decisions = decisions.lock().expect("no panic while it was held");
                decisions.n_confirmed += n_confirmed;
                decisions.n_rejected += n_rejected;
                decisions.photos.insert(photo.path);
            }
        }
        Ok(())
    }
}

/// Keeps what is found in a photo of `brand` and decides on it: its most probable finding of the brand is right, those
/// of others are wrong.
fn decide(engine: &Engine, path: &Path, brand: &str) -> anyhow::Result<(usize, usize)> {
    let Ok(bytes) = engine.read_file(path) else {
        return Ok((0, 0));
    };
    let keeping = Keeping {
        keep: Keep::Photos,
        days: 1,
    };
    let kept = engine.match_and_keep(&bytes, "photo", None, keeping, None)?;
    let (mut n_confirmed, mut n_rejected) = (0, 0);
    for found in &kept.findings {
        let Some(id) = found.id else { continue };
        let is_right = found.finding.brand == brand;
        if is_right && n_confirmed > 0 {
            continue;
        }
        let decision = NewDecision {
            opinion: if is_right {
                Opinion::Confirmed
            } else {
                Opinion::Rejected
            },
            reason: None,
            decided_by: "the label".to_owned(),
        };
        engine
            .store()
            .decide(id, &decision, DecisionScope::Finding)?;
        if is_right {
            engine.add_exemplar(id)?;
            n_confirmed += 1;
        } else {
            n_rejected += 1;
        }
    }
    Ok((n_confirmed, n_rejected))
}

pub(super) fn print_table(taught: &[Taught]) -> io::Result<()> {
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.3}"));
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>9}  {:>9}  {:>8}  {:>14}  {:>17}  {:>17}  {:>17}",
        "per brand",
        "confirmed",
        "rejected",
        "photos left",
        "recall at 1",
        "recall at p90",
        "recall at fa1"
    )?;
    for one in taught {
        let (before, after) = (&one.before, &one.after);
        let pair = |value: fn(&Quality) -> Option<f64>| {
            format!("{} → {}", shown(value(before)), shown(value(after)))
        };
        writeln!(
            out,
            "{:>9}  {:>9}  {:>8}  {:>14}  {:>17}  {:>17}  {:>17}",
            one.confirmations_per_brand,
            one.n_confirmed,
            one.n_rejected,
            format!("{} and {}", after.n_positive, after.n_negative),
            pair(|q| q.recall_at_1),
            pair(|q| q.recall_at_p90),
            pair(|q| q.recall_at_fa1)
        )?;
    }
    Ok(())
}
