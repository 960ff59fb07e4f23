//! Settings from a file, and `touchstone config show`.
//!
//! A setting is a flag that has a name: the file's values take the place of the flags' defaults before the
//! command line is read, and each flag can be given in the environment. So all three have the same names,
//! the same checks, and one order: command line, environment, file, default.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};
use toml::{Table, Value};

use super::args::Arguments;
use crate::config::Settings;

/// Where the file is named.
const FLAG: &str = "config";
/// What names of settings in the environment begin with.
const PREFIX: &str = "TOUCHSTONE_";
/// Sections of the file: commands that run where nobody types flags. Settings of all commands stand before the
/// first section.
const SECTIONS: [&str; 2] = ["serve", "scan"];

/// The command line with what file and environment say, and the command that it was read by.
pub(super) struct CommandLine {
    pub arguments: Arguments,
    /// For `config show`.
    pub settings: SettingSources,
}

/// What each setting is, and says where it comes from.
pub(super) struct SettingSources {
    command: Command,
    matches: ArgMatches,
    file: Option<(PathBuf, Table)>,
}

/// Reads the command line `given`, which begins with the program's name. Ends the program as clap does, for a
/// command line that cannot be read or that asks for help.
///
/// # Errors
/// A file that cannot be read, or says what is no setting.
pub(super) fn read(given: Vec<OsString>) -> anyhow::Result<CommandLine> {
    let command = with_environment(Arguments::command());
    let file = match named_file(&command, &given) {
        Some(path) => {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("reading the settings in {}", path.display()))?;
            let table: Table = text
                .parse()
                .with_context(|| format!("reading the settings in {}", path.display()))?;
            Some((path, table))
        }
        None => None,
    };
    let command = match &file {
        Some((path, table)) => with_file(command, table)
            .with_context(|| format!("in the settings of {}", path.display()))?,
        None => command,
    };
    let matches = command.clone().get_matches_from(given);
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    Ok(CommandLine {
        arguments,
        settings: SettingSources {
            command,
            matches,
            file,
        },
    })
}

/// The file that flag or environment name; whatever else is wrong with the command line is told later.
fn named_file(command: &Command, given: &[OsString]) -> Option<PathBuf> {
    let matches = command.clone().ignore_errors(true);
    let matches = matches.try_get_matches_from(given).ok()?;
    matches.try_get_one::<PathBuf>(FLAG).ok()?.cloned()
}

/// Whether a flag is a setting: it has a name and a value, or is a switch, and is not about this one call.
fn is_setting(arg: &Arg) -> bool {
    let about_this_call = [FLAG, "help", "version", "verbose", "quiet", "stages"];
    arg.get_long().is_some() && !about_this_call.contains(&arg.get_id().as_str())
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

/// Gives each setting a name in the environment.
fn with_environment(command: Command) -> Command {
    let named = |arg: Arg| {
        if !is_setting(&arg) || arg.get_env().is_some() {
            return arg;
        }
        let name = format!("{PREFIX}{}", arg.get_id().as_str().to_uppercase());
        // The names are wanted until the program ends.
        arg.env(&*name.leak())
    };
    let mut command = command.mut_args(named);
    // Only there: of other commands' flags none is about how the program runs.
    command = command.mut_subcommand("serve", |serve| serve.mut_args(named));
    command
}

fn with_file(mut command: Command, table: &Table) -> anyhow::Result<Command> {
    let (sections, settings): (Vec<_>, Vec<_>) =
        table.iter().partition(|(_, value)| value.is_table());
    for (name, value) in settings {
        command = with_default(command, name, value)?;
    }
    for (name, section) in sections {
        if !SECTIONS.contains(&name.as_str()) {
            bail!(
                "there is no section [{name}]: use {}",
                SECTIONS.map(|known| format!("[{known}]")).join(" or ")
            );
        }
        let section = section.as_table().expect("it was asked");
        let changed = command
            .find_subcommand(name)
            .cloned()
            .expect("every section is a command");
        let changed = section.iter().try_fold(changed, |changed, (key, value)| {
            with_default(changed, key, value).with_context(|| format!("section [{name}]"))
        })?;
        command = command.mut_subcommand(name, |_| changed);
    }
    Ok(command)
}

/// `command` with the file's `value` of a setting in place of the flag's default.
fn with_default(command: Command, name: &str, value: &Value) -> anyhow::Result<Command> {
    let known = command.get_arguments().find(|arg| *arg.get_id() == name);
    let Some(arg) = known.filter(|arg| is_setting(arg)) else {
        let known = command.get_arguments().filter(|arg| is_setting(arg));
        let known: Vec<_> = known.map(|arg| arg.get_id().as_str()).collect();
        bail!("there is no setting {name:?}: use {}", known.join(", "));
    };
    if is_switch(arg) != value.is_bool() {
        let wanted = if is_switch(arg) {
            "true or false"
        } else {
            "a value"
        };
        bail!("{name} is {value}: it takes {wanted}");
    }
    let takes_many = matches!(arg.get_action(), ArgAction::Append);
    let values: Vec<String> = match value {
        Value::Array(values) if takes_many => values.iter().map(text).collect::<Result<_, _>>()?,
        value => vec![text(value).with_context(|| name.to_owned())?],
    };
    for value in values.iter().filter(|_| !is_switch(arg)) {
        check(arg, value)?;
    }
    // They are wanted until the program ends.
    let values = values.into_iter().map(|value| &*value.leak());
    let values: Vec<&'static str> = values.collect();
    Ok(command.mut_arg(name, |arg| arg.default_values(values)))
}

/// A value as the command line has it.
fn text(value: &Value) -> anyhow::Result<String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(is_set) => is_set.to_string(),
        other => bail!("{other} is no text, number, true or false"),
    })
}

