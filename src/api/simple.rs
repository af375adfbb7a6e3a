//! Parts of documents, above all of a project's: what GitLab calls simple (contract, section 5.3), and what those see who have no role
//! in it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::access::Part;
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

/// What GitLab tells those only who have a role in a project, by how the keys begin: groups that it is shared with may be private,
/// and how it is run is its members' business.
const INSIDE: [&str; 8] =
    ["shared_with_groups", "service_desk_address", "ci_", "runner", "mirror", "compliance_", "external_", "container_"];

/// The key of what whoever asks may do in a project.
const PERMISSIONS: &str = "permissions";

/// The keys of a document, each value exactly as it was written, in the document's order.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Reads the id of whatever a document is of.
pub(super) fn id_of<T: DeserializeOwned>(document: &Document) -> Option<T> {
    #[derive(Deserialize)]
    struct Numbered<T> {
        id: T,
    }
    serde_json::from_str::<Numbered<T>>(&document.text).ok().map(|numbered| numbered.id)
}

/// Leaves the simple part of a project's document; one that cannot be read is left as it is.
pub(super) fn simple(document: Document) -> Document {
    only(document, |key| SIMPLE.contains(&key))
}

/// Leaves the part of a project's document that its reader is shown.
pub(super) fn part(document: Document, part: Part) -> Document {
    match part {
        Part::Whole => document,
        Part::Outside => only(document, |key| !INSIDE.iter().any(|start| key.starts_with(start))),
        Part::Basic => simple(document),
    }
}

/// Leaves out one key.
pub(super) fn without(document: Document, unwanted: &str) -> Document {
    only(document, |key| key != unwanted)
}

/// Puts GitLab's `permissions` of the reader, where they have some, in the place of the service's own; they stand at the end, near
/// which GitLab has them.
pub(super) fn with_permissions(document: Document, permissions: Option<&str>) -> Document {
    let value = permissions.and_then(|permissions| serde_json::from_str::<&RawValue>(permissions).ok());
    let text = changed(&document.text, |entries| {
        entries.retain(|(key, _)| key != PERMISSIONS);
        entries.extend(value.map(|value| (Cow::Borrowed(PERMISSIONS), value)));
    });
    match text {
        Some(text) => Document { text, ..document },
        None => document,
    }
}

fn only(document: Document, wanted: impl Fn(&str) -> bool) -> Document {
    match changed(&document.text, |entries| entries.retain(|(key, _)| wanted(key))) {
        Some(text) => Document { text, ..document },
        None => document,
    }
}

fn changed<'a>(text: &'a str, change: impl FnOnce(&mut Vec<(Cow<'a, str>, &'a RawValue)>)) -> Option<Box<str>> {
    let Entries(mut entries) = serde_json::from_str(text).ok()?;
    change(&mut entries);
    serde_json::to_string(&Entries(entries)).ok().map(Into::into)
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::with_capacity(2 * SIMPLE.len());
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}
