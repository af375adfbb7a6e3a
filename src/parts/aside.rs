//! Work that computes for longer than the threads of readers and webhooks may be held up: on threads of its own, a few at once.

use std::io;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Runs what takes long when it is its turn.
pub(crate) async fn aside<T: Send + 'static>(
    turns: &'static Semaphore,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let turn = turns.acquire().await.map_err(io::Error::other)?;
    let worked = spawn_blocking(move || {
        // Held until it is done, also when the reader has gone.
        let _turn = turn;
        work()
    });
    worked.await.map_err(io::Error::other)
}
