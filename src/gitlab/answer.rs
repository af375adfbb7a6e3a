//! What the head of an answer means (contract, sections 6 and 8), as a table.
//!
//! Pure: it reads heads and small error bodies and never waits. It does not decide what to do about a verdict.

use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::Deserialize;

use super::limits::Budget;
use crate::domain::Timestamp;

/// How long to wait after a 429 that does not say how long.
const UNSAID_WAIT: Duration = Duration::from_secs(60);

/// What the content type of an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Json,
    Html,
    Other,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// It is the answer.
    Answer,
    /// It says that the thing is not there.
    NotFound,
    /// It says that the token may not read the thing.
    Forbidden,
    /// It refuses the token altogether.
    TokenRefused(&'static str),
    /// Everyone has to wait.
    ThrottledEverywhere(Duration),
    /// This endpoint has to wait.
    ThrottledHere(Duration),
    /// The question is wrong.
    Rejected,
    /// GitLab, or something before it, is not well.
    Unavailable,
}

/// Which answers a row of the table is about, beside their status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Html,
    Json,
    AskedToWait,
}

/// The first row that fits holds.
const TABLE: [(RangeInclusive<u16>, When, Meaning); 13] = [
    (200..=200, When::Always, Meaning::Answer),
    (401..=401, When::Always, Meaning::TokenRefused("401: it is missing, wrong, expired or revoked")),
    // Of one thing GitLab says so in JSON; a blocked address, a firewall and a wrong base path do not.
    (403..=403, When::Json, Meaning::Forbidden),
    (403..=403, When::Always, Meaning::Unavailable),
    (404..=404, When::Html, Meaning::Unavailable),
    (404..=404, When::Always, Meaning::NotFound),
    (408..=408, When::Always, Meaning::Unavailable),
    (429..=429, When::Json, Meaning::ThrottledHere(UNSAID_WAIT)),
    (429..=429, When::Always, Meaning::ThrottledEverywhere(UNSAID_WAIT)),
    (400..=499, When::Always, Meaning::Rejected),
    (503..=503, When::AskedToWait, Meaning::ThrottledEverywhere(UNSAID_WAIT)),
    (500..=599, When::Always, Meaning::Unavailable),
    (0..=u16::MAX, When::Always, Meaning::Unavailable),
];

/// The parts of an answer's head that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) shape: Shape,
    /// GitLab's clock; ours when it sent no readable `Date`.
    pub(super) as_of: Timestamp,
    /// `Retry-After`, as seconds or a date.
    pub(super) retry_after: Option<Duration>,
    /// `RateLimit-*`.
    pub(super) budget: Option<Budget>,
}

impl Head {
    pub(super) fn read(status: u16, headers: &HeaderMap) -> Self {
        let as_of = text(headers, DATE).and_then(Timestamp::parse_http).unwrap_or_else(Timestamp::now);
        let retry_after = text(headers, RETRY_AFTER).and_then(|value| match value.trim().parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => Timestamp::parse_http(value).map(|date| date.since(as_of)),
        });
        let number = |name| text(headers, HeaderName::from_static(name))?.trim().parse::<u64>().ok();
        let budget = number("ratelimit-remaining").map(|remaining| Budget {
            remaining,
            limit: number("ratelimit-limit"),
            reset_in: number("ratelimit-reset").map(|reset| unix(reset).since(as_of)),
        });
        Self { status, shape: shape(headers), as_of, retry_after, budget }
    }

    /// Returns what the answer means; `body` is the beginning of an error's body, empty when it was not read.
    pub(super) fn meaning(&self, body: &[u8]) -> Meaning {
        let fits = |when| match when {
            When::Always => true,
            When::Html => self.shape == Shape::Html,
            // GitLab's own limits answer JSON; a budget that is used up makes the throttle a general one.
            When::Json => self.shape == Shape::Json && self.budget.is_none_or(|budget| budget.remaining > 0),
            When::AskedToWait => self.retry_after.is_some(),
        };
        let row = TABLE.iter().find(|(statuses, when, _)| statuses.contains(&self.status) && fits(*when));
        let reset = self.budget.and_then(|budget| budget.reset_in);
        match row.map_or(Meaning::Unavailable, |(_, _, meaning)| *meaning) {
            Meaning::ThrottledEverywhere(unsaid) => {
                Meaning::ThrottledEverywhere(self.retry_after.or(reset).unwrap_or(unsaid))
            }
            Meaning::ThrottledHere(unsaid) => Meaning::ThrottledHere(self.retry_after.unwrap_or(unsaid)),
            Meaning::TokenRefused(unsaid) => Meaning::TokenRefused(refusal(body).unwrap_or(unsaid)),
            Meaning::Forbidden => refusal(body).map_or(Meaning::Forbidden, Meaning::TokenRefused),
            meaning => meaning,
        }
    }

    /// Returns what an answer of a storage means, whose 401, 403 and 429 are not about our token: a signed address that
    /// ran out, and the next try gets a new one.
    pub(super) fn meaning_of_storage(&self) -> Meaning {
        match self.status {
            200 => Meaning::Answer,
            404 | 410 => Meaning::NotFound,
            _ => Meaning::Unavailable,
        }
    }
}

/// The names and words of OAuth errors, which GitLab's API uses for tokens (contract, section 8).
#[derive(Deserialize)]
struct Refusal<'a> {
    error: &'a str,
    #[serde(default)]
    error_description: &'a str,
}

fn refusal(body: &[u8]) -> Option<&'static str> {
    let refusal: Refusal<'_> = serde_json::from_slice(body).ok()?;
    match refusal.error {
        "insufficient_scope" => Some("its scope is too small, it needs at least read_api"),
        "invalid_token" if refusal.error_description.contains("expired") => Some("it is expired"),
        "invalid_token" if refusal.error_description.contains("revoked") => Some("it was revoked"),
        "invalid_token" => Some("it is not valid"),
        _ => None,
    }
}

