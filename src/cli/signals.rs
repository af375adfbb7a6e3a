//! Signals: the first asks for an orderly end, the second ends at once.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Exit;

/// SIGINT (a person) and SIGTERM (an orchestrator), listened for from the moment that this is made.
pub(super) struct Interrupts(Option<Signals>);

struct Signals {
    int: Signal,
    term: Signal,
}

impl Interrupts {
    /// Begins to listen.
    pub(super) fn listen() -> Self {
        let both = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        Self(if let (Ok(int), Ok(term)) = both { Some(Signals { int, term }) } else { None })
    }

    /// Waits for the first one and returns which it was; from then on a second one ends the process at once.
    ///
    /// Never returns where the process may not listen: the default action of a signal ends it, which is what it asks for.
    pub(super) async fn first(&mut self) -> Exit {
        let Some(signals) = &mut self.0 else { return std::future::pending().await };
        let exit = signals.next().await;
        // The same handlers go on listening, so that no signal falls between them.
        if let Some(mut signals) = self.0.take() {
            tokio::spawn(async move {
                let exit = signals.next().await;
                #[expect(
                    clippy::disallowed_methods,
                    reason = "whoever asks twice does not want to wait for an orderly end"
                )]
                std::process::exit(i32::from(exit.code()));
            });
        }
        exit
    }
}

impl Signals {
    async fn next(&mut self) -> Exit {
        tokio::select! {
            _ = self.int.recv() => Exit::Interrupted,
            _ = self.term.recv() => Exit::Terminated,
        }
    }
}

/// Waits for a signal and returns which; a second one ends the process at once.
pub(super) async fn interrupted() -> Exit {
    Interrupts::listen().first().await
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
