//! A project as GitLab lists it.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Document, Malformed, ProjectId, Timestamp};

/// The facts about one project that Cistern acts on, and GitLab's document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its numeric id.
    pub id: ProjectId,
    /// `group/subgroup/name`; changes when the project is renamed or moved.
    pub path: Box<str>,
    /// Whether CI is on: with CI off the pipelines endpoints answer 403 (contract, section 5.3).
    pub ci_enabled: bool,
    /// GitLab's document.
    pub document: Document,
}

#[derive(Deserialize)]
struct Wire {
    id: ProjectId,
    path_with_namespace: Box<str>,
    builds_access_level: Option<Box<str>>,
    jobs_enabled: Option<bool>,
}

impl Project {
    /// Returns the path that a stored document tells.
    pub fn path_of(document: &Document) -> Option<Box<str>> {
        serde_json::from_str::<Wire>(&document.text).ok().map(|wire| wire.path_with_namespace)
    }

    /// Reads one object of `GET /projects` or the answer of `GET /projects/:id`.
    pub fn parse(raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|error| Malformed::json("project", &error))?;
        let disabled = wire.builds_access_level.as_deref() == Some("disabled") || wire.jobs_enabled == Some(false);
        Ok(Self {
            id: wire.id,
            path: wire.path_with_namespace,
            ci_enabled: !disabled,
            document: Document::new(raw, as_of),
        })
    }
}
