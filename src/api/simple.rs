//! `simple=true`: the part of a project's document that GitLab calls simple (contract, section 5.3).

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::Document;

/// The keys of GitLab's simple entity.
const SIMPLE: [&str; 23] = [
    "id",
    "description",
    "name",
    "name_with_namespace",
    "path",
    "path_with_namespace",
    "created_at",
    "default_branch",
    "tag_list",
    "topics",
    "ssh_url_to_repo",
    "http_url_to_repo",
    "web_url",
    "readme_url",
    "forks_count",
    "avatar_url",
    "star_count",
    "last_activity_at",
    "visibility",
    "namespace",
    "license_url",
    "license",
    "custom_attributes",
];

/// The simple keys of a project, each value exactly as it was written, in the document's order.
struct Simple<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Leaves the simple part of a project's document; one that cannot be read is left as it is.
pub(super) fn simple(document: Document) -> Document {
    let simple = serde_json::from_str::<Simple<'_>>(&document.text).ok();
    match simple.and_then(|simple| serde_json::to_string(&simple).ok()) {
        Some(text) => Document { text: text.into(), ..document },
        None => document,
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Simple<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Simple<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Simple<'de>, A::Error> {
                let mut entries = Vec::with_capacity(SIMPLE.len());
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &RawValue>()? {
                    if SIMPLE.contains(&&*key) {
                        entries.push((key, value));
                    }
                }
                Ok(Simple(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for Simple<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
