//! What GitLab tells about itself, about a token and about a token's roles: for `check` and for alerts.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::caller::Permissions;
use super::question::{AboutQuestion, OwnToken, Question};
use super::{Class, Error, Gitlab, Kind, Listing, Next, pages};
use crate::domain::{Job, Malformed, ProjectId, Timestamp, lenient};

/// The instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// For instance `19.6.0-ee`.
    pub version: String,
    /// GitLab's clock at the answer, to the second.
    pub as_of: Timestamp,
}

impl Instance {
    /// Returns the major version, if it can be read.
    pub fn major(&self) -> Option<u32> {
        self.version.split('.').next()?.parse().ok()
    }
}

/// What GitLab tells about a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenFacts {
    /// What it may do: `read_api`, `api`, ….
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The day at whose beginning (UTC) it ends; `None`: it never does.
    #[serde(default)]
    pub expires_at: Option<String>,
}

impl TokenFacts {
    /// Returns when it ends.
    pub fn ends_at(&self) -> Option<Timestamp> {
        Timestamp::parse(&format!("{}T00:00:00Z", self.expires_at.as_deref()?))
    }
}

/// The reading token's role in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The project.
    pub project: ProjectId,
    /// Its path.
    pub path: Box<str>,
    /// GitLab's number: 10 Guest, 15 Planner, 20 Reporter, 30 Developer, 40 Maintainer, 50 Owner. `None` where GitLab does not
    /// tell: through a group that was invited, for instance.
    pub level: Option<u32>,
    /// When something last happened in it.
    pub last_activity_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct WireMembership {
    id: ProjectId,
    path_with_namespace: Box<str>,
    #[serde(default, deserialize_with = "lenient")]
    permissions: Option<Permissions>,
    #[serde(default, deserialize_with = "lenient")]
    last_activity_at: Option<Timestamp>,
}

impl Membership {
    fn parse(raw: &RawValue, _as_of: Timestamp) -> Result<Self, Malformed> {
        let wire: WireMembership =
            serde_json::from_str(raw.get()).map_err(|error| Malformed::json("project", &error))?;
        let level = wire.permissions.and_then(Permissions::level);
        let last_activity_at = wire.last_activity_at;
        Ok(Self { project: wire.id, path: wire.path_with_namespace, level, last_activity_at })
    }
}

impl Gitlab {
    /// Asks GitLab which version it is, and what time it has.
    pub async fn instance(&self, class: Class) -> Result<Instance, Error> {
        let question = |about| Question::About(about, OwnToken::Reading);
        let body = match self.0.ask(class, question(AboutQuestion::Metadata)).await {
            // Before 15.2, or a token that may not ask.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Forbidden) => {
                self.0.ask(class, question(AboutQuestion::Version)).await?
            }
            answer => answer?,
        };
        pages::object(body, "version", |raw, as_of| {
            #[derive(Deserialize)]
            struct Wire {
                version: String,
            }
            let wire: Wire = serde_json::from_str(raw.get()).map_err(|error| Malformed::json("version", &error))?;
            Ok(Instance { version: wire.version, as_of })
        })
        .await
    }

    /// Asks what GitLab knows about one of our tokens. Not every kind of token can be asked about.
    pub async fn token(&self, class: Class, which: OwnToken) -> Result<TokenFacts, Error> {
        let body = self.0.ask(class, Question::About(AboutQuestion::Token, which)).await?;
        let parse =
            |raw: &RawValue, _| serde_json::from_str(raw.get()).map_err(|error| Malformed::json("token", &error));
        let facts: TokenFacts = pages::object(body, "token", parse).await?;
        self.0.metrics.token(which, facts.ends_at());
        Ok(facts)
    }

    /// Lists the 50 newest jobs of a project that ended well or badly (contract, section 5.5).
    pub async fn latest_jobs(&self, class: Class, project: ProjectId) -> Result<Listing<Job>, Error> {
        let parse = |row: &RawValue, as_of| Job::parse(project, row, as_of);
        pages::offset(self.0.ask(class, Question::LatestJobs(project)).await?, None, "page of jobs", parse).await
    }

    /// Lists the reading token's role in each of its projects, 100 at a time.
    pub async fn memberships(&self, class: Class, next: Option<&Next>) -> Result<Listing<Membership>, Error> {
        let body = self.0.ask(class, Question::Projects(next.and_then(Next::cursor).cloned())).await?;
        pages::keyset(body, next, &self.0.origin, "page of projects", Membership::parse).await
    }
}
