//! Source files as text: what of each line is code, what is a test, and which modules it names.
//!
//! This is no parser. It knows where comments and texts begin and end, and the few shapes of a path after `crate::`.
//! What it cannot read it reports, so that nothing passes because it was written unusually.

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(super) struct Source {
    /// Its path from the project's root, with `/`.
    pub(super) path: String,
    /// Its text as written.
    pub(super) text: String,
    /// Its text with comments, and what is between quotation marks, blanked; as many lines as `text`.
    pub(super) code: String,
    /// The number of the line where its tests begin: 1 for a file of tests.
    tests_from: usize,
}

impl Source {
    fn new(path: String, text: String) -> Self {
        let code = code_of(&text);
        let all_tests =
            ["tests/", "benches/"].iter().any(|place| path.starts_with(place)) || path.ends_with("/tests.rs");
        // With `mod tests;` the tests are in a file of their own.
        let begin = code.lines().position(|line| line == "mod tests {").map_or(usize::MAX, |at| at + 1);
        Self { path, text, code, tests_from: if all_tests { 1 } else { begin } }
    }

    /// Returns whether a line belongs to tests.
    pub(super) fn is_test(&self, line: usize) -> bool {
        line >= self.tests_from
    }

    /// Returns its module path below `src`, without the crate's name: `src/store/sqlite/mod.rs` is `store::sqlite`.
    pub(super) fn module(&self) -> String {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").replace('/', "::")
    }

    /// Returns each line of code with its number.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Returns every path that the code names from the top or by `super`, with its line: `Err` for one it cannot read.
    pub(super) fn references(&self) -> Vec<(usize, Result<String, String>)> {
        let mut found = Vec::new();
        for start in ["crate::", "cistern::", "super::"] {
            for (at, _) in self.code.match_indices(start) {
                let before = &self.code[..at];
                if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') || before.ends_with("super::") {
                    continue;
                }
                let (line, mut rest, mut above) = (before.matches('\n').count() + 1, &self.code[at..], 0);
                while let Some(after) = rest.strip_prefix("super::") {
                    (rest, above) = (after, above + 1);
                }
                let prefix = if above == 0 { String::new() } else { self.above(above, line) };
                match expand(rest.strip_prefix(start).unwrap_or(rest)) {
                    Some(paths) => found.extend(paths.into_iter().map(|path| (line, Ok(join(&prefix, &path))))),
                    None => found.push((line, Err(format!("a path after `{start}` that this test cannot read")))),
                }
            }
        }
        found
    }

    /// Returns the module so many `super::` above a line.
    fn above(&self, levels: usize, line: usize) -> String {
        let module = self.module();
        let parts: Vec<_> = module.split("::").collect();
        let in_tests_below = usize::from(self.is_test(line) && !self.path.ends_with("/tests.rs"));
        parts[..(parts.len() + in_tests_below).saturating_sub(levels)].join("::")
    }
}

/// Joins two parts of a path, each of which may be empty; `self` is the first one itself.
fn join(prefix: &str, path: &str) -> String {
    let parts = [prefix, if path == "self" { "" } else { path }];
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("::")
}

/// Returns every source file below a folder of the project, sorted by path.
pub(super) fn below(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(folder), &mut files);
    files.sort();
    let read = |file: PathBuf| {
        let path = file.strip_prefix(root).expect("a file below the root").to_string_lossy().replace('\\', "/");
        Source::new(path, fs::read_to_string(&file).expect("a source file is UTF-8"))
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project").flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Expands what follows `crate::`, groups and all, into plain paths: `a::{b, c::{d, self}}` is `a::b`, `a::c::d`, `a::c`.
fn expand(text: &str) -> Option<Vec<String>> {
    let mut rest = text;
    let paths = expand_tree(&mut rest)?;
    (!paths.is_empty()).then_some(paths)
}

fn expand_tree(rest: &mut &str) -> Option<Vec<String>> {
    let mut prefix: Vec<&str> = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(group) = rest.strip_prefix('{') {
            *rest = group;
            let joined = prefix.join("::");
            let mut paths = Vec::new();
            loop {
                *rest = rest.trim_start();
                if let Some(after) = rest.strip_prefix('}') {
                    *rest = after;
                    return Some(paths);
                }
                paths.extend(expand_tree(rest)?.iter().map(|path| join(&joined, path)));
                let after = skip_alias(rest);
                *rest = after.strip_prefix(',').unwrap_or(after);
            }
        }
        let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(rest.len());
        if length == 0 {
            return None;
        }
        let (name, after) = rest.split_at(length);
        prefix.push(name);
        match after.strip_prefix("::") {
            // A turbofish ends the path.
            Some(more) if !more.starts_with('<') => *rest = more,
            _ => {
                *rest = after;
                return Some(vec![prefix.join("::")]);
            }
        }
    }
}