/// Returns what GitLab says about the token's user beside a refusal, if it does. The phrases are those of its class
/// `Gitlab::Auth::UserAccessDeniedReason`, after `403 Forbidden - ` in `message` (docs/gitlab.md).
pub(super) fn about_the_user(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    const PHRASES: [(&str, &str); 7] = [
        ("Terms of Service", "its user has to accept the terms of service"),
        ("pending approval", "its user waits for an administrator's approval"),
        ("deactivated", "its user is deactivated"),
        ("not confirmed", "its user has to confirm the e-mail address"),
        ("password expired", "its user's password expired"),
        ("internal users", "its user is internal to GitLab"),
        ("blocked", "its user is blocked"),
    ];
    let said: Said = serde_json::from_slice(body).ok()?;
    PHRASES.into_iter().find(|(phrase, _)| said.message.contains(phrase)).map(|(_, words)| words)
}

fn shape(headers: &HeaderMap) -> Shape {
    let Some(value) = text(headers, CONTENT_TYPE) else { return Shape::Other };
    let essence = value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Shape::Json,
        "text/html" | "application/xhtml+xml" => Shape::Html,
        other if other.ends_with("+json") || other.ends_with("/json") => Shape::Json,
        _ => Shape::Other,
    }
}

fn unix(seconds: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&'static str, &str)]) -> Head {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        Head::read(status, &map)
    }

    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    const HTML: (&str, &str) = ("content-type", "Text/HTML; charset=utf-8");
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    const DATED: (&str, &str) = ("date", "Fri, 20 Nov 2026 09:14:02 GMT");

    #[test]
    fn every_row_of_the_contract_has_its_meaning() {
        let seconds = Duration::from_secs;
        let everywhere = |wait| Meaning::ThrottledEverywhere(seconds(wait));
        let here = |wait| Meaning::ThrottledHere(seconds(wait));
        let reset = ("ratelimit-reset", "1795166087");
        let used_up = ("ratelimit-remaining", "0");
        for (status, headers, meaning) in [
            (200, &[JSON][..], Meaning::Answer),
            (400, &[JSON], Meaning::Rejected),
            (403, &[JSON], Meaning::Forbidden),
            (403, &[HTML], Meaning::Unavailable),
            (403, &[TEXT], Meaning::Unavailable),
            (403, &[], Meaning::Unavailable),
            (404, &[JSON], Meaning::NotFound),
            (404, &[], Meaning::NotFound),
            (404, &[HTML], Meaning::Unavailable),
            (408, &[], Meaning::Unavailable),
            (422, &[JSON], Meaning::Rejected),
            (204, &[], Meaning::Unavailable),
            (304, &[], Meaning::Unavailable),
            (500, &[JSON], Meaning::Unavailable),
            (502, &[HTML], Meaning::Unavailable),
            (503, &[HTML], Meaning::Unavailable),
            (503, &[HTML, ("retry-after", "120")], everywhere(120)),
            (429, &[TEXT, ("retry-after", "30"), used_up, reset, DATED], everywhere(30)),
            (429, &[TEXT, used_up, reset, DATED], everywhere(45)),
            (429, &[TEXT, DATED, ("retry-after", "Fri, 20 Nov 2026 09:14:12 GMT")], everywhere(10)),
            (429, &[TEXT], everywhere(60)),
            (429, &[JSON], here(60)),
            (429, &[JSON, ("retry-after", "7")], here(7)),
            (429, &[JSON, ("ratelimit-remaining", "1200"), reset, DATED], here(60)),
            (429, &[JSON, used_up, reset, DATED], everywhere(45)),
        ] {
            assert_eq!(head(status, headers).meaning(b""), meaning, "{status} {headers:?}");
        }
    }

    #[test]
    fn what_gitlab_says_about_the_user_is_told_from_what_it_says_about_a_thing() {
        let said = |message: &str| about_the_user(serde_json::json!({ "message": message }).to_string().as_bytes());
        let terms = "403 Forbidden - You (@bot) must accept the Terms of Service in order to perform this action. To accept \
                     these terms, please access GitLab from a web browser at https://gitlab.example.com.";
        assert_eq!(said(terms), Some("its user has to accept the terms of service"));
        assert_eq!(said("403 Forbidden - Your account has been blocked."), Some("its user is blocked"));
        let pending = "403 Forbidden - Your account is pending approval from your administrator and hence blocked.";
        assert_eq!(said(pending), Some("its user waits for an administrator's approval"));
        assert_eq!((said("403 Forbidden"), about_the_user(b"<html>")), (None, None));
    }

    #[test]
    fn a_refused_token_is_told_from_a_refused_thing() {
        let expired = br#"{"error":"invalid_token","error_description":"Token is expired. You can..."}"#;
        assert_eq!(head(401, &[JSON]).meaning(expired), Meaning::TokenRefused("it is expired"));
        let unauthorized = br#"{"message":"401 Unauthorized"}"#;
        assert!(matches!(head(401, &[JSON]).meaning(unauthorized), Meaning::TokenRefused(_)));
        let scope = br#"{"error":"insufficient_scope","error_description":"...","scope":"api read_api"}"#;
        assert!(matches!(head(403, &[JSON]).meaning(scope), Meaning::TokenRefused(_)));
        let role = br#"{"message":"403 Forbidden"}"#;
        assert_eq!(head(403, &[JSON]).meaning(role), Meaning::Forbidden);
        assert_eq!(head(403, &[JSON]).meaning_of_storage(), Meaning::Unavailable);
        assert_eq!(head(404, &[HTML]).meaning_of_storage(), Meaning::NotFound);
    }
}
