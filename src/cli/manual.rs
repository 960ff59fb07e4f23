//! `touchstone completions`, `touchstone man`: what is known of the commands, for shells and `man`.

use std::fs;
use std::io;

use anyhow::Context;
use clap::CommandFactory;

use super::Outcome;
use super::args::{Arguments, CompletionsCommand, ManCommand};

pub(super) fn completions(command: &CompletionsCommand) -> anyhow::Result<Outcome> {
    let mut text = Vec::new();
    clap_complete::generate(
        command.shell,
        &mut Arguments::command(),
        "touchstone",
        &mut text,
    );
    io::Write::write_all(&mut io::stdout().lock(), &text)?;
    Ok(Outcome::Done)
}

pub(super) fn pages(command: &ManCommand) -> anyhow::Result<Outcome> {
    let folder = &command.folder;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    clap_mangen::generate_to(Arguments::command(), folder)
        .with_context(|| format!("writing manual pages to {}", folder.display()))?;
    Ok(Outcome::Done)
}
