//! `touchstone assets`

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{AssetsAction, AssetsCommand};
use super::{Outcome, print_json, progress, register, told};
use crate::config::Settings;
use crate::domain::{Asset, AssetId, AuditAction, FindingId};
use crate::engine::Engine;
use crate::engine::manifest::{FolderDefaults, read_assets};
use crate::report::Output;
use crate::store::{AssetFilter, Picture, Store};

/// Name of the manifest in an exported folder.
const EXPORT_MANIFEST: &str = "assets.jsonl";

pub(super) fn run(settings: Settings, command: AssetsCommand) -> anyhow::Result<Outcome> {
    let store = || Store::open(&settings.engine.home);
    match command.action {
        AssetsAction::List { brand, json } => list(&store()?, brand, json),
        AssetsAction::Show { id, json } => show(&store()?, AssetId(id), json),
        AssetsAction::Disable { ids } => set_enabled(&store()?, &ids, false),
        AssetsAction::Enable { ids } => set_enabled(&store()?, &ids, true),
        AssetsAction::Remove { ids } => {
            let store = store()?;
            each("asset", &ids, |id| Ok(store.remove_asset(AssetId(id))?))
        }
        AssetsAction::Export { folder } => export(&store()?, &folder),
        AssetsAction::Import { folder } => import(settings, &folder),
        AssetsAction::Reembed => reembed(settings),
        AssetsAction::Learn { findings } => {
            let engine = Engine::open(settings.engine)?;
            each("finding", &findings, |id| {
                engine.add_exemplar(FindingId(id))?;
                Ok(())
            })
        }
        AssetsAction::Unlearn { findings } => {
            let store = store()?;
            each("finding", &findings, |id| unlearn(&store, FindingId(id)))
        }
    }
}

fn set_enabled(store: &Store, ids: &[i64], enabled: bool) -> anyhow::Result<Outcome> {
    each("asset", ids, |id| {
        Ok(store.set_enabled(AssetId(id), enabled)?)
    })
}

fn list(store: &Store, brand: Option<String>, json: bool) -> anyhow::Result<Outcome> {
    let filter = AssetFilter {
        brand,
        ..AssetFilter::default()
    };
    let assets = store.assets(&filter)?;
    if json {
        print_json(&assets)?;
        return Ok(Outcome::Done);
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{:>6}  {:<24} {:<28} {:<10} pictures",
        "id", "brand", "asset", "kind"
    )?;
    for asset in assets {
        let note = if asset.enabled { "" } else { "  disabled" };
        let Asset {
            id,
            draft,
            n_pictures,
            ..
        } = asset;
        let (brand, name) = (shortened(&draft.brand, 24), shortened(&draft.name, 28));
        writeln!(
            out,
            "{id:>6}  {brand:<24} {name:<28} {:<10} {n_pictures:>8}{note}",
            draft.kind.as_str()
        )?;
    }
    Ok(Outcome::Done)
}

fn shortened(text: &str, n_chars: usize) -> String {
    if text.chars().count() <= n_chars {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(n_chars - 1).collect();
    short.push('…');
    short
}

fn show(store: &Store, id: AssetId, json: bool) -> anyhow::Result<Outcome> {
    let asset = store.asset(id)?;
    let pictures = store.pictures_of(id)?;
    if json {
        print_json(&json!({ "asset": asset, "pictures": pictures }))?;
        return Ok(Outcome::Done);
    }
    let mut out = io::stdout().lock();
    let Value::Object(fields) = serde_json::to_value(&asset)? else {
        unreachable!("a struct becomes an object");
    };
    for (name, value) in fields {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Array(parts) if parts.is_empty() => continue,
            Value::Array(parts) => {
                let texts: Vec<_> = parts.iter().filter_map(Value::as_str).collect();
                texts.join(", ")
            }
            other => other.to_string(),
        };
        writeln!(out, "{name:<20} {text}")?;
    }
    for picture in pictures {
        let Picture {
            source_name,
            width,
            height,
            n_bytes,
            sha256,
            exemplar_of,
            ..
        } = picture;
        let digest = &sha256.to_hex()[..12];
        let origin = exemplar_of.map_or(String::new(), |finding| {
            format!(", learnt from finding {}", finding.0)
        });
        writeln!(
            out,
            "picture              {source_name} {width}×{height}, {n_bytes} bytes, sha256 {digest}…{origin}"
        )?;
    }
    Ok(Outcome::Done)
}

/// Does `change` to each id; one that fails is reported and does not stop the others.
fn each(
    what: &str,
    ids: &[i64],
    change: impl Fn(i64) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    let mut n_failed = 0;
    for &id in ids {
        if let Err(error) = change(id) {
            eprintln!("{what} {id}: {}", told(&error));
            n_failed += 1;
        }
    }
    Ok(Outcome::of_failures(n_failed))
}

fn unlearn(store: &Store, id: FindingId) -> anyhow::Result<()> {
    let picture = store.finding(id)?.exemplar;
    let picture = picture.context("no picture was made of it")?;
    Ok(store.remove_picture(picture)?)
}

fn export(store: &Store, folder: &Path) -> anyhow::Result<Outcome> {
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures).with_context(|| format!("making {}", pictures.display()))?;
    let details = json!({ "folder": folder.display().to_string() });
    store.audit(AuditAction::Exported, "assets", Some(&details))?;
    let mut lines = Output::create(&folder.join(EXPORT_MANIFEST))?;
    let mut n_assets = 0;
    for record in store.records() {
        let record = record?;
        let mut paths = Vec::new();
        // What rests on this folder's decisions stays with them.
        let own = |picture: &&Picture| picture.exemplar_of.is_none();
        for picture in record.pictures.iter().filter(own) {
            let ending = Path::new(&picture.source_name)
                .extension()
                .unwrap_or_default();
            let name = format!("{}.{}", picture.sha256.to_hex(), ending.to_string_lossy());
            fs::write(pictures.join(&name), store.picture_bytes(picture.id)?)
                .with_context(|| format!("writing picture {name}"))?;
            paths.push(format!("pictures/{name}"));
        }
        let mut line = serde_json::to_value(&record.asset.draft)?;
        line["asset"] = line["name"].take();
        line["path"] = json!(paths);
        lines.write_record(format!("{line}\n").as_bytes())?;
        n_assets += 1;
    }
    lines.finish()?;
    eprintln!("{n_assets} assets exported to {}", folder.display());
    Ok(Outcome::Done)
}

fn import(settings: Settings, folder: &Path) -> anyhow::Result<Outcome> {
    let engine = Engine::open(settings.engine)?;
    let sources = read_assets(&folder.join(EXPORT_MANIFEST), &FolderDefaults::default())?;
    let report = register::register(&engine, sources)?;
    register::print_failures(&report);
    eprintln!("{} pictures imported", report.n_pictures_added);
    Ok(Outcome::of_failures(report.failures.len()))
}

fn reembed(settings: Settings) -> anyhow::Result<Outcome> {
    let engine = Engine::open_for_reembedding(settings.engine)?;
    let bar = progress::bar(None, "pictures");
    let n_done = engine.reembed(|n| bar.inc(n as u64))?;
    bar.finish_and_clear();
    eprintln!("{n_done} pictures described anew with {}", engine.model());
    Ok(Outcome::Done)
}
