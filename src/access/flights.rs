//! One question to GitLab for everybody who waits for the same answer.
//!
//! The first one asks, the others wait and take its answer, good or bad. When the one that asks goes away, the next one asks.
//! What is remembered is bounded by who waits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The questions under way.
pub(super) struct Flights<K, T>(Mutex<HashMap<K, Flight<T>>>);

type Flight<T> = Arc<tokio::sync::Mutex<Option<T>>>;

/// Somebody's interest in a question; the last one to leave closes it.
struct Seat<'a, K: Eq + Hash, T> {
    flights: &'a Flights<K, T>,
    key: &'a K,
    flight: Option<Flight<T>>,
}

impl<K: Eq + Hash + Clone, T: Clone> Flights<K, T> {
    /// Returns the answer to `key`, asking unless somebody who came before has asked meanwhile.
    pub(super) async fn join<F: Future<Output = T>>(&self, key: &K, ask: impl FnOnce() -> F) -> T {
        let flight = Arc::clone(self.lock().entry(key.clone()).or_default());
        let seat = Seat { flights: self, key, flight: Some(flight) };
        let Some(flight) = &seat.flight else { return ask().await };
        let mut answer = flight.lock().await;
        if let Some(answer) = &*answer {
            return answer.clone();
        }
        let asked = ask().await;
        *answer = Some(asked.clone());
        // Whoever comes from now on asks again: this answer is of before they came.
        self.lock().remove(key);
        asked
    }
}

impl<K, T> Flights<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T> Drop for Seat<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Some(flight) = self.flight.take() else { return };
        // Under the lock nobody can take a seat: two hold it now, the map and this one, when this one is the last.
        let last = Arc::strong_count(&flight) == 2;
        if last && flights.get(self.key).is_some_and(|held| Arc::ptr_eq(held, &flight)) {
            flights.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn many_wait_and_one_asks() {
        let (flights, asked, gate) = (Flights::default(), AtomicUsize::new(0), tokio::sync::Notify::new());
        let ask = || async {
            flights
                .join(&7, || async {
                    gate.notified().await;
                    asked.fetch_add(1, Ordering::Relaxed)
                })
                .await
        };
        let (answers, ()) = tokio::join!(futures_util::future::join_all((0..20).map(|_| ask())), async {
            tokio::task::yield_now().await;
            gate.notify_one();
        });
        assert_eq!(answers, [0; 20]);
        assert!(flights.lock().is_empty());
        gate.notify_one();
        assert_eq!(ask().await, 1, "an old answer is not given to who comes later");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_question_to_the_next() {
        let flights = Flights::default();
        let mut first = Box::pin(flights.join(&7, std::future::pending::<u8>));
        let mut second = Box::pin(flights.join(&7, || async { 2 }));
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, 2);
        assert!(flights.lock().is_empty());
    }
}
