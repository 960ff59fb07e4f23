//! `touchstone match`

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::args::MatchCommand;
use super::{Outcome, print_json};
use crate::config::Settings;
use crate::domain::{Finding, PhotoVerdict};
use crate::engine::{Engine, EngineError};
use crate::report::{TextStyle, write_photo};

/// Candidates that `--explain` tells of when nothing matched.
const N_NEAREST: usize = 3;

pub(super) fn run(settings: Settings, command: MatchCommand) -> anyhow::Result<Outcome> {
    let engine = Engine::open(settings.engine)?;
    let mut n_failed = 0;
    let mut objects = Vec::new();
    for path in &command.photos {
        let answer = match_file(&engine, path, command.explain);
        n_failed += usize::from(answer.is_err());
        if command.json {
            objects.push(to_json(path, &answer));
        } else {
            print_answer(path, &answer)?;
        }
    }
    if command.json {
        print_json(&objects)?;
    }
    Ok(Outcome::of_failures(n_failed))
}

/// A verdict, and with `--explain` what came nearest without matching.
struct MatchAnswer {
    verdict: PhotoVerdict,
    nearest: Vec<String>,
}

fn match_file(engine: &Engine, path: &Path, explain: bool) -> Result<MatchAnswer, String> {
    let bytes = engine.read_file(path)?;
    answer(engine, &bytes, explain).map_err(|error| error.to_string())
}

fn answer(engine: &Engine, bytes: &[u8], explain: bool) -> Result<MatchAnswer, EngineError> {
    let policy = engine.settings().policy;
    let (judgement, photo_size, timings_ms) = engine.judge_photo(bytes, None)?;
    let below = judgement
        .judged
        .iter()
        .filter(|j| j.finding.probability < policy.review_at());
    let nearest = if explain {
        below
            .take(N_NEAREST)
            .map(|j| near_miss(&j.finding))
            .collect()
    } else {
        Vec::new()
    };
    Ok(MatchAnswer {
        verdict: judgement.verdict(&policy, photo_size, timings_ms),
        nearest,
    })
}

fn to_json(path: &Path, answer: &Result<MatchAnswer, String>) -> Value {
    let mut object = match answer {
        Ok(answer) => {
            let mut object = json!(answer.verdict);
            if !answer.nearest.is_empty() {
                object["nearest"] = json!(answer.nearest);
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
    for line in answer.iter().flat_map(|a| &a.nearest) {
        writeln!(out, "         not matched: {line}")?;
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
