//! `touchstone match`

use std::borrow::Cow;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::args::MatchCommand;
use super::{Outcome, open_registered, print_json};
use crate::config::Settings;
use crate::domain::{FileDigest, Finding, PhotoVerdict, with_causes};
use crate::engine::{Engine, EngineError, Examination};
use crate::evidence::{self, Check, EvidenceError, PhotoLabel};
use crate::report::{TextStyle, visible, write_photo};

/// Candidates that `--explain` tells of when nothing matched.
const N_NEAREST: usize = 3;

pub(super) fn run(settings: Settings, command: MatchCommand) -> anyhow::Result<Outcome> {
    check_destinations(&command)?;
    let engine = open_registered(settings.engine)?;
    let mut n_failed = 0;
    let mut objects = Vec::new();
    for path in &command.photos {
        let answer = match_file(&engine, path, &command);
        n_failed += usize::from(answer.as_ref().map_or(true, |a| !a.troubles.is_empty()));
        if command.json {
            objects.push(to_json(path, &answer));
        } else {
            print_answer(path, &answer)?;
        }
        for trouble in answer.iter().flat_map(|a| &a.troubles) {
            eprintln!("error: {}: {trouble}", path.display());
        }
    }
    if command.json {
        print_json(&objects)?;
    }
    Ok(Outcome::of_failures(n_failed))
}

/// What would fail for every photo fails before the first.
fn check_destinations(command: &MatchCommand) -> anyhow::Result<()> {
    if let Some(bundle) = &command.bundle {
        let n = command.photos.len();
        if n != 1 {
            bail!("--bundle takes one photo, but {n} are given");
        }
        if bundle.symlink_metadata().is_ok() {
            let path = bundle.clone();
            bail!(EvidenceError::Exists { path });
        }
    }
    if let Some(folder) = &command.evidence {
        fs::create_dir_all(folder)
            .with_context(|| format!("making the folder {}", folder.display()))?;
    }
    Ok(())
}

/// A verdict with what was asked for beside it.
struct MatchAnswer {
    verdict: PhotoVerdict,
    /// With `--explain` what came nearest without matching.
    nearest: Vec<String>,
    /// With `--evidence` a picture for each finding.
    pictures: Vec<PathBuf>,
    bundle: Option<WrittenBundle>,
    /// Why evidence is missing, or not as good as it should be.
    troubles: Vec<String>,
}

struct WrittenBundle {
    path: PathBuf,
    sha256: FileDigest,
    is_reproduced: bool,
}

fn match_file(engine: &Engine, path: &Path, command: &MatchCommand) -> Result<MatchAnswer, String> {
    let bytes = engine.read_file(path)?;
    let answer = answer(engine, path, &bytes, command);
    answer.map_err(|error| error.to_string())
}

fn answer(
    engine: &Engine,
    path: &Path,
    bytes: &[u8],
    command: &MatchCommand,
) -> Result<MatchAnswer, EngineError> {
    let policy = engine.settings().policy;
    let examination = engine.examine(bytes, None)?;
    let below = examination
        .judgement
        .judged
        .iter()
        .filter(|j| j.finding.probability < policy.review_at());
    let nearest = if command.explain {
        below
            .take(N_NEAREST)
            .map(|j| near_miss(&j.finding))
            .collect()
    } else {
        Vec::new()
    };
    let mut answer = MatchAnswer {
        verdict: examination.verdict(&policy),
        nearest,
        pictures: Vec::new(),
        bundle: None,
        troubles: Vec::new(),
    };
    if let Some(folder) = &command.evidence {
        answer.add_pictures(engine, &examination, (path, bytes), folder);
    }
    if let Some(file) = &command.bundle {
        answer.add_bundle(engine, &examination, (path, bytes), file);
    }
    Ok(answer)
}

impl MatchAnswer {
    fn add_pictures(
        &mut self,
        engine: &Engine,
        examination: &Examination,
        (path, bytes): (&Path, &[u8]),
        folder: &Path,
    ) {
        let name = file_name(path);
        let photo = PhotoLabel {
            name: &name,
            sha256: FileDigest::of(bytes),
        };
        let findings = &self.verdict.findings;
        match evidence::write_findings(engine, examination, findings, photo, folder) {
            Ok(pictures) => self.pictures = pictures,
            Err(error) => self.troubles.push(with_causes(&error)),
        }
    }

    fn add_bundle(
        &mut self,
        engine: &Engine,
        examination: &Examination,
        (path, bytes): (&Path, &[u8]),
        file: &Path,
    ) {
        let name = file_name(path);
        let made = evidence::make_bundle(engine, &name, bytes, examination);
        let made = made.and_then(|made| made.write(file).map(|()| made));
        match made {
            Ok(made) => {
                self.troubles.extend(not_reproduced(&made.check));
                self.bundle = Some(WrittenBundle {
                    path: file.to_owned(),
                    sha256: made.sha256,
                    is_reproduced: made.check.is_same(),
                });
            }
            Err(error) => self.troubles.push(with_causes(&error)),
        }
    }
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// What to do about a bundle that does not hold what it says.
fn not_reproduced(check: &Check) -> Option<String> {
    let first = check.differences.first()?;
    Some(format!(
        "the bundle gives {} other numbers than the registry, e.g. {}: {} instead of {}; the registry was described by another version or on another machine: `touchstone assets export` it, and `import` it into a new home",
        check.differences.len(),
        first.what,
        first.found,
        first.recorded
    ))
}

fn to_json(path: &Path, answer: &Result<MatchAnswer, String>) -> Value {
    let mut object = match answer {
        Ok(answer) => {
            let mut object = json!(answer.verdict);
            if !answer.nearest.is_empty() {
                object["nearest"] = json!(answer.nearest);
            }
            for (position, picture) in answer.pictures.iter().enumerate() {
                object["findings"][position]["evidence"] = json!(picture);
            }
            if let Some(bundle) = &answer.bundle {
                object["bundle"] = json!({
                    "file": bundle.path,
                    "sha256": bundle.sha256,
                    "is_reproduced": bundle.is_reproduced,
                });
            }
            if !answer.troubles.is_empty() {
                object["evidence_errors"] = json!(answer.troubles);
            }
            object
        }
        Err(reason) => json!({ "error": reason }),
    };
    object["photo"] = json!(path);
    object
}

fn print_answer(path: &Path, answer: &Result<MatchAnswer, String>) -> io::Result<()> {
    let style = TextStyle {
        colour: io::stdout().is_terminal(),
        ..TextStyle::default()
    };
    let mut out = io::stdout().lock();
    let outcome = answer.as_ref().map(|a| &a.verdict).map_err(String::as_str);
    write_photo(&mut out, &path.display().to_string(), outcome, style)?;
    let Ok(answer) = answer else { return Ok(()) };
    for line in &answer.nearest {
        writeln!(out, "         not matched: {line}")?;
    }
    for picture in &answer.pictures {
        let picture = visible(&picture.display().to_string());
        writeln!(out, "         evidence: {picture}")?;
    }
    if let Some(bundle) = &answer.bundle {
        let file = visible(&bundle.path.display().to_string());
        writeln!(out, "         bundle: {file}")?;
        writeln!(out, "                 SHA-256 {}", bundle.sha256)?;
    }
    Ok(())
}

/// How close an asset came that did not match.
fn near_miss(finding: &Finding) -> String {
    format!(
        "{} / {} with {:.1} %: {}",
        finding.brand,
        finding.asset,
        100.0 * finding.probability,
        finding.reasons.join("; ")
    )
}