fn skip_alias(rest: &str) -> &str {
    let rest = rest.trim_start();
    match rest.strip_prefix("as ") {
        Some(alias) => alias.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start(),
        None => rest,
    }
}

/// Blanks comments and the insides of texts, and keeps every line break.
fn code_of(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&letter) = letters.get(at) {
        let next = letters.get(at + 1).copied();
        let end = match letter {
            '/' if next == Some('/') => position(&letters, at, |rest| rest[0] == '\n'),
            '/' if next == Some('*') => position(&letters, at + 2, |rest| rest.starts_with(&['*', '/'])) + 2,
            '"' => end_of_text(&letters, at, &code),
            '\'' => end_of_letter(&letters, at),
            _ => at,
        };
        if end == at {
            code.push(letter);
            at += 1;
        } else {
            let end = end.min(letters.len());
            code.extend(letters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// Returns where a text that begins at `at` ends: at its first `"` that is not escaped, or for a raw one at `"#…`.
fn end_of_text(letters: &[char], at: usize, before: &str) -> usize {
    let hashes = before.chars().rev().take_while(|c| *c == '#').count();
    let raw = before.trim_end_matches('#').ends_with('r') && (hashes > 0 || before.ends_with(['r', 'R']));
    if raw {
        let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        return position(letters, at + 1, |rest| rest.starts_with(&close)) + close.len();
    }
    let mut end = at + 1;
    while let Some(letter) = letters.get(end) {
        match letter {
            '\\' => end += 2,
            '"' => return end + 1,
            _ => end += 1,
        }
    }
    end
}

/// Returns where a letter in quotation marks ends; a lifetime is none.
fn end_of_letter(letters: &[char], at: usize) -> usize {
    match (letters.get(at + 1), letters.get(at + 2)) {
        (Some('\\'), _) => position(letters, at + 3, |rest| rest[0] == '\'') + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

fn position(letters: &[char], from: usize, holds: impl Fn(&[char]) -> bool) -> usize {
    (from..letters.len()).find(|at| holds(&letters[*at..])).unwrap_or(letters.len())
}

#[test]
fn only_code_is_read_as_code() {
    let code = |text: &str| code_of(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(code("a // b\nc /* d \n e */ f"), "a c f");
    assert_eq!(code(r##"a("x\"y", 'z', '\'', r#"b "c" d"#, b"e") f"##), "a( , , , r# , b ) f");
    assert_eq!(code("fn a<'b>(c: &'b str) -> &'b str"), "fn a<'b>(c: &'b str) -> &'b str");
    assert_eq!(code_of("\"a\nb\"\n//c\nd").lines().count(), 4);
}

#[test]
fn grouped_imports_are_taken_apart() {
    let paths = |text| expand(text).unwrap_or_default();
    assert_eq!(paths("gitlab::Config;"), ["gitlab::Config"]);
    assert_eq!(
        paths("store::{self, sqlite::{Row as R, Value}, *};"),
        ["store", "store::sqlite::Row", "store::sqlite::Value", "store::*"]
    );
    assert_eq!(paths("{queue, work::Work};"), ["queue", "work::Work"]);
    assert_eq!(paths("domain::parse::<u8>()"), ["domain::parse"]);
    assert_eq!(expand("(a)"), None);
}
