//! Signals: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Exit;

/// Waits for SIGINT (a person) or SIGTERM (an orchestrator) and returns which; a second one ends the process at once.
pub(super) async fn interrupted() -> Exit {
    let (Ok(int), Ok(term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without handlers the default action ends the process, which is what a signal asks for.
        return std::future::pending().await;
    };
    let mut signals = Signals { int, term };
    let exit = signals.next().await;
    // The same handlers go on listening, so that no signal falls between them.
    tokio::spawn(async move {
        let exit = signals.next().await;
        #[expect(clippy::disallowed_methods, reason = "whoever asks twice does not want to wait for an orderly end")]
        std::process::exit(i32::from(exit.code()));
    });
    exit
}

struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.int.recv() => Exit::Interrupted,
            _ = self.term.recv() => Exit::Terminated,
        }
    }
}

/// Runs something until it ends or a signal comes; then cancels `stop`, so that what runs can end in order.
pub(super) async fn unless_interrupted<T>(work: impl Future<Output = T>, stop: &CancellationToken) -> Result<T, Exit> {
    tokio::select! {
        done = work => Ok(done),
        exit = interrupted() => {
            stop.cancel();
            Err(exit)
        }
    }
}
