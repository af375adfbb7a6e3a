//! The only place that talks to GitLab: questions in, facts out.
//!
//! Guarantees: never more than the configured calls in flight, bodies and redirects included; a credential never reaches
//! another origin; a body that is shorter than announced is an error, never a whole. It never retries: an [`Error`] says
//! what may help, and the queue decides when.
//!
//! A question goes through `limits` (does GitLab want to be asked, and does it answer at all?), `permits` (whose turn is it, and
//! how many calls can GitLab bear?) and `http` (the only place that sends), which follows redirects and reads the verdict of an
//! `answer`.

mod about;
mod address;
mod answer;
mod body;
mod breaker;
mod caller;
mod condition;
mod config;
mod confirm;
mod deleted;
mod doubt;
mod endpoint;
mod error;
mod hook;
mod http;
mod judge;
mod limits;
mod manage;
mod metrics;
mod order;
mod pace;
mod pages;
mod pass;
mod permits;
mod pinned;
mod question;
mod redirect;
mod refusals;
#[cfg(test)]
mod tests;
mod transport;
mod turns;
mod window;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde_json::value::RawValue;

pub use about::{Instance, Membership, TokenFacts};
pub use body::{Body, Whole};
pub use breaker::Circuit;
pub use caller::{Credential, Standing};
pub use config::{Config, Timeouts};
pub use error::{Error, Kind};
pub use hook::{Delivered, Hook, HookOwner, HookWish, Trigger};
pub use pages::Next;
pub use pass::{CREDENTIALS, NotPassed, Passage, Passed, Passing};
pub use question::OwnToken;

use crate::domain::{
    Document, Job, JobKey, Malformed, Pipeline, PipelineKey, PipelineSource, Project, ProjectId, Timestamp,
};
use http::Http;
use question::Question;

/// Who waits for a call's answer: the higher goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A webhook's work.
    Live,
    /// A reader's miss.
    Reader,
    /// A pass.
    Backfill,
}

/// One page of a listing.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    /// The rows that could be read, in GitLab's order.
    pub rows: Vec<T>,
    /// How many rows GitLab sent, unreadable ones included.
    pub received: usize,
    /// Rows that were not readable (logged with their position).
    pub malformed: usize,
    /// Where the next page is, if there is one.
    pub next: Option<Next>,
    /// Where GitLab's link to the next page leads, as scheme, host and port, when that is not where it was asked.
    pub links_lead_to: Option<Box<str>>,
    /// GitLab's clock at the answer.
    pub as_of: Timestamp,
}

/// A client of one GitLab instance. Cheap to clone; clones share permits, limits and connections.
#[derive(Clone)]
pub struct Gitlab(Arc<Http>);

impl Gitlab {
    /// Makes a client; sends nothing. [`Kind::Malformed`] names what of the configuration cannot be used: the address, the
    /// token, `ca_file`, or TLS, for which the program has to install a provider first.
    pub fn new(config: Config) -> Result<Self, Error> {
        Self::with_timeouts(config, Timeouts::default())
    }

    /// Makes a client that waits as long as told.
    pub fn with_timeouts(config: Config, timeouts: Timeouts) -> Result<Self, Error> {
        match Http::new(&config, timeouts) {
            Ok(http) => Ok(Self(Arc::new(http))),
            Err(kind) => Err(Error { question: "prepare to talk to GitLab".to_owned(), kind }),
        }
    }

    /// Asks with this token from now on, at once also where GitLab refused the old one. On an error the old one stays.
    pub fn renew_token(&self, token: &SecretString) -> Result<(), Error> {
        self.0.renew_token(token).map_err(|kind| Error { question: "renew the token".to_owned(), kind })
    }

    /// Manages webhooks with this token from now on.
    pub fn renew_hooks_token(&self, token: &SecretString) -> Result<(), Error> {
        self.0.renew_hooks_token(token).map_err(|kind| Error { question: "renew the token of hooks".to_owned(), kind })
    }

    /// Registers `gitlab_requests`, `gitlab_seconds`, `gitlab_in_flight`, `gitlab_window`, `gitlab_circuit_open`,
    /// `gitlab_token_refused` and `gitlab_limit_remaining`.
    pub fn register(&self, registry: &mut Registry) {
        self.0.metrics.register(registry);
    }

