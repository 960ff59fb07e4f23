//! `touchstone doctor`: what is wrong, and what to do.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::args::DoctorCommand;
use super::{Outcome, print_json};
use crate::config::Settings;
use crate::embed::{Embedder, OnnxEmbedder};
use crate::engine::{Engine, EngineSettings};
use crate::ocr::TextReader;
use crate::runtime;
use crate::store::Store;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    is_well: bool,
    /// What was found, or what is wrong and what to do.
    text: String,
}

pub(super) fn run(settings: Settings, command: DoctorCommand) -> anyhow::Result<Outcome> {
    let checks = all_checks(&settings.engine);
    if command.json {
        print_json(&checks)?;
    } else {
        let mut out = io::stdout().lock();
        for check in &checks {
            let mark = if check.is_well { "ok   " } else { "WRONG" };
            writeln!(out, "{mark} {:<9} {}", check.name, check.text)?;
        }
    }
    Ok(Outcome::of_failures(
        checks.iter().filter(|c| !c.is_well).count(),
    ))
}

fn all_checks(settings: &EngineSettings) -> Vec<Check> {
    vec![
        check("runtime", runtime_text()),
        check("network", network_text(settings)),
        check("words", words_text(settings)),
        check("disk", disk_text(&settings.home)),
        check("database", database_text(&settings.home)),
        check("registry", registry_text(settings)),
    ]
}

fn check(name: &'static str, outcome: anyhow::Result<String>) -> Check {
    let is_well = outcome.is_ok();
    let text = outcome.unwrap_or_else(|error| format!("{error:#}"));
    Check {
        name,
        is_well,
        text,
    }
}

fn runtime_text() -> anyhow::Result<String> {
    let path = runtime::library_path()?;
    runtime::environment()?;
    Ok(format!("ONNX Runtime from {}", path.display()))
}

fn network_text(settings: &EngineSettings) -> anyhow::Result<String> {
    let embedder = OnnxEmbedder::open(&settings.model_card, 1)?;
    Ok(format!(
        "{}, {} numbers a window, {} a whole picture, licence {}",
        embedder.model(),
        embedder.window_dim(),
        embedder.whole_dim(),
        embedder.card().licence
    ))
}

fn words_text(settings: &EngineSettings) -> anyhow::Result<String> {
    TextReader::open(&settings.models.join("ocr"), 1)?;
    Ok("networks that read words load".to_owned())
}

/// Whether the data folder can be written to, tried for real.
fn disk_text(home: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(home)?;
    let mut probe = tempfile::NamedTempFile::new_in(home)?;
    probe.write_all(&[0; 1 << 16])?;
    probe.as_file().sync_all()?;
    Ok(format!("{} can be written to", home.display()))
}

fn database_text(home: &Path) -> anyhow::Result<String> {
    let store = Store::open(home)?;
    let complaints = store.check()?;
    if !complaints.is_empty() {
        anyhow::bail!("{}: restore it from a backup", complaints.join("; "));
    }
    Ok(format!(
        "{} is whole, revision {}",
        store.path().display(),
        store.revision()?
    ))
}

fn registry_text(settings: &EngineSettings) -> anyhow::Result<String> {
    let engine = Engine::open(settings.clone())?;
    Ok(engine.with_registry(|registry| {
        format!(
            "{} assets, {} pictures, {} vectors searchable",
            registry.n_assets(),
            registry.n_references(),
            registry.n_vectors()
        )
    })?)
}
