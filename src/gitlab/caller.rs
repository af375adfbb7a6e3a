//! Questions asked with the credential of somebody who reads here: what would GitLab show to them?
//!
//! Guarantees: the credential is sent to GitLab's own origin only and is kept nowhere; what GitLab says about it, that it is
//! refused or used up its rate limit, is about its owner and stops neither the service's token nor other readers (GitLab
//! counts by user; a limit by address shows in the service's own answers, too), nor does a question that GitLab, or what is before
//! it, fails to answer. Permits and redirects are those of every question.
//!
//! The answer's body is dropped unless it says who somebody is.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::answer::{Head, Meaning};
use super::http::{TOKEN, wall_clock};
use super::question::Question;
use super::{Class, Error, Gitlab, Kind, pages};
use crate::domain::{Document, JobKey, Malformed, ProjectId, Timestamp};

/// The most that GitLab may say about a reader; it says some 2 kB.
const USER_BYTES: usize = 64 * 1024;

/// How a reader proves to GitLab who they are, in the words of their own request.
#[derive(Debug, Clone)]
pub enum Credential {
    /// `PRIVATE-TOKEN`: a personal, project or group token.
    PrivateToken(SecretString),
    /// `Authorization: Bearer`: one of these, or an OAuth token.
    Bearer(SecretString),
    /// Nothing: what everybody sees.
    Anonymous,
}

/// A project as its reader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its id, also when it was asked for by a path.
    pub project: ProjectId,
    /// The reader's access level there (10 guest, 20 reporter, 50 owner); 0 for who is no member.
    pub level: u32,
    /// GitLab's `permissions`, as it wrote them.
    pub permissions: Option<Box<str>>,
}

/// What GitLab tells of a token's roles in a project, to whoever has one.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Permissions {
    project_access: Option<Level>,
    group_access: Option<Level>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Level {
    access_level: u32,
}

impl Permissions {
    /// Returns the higher level of the two.
    pub(super) fn level(self) -> Option<u32> {
        [self.project_access, self.group_access].into_iter().flatten().map(|level| level.access_level).max()
    }
}

/// The header that carries a credential; `None` for nobody's.
pub(super) struct Caller(pub(super) Option<(HeaderName, HeaderValue)>);

impl Caller {
    /// Fails for a token that no header can carry, which GitLab cannot know.
    pub(super) fn of(credential: &Credential) -> Result<Self, Kind> {
        let header = match credential {
            Credential::PrivateToken(token) => (TOKEN, HeaderValue::from_str(token.expose_secret())),
            Credential::Bearer(token) => {
                (AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())))
            }
            Credential::Anonymous => return Ok(Self(None)),
        };
        let (name, value) = header;
        let mut value = value.map_err(|_| Kind::TokenRefused("no header can carry it"))?;
        value.set_sensitive(true);
        Ok(Self(Some((name, value))))
    }
}

impl Gitlab {
    /// Reads whose token it is, as GitLab shows them to themselves; fails when it does not take it for one.
    pub async fn user(&self, credential: &Credential) -> Result<Document, Error> {
        let body = self.ask_as(credential, Question::User).await?;
        pages::object(body, "user", parse_user).await
    }

    /// Reads how somebody sees a project.
    pub async fn standing(&self, credential: &Credential, project: ProjectId) -> Result<Standing, Error> {
        self.ask_standing(credential, Question::Project(project)).await
    }

    /// Reads how somebody sees the project of a path; a moved one is followed (contract, section 8).
    pub async fn standing_by_path(&self, credential: &Credential, path: &str) -> Result<Standing, Error> {
        let question = Question::ProjectByPath(path.into());
        if !path.contains('/') {
            return Err(Error { question: question.to_string(), kind: Kind::NotFound });
        }
        self.ask_standing(credential, question).await
    }

    /// Succeeds when somebody may list a project's pipelines.
    pub async fn may_list_pipelines(&self, credential: &Credential, project: ProjectId) -> Result<(), Error> {
        self.ask_as(credential, Question::AnyPipeline(project)).await.map(drop)
    }

    /// Succeeds when somebody may read a job's log.
    pub async fn may_read_log(&self, credential: &Credential, key: JobKey) -> Result<(), Error> {
        self.ask_as(credential, Question::Trace(key)).await.map(drop)
    }

    /// Succeeds when somebody may read a job's archive. GitLab's redirect to its storage is a yes that is not followed.
    pub async fn may_read_archive(&self, credential: &Credential, key: JobKey) -> Result<(), Error> {
        self.ask_as(credential, Question::Archive(key)).await.map(drop)
    }