    /// Lists the projects the token is a member of, 100 at a time by id (contract, section 5.3).
    ///
    /// `GET /projects?membership=true&order_by=id&sort=asc&pagination=keyset&per_page=100`.
    pub async fn projects(&self, class: Class, next: Option<&Next>) -> Result<Listing<Project>, Error> {
        let body = self.0.ask(class, Question::Projects(next.and_then(Next::cursor).cloned())).await?;
        pages::keyset(body, next, &self.0.origin, "page of projects", Project::parse).await
    }

    /// Lists the hundred projects with the highest ids of those that the token is a member of.
    pub async fn newest_projects(&self, class: Class) -> Result<Listing<Project>, Error> {
        let body = self.0.ask(class, Question::NewestProjects).await?;
        pages::keyset(body, None, &self.0.origin, "page of projects", Project::parse).await
    }

    /// Reads a project by its numeric id.
    pub async fn project(&self, class: Class, id: ProjectId) -> Result<Project, Error> {
        pages::object(self.0.ask(class, Question::Project(id)).await?, "project", Project::parse).await
    }

    /// Reads a project by `group/name`; a moved one is followed (contract, section 8).
    pub async fn project_by_path(&self, class: Class, path: &str) -> Result<Project, Error> {
        let question = Question::ProjectByPath(path.into());
        if !path.contains('/') {
            // GitLab would take it for an id, and `..` for another address: no project has such a path.
            return Err(Error { question: question.to_string(), kind: Kind::NotFound });
        }
        pages::object(self.0.ask(class, question).await?, "project", Project::parse).await
    }

    /// Lists one page of 100 pipelines, the least recently updated first; `page` counts from 1 (contract, section 5.4).
    pub async fn pipelines(
        &self,
        class: Class,
        project: ProjectId,
        source: PipelineSource,
        updated_after: Option<Timestamp>,
        page: u32,
    ) -> Result<Listing<Pipeline>, Error> {
        let question = Question::Pipelines { project, source, updated_after, page };
        let parse = |row: &_, as_of| Pipeline::parse(project, row, as_of);
        pages::offset(self.0.ask(class, question).await?, None, "page of pipelines", parse).await
    }

    /// Lists the pipelines that changed last, the newest change first: at most 100 since a time, or 20.
    pub async fn latest_pipelines(
        &self,
        class: Class,
        project: ProjectId,
        source: PipelineSource,
        updated_after: Option<Timestamp>,
    ) -> Result<Listing<Pipeline>, Error> {
        let question = Question::Latest { project, source, updated_after };
        let parse = |row: &_, as_of| Pipeline::parse(project, row, as_of);
        pages::offset(self.0.ask(class, question).await?, None, "page of pipelines", parse).await
    }

    /// Reads a pipeline, child pipelines included, trimmed to what the listing has.
    pub async fn pipeline(&self, class: Class, key: PipelineKey) -> Result<Pipeline, Error> {
        let parse = |raw: &_, as_of| Pipeline::parse_detail(key.project, raw, as_of);
        pages::object(self.0.ask(class, Question::Pipeline(key)).await?, "pipeline", parse).await
    }

    /// Lists one page of 100 jobs of a pipeline, retried ones included (contract, section 5.5).
    pub async fn jobs(&self, class: Class, key: PipelineKey, next: Option<&Next>) -> Result<Listing<Job>, Error> {
        let page = next.and_then(Next::page).unwrap_or(1);
        let parse = |row: &_, as_of| Job::parse(key.project, row, as_of);
        pages::offset(self.0.ask(class, Question::Jobs { key, page }).await?, next, "page of jobs", parse).await
    }

    /// Reads a job.
    pub async fn job(&self, class: Class, key: JobKey) -> Result<Job, Error> {
        let parse = |raw: &_, as_of| Job::parse(key.project, raw, as_of);
        pages::object(self.0.ask(class, Question::Job(key)).await?, "job", parse).await
    }

