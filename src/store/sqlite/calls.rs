//! How an operation reaches the writer thread or a reading connection, and how it is counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use deadpool::managed::Object;
use deadpool_sqlite::rusqlite::{self, Connection};
use deadpool_sqlite::{InteractError, PoolError};
use tokio::sync::oneshot;

use super::Sqlite;
use super::readers::Manager;
use super::trouble::Trouble;
use super::writer::{Command, Order, Urgency};
use crate::store::metrics::Operation;
use crate::store::standing::Did;
use crate::store::{Error, Kind};

impl Sqlite {
    /// Runs `work` in a transaction of the writer; `Ok` means that it is durable. Dropping the future does not undo it.
    pub(super) async fn write<T, F>(
        &self,
        operation: Operation,
        urgency: Urgency,
        weight: usize,
        work: F,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    {
        let begin = Instant::now();
        // What is urgent is bounded by its lane and does not wait for a permit behind bulk.
        let _permit = match urgency {
            Urgency::Urgent => None,
            Urgency::Bulk => Some(self.permit(operation).await?),
        };
        let _in_flight = self.inner.metrics.enter();
        let (answer, outcome) = oneshot::channel();
        let command = Write { work: Some(work), weight, outcome: None, answer };
        if !self.inner.lanes.send(urgency, Order::Write(Box::new(command))).await {
            return Err(Error::new(operation.1, Kind::Closed));
        }
        // The sender is only dropped unused when the thread is gone.
        let outcome = outcome.await.map_err(|_| Error::new(operation.1, Kind::Closed))?;
        self.settle(operation, begin, Did::Write, outcome)
    }

    /// Runs `work` on a reading connection, off the async threads.
    pub(super) async fn read<T, F>(&self, operation: Operation, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    {
        let begin = Instant::now();
        let _permit = self.permit(operation).await?;
        let _in_flight = self.inner.metrics.enter();
        let outcome = match self.reader().await {
            Ok(connection) => match connection.interact(move |connection| work(connection)).await {
                Ok(outcome) => outcome,
                Err(InteractError::Panic(_)) => Err(Trouble::Panicked),
                Err(InteractError::Cancelled) => return Err(Error::new(operation.1, Kind::Closed)),
            },
            Err(Some(trouble)) => Err(trouble),
            Err(None) => return Err(Error::new(operation.1, Kind::Closed)),
        };
        self.settle(operation, begin, Did::Read, outcome)
    }

    /// Takes a look at one row on this thread. It holds the thread up for some pages, which are mostly in memory; handing it
    /// to another thread costs several times as much, and is what reads by key would mainly do.
    pub(super) async fn look<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&Connection) -> Result<T, Trouble>,
    ) -> Result<T, Error> {
        let begin = Instant::now();
        let _permit = self.permit(operation).await?;
        let _in_flight = self.inner.metrics.enter();
        let outcome = match self.reader().await {
            Ok(connection) => match connection.lock() {
                Ok(connection) => {
                    catch_unwind(AssertUnwindSafe(|| work(&connection))).unwrap_or(Err(Trouble::Panicked))
                }
                Err(_) => Err(Trouble::Panicked),
            },
            Err(Some(trouble)) => Err(trouble),
            Err(None) => return Err(Error::new(operation.1, Kind::Closed)),
        };
        self.settle(operation, begin, Did::Read, outcome)
    }

    /// Returns a reading connection; no trouble means that the store was closed.
    async fn reader(&self) -> Result<Object<Manager>, Option<Trouble>> {
        // A new connection would open what is at the path now.
        self.inner.seat.known().map_err(|gone| Some(Trouble::Abandoned(gone.to_owned())))?;
        self.inner.readers.get().await.map_err(|error| match error {
            PoolError::Closed => None,
            PoolError::Backend(error) => Some(Trouble::Sql(error)),
            error => Some(Trouble::Abandoned(error.to_string())),
        })
    }

    async fn permit(&self, operation: Operation) -> Result<tokio::sync::SemaphorePermit<'_>, Error> {
        self.inner.permits.acquire().await.map_err(|_| Error::new(operation.1, Kind::Closed))
    }

    fn settle<T>(
        &self,
        operation: Operation,
        begin: Instant,
        did: Did,
        outcome: Result<T, Trouble>,
    ) -> Result<T, Error> {
        self.inner.metrics.observe(operation, begin.elapsed());
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

/// Runs several queries on one snapshot, so that a page and its total agree.
pub(super) fn snapshot<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, Trouble> {
    let transaction = connection.unchecked_transaction()?;
    let result = work(&transaction)?;
    transaction.finish()?;
    Ok(result)
}

struct Write<T, F> {
    work: Option<F>,
    weight: usize,
    outcome: Option<Result<T, Trouble>>,
    answer: oneshot::Sender<Result<T, Trouble>>,
}

impl<T, F> Command for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Trouble> + Send,
{
    fn weight(&self) -> usize {
        self.weight
    }

    fn run(&mut self, connection: &Connection) -> bool {
        self.outcome = self.work.take().map(|work| work(connection));
        matches!(self.outcome, Some(Ok(_)))
    }

    fn panicked(&mut self) {
        self.outcome = Some(Err(Trouble::Panicked));
    }

    fn answer(self: Box<Self>, abandoned: Option<&str>) {
        let outcome = match (self.outcome, abandoned) {
            (Some(Err(trouble)), _) => Err(trouble),
            (_, Some(reason)) => Err(Trouble::Abandoned(reason.to_owned())),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(Trouble::Panicked),
        };
        // A caller that has gone does not want to know.
        let _ = self.answer.send(outcome);
    }
}
