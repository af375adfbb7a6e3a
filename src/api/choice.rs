//! Which projects a list has, and in which order: decided by their facts alone, the same on every store.

use std::cmp::Ordering;

use serde_json::Value;

use crate::domain::{ProjectFacts, ProjectId};
use crate::store::Span;

/// What is asked of a list of projects.
#[derive(Debug, Clone, Default)]
pub(super) struct Choice {
    /// Words that are all part of the name, of the path or of the description, in any case of their letters.
    pub(super) search: Option<String>,
    /// The words may be part of the path of its group, too.
    pub(super) search_namespaces: bool,
    /// Only with all of these topics.
    pub(super) topics: Vec<String>,
    /// Only where these keys of the document are `true`.
    pub(super) enabled: Vec<&'static str>,
    /// Only with this visibility.
    pub(super) visibility: Option<String>,
    /// Only archived ones, or only others.
    pub(super) archived: Option<bool>,
    /// Only those that are neither archived nor about to be deleted, or only others.
    pub(super) active: Option<bool>,
    /// Only with an id above this one.
    pub(super) id_after: Option<u64>,
    /// Only with an id below this one.
    pub(super) id_before: Option<u64>,
    /// Only when something last happened within this span.
    pub(super) activity: Span,
    /// Only when it was last changed within this span.
    pub(super) updated: Span,
    /// Only of this group.
    pub(super) group: Option<Group>,
    /// By what they are sorted.
    pub(super) order: Order,
    /// The smallest first.
    pub(super) ascending: bool,
}

/// What projects are sorted by; of equal ones the id decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    Id,
    Name,
    Path,
    #[default]
    CreatedAt,
    UpdatedAt,
    LastActivityAt,
}

/// A group, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) path: String,
    /// Projects of the groups in it, too.
    pub(super) subgroups: bool,
}

impl Group {
    /// Finds a group by its id or path among the namespaces of the projects; digits are an id.
    pub(super) fn find(text: &str, facts: &[(ProjectId, ProjectFacts)], subgroups: bool) -> Option<Self> {
        let path = match text.parse::<u64>() {
            Ok(id) => facts.iter().filter_map(|(_, facts)| facts.namespace.as_ref()).find_map(|namespace| {
                let own = &*namespace.full_path;
                if namespace.id == id {
                    Some(own.to_owned())
                } else if namespace.parent_id == Some(id) {
                    own.rsplit_once('/').map(|(parent, _)| parent.to_owned())
                } else {
                    None
                }
            })?,
            Err(_) => text.to_owned(),
        };
        let group = Self { path, subgroups: true };
        let known = facts.iter().any(|(_, facts)| group.has(facts));
        known.then_some(Self { subgroups, ..group })
    }

    fn has(&self, facts: &ProjectFacts) -> bool {
        let namespace = facts.path.rsplit_once('/').map_or("", |(namespace, _)| namespace);
        let within = namespace.get(..self.path.len()).is_some_and(|start| start.eq_ignore_ascii_case(&self.path));
        let rest = namespace.get(self.path.len()..).unwrap_or_default();
        within && (rest.is_empty() || self.subgroups && rest.starts_with('/'))
    }
}

impl Choice {
    /// Returns the chosen ones, in order.
    pub(super) fn of(&self, mut facts: Vec<(ProjectId, ProjectFacts)>) -> Vec<ProjectId> {
        let words = self.search.as_deref().unwrap_or_default().to_lowercase();
        let words: Vec<&str> = words.split_whitespace().collect();
        facts.retain(|(id, facts)| self.wants(*id, facts) && self.is_found(&words, facts));
        facts.sort_by(|left, right| {
            let order = self.compare(&left.1, &right.1).then(left.0.cmp(&right.0));
            if self.ascending { order } else { order.reverse() }
        });
        facts.into_iter().map(|(id, _)| id).collect()
    }

    fn wants(&self, id: ProjectId, facts: &ProjectFacts) -> bool {
        let is_active = !facts.archived && facts.marked_for_deletion_on.is_none();
        self.id_after.is_none_or(|after| id.0 > after)
            && self.id_before.is_none_or(|before| id.0 < before)
            && self.archived.is_none_or(|archived| facts.archived == archived)
            && self.active.is_none_or(|active| is_active == active)
            && self.visibility.as_deref().is_none_or(|visibility| facts.visibility.as_deref() == Some(visibility))
            && within(self.activity, facts.last_activity_at)
            && within(self.updated, facts.updated_at)
            && self.group.as_ref().is_none_or(|group| group.has(facts))
    }

    /// Returns whether a project is chosen by its document, which not everything that is chosen by stands in the facts of.
    pub(super) fn looks_at_documents(&self) -> bool {
        !self.topics.is_empty() || !self.enabled.is_empty()
    }

