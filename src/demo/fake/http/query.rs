//! Query parameters with GitLab's refusals: a value without meaning is a 400, an unknown name is ignored.

use super::answer::Answer;
use crate::domain::Timestamp;

/// Statuses that GitLab's filters know.
const STATUSES: [&str; 13] = [
    "created",
    "waiting_for_resource",
    "preparing",
    "waiting_for_callback",
    "pending",
    "running",
    "success",
    "failed",
    "canceling",
    "canceled",
    "skipped",
    "manual",
    "scheduled",
];

/// The parameters of one request, decoded, in the order sent.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        Self { pairs: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Answer> {
        self.text(name).map(|value| value.parse().map_err(|_| Answer::odd_parameter(name))).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Answer> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("true" | "t" | "yes" | "y" | "on" | "1") => Ok(Some(true)),
            Some("false" | "f" | "no" | "n" | "off" | "0") => Ok(Some(false)),
            Some(_) => Err(Answer::odd_parameter(name)),
        }
    }

    /// A date, with or without a time of day (doc/api/projects: `last_activity_after`); a `+` that was not encoded arrives as a
    /// space and makes it invalid, as with GitLab.
    pub(crate) fn date(&self, name: &str) -> Result<Option<Timestamp>, Answer> {
        let read = |value: &str| Timestamp::parse(value).or_else(|| Timestamp::parse(&format!("{value}T00:00:00Z")));
        self.text(name).map(|value| read(value).ok_or_else(|| Answer::odd_parameter(name))).transpose()
    }

    /// One of a list of words.
    pub(crate) fn choice(&self, name: &str, choices: &[&str]) -> Result<Option<&str>, Answer> {
        match self.text(name) {
            Some(value) if !choices.contains(&value) => Err(Answer::bad_parameter(name)),
            value => Ok(value),
        }
    }

    pub(crate) fn status(&self, name: &str) -> Result<Option<&str>, Answer> {
        self.choice(name, &STATUSES)
    }

    /// Every status of `scope[]=…&scope[]=…` or `scope=…`; empty: all.
    pub(crate) fn job_scope(&self) -> Result<Vec<&str>, Answer> {
        let scopes = self.pairs.iter().filter(|(key, _)| key == "scope" || key == "scope[]");
        let scopes: Vec<&str> = scopes.map(|(_, value)| value.as_str()).collect();
        match scopes.iter().all(|scope| STATUSES.contains(scope)) {
            true => Ok(scopes),
            false => Err(Answer::bad_parameter("scope")),
        }
    }

    /// Returns true for ascending; `default` when nothing is said.
    pub(crate) fn ascending(&self, default: bool) -> Result<bool, Answer> {
        Ok(self.choice("sort", &["asc", "desc"])?.map_or(default, |sort| sort == "asc"))
    }

    /// Writes the parameters with some replaced, sorted by name as GitLab does in `Link`.
    /// Leaves out by what one pages.
    pub(crate) fn first_page(mut self) -> Self {
        self.pairs.retain(|(name, _)| !matches!(name.as_str(), "page" | "id_after" | "id_before" | "updated_after"));
        self
    }

    pub(crate) fn with(&self, replaced: &[(&str, String)]) -> String {
        let kept = self.pairs.iter().filter(|(key, _)| !replaced.iter().any(|(name, _)| key == name));
        let mut pairs: Vec<(&str, &str)> = kept.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.extend(replaced.iter().map(|(name, value)| (*name, value.as_str())));
        pairs.sort();
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}
