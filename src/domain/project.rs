//! A project as GitLab lists it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lenient::lenient;
use super::{Document, Malformed, ProjectId, Timestamp};

/// The facts about one project that Cistern acts on, and GitLab's document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its numeric id.
    pub id: ProjectId,
    /// `group/subgroup/name`; changes when the project is renamed or moved.
    pub path: Box<str>,
    /// Whether CI is on: with CI or the repository off the pipelines endpoints answer 403 (contract, section 5.3).
    pub ci_enabled: bool,
    /// What lists of projects are chosen and sorted by.
    pub facts: ProjectFacts,
    /// GitLab's document.
    pub document: Document,
}

/// What lists of projects are chosen and sorted by, so that a list need not read whole documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFacts {
    /// Its name, which people read.
    #[serde(default, deserialize_with = "lenient")]
    pub name: Box<str>,
    /// `group/subgroup/name`.
    #[serde(rename = "path_with_namespace")]
    pub path: Box<str>,
    /// Its description.
    #[serde(default, deserialize_with = "lenient")]
    pub description: Option<Box<str>>,
    /// `private`, `internal` or `public`.
    #[serde(default, deserialize_with = "lenient")]
    pub visibility: Option<Box<str>>,
    /// Whether it is archived.
    #[serde(default, deserialize_with = "lenient")]
    pub archived: bool,
    /// When it is deleted, if somebody asked for that.
    #[serde(default, deserialize_with = "lenient")]
    pub marked_for_deletion_on: Option<Box<str>>,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient")]
    pub created_at: Option<Timestamp>,
    /// When it was last changed.
    #[serde(default, deserialize_with = "lenient")]
    pub updated_at: Option<Timestamp>,
    /// When something last happened in it.
    #[serde(default, deserialize_with = "lenient")]
    pub last_activity_at: Option<Timestamp>,
    /// The group or person it belongs to.
    #[serde(default, deserialize_with = "lenient")]
    pub namespace: Option<Namespace>,
}

/// The group or person that a project belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its id.
    pub id: u64,
    /// The id of the group around it.
    #[serde(default, deserialize_with = "lenient")]
    pub parent_id: Option<u64>,
    /// `group/subgroup`.
    pub full_path: Box<str>,
}

impl ProjectFacts {
    /// Reads the facts from a project's document; each that is not there or not readable is left at its default.
    pub fn of(document: &str) -> Self {
        serde_json::from_str(document).unwrap_or_default()
    }

    /// Returns whether everybody may know of it.
    pub fn is_public(&self) -> bool {
        self.visibility.as_deref() == Some("public")
    }

    /// Returns the last part of the path.
    pub fn path_segment(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Wire {
    id: ProjectId,
    path_with_namespace: Box<str>,
    #[serde(default, deserialize_with = "lenient")]
    builds_access_level: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    jobs_enabled: Option<bool>,
    repository_access_level: Option<Box<str>>,
}

impl Project {
    /// Returns the path that a stored document tells.
    pub fn path_of(document: &Document) -> Option<Box<str>> {
        serde_json::from_str::<Wire>(&document.text).ok().map(|wire| wire.path_with_namespace)
    }

    /// Returns the id that a stored document tells.
    pub fn id_of(document: &Document) -> Option<ProjectId> {
        serde_json::from_str::<Wire>(&document.text).ok().map(|wire| wire.id)
    }

    /// Reads one object of `GET /projects` or the answer of `GET /projects/:id`.
    pub fn parse(raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|error| Malformed::json("project", &error))?;
        let off = |level: &Option<Box<str>>| level.as_deref() == Some("disabled");
        let disabled =
            off(&wire.builds_access_level) || off(&wire.repository_access_level) || wire.jobs_enabled == Some(false);
        let facts = ProjectFacts { path: wire.path_with_namespace.clone(), ..ProjectFacts::of(raw.get()) };
        Ok(Self {
            id: wire.id,
            path: wire.path_with_namespace,
            ci_enabled: !disabled,
            facts,
            document: Document::of_project(raw, as_of),
        })
    }
}

impl Project {
    /// Lays a list's row over the document that is held: what lists do not tell stays as the project's own document told it, so that
    /// the document has one shape whichever was read last. `None` when the row tells nothing new.
    pub fn listed_over(mut self, held: Option<&Document>) -> Option<Self> {
        let keys = |document: &Document| serde_json::from_str::<Map<String, Value>>(&document.text).ok();
        let Some((before, row)) = held.and_then(keys).zip(keys(&self.document)) else { return Some(self) };
        let mut whole = before.clone();
        whole.extend(row);
        (whole != before).then(|| {
            self.document.text = Value::Object(whole).to_string().into();
            self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_odd_field_loses_that_field_only() {
        let text = r#"{"id":7,"path_with_namespace":"a/b","name":null,"description":5,"visibility":"public","archived":"no",
            "created_at":"12026-11-20T09:14:02Z","updated_at":"2026-11-20T09:14:02Z","namespace":{"id":3,"full_path":"a","parent_id":"x"},
            "builds_access_level":20,"jobs_enabled":false}"#;
        let project =
            Project::parse(serde_json::from_str(text).expect("JSON"), Timestamp::default()).expect("a project");
        let expected = ProjectFacts {
            path: "a/b".into(),
            visibility: Some("public".into()),
            updated_at: Timestamp::parse("2026-11-20T09:14:02Z"),
            namespace: Some(Namespace { id: 3, parent_id: None, full_path: "a".into() }),
            ..ProjectFacts::default()
        };
        assert_eq!((project.facts, project.ci_enabled), (expected, false));
        let odd = text.replace(r#""namespace":{"id":3"#, r#""namespace":{"id":"#);
        assert_eq!(ProjectFacts::of(&odd.replace(r#"{"id":,"#, r#"{"id":[],"#)).namespace, None);
    }
}