    /// Returns whether a project is chosen by what its document tells.
    pub(super) fn wants_document(&self, document: &str) -> bool {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let topics = document["topics"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.topics.iter().all(|topic| topics.iter().any(|known| known == topic))
            && self.enabled.iter().all(|key| document[*key] == true)
    }

    fn is_found(&self, words: &[&str], facts: &ProjectFacts) -> bool {
        let all_in = |text: &str| {
            let text = text.to_lowercase();
            words.iter().all(|word| text.contains(word))
        };
        words.is_empty()
            || all_in(&facts.name)
            || all_in(facts.path_segment())
            || facts.description.as_deref().is_some_and(all_in)
            || self.search_namespaces && all_in(&facts.path)
    }

    fn compare(&self, left: &ProjectFacts, right: &ProjectFacts) -> Ordering {
        match self.order {
            Order::Id => Ordering::Equal,
            Order::Name => left.name.to_lowercase().cmp(&right.name.to_lowercase()),
            Order::Path => left.path_segment().cmp(right.path_segment()),
            Order::CreatedAt => left.created_at.cmp(&right.created_at),
            Order::UpdatedAt => left.updated_at.cmp(&right.updated_at),
            Order::LastActivityAt => left.last_activity_at.cmp(&right.last_activity_at),
        }
    }
}

fn within(span: Span, time: Option<crate::domain::Timestamp>) -> bool {
    span == Span::default()
        || time.is_some_and(|time| span.after.is_none_or(|at| time >= at) && span.before.is_none_or(|at| time <= at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Namespace, Timestamp};

    fn all() -> Vec<(ProjectId, ProjectFacts)> {
        let project = |id: u64, path: &str, name: &str, archived, at| {
            let full_path = path.rsplit_once('/').map_or("", |(namespace, _)| namespace).into();
            let facts = ProjectFacts {
                name: name.into(),
                path: path.into(),
                archived,
                visibility: Some(if archived { "public" } else { "private" }.into()),
                created_at: Some(Timestamp::from_millis(at)),
                namespace: Some(Namespace { id: id + 100, parent_id: Some(50), full_path }),
                ..ProjectFacts::default()
            };
            (ProjectId(id), facts)
        };
        vec![
            project(1, "harbour/tides", "Tide Tables", false, 30),
            project(2, "harbour/core/ledger", "tide ledger", true, 20),
            project(3, "harbourmaster/desk", "Desk", false, 10),
        ]
    }

    fn ids(choice: &Choice) -> Vec<u64> {
        choice.of(all()).into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn the_default_is_gitlabs_and_every_order_goes_both_ways() {
        assert_eq!(ids(&Choice::default()), [1, 2, 3], "the latest made first");
        for (order, ascending, expected) in [
            (Order::Id, true, [1, 2, 3]),
            (Order::CreatedAt, true, [3, 2, 1]),
            (Order::Name, true, [3, 2, 1]),
            (Order::Path, false, [1, 2, 3]),
            (Order::LastActivityAt, false, [3, 2, 1]),
        ] {
            assert_eq!(ids(&Choice { order, ascending, ..Choice::default() }), expected, "{order:?}");
        }
    }

    #[test]
    fn filters_look_where_gitlab_looks() {
        let any = Choice::default;
        assert_eq!(ids(&Choice { search: Some("TIDE led".into()), ..any() }), [2]);
        assert_eq!(ids(&Choice { search: Some("harbour".into()), ..any() }), [] as [u64; 0], "not the namespace");
        let wider = Choice { search: Some("harbour".into()), search_namespaces: true, ..any() };
        assert_eq!(ids(&wider), [1, 2, 3], "unless it is asked for");
        assert_eq!(ids(&Choice { archived: Some(true), ..any() }), [2]);
        assert_eq!(ids(&Choice { active: Some(true), ..any() }), [1, 3]);
        assert_eq!(ids(&Choice { visibility: Some("public".into()), ..any() }), [2]);
        assert_eq!(ids(&Choice { id_after: Some(1), id_before: Some(3), ..any() }), [2]);
        let unknown = Span { after: Some(Timestamp::default()), before: None };
        assert_eq!(ids(&Choice { activity: unknown, ..any() }), [] as [u64; 0]);
    }

    #[test]
    fn a_group_is_found_by_path_or_id_and_has_its_own_projects_or_those_below() {
        let find = |text: &str, subgroups| Group::find(text, &all(), subgroups);
        for (text, subgroups, expected) in [
            ("Harbour", false, vec![1]),
            ("harbour", true, vec![1, 2]),
            ("harbour/core", false, vec![2]),
            ("102", false, vec![2]),
            ("harbourmaster", true, vec![3]),
        ] {
            let group = find(text, subgroups);
            assert!(group.is_some(), "{text}");
            assert_eq!(ids(&Choice { group, ..Choice::default() }), expected, "{text}");
        }
        assert_eq!(find("50", false).map(|group| group.path).as_deref(), Some("harbour"), "by the one below it");
        for text in ["harb", "harbour/", "999", ""] {
            assert_eq!(find(text, true), None, "{text}");
        }
    }
}
