//! The rules that no single change shows to be broken: who knows whom, who may do what, how long a file may be.
//!
//! The tables are in [`rules`]; each failure names the file, the line and the rule.

mod rules;
mod source;

use std::collections::BTreeSet;

use self::rules::{BANS, Ban, EMPTY_NAMES, MODULES, MOST_LINES, Module};
use self::source::{Source, below};

/// Fails with all that was found, one line each.
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}\n", found.join("\n  "));
}

/// Returns whether a path is a module or something in it.
fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Returns the row of a module or of what is in it: the deepest one.
fn row(path: &str) -> Option<&'static Module> {
    MODULES.iter().filter(|module| is_within(path, module.name)).max_by_key(|module| module.name.len())
}

#[test]
fn modules_know_only_the_modules_of_the_table() {
    let (mut found, mut used) = (Vec::new(), BTreeSet::new());
    for file in below("src") {
        let name = file.module();
        let Some(module) = row(&name) else {
            found.push(format!("{}: module `{name}` has no row in the table", file.path));
            continue;
        };
        for (line, reference) in file.references() {
            let path = match reference {
                Ok(path) => path,
                Err(problem) => {
                    found.push(format!("{}:{line}: {problem}", file.path));
                    continue;
                }
            };
            let known = module.knows.iter().filter(|known| is_within(&path, known)).max_by_key(|known| known.len());
            match known {
                Some(known) => drop(used.insert((module.name, *known))),
                None if row(&path).is_some_and(|other| other.name == module.name) => {}
                None if file.is_test(line) => {}
                None => found.push(format!("{}:{line}: `{}` may not know `{path}`", file.path, module.name)),
            }
        }
    }
    none("a module names another that it may not know (tests/it/architecture/rules.rs)", &found);
    let unused: Vec<_> = MODULES
        .iter()
        .flat_map(|module| module.knows.iter().map(|known| (module.name, *known)))
        .filter(|edge| !used.contains(edge))
        .map(|(from, to)| format!("`{from}` does not use `{to}`"))
        .collect();
    none("the table allows what nobody uses: remove it", &unused);
}

#[test]
fn modules_do_not_know_each_other_in_circles() {
    let mut left: Vec<&Module> = MODULES.iter().collect();
    loop {
        let names: Vec<_> = left.iter().map(|module| module.name).collect();
        let knows_one_left = |module: &&Module| {
            // An item of another module counts as all of it.
            module.knows.iter().any(|known| row(known).is_some_and(|known| names.contains(&known.name)))
        };
        let before = left.len();
        left.retain(knows_one_left);
        if left.len() == before {
            break;
        }
    }
    let circle: Vec<_> = left.iter().map(|module| module.name.to_owned()).collect();
    none("these modules know each other in a circle", &circle);
}

#[test]
fn what_one_place_does_no_other_does() {
    let (mut found, files) = (Vec::new(), all());
    for file in &files {
        for (line, code) in file.lines() {
            for ban in BANS.iter().filter(|ban| has(code, ban.code) && !is_allowed(ban, file, line)) {
                found.push(format!("{}:{line}: `{}`: {}", file.path, ban.code, ban.why));
            }
        }
    }
    none("code that only some places may contain (tests/it/architecture/rules.rs)", &found);
    let unused: Vec<_> = BANS
        .iter()
        .flat_map(|ban| ban.only.iter().map(move |place| (ban.code, *place)))
        .filter(|(code, place)| {
            let mut there = files.iter().filter(|file| file.path.starts_with(place));
            !there.any(|file| file.lines().any(|(_, line)| has(line, code)))
        })
        .map(|(code, place)| format!("`{code}` is not in {place}"))
        .collect();
    none("the table allows what nobody uses: remove it", &unused);
}

fn is_allowed(ban: &Ban, file: &Source, line: usize) -> bool {
    (ban.tests && file.is_test(line)) || ban.only.iter().any(|place| file.path.starts_with(place))
}

/// Returns whether a line contains some code as whole words.
fn has(line: &str, code: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(code).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_word) && code.starts_with(is_word);
        let after = line[at + code.len()..].chars().next().is_some_and(is_word) && code.ends_with(is_word);
        !before && !after
    })
}

#[test]
fn only_test_modules_are_compiled_for_tests_alone() {
    let mut found = Vec::new();
    for file in below("src") {
        let lines: Vec<_> = file.code.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains("cfg(") && line.contains("test")) {
            let rest = &lines[at + 1..];
            let module = match rest.first().copied().unwrap_or_default() {
                "mod tests;" => true,
                // Nothing comes after its end.
                "mod tests {" => rest.iter().position(|line| *line == "}") == Some(rest.len() - 1),
                _ => false,
            };
            if lines[at] != "#[cfg(test)]" || !module {
                found.push(format!(
                    "{}:{}: `cfg(test)` is for `mod tests`, inside a file at its end",
                    file.path,
                    at + 1
                ));
            }
        }
    }
    none("production code depends on whether it is tested", &found);
}

#[test]
fn every_file_says_what_it_is_for_and_has_one_subject() {
    let (mut found, mut lengths) = (Vec::new(), Vec::new());
    for file in all() {
        let length = file.text.lines().count();
        lengths.push(length);
        if length > MOST_LINES {
            found.push(format!("{}:{length}: longer than {MOST_LINES} lines: split it by its nouns", file.path));
        }
        if !file.text.starts_with("//! ") {
            found.push(format!("{}:1: does not begin with `//!` and what it is for", file.path));
        }
        let names = file.path.trim_end_matches(".rs").split('/');
        for name in names.filter(|name| EMPTY_NAMES.contains(name)) {
            found.push(format!("{}:1: `{name}` does not tell what is inside", file.path));
        }
    }
    none("a file without a clear subject", &found);
    lengths.sort_unstable();
    let (longest, median) = (lengths[lengths.len() - 1], lengths[lengths.len() / 2]);
    println!("{} files, {median} lines in the middle, {longest} the longest", lengths.len());
}

/// Returns every source file of the project.
fn all() -> Vec<Source> {
    let mut files = below("src");
    files.extend(below("tests"));
    if std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/benches")).exists() {
        files.extend(below("benches"));
    }
    files
}
