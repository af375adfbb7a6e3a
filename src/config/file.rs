//! The configuration file: TOML tables as sections.

use std::path::Path;

use toml::{Table, Value};

use super::keys::Key;
use super::levels::{Given, Level, find, split, unknown};
use super::mistake::{Mistake, Origin};

/// Returns what a parsed file says, with `section.key` names; what is no setting, or of another shape, is a mistake.
pub(super) fn flatten(path: &Path, table: Table, mistakes: &mut Vec<Mistake>) -> Level {
    let mut level = Level::new();
    let mut open: Vec<(String, Table)> = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            let origin = Origin::File(path.to_owned(), name.clone());
            match (find(&name), value) {
                (None, Value::Table(inner)) => open.push((format!("{name}."), inner)),
                (None, _) => mistakes.push(unknown(&name, origin, str::to_owned)),
                (Some((key, is_file)), value) => match texts(key, is_file, value) {
                    Ok(texts) if texts.is_empty() => {}
                    Ok(_) if level.contains_key(&name) => {
                        mistakes.push(mistake(name, origin, ("given twice", "keep one of them")));
                    }
                    Ok(texts) => drop(level.insert(name, Given { texts, origin })),
                    Err(unfit) => mistakes.push(mistake(name, origin, unfit)),
                },
            }
        }
    }
    level
}

fn mistake(key: String, origin: Origin, (problem, fix): (&str, &str)) -> Mistake {
    Mistake { key, origin, problem: problem.to_owned(), fix: fix.to_owned() }
}

/// Returns a setting's texts, or the problem with their shape and its fix.
fn texts(key: &Key, is_file: bool, value: Value) -> Result<Vec<String>, (&'static str, &'static str)> {
    let is_list = key.is_list() && !is_file;
    let one = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        Value::Array(_) => Err(("an array", "give it one value")),
        Value::Datetime(_) | Value::Table(_) => Err(("a date or a table", "put a text in quotes")),
    };
    match value {
        Value::Array(values) if is_list => {
            let texts = values.into_iter().map(one).collect::<Result<Vec<_>, _>>()?;
            Ok(texts.into_iter().filter(|text| !text.trim().is_empty()).collect())
        }
        _ if is_list => Err(("not an array", "write an array, such as [\"one\", \"two\"]")),
        value if is_file => one(value).map(|text| if text.trim().is_empty() { Vec::new() } else { vec![text] }),
        value => one(value).map(|text| split(key, &text)),
    }
}
