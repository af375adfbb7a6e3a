//! The levels a setting can be given at, highest first: flags, our environment variables, well-known ones, the file.
//!
//! Each becomes a map from names to texts, so that what follows treats them alike. Names that are nobody's are mistakes
//! here. Empty means unset.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use super::keys::{self, ALIASES, KEYS, Key, VARIABLE_PREFIX};
use super::mistake::{Mistake, Origin};
use super::surroundings::{Flags, Surroundings};

/// What one level says about one name.
#[derive(Clone)]
pub(super) struct Given {
    /// One text, or for a list several; never none.
    pub(super) texts: Vec<String>,
    /// Where it was.
    pub(super) origin: Origin,
}

/// What one level says: a name (`section.key`, or `section.key_file` of a secret) and its text.
pub(super) type Level = BTreeMap<String, Given>;

/// Returns the levels, highest first.
pub(super) fn levels(flags: &Flags, around: &Surroundings, mistakes: &mut Vec<Mistake>) -> Vec<Level> {
    let mut levels =
        vec![from_flags(flags, mistakes), from_variables(around, mistakes), from_aliases(around, mistakes)];
    if let Some(path) = &flags.file {
        levels.push(from_file(path, around, mistakes));
    }
    levels
}

/// Returns the key behind a name and whether the name is the one of a file holding it.
pub(super) fn find(name: &str) -> Option<(&'static Key, bool)> {
    KEYS.iter().find_map(|key| {
        if key.name == name {
            Some((key, false))
        } else if key.may_be_in_file() && name.strip_suffix("_file") == Some(key.name) {
            Some((key, true))
        } else {
            None
        }
    })
}

/// Splits a list at its commas and line ends, and leaves nothing empty behind; a secret's own spaces stay.
pub(super) fn split(key: &Key, text: &str) -> Vec<String> {
    if key.is_list() {
        let parts = text.split([',', '\n', '\r']).map(str::trim);
        return parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
    }
    match text.trim() {
        "" => Vec::new(),
        _ if key.is_secret() => vec![text.to_owned()],
        trimmed => vec![trimmed.to_owned()],
    }
}

fn from_flags(flags: &Flags, mistakes: &mut Vec<Mistake>) -> Level {
    let mut level = Level::new();
    for (name, text) in flags.iter() {
        match find(name) {
            Some((key, is_file)) => insert(&mut level, name, key, is_file, text, Origin::flag(name)),
            None => mistakes.push(unknown(name, Origin::flag(name), str::to_owned)),
        }
    }
    level
}

fn from_variables(around: &Surroundings, mistakes: &mut Vec<Mistake>) -> Level {
    let mut level = Level::new();
    for (variable, value) in &around.variables {
        if !variable.starts_with(VARIABLE_PREFIX) || is_service_link(variable, value) {
            continue;
        }
        let origin = Origin::Variable(variable.clone());
        let Some((name, key, is_file)) = names().find(|(name, ..)| keys::variable(name) == *variable) else {
            mistakes.push(unknown(variable, origin, keys::variable));
            continue;
        };
        match value.to_str() {
            Some(text) => insert(&mut level, &name, key, is_file, text, origin),
            None => mistakes.push(not_utf8(&name, origin)),
        }
    }
    level
}

fn from_aliases(around: &Surroundings, mistakes: &mut Vec<Mistake>) -> Level {
    let mut level = Level::new();
    for (variable, key) in ALIASES {
        let Some(value) = around.variables.get(*variable) else { continue };
        let origin = Origin::Variable((*variable).to_owned());
        match value.to_str() {
            Some(text) => insert(&mut level, key.name, key, false, text, origin),
            None => mistakes.push(not_utf8(key.name, origin)),
        }
    }
    level
}

fn from_file(path: &Path, around: &Surroundings, mistakes: &mut Vec<Mistake>) -> Level {
    let mut wrong = |problem: String, fix: &str| {
        let origin = Origin::Flag("--config".to_owned());
        mistakes.push(Mistake { key: path.display().to_string(), origin, problem, fix: fix.to_owned() });
    };
    let text = match around.read(path) {
        Ok(text) => text,
        Err(error) => {
            wrong(format!("cannot be read: {error}"), "name a readable TOML file");
            return Level::new();
        }
    };
    match text.parse::<toml::Table>() {
        Ok(table) => super::file::flatten(path, table, mistakes),
        Err(error) => {
            // The error's own text quotes the line, which may hold a secret.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            wrong(format!("is not TOML, line {line}: {}", error.message()), "write it as [section], then key = value");
            Level::new()
        }
    }
}

