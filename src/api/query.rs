//! Query parameters as GitLab reads them.

use actix_web::HttpRequest;
use url::form_urlencoded;

use super::answer::{DEEPEST_OFFSET, Problem};
use crate::domain::Timestamp;
use crate::store::Span;

/// The default and largest page (contract, section 5.2). A larger `per_page` is cut, as GitLab does.
const DEFAULT_PER_PAGE: u64 = 20;
const MAX_PER_PAGE: u64 = 100;

/// The statuses that GitLab accepts in filters (contract, section 3.2).
pub(super) const STATUSES: [&str; 13] = [
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

/// The decoded parameters of a request, in order.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

/// Which page of a list is wanted; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paging {
    pub(super) page: u64,
    pub(super) per_page: u64,
}

impl Query {
    pub(super) fn of(request: &HttpRequest) -> Self {
        Self::parse(request.query_string())
    }

    pub(super) fn parse(text: &str) -> Self {
        Self { pairs: form_urlencoded::parse(text.as_bytes()).into_owned().collect() }
    }

    /// Returns all parameters, in order.
    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// Returns a parameter's last value; an empty one counts as left out, as GitLab does.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.pairs.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.as_str())?;
        (!value.is_empty()).then_some(value)
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    /// Returns an instant; what is none is left to whoever filters by it.
    pub(super) fn instant(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(Timestamp::parse)
    }

    /// Returns whether a parameter is switched on.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        Ok(self.switch(name)?.unwrap_or(false))
    }

    /// Returns whether a parameter is switched on or off; `None` without it.
    pub(super) fn switch(&self, name: &'static str) -> Result<Option<bool>, Problem> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(None),
            Some("false" | "f" | "0" | "no" | "n" | "off") => Ok(Some(false)),
            Some("true" | "t" | "1" | "yes" | "y" | "on") => Ok(Some(true)),
            Some(_) => Err(Problem::Invalid { name, problem: "is invalid" }),
        }
    }

    /// Returns a status to filter by.
    pub(super) fn status(&self, name: &'static str) -> Result<Option<String>, Problem> {
        self.text(name).map(|status| known_status(name, status)).transpose()
    }

    /// Returns the statuses of `name` and of every `name[]`.
    pub(super) fn statuses(&self, name: &'static str) -> Result<Vec<String>, Problem> {
        let listed = |key: &str| key == name || key.strip_suffix("[]") == Some(name);
        let values = self.pairs.iter().filter(|(key, value)| listed(key) && !value.is_empty());
        values.map(|(_, value)| known_status(name, value)).collect()
    }

    /// Returns `true` for the value `yes`, `false` for `no`, and `None` without the parameter.
    pub(super) fn choice(&self, name: &'static str, yes: &str, no: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some(value) if value == yes => Ok(Some(true)),
            Some(value) if value == no => Ok(Some(false)),
            Some(_) => Err(Problem::Invalid { name, problem: "does not have a valid value" }),
        }
    }

    /// Returns what a parameter's word stands for.
    pub(super) fn word<T: Copy>(&self, name: &'static str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| Some(*meaning));
        found.ok_or(Problem::Invalid { name, problem: "does not have a valid value" })
    }

    /// Returns the span between two dates.
    pub(super) fn span(&self, after: &'static str, before: &'static str) -> Result<Span, Problem> {
        Ok(Span { after: self.date(after)?, before: self.date(before)? })
    }

    /// Returns a date. Without a time it is its midnight, without a zone it is UTC, as GitLab reads it; a `+` that was not
    /// encoded has become a space and is none (contract, section 5.2).
    fn date(&self, name: &'static str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let forms = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
        let date = forms.iter().find_map(|form| Timestamp::parse(form));
        date.map(Some).ok_or(Problem::Invalid { name, problem: "is invalid" })
    }

    /// Returns an id to compare with.
    pub(super) fn id(&self, name: &'static str) -> Result<Option<u64>, Problem> {
        let number = self.text(name).map(str::parse).transpose();
        number.map_err(|_| Problem::Invalid { name, problem: "is invalid" })
    }

    /// Returns whether the list is to be paged by key.
    pub(super) fn is_keyset(&self) -> bool {
        self.text("pagination") == Some("keyset")
    }

    /// Refuses the parameters of GitLab that Cistern does not have, also as arrays or hashes (`name[]`, `name[key]`).
    pub(super) fn refuse(&self, unsupported: &[&'static str]) -> Result<(), Problem> {
        let given =
            |name: &str| self.pairs.iter().any(|(key, value)| !value.is_empty() && key.split('[').next() == Some(name));
        match unsupported.iter().find(|name| given(name)) {
            Some(name) => Err(Problem::Unsupported(name)),
            None => Ok(()),
        }
    }

    /// Returns which page is wanted of a list that can be paged by key, too: not one too deep for numbers.
    pub(super) fn shallow_paging(&self, kind: &'static str) -> Result<Paging, Problem> {
        let paging = self.paging()?;
        if paging.slice().offset > DEEPEST_OFFSET { Err(Problem::TooDeep(kind)) } else { Ok(paging) }
    }

    /// Returns which page is wanted. Where GitLab pages by number only, it does not look at `pagination`.
    pub(super) fn paging(&self) -> Result<Paging, Problem> {
        let page = self.number("page", 1)?;
        let per_page = self.number("per_page", DEFAULT_PER_PAGE)?.min(MAX_PER_PAGE);
        Ok(Paging { page, per_page })
    }

    /// Reads a whole number from 1 to one that leaves room to be multiplied by a page's size.
    fn number(&self, name: &'static str, default: u64) -> Result<u64, Problem> {
        let Some(text) = self.text(name) else { return Ok(default) };
        match text.parse() {
            Ok(0) => Err(Problem::Invalid { name, problem: "does not have a valid value" }),
            Ok(number) if number <= u64::from(u32::MAX) => Ok(number),
            Ok(_) | Err(_) => Err(Problem::Invalid { name, problem: "is invalid" }),
        }
    }
}

