//! How an operation reaches the database, how long it may take, and how it is counted.

use std::time::{Duration, Instant};

use mongodb::bson::{RawArrayBuf, RawDocumentBuf, rawdoc};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::Mongo;
use super::reach::Collections;
use super::trouble::{DUPLICATE_KEY, Trouble};
use crate::store::metrics::Operation;
use crate::store::standing::Did;
use crate::store::{Error, Kind};

/// How long an operation may take for which nobody waits at the other end of a connection.
pub(super) const BULK: Duration = Duration::from_secs(15);

/// How long a heartbeat, a lease or an entry that is not new may take.
pub(super) const URGENT: Duration = Duration::from_secs(3);

/// How long it may take to read the list of all blobs: 4 to 10 s for two million of them.
const SURVEY: Duration = Duration::from_secs(120);

/// How long the answer of a webhook waits for its entry: GitLab gives up after 10 s, and `deferred` loses nothing.
pub(super) const APPEND: Duration = Duration::from_millis(700);

/// Statements of one `update` command weigh at most so much: the server takes 16 MiB in all.
const COMMAND_BYTES: usize = 8 << 20;

/// Who waits, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Heartbeats and leases: small, bounded apart.
    Urgent,
    /// Everything else: one of `limits.store_ops`.
    Bulk,
    /// As that, but it only reads.
    Read,
    /// As that, but it reads a whole collection.
    Survey,
}

impl Mongo {
    /// Runs one operation within its time limit.
    pub(super) async fn run<T, F>(
        &self,
        operation: Operation,
        urgency: Urgency,
        work: impl FnOnce(Collections) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let begin = Instant::now();
        let (permits, limit, did) = match urgency {
            Urgency::Urgent => (&self.inner.urgent, URGENT, Did::Write),
            Urgency::Bulk => (&self.inner.permits, BULK, Did::Write),
            Urgency::Read => (&self.inner.permits, BULK, Did::Read),
            Urgency::Survey => (&self.inner.permits, SURVEY, Did::Read),
        };
        let _permit = permits.acquire().await.map_err(|_| Error::new(operation.1, Kind::Closed))?;
        let _in_flight = self.inner.metrics.enter();
        let outcome = match self.inner.reach.collections() {
            Ok(collections) => timed(limit, work(collections)).await,
            Err(trouble) => Err(trouble),
        };
        self.settle(operation, begin, did, outcome)
    }

    /// Runs one operation that only reads.
    pub(super) async fn read<T, F>(&self, operation: Operation, work: impl FnOnce(Collections) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        self.run(operation, Urgency::Read, work).await
    }

    /// Waits for what was handed to a group.
    pub(super) async fn answered<T>(
        &self,
        limit: Duration,
        outcome: oneshot::Receiver<Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(limit, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Trouble::Panicked),
            // Whether the database is away, those find out who ask it.
            Err(_) => Err(Trouble::Slow),
        }
    }

    /// Counts an operation and tells its caller.
    pub(super) fn settle<T>(
        &self,
        operation: Operation,
        begin: Instant,
        did: Did,
        outcome: Result<T, Trouble>,
    ) -> Result<T, Error> {
        self.inner.metrics.observe(operation, begin.elapsed());
        self.inner.reach.note(outcome.as_ref().map(drop));
        match &outcome {
            Ok(_) => self.inner.metrics.standing.worked(did),
            Err(trouble) if trouble.means_down() => self.inner.metrics.standing.failed(trouble.reason()),
            Err(_) => {}
        }
        outcome.map_err(|trouble| {
            let kind = trouble.into_kind();
            self.inner.metrics.failed(&kind);
            Error::new(operation.1, kind)
        })
    }
}

/// Runs work within a time limit.
pub(super) async fn timed<T>(limit: Duration, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(Trouble::TimedOut))
}

/// One statement of an `update` command.
pub(super) struct Update {
    /// Which documents.
    pub(super) filter: RawDocumentBuf,
    /// A replacement, operators, or a pipeline.
    pub(super) change: mongodb::bson::RawBson,
    /// Whether it makes a document where there is none.
    pub(super) upsert: bool,
    /// Whether it changes all documents or the first.
    pub(super) multi: bool,
}

/// How an `update` command ended.
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Documents that a filter met, and those that were made.
    pub(super) matched: u64,
    /// Statements that a unique index refused.
    pub(super) duplicates: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    n: i64,
    #[serde(default)]
    write_errors: Vec<WriteError>,
    write_concern_error: Option<ConcernError>,
}

#[derive(Deserialize)]
struct WriteError {
    code: i32,
}

#[derive(Deserialize)]
struct ConcernError {
    code: i32,
}

impl Collections {
    /// Runs many updates by raw commands (the driver's own bulk write needs a newer server). They must be idempotent: a broken
    /// connection repeats them once, which the driver does not do for raw commands.
    pub(super) async fn update(&self, collection: &str, updates: Vec<Update>) -> Result<Updated, Trouble> {
        let mut updated = Updated::default();
        let mut rest = updates.into_iter().peekable();
        while rest.peek().is_some() {
            let mut statements = RawArrayBuf::new();
            while statements.as_bytes().len() < COMMAND_BYTES
                && let Some(Update { filter, change, upsert, multi }) = rest.next()
            {
                let mut statement = rawdoc! { "q": filter, "u": change };
                if upsert {
                    statement.append(mongodb::bson::cstr!("upsert"), true);
                }
                if multi {
                    statement.append(mongodb::bson::cstr!("multi"), true);
                }
                statements.push(statement);
            }
            let command = rawdoc! {
                "update": collection,
                "updates": statements,
                "ordered": false,
                "writeConcern": { "w": "majority", "j": true, "wtimeout": 10_000 },
            };
            let answer = match self.command(command.clone()).await {
                Err(trouble) if trouble.may_pass() => self.command(command).await?,
                answer => answer?,
            };
            updated.matched += u64::try_from(answer.n).unwrap_or(0);
            for error in answer.write_errors {
                if error.code != DUPLICATE_KEY {
                    return Err(Trouble::Refused(error.code));
                }
                updated.duplicates += 1;
            }
        }
        Ok(updated)
    }

    async fn command(&self, command: RawDocumentBuf) -> Result<Answer, Trouble> {
        let answer = self.database.run_raw_command(command).await?;
        let answer: Answer =
            mongodb::bson::deserialize_from_document(answer).map_err(|_| Trouble::Unreadable("answer"))?;
        match answer.write_concern_error {
            Some(error) => Err(Trouble::Unconfirmed(error.code)),
            None => Ok(answer),
        }
    }
}
