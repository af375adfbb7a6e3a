//! Optional fields, each read for itself: one that is not what GitLab documents is lost alone, and not the thing it is of.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Timestamp;

/// Reads an optional field; what is there and cannot be read is left at its default. For `deserialize_with`, of JSON text only.
pub(crate) fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

/// Reads a list and leaves out entries that cannot be read; anything but a list is an empty one.
pub(crate) fn lenient_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw = <&'de RawValue>::deserialize(deserializer)?;
    let entries: Vec<&'de RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_str(entry.get()).ok()).collect())
}

/// A date that may be there without being readable: that something happened matters more than when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Date {
    #[default]
    Absent,
    Unreadable,
    At(Timestamp),
}

impl Date {
    pub(super) fn is_there(self) -> bool {
        self != Self::Absent
    }

    pub(super) fn readable(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire<'a> {
            Text(Cow<'a, str>),
            Number(f64),
        }
        Ok(match lenient(deserializer)? {
            Some(Wire::Text(text)) if text.trim().is_empty() => Self::Absent,
            Some(Wire::Text(text)) => Timestamp::parse(&text).map_or(Self::Unreadable, Self::At),
            Some(Wire::Number(number)) if number != 0.0 => Self::Unreadable,
            _ => Self::Absent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wire<'a> {
        #[serde(default, deserialize_with = "lenient")]
        flag: Option<bool>,
        #[serde(default, deserialize_with = "lenient_list")]
        numbers: Vec<u64>,
        #[serde(borrow, default, deserialize_with = "lenient")]
        text: Option<Cow<'a, str>>,
        #[serde(default)]
        date: Date,
    }

    #[test]
    fn each_field_is_lost_alone() {
        let at = |text| Date::At(Timestamp::parse(text).expect("a date"));
        let text = |text: &'static str| Some(Cow::Borrowed(text));
        for (json, expected) in [
            (r#"{}"#, Wire { flag: None, numbers: vec![], text: None, date: Date::Absent }),
            (
                r#"{"flag":true,"numbers":[1,2],"text":"é\n","date":"2026-11-20T09:14:02.200Z"}"#,
                Wire {
                    flag: Some(true), numbers: vec![1, 2], text: text("é\n"), date: at("2026-11-20T09:14:02.200Z")
                },
            ),
            (
                r#"{"flag":"yes","numbers":[1,null,"x",-3,{},4],"text":["x"],"date":"12026-11-20T09:14:02Z"}"#,
                Wire { flag: None, numbers: vec![1, 4], text: None, date: Date::Unreadable },
            ),
            (
                r#"{"flag":null,"numbers":null,"text":"x","date":1795166042}"#,
                Wire { flag: None, numbers: vec![], text: text("x"), date: Date::Unreadable },
            ),
            (
                r#"{"flag":{},"numbers":{"a":1},"text":"x","date":" "}"#,
                Wire { flag: None, numbers: vec![], text: text("x"), date: Date::Absent },
            ),
            (
                r#"{"flag":false,"numbers":"","text":"x","date":false}"#,
                Wire { flag: Some(false), numbers: vec![], text: text("x"), date: Date::Absent },
            ),
        ] {
            assert_eq!(serde_json::from_str::<Wire<'_>>(json).expect(json), expected, "{json}");
        }
    }
}
