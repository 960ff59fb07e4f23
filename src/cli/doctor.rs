//! `touchstone doctor`: what is wrong, and what to do.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::args::DoctorCommand;
use super::{Outcome, print_json, told};
use crate::config::Settings;
use crate::embed::{Embedder, OnnxEmbedder};
use crate::engine::{Engine, EngineSettings, Registry};
use crate::index::IndexState;
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
    let checks = all_checks(&settings);
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

/// Where the runtime or the networks are missing, what rests on them is left out: it would only say the same again.
fn all_checks(settings: &Settings) -> Vec<Check> {
    let networks = settings.require_networks();
    let settings = &settings.engine;
    let runtime = check("runtime", runtime_text());
    let can_load = runtime.is_well && networks.is_ok();
    let mut checks = vec![runtime];
    if let Err(error) = networks {
        checks.push(check("network", Err(error.into())));
    } else if can_load {
        checks.push(check("network", network_text(settings)));
        checks.push(check("words", words_text(settings)));
    }
    checks.push(check("disk", disk_text(&settings.home)));
    checks.push(check("database", database_text(&settings.home)));
    if !can_load {
        return checks;
    }
    match Engine::open(settings.clone()) {
        Ok(engine) => {
            checks.push(check("registry", registry_text(&engine)));
            checks.push(check("index", index_text(&engine)));
        }
        Err(error) => checks.push(check("registry", Err(error.into()))),
    }
    checks
}

fn check(name: &'static str, outcome: anyhow::Result<String>) -> Check {
    let is_well = outcome.is_ok();
    let text = outcome.unwrap_or_else(|error| told(&error));
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

fn registry_text(engine: &Engine) -> anyhow::Result<String> {
    Ok(engine.with_registry(|registry| {
        format!(
            "{} assets, {} pictures, {} vectors searchable",
            registry.n_assets(),
            registry.n_references(),
            registry.n_vectors()
        )
    })?)
}

/// What searches go through, as it is after every vector was compared with the database.
fn index_text(engine: &Engine) -> anyhow::Result<String> {
    let states = engine.with_registry(Registry::index_states)?;
    let is_damaged =
        |state: &IndexState| state.graph.as_ref().is_some_and(|graph| graph.is_damaged);
    let is_any_damaged = states.iter().any(|(_, state)| is_damaged(state));
    let text = states
        .map(|(space, state)| format!("{space}: {}", state_text(&state)))
        .join("; ");
    if is_any_damaged {
        anyhow::bail!("{text}");
    }
    Ok(text)
}

fn state_text(state: &IndexState) -> String {
    let Some(graph) = &state.graph else {
        return format!("{} vectors, all looked at", state.n_scanned);
    };
    let saved = match &graph.saved_in {
        Some(path) => format!("saved in {}", path.display()),
        None => "not saved yet".to_owned(),
    };
    let damage = match graph.is_damaged {
        true => ", where some were damaged and come from the database now",
        false => "",
    };
    format!(
        "graph of {} vectors with {} links, {} MB in memory, {saved}{damage}; {} taken out, {} newer ones looked at",
        graph.n_vectors,
        graph.n_links,
        graph.size_bytes.div_ceil(1_000_000),
        graph.n_dead,
        state.n_scanned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::GraphState;

    #[test]
    fn an_index_is_described_with_or_without_a_graph() {
        let mut state = IndexState {
            n_scanned: 7,
            graph: None,
        };
        assert_eq!(state_text(&state), "7 vectors, all looked at");
        let graph = GraphState {
            n_vectors: 60_000,
            n_dead: 2,
            n_links: 900_000,
            size_bytes: 25_500_000,
            saved_in: Some("home/index/window/generation-3/graph.bin".into()),
            is_damaged: false,
        };
        state.graph = Some(graph.clone());
        assert_eq!(
            state_text(&state),
            "graph of 60000 vectors with 900000 links, 26 MB in memory, \
             saved in home/index/window/generation-3/graph.bin; 2 taken out, 7 newer ones looked at"
        );
        state.graph = Some(GraphState {
            is_damaged: true,
            ..graph
        });
        assert!(state_text(&state).contains("damaged"));
    }
}
