//! `touchstone verify`

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::args::VerifyCommand;
use super::{Outcome, print_json};
use crate::config::Settings;
use crate::engine::Engine;
use crate::evidence::{Bundle, Check, Difference, check};
use crate::report::{TextStyle, visible, write_photo};

/// Differences that are printed for people; a bundle of other networks has hundreds.
const MAX_PRINTED: usize = 40;

pub(super) fn run(settings: Settings, command: VerifyCommand) -> anyhow::Result<Outcome> {
    let path = &command.bundle;
    let verifying = || format!("verifying {}", path.display());
    let bundle = Bundle::read(path).with_context(verifying)?;
    let mut settings = bundle.settings(settings.engine).with_context(verifying)?;
    // One photo: a second session would only take time to load.
    settings.n_threads = 1;
    let engine = Engine::open_in_memory(settings)?;
    let check = check(&bundle, &engine).with_context(verifying)?;
    if command.json {
        print_json(&json!({
            "bundle": path,
            "sha256": bundle.sha256(),
            "made_at": bundle.record().made_at,
            "registry": bundle.record().registry,
            "settings": bundle.record().settings,
            "is_same": check.is_same(),
            "differences": check.differences,
            "circumstances": check.circumstances,
            "answer": check.answer,
        }))?;
    } else {
        print_check(path, &bundle, &check)?;
    }
    Ok(Outcome::of_failures(check.differences.len()))
}

fn print_check(path: &Path, bundle: &Bundle, check: &Check) -> io::Result<()> {
    let record = bundle.record();
    let mut out = io::stdout().lock();
    let word = if check.is_same() { "Same" } else { "Differs" };
    writeln!(out, "{word:<8} {}", visible(&path.display().to_string()))?;
    writeln!(out, "         SHA-256 {}", bundle.sha256())?;
    writeln!(
        out,
        "         photo {}, SHA-256 {}",
        visible(&record.photo.name),
        record.photo.sha256
    )?;
    writeln!(
        out,
        "         made {} by touchstone {} with {} assets of registry {} at revision {}",
        visible(&record.made_at),
        visible(&record.tool.touchstone),
        record.assets.len(),
        visible(&record.registry.id),
        record.registry.revision
    )?;
    writeln!(
        out,
        "         review from {}, flagged from {}, stages {}",
        record.settings.review_at,
        record.settings.flag_at,
        visible(&record.settings.stages.join(", "))
    )?;
    for difference in check.differences.iter().take(MAX_PRINTED) {
        print_difference(&mut out, "differs", difference)?;
    }
    let n_more = check.differences.len().saturating_sub(MAX_PRINTED);
    if n_more > 0 {
        writeln!(
            out,
            "         and {n_more} more differences: --json tells all"
        )?;
    }
    for circumstance in &check.circumstances {
        print_difference(&mut out, "other", circumstance)?;
    }
    let style = TextStyle {
        colour: io::stdout().is_terminal(),
        ..TextStyle::default()
    };
    write_photo(&mut out, &record.photo.name, Ok(&check.answer), style)
}

fn print_difference(out: &mut impl Write, word: &str, d: &Difference) -> io::Result<()> {
    writeln!(
        out,
        "         {word} {}: recorded {}, found {}",
        visible(&d.what),
        visible(&short(&d.recorded)),
        visible(&short(&d.found))
    )
}

/// A value as JSON, cut where it would fill the terminal.
fn short(value: &serde_json::Value) -> String {
    const MAX_CHARS: usize = 120;
    let text = value.to_string();
    if text.chars().count() <= MAX_CHARS {
        return text;
    }
    text.chars().take(MAX_CHARS).chain(['…']).collect()
}
