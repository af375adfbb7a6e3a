//! The one thread that writes.
//!
//! It owns the writing connection, takes what waits in two bounded lanes (urgent first: journal entries, heartbeats,
//! leases), and puts up to about 1 MiB of it into one transaction: one `fsync` for all of them, without waiting for more.
//! Each command has a savepoint of its own, so that one that fails does not harm its neighbours. Nobody is told of a success
//! before the commit.
//!
//! It survives a full disk, an IO error and a panic in a command; it does not retry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use deadpool_sqlite::rusqlite::Connection;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::journal;
use super::seat::Seat;
use super::trouble::Trouble;

/// How much payload one transaction may carry; the last command may exceed it.
const BATCH_BYTES: usize = 1 << 20;

/// What a command weighs beside its payload; bounds the commands of one transaction to 4096.
pub(super) const COMMAND_BYTES: usize = 256;

/// Commands that may wait in each lane. An urgent lane full of plain commands weighs less than a batch, so that it cannot
/// keep the other lane waiting for ever.
const LANE: usize = 1024;

/// How long closing waits for readers to let the WAL be emptied.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// One piece of writing, and whom to tell.
pub(super) trait Command: Send {
    /// How many bytes it brings.
    fn weight(&self) -> usize;
    /// Does its work; returns whether it worked.
    fn run(&mut self, connection: &Connection) -> bool;
    /// The work panicked: it must not be acknowledged.
    fn panicked(&mut self);
    /// Tells the caller: `abandoned` says why the transaction did not happen.
    fn answer(self: Box<Self>, abandoned: Option<&str>);
}

/// What a lane carries.
pub(super) enum Order {
    /// Write this.
    Write(Box<dyn Command>),
    /// Finish what waits, give back what this process holds, and end.
    Close(oneshot::Sender<()>),
}

/// Which lane a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Journal entries, heartbeats and leases: small, and somebody waits.
    Urgent,
    /// Everything else.
    Bulk,
}

/// The sending side of the lanes. When the last one is dropped, the thread ends.
#[derive(Debug)]
pub(super) struct Lanes {
    urgent: Option<mpsc::Sender<Order>>,
    bulk: Option<mpsc::Sender<Order>>,
    thread: Thread,
}

impl Lanes {
    /// Hands an order over; waits while the lane is full. False when the writer has ended.
    pub(super) async fn send(&self, urgency: Urgency, order: Order) -> bool {
        let lane = match urgency {
            Urgency::Urgent => &self.urgent,
            Urgency::Bulk => &self.bulk,
        };
        let Some(lane) = lane else { return false };
        let sent = lane.send(order).await.is_ok();
        self.thread.unpark();
        sent
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // The senders go first, so that the thread wakes up to closed lanes.
        self.urgent = None;
        self.bulk = None;
        self.thread.unpark();
    }
}

/// Starts the thread.
pub(super) fn start(
    connection: Connection,
    owner: i64,
    seat: Arc<Seat>,
) -> std::io::Result<(Lanes, std::thread::JoinHandle<()>)> {
    let (urgent, urgent_orders) = mpsc::channel(LANE);
    let (bulk, bulk_orders) = mpsc::channel(LANE);
    let writer = Writer { connection, owner, seat, urgent: urgent_orders, bulk: bulk_orders, batch: Vec::new() };
    let handle = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || writer.work())?;
    Ok((Lanes { urgent: Some(urgent), bulk: Some(bulk), thread: handle.thread().clone() }, handle))
}

struct Writer {
    connection: Connection,
    owner: i64,
    seat: Arc<Seat>,
    urgent: mpsc::Receiver<Order>,
    bulk: mpsc::Receiver<Order>,
    batch: Vec<Box<dyn Command>>,
}

enum Next {
    Order(Order),
    Nothing,
    Ended,
}

impl Writer {
    fn work(mut self) {
        loop {
            let mut weight = 0;
            let mut ended = false;
            let mut close = None;
            while weight < BATCH_BYTES {
                match self.next() {
                    Next::Order(Order::Write(command)) => {
                        weight += command.weight() + COMMAND_BYTES;
                        self.batch.push(command);
                    }
                    Next::Order(Order::Close(closed)) => {
                        close = Some(closed);
                        break;
                    }
                    Next::Nothing => break,
                    Next::Ended => {
                        ended = true;
                        break;
                    }
                }
            }
            let idle = self.batch.is_empty();
            self.commit();
            if let Some(closed) = close {
                return self.close(closed);
            }
            if ended {
                return;
            }
            if idle {
                // A sender that came in between left its token, so that this returns at once.
                std::thread::park();
            }
        }
    }