fn insert(level: &mut Level, name: &str, key: &Key, is_file: bool, text: &str, origin: Origin) {
    let texts = match is_file {
        true if text.trim().is_empty() => Vec::new(),
        true => vec![text.to_owned()],
        false => split(key, text),
    };
    if !texts.is_empty() {
        level.insert(name.to_owned(), Given { texts, origin });
    }
}

/// Returns the mistake of a name that is no setting's, where names are `written` so.
pub(super) fn unknown(name: &str, origin: Origin, written: impl Fn(&str) -> String) -> Mistake {
    let mistake = |problem: &str, fix: String| {
        let (key, problem) = (name.to_owned(), problem.to_owned());
        Mistake { key, origin, problem, fix }
    };
    match nearest(name, written) {
        Some(nearest) => mistake("no such setting", format!("did you mean {nearest}?")),
        None => mistake("no such setting", "remove it; `cistern serve --help` lists every setting".to_owned()),
    }
}

fn not_utf8(name: &str, origin: Origin) -> Mistake {
    let (problem, fix) = ("not UTF-8".to_owned(), "write it as UTF-8 text".to_owned());
    Mistake { key: name.to_owned(), origin, problem, fix }
}

/// How many letters a misspelt name may differ from the one that is suggested.
const FARTHEST: usize = 3;

/// Returns the known name, as `written` in that place, that `unknown` most likely meant.
fn nearest(unknown: &str, written: impl Fn(&str) -> String) -> Option<String> {
    let unknown = unknown.replace('-', "_");
    let distance = |name: &str| {
        let (_, key) = name.split_once('.').unwrap_or(("", name));
        // The right key without its section, or in another one.
        let misplaced = unknown == written(key) || unknown.rsplit('.').next() == Some(key);
        if misplaced { 1 } else { strsim::osa_distance(&unknown, &written(name)) }
    };
    let (distance, nearest) = names().map(|(name, ..)| (distance(&name), name)).min()?;
    (distance <= FARTHEST).then(|| written(&nearest))
}

fn names() -> impl Iterator<Item = (String, &'static Key, bool)> {
    KEYS.iter().flat_map(|key| key.names().map(move |name| (name.clone(), key, name != key.name)))
}

/// Returns whether a variable is one that Kubernetes sets in every pod beside a Service named `cistern` or `cistern-…`,
/// such as `CISTERN_SERVICE_HOST`, `CISTERN_PORT` or `CISTERN_ADMIN_PORT_9090_TCP_ADDR`: nobody wrote it, so it is no
/// mistake.
fn is_service_link(variable: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let service = variable.ends_with("_SERVICE_HOST") || variable.contains("_SERVICE_PORT");
    let port = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        variable.contains("_PORT_")
            && ["", "_PROTO", "_PORT", "_ADDR"].iter().any(|part| variable.ends_with(&format!("{protocol}{part}")))
    });
    service || port || (url && variable.ends_with("_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_its_neighbour() {
        let near = |name: &str| nearest(name, str::to_owned);
        assert_eq!(near("gitlab.tokn").as_deref(), Some("gitlab.token"));
        assert_eq!(near("server.drain-delay").as_deref(), Some("server.drain_delay"));
        assert_eq!(near("listen").as_deref(), Some("server.listen"));
        assert_eq!(near("reconcile.log_size").as_deref(), Some("limits.log_size"));
        assert_eq!(near("quite.another"), None);
        assert_eq!(nearest("CISTERN_GITLAB_TOKENFILE", keys::variable).as_deref(), Some("CISTERN_GITLAB_TOKEN_FILE"));
    }

    #[test]
    fn what_kubernetes_sets_is_no_mistake() {
        let link = |name: &str, value: &str| is_service_link(name, OsStr::new(value));
        assert!(link("CISTERN_SERVICE_HOST", "10.0.0.7"));
        assert!(link("CISTERN_SERVICE_PORT_HTTP", "80"));
        assert!(link("CISTERN_PORT", "tcp://10.0.0.7:80"));
        assert!(link("CISTERN_ADMIN_PORT_9090_TCP_ADDR", "10.0.0.7"));
        assert!(!link("CISTERN_SERVER_PORT", "8080"));
        assert!(!link("CISTERN_SERVER_LISTEN", "0.0.0.0:80"));
    }
}
