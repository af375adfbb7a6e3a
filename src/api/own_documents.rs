//! Pipelines by what only their own documents tell: who started them, and what was wrong with their configuration.
//!
//! A name is the one that its owner had when the document was fetched.

use std::cmp::Ordering;

use serde::Deserialize;

use super::answer::Problem;
use super::query::Query;
use crate::domain::Document;

/// What of it is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Only those that somebody of this name started.
    pub(super) username: Option<String>,
    /// Only with errors in their configuration, or only without.
    pub(super) yaml_errors: Option<bool>,
    /// Sorted by the number of who started them: those of nobody come last, or first where the largest does, as in PostgreSQL.
    pub(super) by_user: bool,
    /// The smallest first.
    pub(super) ascending: bool,
}

/// What a document tells.
#[derive(Debug, Deserialize)]
struct Told {
    user: Option<User>,
    yaml_errors: Option<Box<str>>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: u64,
    username: Box<str>,
}

impl Own {
    pub(super) fn of(query: &Query, ascending: bool) -> Result<Self, Problem> {
        let (username, yaml_errors) = (query.owned("username"), query.switch("yaml_errors")?);
        Ok(Self { username, yaml_errors, by_user: query.text("order_by") == Some("user_id"), ascending })
    }

    /// Returns a parameter that is asked with; `None` when nothing is asked.
    pub(super) fn asked(&self) -> Option<&'static str> {
        let asked = [
            ("username", self.username.is_some()),
            ("yaml_errors", self.yaml_errors.is_some()),
            ("order_by", self.by_user),
        ];
        asked.into_iter().find_map(|(name, is_asked)| is_asked.then_some(name))
    }

    /// Returns the chosen rows in order, and whether every row's own document tells what is asked. One that does not is left out by a
    /// filter, and of nobody where they are sorted.
    pub(super) fn choose(&self, rows: Vec<(Document, Option<Document>)>) -> (Vec<Document>, bool) {
        let read = |own: Option<Document>| own.and_then(|own| serde_json::from_str::<Told>(&own.text).ok());
        let mut rows: Vec<_> = rows.into_iter().map(|(row, own)| (row, read(own))).collect();
        let every = rows.iter().all(|(_, told)| told.is_some());
        rows.retain(|(_, told)| {
            told.as_ref().map_or(self.username.is_none() && self.yaml_errors.is_none(), |told| self.wants(told))
        });
        if self.by_user {
            let user =
                |told: &Option<Told>| told.as_ref().and_then(|told| Some(told.user.as_ref()?.id)).unwrap_or(u64::MAX);
            rows.sort_by(|(_, left), (_, right)| {
                let order: Ordering = user(left).cmp(&user(right));
                if self.ascending { order } else { order.reverse() }
            });
        }
        (rows.into_iter().map(|(row, _)| row).collect(), every)
    }

    /// GitLab does not look at the case of a name (GitLab's source: `User.by_username`).
    fn wants(&self, told: &Told) -> bool {
        let is = |name: &String| told.user.as_ref().is_some_and(|user| user.username.eq_ignore_ascii_case(name));
        self.username.as_ref().is_none_or(is)
            && self.yaml_errors.is_none_or(|errors| told.yaml_errors.is_some() == errors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::simple::id_of;
    use crate::domain::Timestamp;

    fn rows() -> Vec<(Document, Option<Document>)> {
        let document = |text: String| Document { text: text.into(), as_of: Timestamp::default() };
        let row = |id: u64, own: Option<&str>| {
            (document(format!(r#"{{"id":{id}}}"#)), own.map(|own| document(own.to_owned())))
        };
        vec![
            row(5, Some(r#"{"user":{"id":2,"username":"Ada"},"yaml_errors":null}"#)),
            row(4, Some(r#"{"user":null,"yaml_errors":null}"#)),
            row(3, Some(r#"{"user":{"id":9,"username":"bob"},"yaml_errors":"no jobs"}"#)),
            row(2, Some(r#"{"user":{"id":2,"username":"Ada"},"yaml_errors":""}"#)),
        ]
    }

    fn ids(query: &str, ascending: bool, rows: Vec<(Document, Option<Document>)>) -> (Vec<u64>, bool) {
        let own = Own::of(&Query::parse(query), ascending).expect("good parameters");
        let (rows, every) = own.choose(rows);
        (rows.iter().filter_map(id_of).collect(), every)
    }

    #[test]
    fn they_are_chosen_and_sorted_as_gitlab_does() {
        for (query, ascending, expected) in [
            ("username=aDA", false, vec![5, 2]),
            ("username=nobody", false, vec![]),
            ("yaml_errors=true", false, vec![3, 2]),
            ("yaml_errors=false", false, vec![5, 4]),
            ("username=ada&yaml_errors=1", false, vec![2]),
            ("order_by=user_id", false, vec![4, 3, 5, 2]),
        ] {
            assert_eq!(ids(query, ascending, rows()), (expected, true), "{query}");
        }
        let upwards = rows().into_iter().rev().collect();
        assert_eq!(ids("order_by=user_id", true, upwards), (vec![2, 5, 3, 4], true));
    }

    #[test]
    fn one_without_a_document_is_told_of_and_in_no_filter() {
        let mut rows = rows();
        rows[0].1 = None;
        assert_eq!(ids("username=ada", false, rows.clone()), (vec![2], false));
        assert_eq!(ids("order_by=user_id", false, rows), (vec![5, 4, 3, 2], false));
    }
}
