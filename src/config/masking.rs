//! `masking.*`: in which projects' text secrets are replaced before it is stored.

use super::keys::{MASKING_EXCLUDE, MASKING_INCLUDE, MASKING_KNOWN, MASKING_PATTERNS};
use super::projects::Selection;
use super::reader::Reader;
use super::units::Unfit;
use crate::domain::ProjectId;
use crate::masking::{self, Rules};

/// Whose text is masked, and how.
#[derive(Debug, Clone)]
pub struct Masking {
    projects: Selection,
    rules: Rules,
}

impl Masking {
    /// Returns how a project's text is masked, if it is.
    pub fn of(&self, id: ProjectId, path: &str) -> Option<Rules> {
        let masked = self.projects.includes_some() && self.projects.matches(id, path);
        masked.then(|| self.rules.clone())
    }

    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let projects = Selection::read_from(reader, &MASKING_INCLUDE, &MASKING_EXCLUDE);
        let known = reader.switch(&MASKING_KNOWN);
        let patterns = reader.list(&MASKING_PATTERNS, |text| {
            // What the expression is may itself be a secret: it is not quoted.
            masking::check(text)
                .map_err(|problem| Unfit::new(problem, "write a regular expression that matches some text"))
        });
        let (projects, known, patterns) = (projects?, known?, patterns?);
        if !projects.includes_some() && (reader.is_given(&MASKING_PATTERNS) || reader.is_given(&MASKING_EXCLUDE)) {
            reader.warn("masking.include names no project: nothing is masked");
        }
        if projects.includes_some() && !known && patterns.is_empty() {
            reader.warn("masking.known is false and masking.patterns is empty: nothing is masked");
        }
        match Rules::new(known, &patterns) {
            Ok(rules) => Some(Self { projects, rules }),
            Err(problem) => {
                reader.wrong(&MASKING_PATTERNS, Unfit::new(problem, "write fewer or shorter expressions"));
                None
            }
        }
    }
}