    fn next(&mut self) -> Next {
        let urgent_ended = match self.urgent.try_recv() {
            Ok(order) => return Next::Order(order),
            Err(error) => error == TryRecvError::Disconnected,
        };
        match self.bulk.try_recv() {
            Ok(order) => Next::Order(order),
            Err(TryRecvError::Disconnected) if urgent_ended => Next::Ended,
            Err(_) => Next::Nothing,
        }
    }

    /// Writes the batch and tells everybody.
    fn commit(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        // Looked at after the commit: what went into a file without a name is not there at the next start.
        let written = write(&self.connection, &mut self.batch);
        let kept = written.and_then(|()| self.seat.look().map_err(|gone| Trouble::Abandoned(gone.to_owned())));
        let abandoned = kept.err().map(|trouble| {
            let reason = trouble.reason();
            tracing::debug!(error = reason, commands = self.batch.len(), "store transaction failed");
            reason
        });
        if !self.connection.is_autocommit() {
            // Nothing of it may leak into the next transaction. When even this fails, the next BEGIN says so.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        for command in self.batch.drain(..) {
            command.answer(abandoned.as_deref());
        }
    }

    fn close(mut self, closed: oneshot::Sender<()>) {
        self.urgent.close();
        self.bulk.close();
        while let Some(order) = self.urgent.blocking_recv().or_else(|| self.bulk.blocking_recv()) {
            if let Order::Write(command) = order {
                self.batch.push(command);
            }
            if self.batch.len() >= LANE {
                self.commit();
            }
        }
        self.commit();
        if let Err(error) = journal::give_back(&self.connection, self.owner) {
            let error = Trouble::from(error).into_kind();
            tracing::warn!(%error, "could not give work back; others take it over when the lease ends");
        }
        // A reader may still keep the WAL in use; then the next opening empties it.
        let _ = self.connection.busy_timeout(CLOSE_TIMEOUT);
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        drop(self.connection);
        // The caller may have gone; closing is done all the same.
        let _ = closed.send(());
    }
}

/// Runs every command in one transaction. An error means that none of them happened.
fn write(connection: &Connection, batch: &mut [Box<dyn Command>]) -> Result<(), Trouble> {
    let execute = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    execute("BEGIN IMMEDIATE")?;
    for command in batch {
        execute("SAVEPOINT command")?;
        let worked = catch_unwind(AssertUnwindSafe(|| command.run(connection))).unwrap_or_else(|_| {
            tracing::error!("a store command panicked");
            command.panicked();
            false
        });
        if connection.is_autocommit() {
            // As it does when the disk is full; the command that met the cause tells it.
            return Err(Trouble::Abandoned("SQLite rolled the transaction back".to_owned()));
        }
        if !worked {
            execute("ROLLBACK TO command")?;
        }
        execute("RELEASE command")?;
    }
    execute("COMMIT")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inserts a number, or fails, or panics.
    struct Insert(i64, oneshot::Sender<bool>, bool);

    impl Command for Insert {
        fn weight(&self) -> usize {
            0
        }

        fn run(&mut self, connection: &Connection) -> bool {
            connection.execute("INSERT INTO numbers VALUES (?1)", [self.0]).expect("inserted");
            assert_ne!(self.0, 2, "a bug of ours");
            self.2 = self.0 != 3;
            self.2
        }

        fn panicked(&mut self) {
            self.2 = false;
        }

        fn answer(self: Box<Self>, abandoned: Option<&str>) {
            self.1.send(self.2 && abandoned.is_none()).expect("somebody waits");
        }
    }

    #[tokio::test]
    async fn a_command_that_fails_or_panics_harms_neither_its_neighbours_nor_the_thread() {
        let connection = Connection::open_in_memory().expect("opened");
        connection.execute_batch("CREATE TABLE numbers (n)").expect("made");
        let mut answers = Vec::new();
        let mut batch: Vec<Box<dyn Command>> = Vec::new();
        for number in 1..=4 {
            let (answer, outcome) = oneshot::channel();
            batch.push(Box::new(Insert(number, answer, false)));
            answers.push(outcome);
        }
        write(&connection, &mut batch).expect("committed");
        for command in batch {
            command.answer(None);
        }
        let mut worked = Vec::new();
        for answer in answers {
            worked.push(answer.await.expect("answered"));
        }
        assert_eq!(worked, [true, false, false, true]);
        let kept: String =
            connection.query_row("SELECT group_concat(n) FROM numbers", [], |row| row.get(0)).expect("read");
        assert_eq!(kept, "1,4");
    }
}
