//! Keeps a stream of occasions from becoming a stream of warnings.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Says when a warning is due: at most one in each interval, which tells how many it stands for.
#[derive(Debug)]
pub struct Alarm {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    silent: u64,
}

impl Alarm {
    /// Makes one that is due at once.
    pub fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// Counts one occasion at `now`; returns how many occasions a warning due now stands for.
    pub fn ring(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.silent += 1;
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < self.every) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_in_each_interval_stands_for_all_since_the_last() {
        let alarm = Alarm::new(Duration::from_secs(10));
        let start = Instant::now();
        assert_eq!(alarm.ring(start), Some(1));
        assert_eq!(alarm.ring(start + Duration::from_secs(1)), None);
        assert_eq!(alarm.ring(start + Duration::from_secs(9)), None);
        assert_eq!(alarm.ring(start + Duration::from_secs(10)), Some(3));
    }
}
