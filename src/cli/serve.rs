//! `touchstone serve`
use super::Outcome;
use super::args::ServeCommand;
use crate::config::Settings;
pub(super) fn run(_s: Settings, _c: ServeCommand) -> anyhow::Result<Outcome> { anyhow::bail!("x") }
