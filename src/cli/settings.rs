//! Settings as flags: one of each row of the settings table, on the verbs that it concerns.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::config::Flags;
use crate::config::keys::{self, KEYS, Key, Kind, Otherwise};

/// The flag of the configuration file.
const CONFIG: &str = "config";

/// Returns whether a setting can be a flag of a verb. In the environment and the file all of them are welcome
/// everywhere, so that one configuration serves every verb.
fn concerns(verb: &str, key: &Key) -> bool {
    let pass = ["gitlab", "store", "projects", "reconcile", "limits", "retention", "masking", "schedule", "log"];
    match verb {
        "serve" | "check" => true,
        "hooks" => ["gitlab", "webhook", "projects", "log"].contains(&key.section()) || key.name == "server.public_url",
        "backfill" | "verify" => pass.contains(&key.section()),
        "work" => ["store", "limits", "log"].contains(&key.section()),
        "prune" => ["store", "retention", "reconcile", "log"].contains(&key.section()),
        "forget" | "stats" => ["store", "log"].contains(&key.section()),
        "demo" => ["server", "limits", "log"].contains(&key.section()),
        "log" | "artifacts" => ["store", "log"].contains(&key.section()),
        "healthcheck" => ["server", "log"].contains(&key.section()),
        _ => false,
    }
}

/// Adds the flags of settings to every verb.
pub(super) fn add(command: Command) -> Command {
    let verbs: Vec<_> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |verb| {
            let config = Arg::new(CONFIG)
                .long(CONFIG)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Read settings from this TOML file");
            let flags = KEYS.iter().filter(|key| concerns(name, key)).flat_map(flags_of);
            let nested = verb.has_subcommands();
            verb.arg(config.global(nested))
                .args(flags.map(|flag| flag.global(nested)))
                .after_help("Each setting is also a flag: --help lists them.")
                .after_long_help(
                    "A flag goes before its environment variable, that before the file. Empty means unset.\n\
                 Durations: ms s m h d, as in 90s. Sizes: KiB MiB GiB. Lists: with commas; in the file, arrays.\n\
                 A secret can also be in a file: name it with --…-file, CISTERN_…_FILE or …_file.",
                )
        })
    })
}

/// Returns the settings that were given as flags to `verb`.
pub(super) fn collect(verb: &str, matches: &ArgMatches) -> Flags {
    // Flags may stand after a second word, too: `work list --store-url …`.
    let mut matches = matches;
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let mut flags = Flags::default();
    flags.file = matches.get_one::<PathBuf>(CONFIG).cloned();
    for key in KEYS.iter().filter(|key| concerns(verb, key)) {
        for name in key.names() {
            if let Some(texts) = matches.get_many::<String>(&name) {
                let texts: Vec<_> = texts.map(String::as_str).collect();
                flags.set(name, texts.join(","));
            }
        }
    }
    flags
}

fn flags_of(key: &'static Key) -> impl Iterator<Item = Arg> {
    key.names().map(move |name| {
        let is_file = name != key.name;
        let long = keys::flag(&name).trim_start_matches('-').to_owned();
        let arg = Arg::new(name.clone()).long(long).help_heading(heading(key)).hide_short_help(true).hide(is_file);
        let arg = arg.value_name(if is_file { "FILE".to_owned() } else { key.value_name() }).help(help(key, &name));
        match key.kind {
            _ if is_file => arg,
            Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            _ if key.is_list() => arg.action(ArgAction::Append),
            _ => arg,
        }
    })
}

/// Each section is a heading: `Settings of gitlab`.
fn heading(key: &Key) -> String {
    format!("Settings of {}", key.section())
}

fn help(key: &Key, name: &str) -> String {
    let otherwise = match key.otherwise {
        Otherwise::Text(text) => text.to_owned(),
        Otherwise::Unset(text) => text.replace('`', ""),
    };
    format!("{}\n[{}] [default: {otherwise}]", sentence(key.meaning), keys::variable(name))
}

/// Begins as a sentence does, unless the first word is a name that must stay as it is.
fn sentence(meaning: &str) -> String {
    let mut letters = meaning.chars();
    match letters.next() {
        Some(first) if first != '`' => format!("{}{}", first.to_uppercase(), letters.as_str().replace('`', "")),
        _ => meaning.replace('`', ""),
    }
}
