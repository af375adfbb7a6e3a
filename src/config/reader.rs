//! Takes settings out of the levels, one by one, and remembers every mistake instead of stopping at the first.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::keys::{KEYS, Key, Otherwise};
use super::levels::{Given, levels, split};
use super::mistake::{Mistake, Origin};
use super::rotation::{self, Rotation};
use super::surroundings::{Flags, Surroundings};
use super::units::{Unfit, parse_duration, parse_size};

/// The settings of all levels. Every method that returns `None` has noted a mistake.
pub(super) struct Reader<'a> {
    given: BTreeMap<&'static str, Given>,
    around: &'a Surroundings,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<String>,
    pub(super) rotation: Rotation,
}

impl<'a> Reader<'a> {
    pub(super) fn new(flags: &Flags, around: &'a Surroundings) -> Self {
        let mut mistakes = Vec::new();
        let levels = levels(flags, around, &mut mistakes);
        let rotation = Rotation::new(std::sync::Arc::clone(&around.read));
        let mut reader = Self { given: BTreeMap::new(), around, mistakes, warnings: Vec::new(), rotation };
        for key in KEYS {
            for level in &levels {
                let (value, file) = (level.get(key.name), level.get(&key.file_name()).filter(|_| key.may_be_in_file()));
                match (value, file) {
                    (Some(_), Some(file)) => {
                        let fix = format!("keep one of {} and {}", key.name, key.file_name());
                        reader.push(key, file.origin.clone(), Unfit::new("given beside the secret itself", fix));
                        let nothing = Given { texts: Vec::new(), origin: file.origin.clone() };
                        reader.given.entry(key.name).or_insert(nothing);
                    }
                    _ if reader.given.contains_key(key.name) => {}
                    (Some(value), None) => reader.give(key, value.clone()),
                    (None, Some(file)) => reader.give_file(key, file),
                    (None, None) => {}
                }
            }
        }
        reader
    }

