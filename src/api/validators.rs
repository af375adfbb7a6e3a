//! What tells one version of an answer from another, and the questions that readers ask with it (RFC 9110, section 13).

use std::fmt::Write;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::{HeaderMap, HttpDate, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};
use foldhash::quality::FixedState;

use super::coding::Coding;
use crate::domain::Timestamp;

/// So many seconds after GitLab's word there may have been another one of the same second.
const SETTLED_SECS: i64 = 2;

/// A version of one answer in one coding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub(super) tag: String,
    /// The second since which nothing else was said, in seconds of Unix time.
    modified: Option<i64>,
    /// Whether there is no other version of that second: a list may change while the time that it is of does not.
    dated: bool,
}

impl Validators {
    /// Makes the validators of whatever this hashes to: the bytes themselves, or an id that never stands for others.
    pub(super) fn of(content: impl Hash, coding: Coding, modified: Option<Timestamp>) -> Self {
        // The same in every process of a deployment and after a restart.
        let hash = FixedState::with_seed(0).hash_one(content);
        let mut tag = String::with_capacity(24);
        let _ = write!(tag, "\"{hash:016x}");
        if let Some(word) = coding.as_str() {
            tag.push('-');
            tag.push_str(word);
        }
        tag.push('"');
        Self { tag, modified: modified.map(|at| whole_seconds(at) + SETTLED_SECS), dated: true }
    }

    /// Lets the date not stand for the version: only the tag does.
    pub(super) fn by_tag_only(self) -> Self {
        Self { dated: false, ..self }
    }

    /// Returns whether the reader has this version already.
    pub(super) fn are_known(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(IF_NONE_MATCH) {
            let mut tags = headers.get_all(IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
            return tags.any(|tags| tags.split(',').any(|tag| self.matches_weakly(tag.trim())));
        }
        let since = headers.get(IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok()).and_then(seconds);
        self.dated && self.modified.zip(since).is_some_and(|(modified, since)| modified <= since)
    }

    /// Returns whether a part of this version fits to the parts that the reader has.
    pub(super) fn allow_a_part(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = headers.get(IF_RANGE) else { return true };
        let Ok(condition) = condition.to_str() else { return false };
        match seconds(condition) {
            Some(date) => self.dated && self.modified == Some(date),
            None => condition.trim() == self.tag,
        }
    }

    /// Returns the date for `Last-Modified`, which is never to come: until then it stands for no version.
    pub(super) fn date(&self) -> Option<HttpDate> {
        let seconds = self.modified?.min(whole_seconds(Timestamp::now()));
        Some(HttpDate::from(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?)))
    }

    fn matches_weakly(&self, tag: &str) -> bool {
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.tag
    }
}

fn whole_seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

fn seconds(date: &str) -> Option<i64> {
    let date: SystemTime = date.parse::<HttpDate>().ok()?.into();
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_795_166_042_300);

    fn validators() -> Validators {
        Validators { tag: "\"a\"".to_owned(), ..Validators::of((), Coding::Identity, Some(AT)) }
    }

    fn known(name: HeaderName, value: &str) -> bool {
        let validators = validators();
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        validators.are_known(&headers)
    }

    #[test]
    fn tags_are_compared_weakly_and_go_before_dates() {
        for (tags, expected) in
            [("\"a\"", true), ("W/\"a\"", true), ("*", true), ("\"b\", \"a\"", true), ("\"b\"", false), ("a", false)]
        {
            assert_eq!(known(IF_NONE_MATCH, tags), expected, "{tags}");
        }
        for (date, expected) in [
            ("Fri, 20 Nov 2026 09:14:04 GMT", true),
            ("Fri, 20 Nov 2026 09:14:05 GMT", true),
            ("Fri, 20 Nov 2026 09:14:03 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(known(IF_MODIFIED_SINCE, date), expected, "{date}");
        }
        let mut both = HeaderMap::new();
        both.insert(IF_NONE_MATCH, HeaderValue::from_static("\"b\""));
        both.insert(IF_MODIFIED_SINCE, HeaderValue::from_static("Fri, 20 Nov 2026 09:14:04 GMT"));
        assert!(!validators().are_known(&both));
        both.remove(IF_NONE_MATCH);
        assert!(validators().are_known(&both) && !validators().by_tag_only().are_known(&both));
    }

    #[test]
    fn a_part_needs_the_very_version() {
        let validators = validators();
        for (condition, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("Fri, 20 Nov 2026 09:14:03 GMT", false),
            ("Fri, 20 Nov 2026 09:14:04 GMT", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(IF_RANGE, HeaderValue::from_static(condition));
            assert_eq!(validators.allow_a_part(&headers), expected, "{condition}");
        }
        assert!(validators.allow_a_part(&HeaderMap::new()));
    }

    #[test]
    fn codings_have_tags_of_their_own() {
        let tag = |coding| Validators::of("x", coding, None).tag;
        assert_eq!(tag(Coding::Identity).len(), 18);
        assert_ne!(tag(Coding::Identity), tag(Coding::Zstd));
        assert_ne!(tag(Coding::Identity), Validators::of("y", Coding::Identity, None).tag);
    }
}