    async fn ask_standing(&self, credential: &Credential, question: Question) -> Result<Standing, Error> {
        let body = self.ask_as(credential, question).await?;
        pages::object(body, "project", |raw, _| Standing::parse(raw.get())).await
    }

    async fn ask_as(&self, credential: &Credential, question: Question) -> Result<super::Body, Error> {
        match Caller::of(credential) {
            Ok(caller) => self.0.ask_as(Class::Reader, question, &caller).await,
            Err(kind) => Err(Error { question: question.to_string(), kind }),
        }
    }
}

/// Accepts an object with an id that is not longer than anybody's.
fn parse_user(raw: &RawValue, as_of: Timestamp) -> Result<Document, Malformed> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(rename = "id")]
        _id: u64,
    }
    let text = raw.get();
    if text.len() > USER_BYTES {
        return Err(Malformed { what: "user", problem: format!("it has more than {USER_BYTES} bytes") });
    }
    serde_json::from_str::<Wire>(text).map_err(|error| Malformed::json("user", &error))?;
    Ok(Document::new(raw, as_of))
}

impl Standing {
    /// Returns the level of the token that a project's document was told to; `None` where it does not tell.
    pub fn level_in(project: &str) -> Option<u32> {
        Self::parse(project).ok().filter(|standing| standing.permissions.is_some()).map(|standing| standing.level)
    }

    /// The level is the higher one of `permissions`, which a reader without a token does not get.
    fn parse(text: &str) -> Result<Self, Malformed> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            id: ProjectId,
            #[serde(borrow)]
            permissions: Option<&'a RawValue>,
        }
        let malformed = |error| Malformed::json("project", &error);
        let wire: Wire = serde_json::from_str(text).map_err(malformed)?;
        let permissions = wire.permissions.map(RawValue::get);
        let told = permissions.map(serde_json::from_str::<Permissions>).transpose().map_err(malformed)?;
        let level = told.and_then(Permissions::level).unwrap_or(0);
        Ok(Self { project: wire.id, level, permissions: permissions.map(Into::into) })
    }
}

/// Returns what an answer says about the caller's credential, if it does.
pub(super) fn judge(head: &Head, body: &[u8]) -> Option<Kind> {
    match (head.status, head.meaning(body)) {
        (401, Meaning::TokenRefused(reason)) => Some(Kind::TokenRefused(reason)),
        // Its scope is too small: GitLab says 403.
        (_, Meaning::TokenRefused(_)) => Some(Kind::Forbidden),
        (429, Meaning::ThrottledEverywhere(wait) | Meaning::ThrottledHere(wait)) => {
            let now = Instant::now();
            let until = wall_clock(now, now + wait.clamp(Duration::from_secs(1), Duration::from_secs(3600)));
            Some(Kind::Throttled { until, everything: false })
        }
        (status, Meaning::ThrottledEverywhere(_)) => Some(Kind::Unavailable(format!("status {status}"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_level_counts_and_none_is_nobody_s() {
        let level =
            |permissions: &str| Standing::parse(&format!(r#"{{"id":7{permissions}}}"#)).map(|standing| standing.level);
        assert_eq!(level(""), Ok(0));
        assert_eq!(level(r#","permissions":null"#), Ok(0));
        assert_eq!(level(r#","permissions":{"project_access":null,"group_access":null}"#), Ok(0));
        let both = r#","permissions":{"project_access":{"access_level":10},"group_access":{"access_level":40}}"#;
        assert_eq!(level(both), Ok(40));
        assert!(level(r#","permissions":{"project_access":{"access_level":"x"}}"#).is_err());
    }

    #[test]
    fn a_user_is_an_object_of_some_size_without_tokens() {
        let user = |text: &str| {
            let raw: &RawValue = serde_json::from_str(text).expect("JSON");
            parse_user(raw, Timestamp::default()).map(|document| String::from(document.text))
        };
        assert_eq!(user(r#"{"id":7,"feed_token":"x","name":"Ines"}"#).as_deref(), Ok(r#"{"id":7,"name":"Ines"}"#));
        for odd in [
            "[]".to_owned(),
            r#"{"name":"Ines"}"#.to_owned(),
            format!(r#"{{"id":7,"bio":"{}"}}"#, "x".repeat(USER_BYTES)),
        ] {
            assert!(user(&odd).is_err());
        }
    }
}