    /// Lists one page of 100 trigger jobs of a pipeline, newest first: their documents and nothing else (contract, section 5.5).
    pub async fn bridges(
        &self,
        class: Class,
        key: PipelineKey,
        next: Option<&Next>,
    ) -> Result<Listing<Document>, Error> {
        let page = next.and_then(Next::page).unwrap_or(1);
        let parse = |row: &RawValue, as_of| match row.get().starts_with('{') {
            true => Ok(Document::new(row, as_of)),
            false => Err(Malformed { what: "trigger job", problem: "it is no object".to_owned() }),
        };
        pages::offset(self.0.ask(class, Question::Bridges { key, page }).await?, next, "page of trigger jobs", parse)
            .await
    }

    /// Begins to read a job's log; an empty one is no proof that there is none (contract, section 5.6).
    pub async fn trace(&self, class: Class, key: JobKey) -> Result<Body, Error> {
        self.0.ask(class, Question::Trace(key)).await
    }

    /// Begins to read a job's archive. Follows the redirect to its storage without credentials; both hops under one
    /// permit, counted apart (contract, section 5.7).
    pub async fn archive(&self, class: Class, key: JobKey) -> Result<Body, Error> {
        self.0.ask(class, Question::Archive(key)).await
    }

    /// Begins to read a pipeline's test report, JSON that nobody has looked into yet (contract, section 5.8).
    pub async fn test_report(&self, class: Class, key: PipelineKey) -> Result<Body, Error> {
        self.0.ask(class, Question::TestReport(key)).await
    }

    /// Begins to read the summary of a pipeline's test report, JSON that nobody has looked into yet.
    pub async fn test_report_summary(&self, class: Class, key: PipelineKey) -> Result<Body, Error> {
        self.0.ask(class, Question::TestReportSummary(key)).await
    }

    /// Returns how many calls were sent to GitLab so far, redirects included, storage hops not.
    pub fn calls(&self) -> u64 {
        self.0.calls()
    }

    /// Returns how many downloads were begun at GitLab's object storage so far.
    pub fn storage_calls(&self) -> u64 {
        self.0.storage_calls()
    }

    /// Returns whether GitLab answered the last call properly; `None` before the first.
    pub fn is_up(&self) -> Option<bool> {
        self.0.is_up()
    }

    /// Returns how many permits are held: calls in flight, bodies included.
    pub fn in_flight(&self) -> usize {
        self.0.permits.held()
    }

    /// Returns how many questions wait for a permit.
    pub fn waiting(&self) -> usize {
        self.0.permits.waiting()
    }

    /// Changes how many calls may be in flight: this process's share of the deployment's `total`, and the same share of
    /// `requests_per_minute`. Calls above it drain. Without another share none is begun after `valid`, because others may have
    /// taken it over.
    pub fn set_share(&self, calls: usize, total: usize, valid: Duration) {
        let part = if total == 0 { 0.0 } else { calls as f64 / total as f64 };
        self.0.permits.resize(calls, part, tokio::time::Instant::now().checked_add(valid));
    }

    /// Returns how many calls GitLab's condition allows: fewer than its share when it slows down or fails.
    pub fn window(&self) -> usize {
        self.0.window()
    }

    /// Returns how long so many more calls would take a backfill, by the times of the calls that were made and the limits that are
    /// known; `None` before the first call. Large bodies take longer.
    pub fn estimate(&self, calls: u64) -> Option<Duration> {
        self.0.estimate(calls)
    }

    /// Returns whether GitLab answers at all.
    pub fn circuit(&self) -> Circuit {
        self.0.circuit()
    }

    /// Returns the error that every question would meet while GitLab refuses the token, or everything to it; `None` otherwise.
    pub fn token_refused(&self) -> Option<Error> {
        Some(Error { question: "go on".to_owned(), kind: self.0.refusal()? })
    }

    /// Returns until when nothing may be sent, and why, if GitLab said so.
    pub fn paused(&self) -> Option<(Timestamp, &'static str)> {
        self.0.paused()
    }
}

impl fmt::Debug for Gitlab {
    /// Shows no address and no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gitlab").field("calls", &self.calls()).field("in_flight", &self.in_flight()).finish()
    }
}
