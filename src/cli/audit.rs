//! `touchstone audit`

use std::io::{self, BufWriter, Write};

use anyhow::Context;

use super::Outcome;
use super::args::AuditCommand;
use crate::config::Settings;
use crate::store::Store;

/// Entries read at a time.
const PAGE: u32 = 1000;

pub(super) fn run(settings: Settings, command: AuditCommand) -> anyhow::Result<Outcome> {
    let store = Store::open(&settings.engine.home)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut after = command.after;
    loop {
        let entries = store.audit_entries_after(after, PAGE)?;
        let Some(last) = entries.last() else {
            break;
        };
        after = last.id;
        for entry in &entries {
            serde_json::to_writer(&mut out, entry).context("writing JSON")?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(Outcome::Done)
}
