//! The gate in front of every call: a permit for each that is in flight.
//!
//! Guarantees what [`super::turns`] decides, under cancellation too: a waiter that is dropped leaves the queue, or gives
//! back the grant it did not see. A permit is released when it is dropped. The lock is held for a few
//! instructions and never over an await. With a pace set, one of the waiters keeps the time for all of them, so
//! that no task of its own is needed.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Class;
use super::pace::Paces;
use super::turns::{Claim, Next, Turns};

/// The permits of this process.
#[derive(Debug, Clone)]
pub(super) struct Permits(Arc<Gate>);

/// One call in flight; dropping it ends the call's claim.
#[derive(Debug)]
pub(super) struct Permit {
    gate: Arc<Gate>,
    claim: Claim,
}

#[derive(Debug)]
struct Gate {
    state: Mutex<State>,
    /// Held by the waiter that keeps the time.
    timekeeper: tokio::sync::Mutex<()>,
    /// Told when [`State::alarm`] changed.
    alarm_changed: Notify,
    paced: bool,
    in_flight: Gauge,
}

#[derive(Debug)]
struct State {
    turns: Turns<oneshot::Sender<()>>,
    /// When the pace lets the next waiter go.
    alarm: Option<Instant>,
}

/// A place in the queue.
struct Waiting<'a> {
    gate: &'a Arc<Gate>,
    claim: Claim,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    seen: bool,
}

impl Permits {
    /// Makes a gate of `calls` permits; `in_flight` shows how many are held.
    pub(super) fn new(calls: usize, requests_per_minute: Option<u32>, in_flight: Gauge) -> Self {
        let turns = Turns::new(calls, requests_per_minute.map(Paces::per_minute));
        Self(Arc::new(Gate {
            state: Mutex::new(State { turns, alarm: None }),
            timekeeper: tokio::sync::Mutex::new(()),
            alarm_changed: Notify::new(),
            paced: requests_per_minute.is_some(),
            in_flight,
        }))
    }

    /// Waits for a turn. Dropping the future gives the place, or the permit, to the next.
    pub(super) async fn acquire(&self, claim: Claim) -> Permit {
        let gate = &self.0;
        let mut waiting = {
            let mut state = gate.lock();
            if state.turns.try_take(claim, Instant::now()) {
                gate.show(&state);
                return Permit { gate: Arc::clone(gate), claim };
            }
            let (grant, granted) = oneshot::channel();
            let ticket = state.turns.enter(claim, grant);
            gate.serve(&mut state);
            Waiting { gate, claim, ticket, granted, seen: false }
        };
        if gate.paced {
            tokio::select! {
                biased;
                () = waiting.granted() => {}
                never = gate.keep_time() => match never {},
            }
        } else {
            waiting.granted().await;
        }
        Permit { gate: Arc::clone(gate), claim }
    }

    /// Waits until one more call may be sent under a permit of `class` that is held already.
    pub(super) async fn another_call(&self, class: Class) {
        loop {
            let wait = self.0.lock().turns.count_another(class, Instant::now());
            match wait {
                Some(at) => sleep_until(at).await,
                None => return,
            }
        }
    }

    /// Changes the number of permits; held ones above it drain.
    pub(super) fn resize(&self, calls: usize, part: f64, until: Option<Instant>) {
        let mut state = self.0.lock();
        state.turns.resize(calls, part, until, Instant::now());
        self.0.serve(&mut state);
    }

    /// Lets at most so many calls be in flight, whatever is granted.
    pub(super) fn narrow(&self, window: usize) {
        let mut state = self.0.lock();
        state.turns.narrow(window);
        self.0.serve(&mut state);
    }

    /// Returns how many permits are held.
    pub(super) fn held(&self) -> usize {
        self.0.lock().turns.held()
    }

    /// Returns how many wait for one.
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().turns.waiting()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.turns.release(self.claim);
        self.gate.serve(&mut state);
    }
}