/// Says what is wrong with a value now, while it is known that the file has it.
fn check(arg: &Arg, value: &str) -> anyhow::Result<()> {
    let long = arg.get_long().expect("settings have names");
    let alone = Arg::new(arg.get_id().clone())
        .long(&*long.to_owned().leak())
        .value_parser(arg.get_value_parser().clone())
        .action(arg.get_action().clone());
    let command = Command::new("settings").no_binary_name(true).arg(alone);
    match command.try_get_matches_from([format!("--{long}={value}")]) {
        Ok(_) => Ok(()),
        Err(error) => {
            let words = error.to_string();
            let first = words.lines().next().unwrap_or_default();
            bail!("{}", first.trim_start_matches("error: "))
        }
    }
}

impl SettingSources {
    /// Prints all settings as the file would have them, each with where it comes from. `effective`, of settings that
    /// hold together, has those that follow from others or from what is found on this machine; they stand in
    /// comments: written down, they would follow no longer.
    ///
    /// # Errors
    /// Those of standard output.
    pub(super) fn show(&self, effective: Option<&Settings>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let none = Table::new();
        let table = self.file.as_ref().map_or(&none, |(_, table)| table);
        match &self.file {
            Some((path, _)) => writeln!(out, "# file: {}", path.display())?,
            None => writeln!(out, "# no file: name one with --{FLAG} or {PREFIX}CONFIG")?,
        }
        let follows = |id: &str| effective.and_then(|settings| following(id, settings));
        show_some(&mut out, &self.command, &self.matches, table, follows)?;
        // What these would run with; nothing of it stands on this command line, nor need it.
        for name in SECTIONS {
            let running = self
                .command
                .clone()
                .mut_subcommand(name, |command| command.mut_args(|arg| arg.required(false)));
            let running = running.try_get_matches_from(["touchstone", name]);
            let Ok(running) = running else { continue };
            let section = table.get(name).and_then(Value::as_table);
            if let (Some(command), Some(matches)) = (
                self.command.find_subcommand(name),
                running.subcommand_matches(name),
            ) {
                writeln!(out, "\n[{name}]")?;
                let section = section.unwrap_or(&none);
                show_some(&mut out, command, matches, section, |_| None)?;
            }
        }
        Ok(())
    }
}

/// `follows` gives the value of a setting that is not given.
fn show_some(
    out: &mut impl Write,
    command: &Command,
    matches: &ArgMatches,
    table: &Table,
    follows: impl Fn(&str) -> Option<String>,
) -> io::Result<()> {
    for arg in command.get_arguments().filter(|arg| is_setting(arg)) {
        let id = arg.get_id().as_str();
        let raw = matches.get_raw(id).into_iter().flatten();
        let values: Vec<String> = raw.map(|v| v.to_string_lossy().into_owned()).collect();
        let source = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "command line".to_owned(),
            Some(ValueSource::EnvVariable) => {
                let name = arg.get_env().unwrap_or_default();
                format!("environment, {}", name.to_string_lossy())
            }
            _ if table.contains_key(id) => "file".to_owned(),
            _ => "default".to_owned(),
        };
        match (shown(arg, &values), follows(id)) {
            (Some(value), _) => writeln!(out, "{id} = {value}  # {source}")?,
            (None, Some(value)) => writeln!(out, "# {id} = {value}  # default")?,
            (None, None) => writeln!(out, "# {id} is not given")?,
        }
    }
    Ok(())
}

