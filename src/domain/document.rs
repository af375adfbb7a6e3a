//! GitLab's own JSON, kept as GitLab wrote it.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Timestamp;

/// One object as GitLab answered it, and when.
///
/// Keys that depend on the role of the token that asked (`permissions`, `runners_token`, `*_token`, `import_*` but for
/// `import_status`, which GitLab tells everybody) and pipeline `variables` are removed before the text is made, so that they are never
/// stored; but for a project's own `permissions`: what the service's token may, which those are told who read as the service does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The JSON object, byte for byte as GitLab wrote it unless something had to be removed.
    pub text: Box<str>,
    /// GitLab's `Date` of the answer: of two documents of one thing the later one is newer.
    pub as_of: Timestamp,
}

/// An answer of GitLab that is not what its documentation says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not readable: {problem}")]
pub struct Malformed {
    /// What was read, for example `job`.
    pub what: &'static str,
    /// What is wrong with it: a position and an expectation, never the content.
    pub problem: String,
}

impl Malformed {
    /// Describes a JSON error by category, line and column only, because serde's own text can quote the content.
    pub fn json(what: &'static str, error: &serde_json::Error) -> Self {
        let problem = format!("{:?} error at line {} column {}", error.classify(), error.line(), error.column());
        Self { what, problem }
    }
}

impl Document {
    /// Makes a document of one JSON object of an answer.
    pub fn new(raw: &RawValue, as_of: Timestamp) -> Self {
        Self { text: without_secrets(raw.get(), |_| false).into(), as_of }
    }

    /// Makes a project's document: with its own `permissions`.
    pub fn of_project(raw: &RawValue, as_of: Timestamp) -> Self {
        Self { text: without_secrets(raw.get(), |key| key == "permissions").into(), as_of }
    }
}

/// Whether a key's value depends on the token that asked, or may be a secret.
fn is_private(key: &str) -> bool {
    let is_import = key.starts_with("import_") && key != "import_status";
    key == "permissions" || key == "variables" || is_import || key.ends_with("_token")
}

/// Removes private keys at any depth, but for those of its own that are kept; most documents have none and are returned untouched.
fn without_secrets(text: &str, is_kept: fn(&str) -> bool) -> Cow<'_, str> {
    let suspicious = ["_token\"", "\"variables\"", "\"permissions\"", "\"import_"];
    if !suspicious.iter().any(|needle| text.contains(needle)) {
        return Cow::Borrowed(text);
    }
    match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            strip(&mut value, is_kept);
            Cow::Owned(value.to_string())
        }
        Err(_) => Cow::Borrowed("{}"),
    }
}

fn strip(value: &mut Value, is_kept: fn(&str) -> bool) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| is_kept(key) || !is_private(key));
            map.values_mut().for_each(|value| strip(value, |_| false));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| strip(value, |_| false)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_are_removed_at_any_depth_and_the_rest_keeps_its_order() {
        let raw = r#"{"z":1,"runners_token":"s","a":{"permissions":{},"b":[{"import_url":"u","import_status":"none","c":2}]},"variables":[]}"#;
        assert_eq!(without_secrets(raw, |_| false), r#"{"z":1,"a":{"b":[{"import_status":"none","c":2}]}}"#);
        let project = r#"{"runners_token":"s","permissions":{"a":1},"forked_from_project":{"permissions":{},"id":7}}"#;
        let kept = r#"{"permissions":{"a":1},"forked_from_project":{"id":7}}"#;
        assert_eq!(without_secrets(project, |key| key == "permissions"), kept);
        let harmless = r#"{"b": 1,  "a": 2}"#;
        assert_eq!(without_secrets(harmless, |_| false), harmless);
    }
}
