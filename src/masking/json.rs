//! Masking the strings of a JSON text.

use serde_json::Value;

use super::Rules;

/// Masks every string that is a value; the order of keys stays.
pub(super) fn mask(rules: &Rules, text: &str) -> Option<(String, u64)> {
    // Escapes may hide a secret from the expressions only where it has a quote, a backslash or a line's end in it.
    let escaped = text.contains('\\');
    if !escaped && !rules.has_secret(text.as_bytes()) {
        return None;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        // Nested too deep, or in numbers and letters that JSON has no room for: then as the text that it is.
        let (masked, count) = rules.mask(text.as_bytes());
        return (count > 0).then(|| (String::from_utf8_lossy(&masked).into_owned(), count));
    };
    let count = mask_value(rules, &mut value);
    if count == 0 {
        return None;
    }
    Some((value.to_string(), count))
}

/// Texts of GitLab nest a few levels; the parser stops at 128.
fn mask_value(rules: &Rules, value: &mut Value) -> u64 {
    match value {
        Value::String(text) => {
            if !rules.has_secret(text.as_bytes()) {
                return 0;
            }
            let (masked, count) = rules.mask(text.as_bytes());
            *text = String::from_utf8_lossy(&masked).into_owned();
            count
        }
        Value::Array(values) => values.iter_mut().map(|value| mask_value(rules, value)).sum(),
        Value::Object(values) => values.values_mut().map(|value| mask_value(rules, value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