fn known_status(name: &'static str, status: &str) -> Result<String, Problem> {
    if STATUSES.contains(&status) {
        Ok(status.to_owned())
    } else {
        Err(Problem::Invalid { name, problem: "does not have a valid value" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_default_are_cut_and_are_refused_like_gitlabs() {
        let paging = |text: &str| Query::parse(text).paging();
        assert_eq!(paging(""), Ok(Paging { page: 1, per_page: 20 }));
        assert_eq!(paging("page=&per_page="), Ok(Paging { page: 1, per_page: 20 }));
        assert_eq!(paging("page=3&per_page=7"), Ok(Paging { page: 3, per_page: 7 }));
        assert_eq!(paging("per_page=1000"), Ok(Paging { page: 1, per_page: 100 }));
        assert_eq!(paging("pagination=offset"), Ok(Paging { page: 1, per_page: 20 }));
        assert_eq!(paging("pagination=keyset"), Ok(Paging { page: 1, per_page: 20 }));
        assert!(Query::parse("page=501&per_page=100").shallow_paging("Project").is_ok());
        assert_eq!(Query::parse("page=502&per_page=100").shallow_paging("Project"), Err(Problem::TooDeep("Project")));
        for text in ["page=one", "page=-1", "page=1.5", "page=18446744073709551616", "page=4294967296"] {
            assert_eq!(paging(text), Err(Problem::Invalid { name: "page", problem: "is invalid" }), "{text}");
        }
        for text in ["page=0", "per_page=0"] {
            assert!(matches!(paging(text), Err(Problem::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn scopes_may_be_given_once_many_times_or_encoded() {
        let scope = |text: &str| Query::parse(text).statuses("scope");
        assert_eq!(scope("").as_deref(), Ok(&[][..]));
        assert_eq!(scope("scope=failed"), Ok(vec!["failed".to_owned()]));
        let two = Ok(vec!["failed".to_owned(), "success".to_owned()]);
        assert_eq!(scope("scope[]=failed&scope[]=success"), two);
        assert_eq!(scope("scope%5B%5D=failed&x=1&scope%5B%5D=success"), two);
        let invalid = Err(Problem::Invalid { name: "scope", problem: "does not have a valid value" });
        assert_eq!(scope("scope[]=failed&scope[]=done"), invalid);
    }

    #[test]
    fn unsupported_parameters_are_refused_in_every_form_and_unknown_ones_ignored() {
        let refuse = |text: &str| Query::parse(text).refuse(&["updated_after", "name"]);
        for text in ["", "updated_after=", "nothing=1", "names=1"] {
            assert_eq!(refuse(text), Ok(()), "{text}");
        }
        for text in ["updated_after=2026-11-20", "page=1&updated_after[]=x", "updated%5Fafter=x"] {
            assert_eq!(refuse(text), Err(Problem::Unsupported("updated_after")), "{text}");
        }
    }

    #[test]
    fn dates_are_read_as_gitlab_reads_them() {
        let date = |text: &str| Query::parse(&format!("updated_after={text}")).date("updated_after");
        let expected = Ok(Timestamp::parse("2026-11-20T09:14:02Z"));
        for text in [
            "2026-11-20T09:14:02Z",
            "2026-11-20T09:14:02",
            "2026-11-20%2009:14:02",
            "2026-11-20T10:14:02%2B01:00",
            "2026-11-20%2009:14:02%20UTC",
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
        assert_eq!(date("2026-11-20"), Ok(Timestamp::parse("2026-11-20T00:00:00Z")));
        assert_eq!(date(""), Ok(None));
        for text in ["yesterday", "2026-11-20T10:14:02+01:00", "2026-13-01", "1", "Z"] {
            let invalid = Problem::Invalid { name: "updated_after", problem: "is invalid" };
            assert_eq!(date(text), Err(invalid), "{text}");
        }
    }

    #[test]
    fn flags_and_choices_know_their_values() {
        let flag = |text: &str| Query::parse(text).flag("include_retried");
        assert_eq!(flag(""), Ok(false));
        assert_eq!(flag("include_retried=True"), Ok(true));
        assert_eq!(flag("include_retried=true&include_retried=0"), Ok(false), "the last one counts");
        assert!(flag("include_retried=maybe").is_err());
        let sort = |text: &str| Query::parse(text).choice("sort", "asc", "desc");
        assert_eq!(sort(""), Ok(None));
        assert_eq!(sort("sort=asc"), Ok(Some(true)));
        assert!(sort("sort=up").is_err());
    }
}
