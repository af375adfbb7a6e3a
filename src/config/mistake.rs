//! What is wrong with a configuration: everything at once, each with where it came from and how to mend it.
//!
//! No mistake quotes the text it complains about, except where the whole set of right answers is closed: a value may be
//! a secret that was put in the wrong place.

use std::fmt;
use std::path::PathBuf;

use super::keys::{self, Key};

/// Where a setting was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On the command line, under this name.
    Flag(String),
    /// In this environment variable.
    Variable(String),
    /// In the configuration file, under this name.
    File(PathBuf, String),
    /// Nowhere: the default, or something that is missing.
    Default,
}

impl Origin {
    pub(super) fn flag(name: &str) -> Self {
        Self::Flag(keys::flag(name))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Variable(variable) => write!(f, "environment {variable}"),
            Self::File(path, name) => write!(f, "{name} in {}", path.display()),
            Self::Default => f.write_str("not set"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} ({origin}): {problem}; {fix}")]
pub struct Mistake {
    /// The setting's name, or the unknown name that was found.
    pub key: String,
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}

impl Mistake {
    pub(super) fn missing(key: &Key) -> Self {
        let fix = format!("set {}, or {}", keys::variable(key.name), keys::flag(key.name));
        let (key, problem) = (key.name.to_owned(), "needed here".to_owned());
        Self { key, origin: Origin::Default, problem, fix }
    }
}

/// Everything that is wrong with a configuration, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    /// Returns these in the order of the settings table; unknown names first.
    pub(super) fn sorted(mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|mistake| {
            let position = keys::KEYS.iter().position(|key| key.name == mistake.key);
            (position, mistake.key.clone())
        });
        Self(mistakes)
    }

    /// Returns the mistakes of settings that are needed and unset.
    pub(super) fn missing(keys: &[&Key]) -> Self {
        Self(keys.iter().map(|key| Mistake::missing(key)).collect())
    }

    /// Returns each mistake, in the order of the settings table; unknown names first.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, mistake) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