impl Waiting<'_> {
    async fn granted(&mut self) {
        // The sender is dropped unsent only with the gate, which `self` keeps alive.
        if (&mut self.granted).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.seen = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.seen {
            return;
        }
        let mut state = self.gate.lock();
        if !state.turns.leave(self.claim, self.ticket) {
            state.turns.release(self.claim);
        }
        self.gate.serve(&mut state);
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants what can be granted now and sets the alarm for the rest.
    fn serve(&self, state: &mut State) {
        let now = Instant::now();
        let alarm = loop {
            match state.turns.next(now) {
                Next::Granted(grant) => {
                    // Cannot fail: a waiter leaves the queue, under this lock, before it drops its receiver.
                    let _ = grant.send(());
                }
                Next::NotBefore(at) => break Some(at),
                Next::Nobody => break None,
            }
        };
        if state.alarm != alarm {
            state.alarm = alarm;
            self.alarm_changed.notify_one();
        }
        self.show(state);
    }

    fn show(&self, state: &State) {
        self.in_flight.set(i64::try_from(state.turns.held()).unwrap_or(i64::MAX));
    }

    /// Serves at every alarm. One waiter does it at a time; when it goes, the next takes over.
    async fn keep_time(&self) -> Infallible {
        let _timekeeper = self.timekeeper.lock().await;
        loop {
            let alarm = self.lock().alarm;
            let rung = async {
                match alarm {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = rung => self.serve(&mut self.lock()),
                () = self.alarm_changed.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIVE: Claim = Claim { class: Class::Live, bulk: false };

    fn permits(calls: usize, requests_per_minute: Option<u32>) -> Permits {
        Permits::new(calls, requests_per_minute, Gauge::default())
    }

    #[tokio::test]
    async fn a_dropped_waiter_neither_leaks_nor_swallows_a_grant() {
        let permits = permits(1, None);
        let held = permits.acquire(LIVE).await;
        let mut unseen = Box::pin(permits.acquire(LIVE));
        let mut gone = Box::pin(permits.acquire(LIVE));
        let mut last = Box::pin(permits.acquire(LIVE));
        for waiter in [&mut unseen, &mut gone, &mut last] {
            assert!(futures_util::poll!(waiter).is_pending());
        }
        drop(gone);
        drop(held);
        assert_eq!((permits.held(), permits.waiting()), (1, 1), "granted to the first, who has not looked");
        drop(unseen);
        let permit = last.await;
        assert_eq!((permits.held(), permits.waiting()), (1, 0));
        drop(permit);
        assert_eq!(permits.held(), 0);
    }

    #[tokio::test]
    async fn many_tasks_that_come_and_go_never_hold_more_than_allowed() {
        let permits = permits(3, None);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0_u32..300 {
            let permits = permits.clone();
            tasks.spawn(async move {
                let class = [Class::Live, Class::Reader, Class::Backfill][number as usize % 3];
                let claim = Claim { class, bulk: number % 5 == 0 };
                let mut turn = Box::pin(permits.acquire(claim));
                if number % 7 == 0 && futures_util::poll!(&mut turn).is_pending() {
                    return;
                }
                if number % 7 != 0 {
                    let _permit = turn.await;
                    assert!(permits.held() <= 3);
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no task panics");
        }
        assert_eq!((permits.held(), permits.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn with_a_pace_the_calls_are_spread_and_a_dropped_timekeeper_is_replaced() {
        let permits = permits(100, Some(600));
        let start = Instant::now();
        for _ in 0..10 {
            drop(permits.acquire(LIVE).await);
        }
        let mut timekeeper = Box::pin(permits.acquire(LIVE));
        let mut second = Box::pin(permits.acquire(LIVE));
        assert!(futures_util::poll!(&mut timekeeper).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(timekeeper);
        drop(second.await);
        drop(permits.acquire(LIVE).await);
        assert!(start.elapsed() >= Duration::from_millis(200), "two intervals after the burst of ten");
    }

    #[tokio::test]
    async fn a_larger_size_serves_who_waits() {
        let permits = permits(0, None);
        let mut waiter = Box::pin(permits.acquire(LIVE));
        assert!(futures_util::poll!(&mut waiter).is_pending());
        permits.resize(1, 1.0, None);
        drop(waiter.await);
    }
}