    /// Returns a setting that may be unset.
    pub(super) fn optional<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Unfit>) -> Option<Option<T>> {
        let given = self.given.get(key.name).and_then(|given| given.texts.first());
        let text = match (given, key.otherwise) {
            (Some(text), _) => text,
            (None, Otherwise::Text(text)) => text,
            (None, Otherwise::Unset(_)) => return Some(None),
        };
        let parsed = parse(text);
        self.keep(key, parsed).map(Some)
    }

    /// Returns a setting; one that has no default is a mistake when it is unset.
    pub(super) fn required<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Unfit>) -> Option<T> {
        let found = self.optional(key, parse)?;
        if found.is_none() {
            self.missing(key);
        }
        found
    }

    /// Returns a list, which is empty when it is unset.
    pub(super) fn list<T>(&mut self, key: &Key, parse: impl Fn(&str) -> Result<T, Unfit>) -> Option<Vec<T>> {
        let texts = self.given.get(key.name).map(|given| given.texts.as_slice()).unwrap_or_default();
        let parsed: Vec<_> = texts.iter().map(|text| parse(text)).collect();
        let kept: Vec<_> = parsed.into_iter().map(|parsed| self.keep(key, parsed)).collect();
        kept.into_iter().collect()
    }

    /// Returns a duration within `range`.
    pub(super) fn duration(&mut self, key: &Key, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.required(key, |text| {
            let duration = parse_duration(text)?;
            match (duration < *range.start(), duration > *range.end()) {
                (true, _) => Err(Unfit::new("too short", format!("write at least {:?}", range.start()))),
                (_, true) => Err(Unfit::new("too long", format!("write at most {} s", range.end().as_secs()))),
                _ => Ok(duration),
            }
        })
    }

    /// Returns a number of things, at least one.
    pub(super) fn count(&mut self, key: &Key) -> Option<usize> {
        let count = self.required(key, parse_count)?;
        usize::try_from(count).ok()
    }

    /// Returns a number of bytes, at least one.
    pub(super) fn size(&mut self, key: &Key) -> Option<u64> {
        self.required(key, |text| match parse_size(text)? {
            0 => Err(Unfit::new("nothing would fit", "write at least 1")),
            bytes => Ok(bytes),
        })
    }

    /// Returns `true` or `false`.
    pub(super) fn switch(&mut self, key: &Key) -> Option<bool> {
        self.required(key, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Unfit::new("neither true nor false", "write true or false")),
        })
    }

    /// Notes that a setting is wrong.
    pub(super) fn wrong(&mut self, key: &Key, unfit: Unfit) {
        self.push(key, self.origin(key), unfit);
    }

    /// Notes that a setting is missing.
    pub(super) fn missing(&mut self, key: &Key) {
        self.mistakes.push(Mistake::missing(key));
    }

    /// Notes something that works but is risky.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Returns whether somebody gave it, rightly or wrongly.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.given.contains_key(key.name)
    }

    /// Reads a file that a setting names.
    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        self.around.read(path)
    }

    /// Returns the text of a variable that is no setting; `None` where it is unset, empty or not UTF-8.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let value = self.around.variables.get(name)?.to_str()?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Returns whether a variable that is no setting is set.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.around.variables.get(name).is_some_and(|value| !value.is_empty())
    }

    fn origin(&self, key: &Key) -> Origin {
        self.given.get(key.name).map_or(Origin::Default, |given| given.origin.clone())
    }

    fn give(&mut self, key: &'static Key, given: Given) {
        let shown = key.is_secret() || (key.may_be_in_file() && given.texts.iter().any(|text| text.contains('@')));
        if let (true, Origin::Flag(flag)) = (shown, &given.origin) {
            let warning =
                format!("{flag} shows its secret in the list of processes; use {flag}-file or the environment");
            self.warnings.push(warning);
        }
        self.given.insert(key.name, given);
    }

    /// A file that cannot be used still counts as given, so that no lower level takes over unnoticed.
    fn give_file(&mut self, key: &'static Key, file: &Given) {
        let path = file.texts.first().map(String::as_str).unwrap_or_default();
        let read = self.around.read(Path::new(path));
        self.rotation.follow(key, file.origin.clone(), Path::new(path), &read);
        let texts = match read {
            Ok(content) => split(key, content.trim_end_matches(['\n', '\r'])),
            Err(error) => {
                let unfit = Unfit::new(format!("the file cannot be read: {error}"), "check its path and permissions");
                self.push(key, file.origin.clone(), unfit);
                self.given.insert(key.name, Given { texts: Vec::new(), origin: file.origin.clone() });
                return;
            }
        };
        if texts.is_empty() {
            self.push(key, file.origin.clone(), rotation::empty());
        }
        self.given.insert(key.name, Given { texts, origin: file.origin.clone() });
    }

    fn keep<T>(&mut self, key: &Key, parsed: Result<T, Unfit>) -> Option<T> {
        parsed.map_err(|unfit| self.wrong(key, unfit)).ok()
    }

    fn push(&mut self, key: &Key, origin: Origin, unfit: Unfit) {
        let Unfit { problem, fix } = unfit;
        self.mistakes.push(Mistake { key: key.name.to_owned(), origin, problem, fix });
    }
}

/// Parses a number of things: 1 to 2^32 - 1, more than any machine holds of them.
pub(super) fn parse_count(text: &str) -> Result<u32, Unfit> {
    match text.parse() {
        Ok(0) => Err(Unfit::new("nothing would ever be done", "write at least 1")),
        Ok(count) => Ok(count),
        Err(_) => Err(Unfit::new("not a whole number", format!("write a number from 1 to {}", u32::MAX))),
    }
}

/// Returns a mistake that lists what is accepted.
pub(super) fn one_of<T: Display>(words: &[T]) -> Unfit {
    let words: Vec<_> = words.iter().map(T::to_string).collect();
    Unfit::new("not one of the known words", format!("write {}", words.join(" or ")))
}
