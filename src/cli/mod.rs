//! The command line: a file per subcommand. Results go to stdout, everything else to stderr.

mod args;
mod assets;
mod audit;
mod backup;
mod brands;
mod calibrate;
mod config_file;
mod doctor;
mod eval;
mod eval_teach;
mod fetching;
mod keys;
mod logging;
mod manual;
mod matching;
mod progress;
mod register;
mod scan;
mod screen;
mod serve;
mod verify;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::domain::with_causes;
use crate::engine::{Engine, EngineSettings};
use crate::report::ReportError;
use crate::store::DATABASE_NAME;
use args::{AssetsAction, Command, ConfigAction, ConfigCommand};
use config_file::CommandLine;

/// How a command that could run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything was done: exit 0.
    Done,
    /// Some inputs failed, or something differs, and was reported: exit 1.
    SomeFailed,
}

impl Outcome {
    fn of_failures(n_failed: usize) -> Self {
        if n_failed == 0 {
            Self::Done
        } else {
            Self::SomeFailed
        }
    }
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let ended = config_file::read(env::args_os().collect()).and_then(|line| {
        let _logging = logging::start(&line.arguments)?;
        run(line)
    });
    match ended {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::from(2)
        }
    }
}

fn run(
    CommandLine {
        arguments,
        settings,
    }: CommandLine,
) -> anyhow::Result<Outcome> {
    // These need no settings that hold together.
    match arguments.command {
        Command::Config(ConfigCommand {
            action: ConfigAction::Show,
        }) => {
            // They may not hold together; then what was given shows why.
            let effective = arguments.engine.settings().ok();
            settings.show(effective.as_ref())?;
            return Ok(Outcome::Done);
        }
        Command::Completions(command) => return manual::completions(&command),
        Command::Man(command) => return manual::pages(&command),
        _ => {}
    }
    let settings = arguments.engine.settings()?;
    if needs_networks(&arguments.command) {
        settings.require_networks()?;
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(settings.engine.n_threads)
        .build_global()
        .context("starting the threads that photos are worked on")?;
    match arguments.command {
        Command::Register(command) => register::run(settings, command),
        Command::Assets(command) => assets::run(settings, command),
        Command::Brands(command) => brands::run(&settings, command),
        Command::Match(command) => matching::run(settings, command),
        Command::Verify(command) => verify::run(settings, command),
        Command::Scan(command) => scan::run(settings, command),
        Command::Screen(command) => screen::run(settings, command),
        Command::Serve(command) => serve::run(settings, command),
        Command::Keys(command) => keys::run(settings, command),
        Command::Audit(command) => audit::run(settings, command),
        Command::Eval(command) => eval::run(settings, command),
        Command::Calibrate(command) => calibrate::run(settings, command),
        Command::Doctor(command) => doctor::run(settings, command),
        Command::Backup(command) => backup::back_up(&settings, &command.folder),
        Command::Restore(command) => backup::restore(&settings, &command.folder),
        Command::Config(_) => unreachable!("shown above"),
        Command::Completions(command) => manual::completions(&command),
        Command::Man(command) => manual::pages(&command),
    }
}

/// Whether a command cannot do without the networks. `doctor` says itself what is wrong with them.
fn needs_networks(command: &Command) -> bool {
    match command {
        Command::Register(_)
        | Command::Match(_)
        | Command::Verify(_)
        | Command::Scan(_)
        | Command::Screen(_)
        | Command::Serve(_)
        | Command::Eval(_)
        | Command::Calibrate(_) => true,
        Command::Assets(assets) => matches!(
            assets.action,
            AssetsAction::Import { .. } | AssetsAction::Reembed | AssetsAction::Learn { .. }
        ),
        Command::Brands(_)
        | Command::Keys(_)
        | Command::Audit(_)
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Completions(_)
        | Command::Man(_) => false,
    }
}

/// Opens a data folder that photos are to be compared with. With nothing in it every photo would be clear, also
/// where its name is mistyped, and no folder is made then.
///
/// # Errors
/// Those of [`Engine::open`], and where nothing is registered.
fn open_registered(settings: EngineSettings) -> anyhow::Result<Engine> {
    let home = settings.home.clone();
    let nothing = || {
        format!(
            "nothing is registered in {}: start with `touchstone register`, or name another data folder with --home",
            home.display()
        )
    };
    ensure!(home.join(DATABASE_NAME).is_file(), nothing());
    let engine = Engine::open(settings)?;
    let n_references = engine.with_registry(|registry| registry.n_references())?;
    ensure!(n_references > 0, nothing());
    Ok(engine)
}

/// An error with its causes, each said once.
fn told(error: &anyhow::Error) -> String {
    with_causes(&**error)
}

/// `touchstone … | head` ends quietly, as every program in a pipe should.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let is_pipe = cause
            .downcast_ref::<io::Error>()
            .is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
        is_pipe || matches!(cause.downcast_ref(), Some(ReportError::ReaderGone { .. }))
    })
}

/// Prints `value` as indented JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("writing JSON")?;
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}