/// What a setting that is not given comes to, as the file would have it.
fn following(id: &str, settings: &Settings) -> Option<String> {
    let text = |text: String| Some(Value::String(text).to_string());
    let path = |path: &Path| text(path.display().to_string());
    let engine = &settings.engine;
    match id {
        "tenant" => text(settings.tenant.to_string()),
        "models" => path(&engine.models),
        "model" => path(&engine.model_card),
        "judge" => path(&engine.judge),
        "threads" => Some(engine.n_threads.to_string()),
        "review_at" => Some(engine.policy.review_at().to_string()),
        "flag_at" => Some(engine.policy.flag_at().to_string()),
        _ => None,
    }
}

/// A value as the file would have it; `None` where there is none.
fn shown(arg: &Arg, values: &[String]) -> Option<String> {
    let quoted = |value: &String| match value.parse::<f64>() {
        Ok(number) if number.is_finite() => value.clone(),
        _ if is_switch(arg) => value.clone(),
        _ => Value::String(value.clone()).to_string(),
    };
    match values {
        [] => None,
        [one] if !matches!(arg.get_action(), ArgAction::Append) => Some(quoted(one)),
        many => {
            let many: Vec<String> = many.iter().map(quoted).collect();
            Some(format!("[{}]", many.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(toml: &str, given: &[&str]) -> anyhow::Result<ArgMatches> {
        let table: Table = toml.parse().expect("TOML");
        let command = with_file(Arguments::command(), &table)?;
        Ok(command.try_get_matches_from(given)?)
    }

    #[test]
    fn the_file_takes_the_place_of_defaults_and_the_command_line_that_of_the_file() {
        let toml = "home = \"/data\"\nreview_at = 0.4\n[serve]\nlisten = \"0.0.0.0:80\"\nbehind_tls = true\nfetch_only = [\"a.example\", \"b.example\"]\n";
        let matches = read_with(toml, &["touchstone", "serve", "--rate", "7"]).expect("valid");
        let serve = matches.subcommand_matches("serve").expect("serve");
        assert_eq!(
            matches.get_one::<PathBuf>("home"),
            Some(&PathBuf::from("/data"))
        );
        assert_eq!(serve.get_one::<f64>("review_at"), Some(&0.4));
        assert_eq!(serve.get_one::<u32>("rate"), Some(&7));
        assert!(serve.get_flag("behind_tls"));
        assert_eq!(serve.get_raw("fetch_only").expect("given").count(), 2);
        let given = [
            "touchstone",
            "serve",
            "--listen",
            "127.0.0.1:1",
            "--home",
            "here",
        ];
        let matches = read_with(toml, &given).expect("valid");
        let serve = matches.subcommand_matches("serve").expect("serve");
        let listen = serve.get_raw("listen").expect("given").next();
        assert_eq!(listen, Some("127.0.0.1:1".as_ref()));
        assert_eq!(
            matches.get_one::<PathBuf>("home"),
            Some(&PathBuf::from("here"))
        );
    }

    #[test]
    fn what_is_no_setting_is_refused_with_what_is_one() {
        for (toml, words) in [
            ("hoem = \"/data\"", "no setting \"hoem\": use home"),
            ("verbose = 2", "no setting"),
            ("[serv]\nrate = 1", "no section [serv]: use [serve]"),
            ("[serve]\nrates = 1", "no setting \"rates\""),
            ("review_at = \"much\"", "invalid value 'much'"),
            ("review_at = [0.4]", "no text, number"),
            ("[serve]\nopen = \"yes\"", "true or false"),
            ("[serve]\nlisten = true", "takes a value"),
            ("[serve]\nkeep_scans_days = 0", "0"),
        ] {
            let error = read_with(toml, &["touchstone", "serve"]).expect_err(toml);
            let told = format!("{error:#}");
            assert!(told.contains(words), "{toml}: {told}");
        }
    }
}
