//! The clock of the fake GitLab: follows the machine or stands still, may be moved, never repeats a millisecond.

use std::time::Duration;

use crate::domain::Timestamp;

/// Where a [`Clock`] takes its time from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The machine's clock, this much ahead.
    Machine(Duration),
    /// Stands at this instant until moved.
    Fixed(Timestamp),
}

/// A strictly increasing clock in milliseconds.
#[derive(Debug)]
pub(crate) struct Clock {
    source: Source,
    last: Timestamp,
}

impl Clock {
    pub(crate) const fn machine() -> Self {
        Self { source: Source::Machine(Duration::ZERO), last: Timestamp::from_millis(0) }
    }

    pub(crate) const fn fixed(at: Timestamp) -> Self {
        Self { source: Source::Fixed(at), last: Timestamp::from_millis(0) }
    }

    /// Returns now without using it up: two readings may be equal.
    pub(crate) fn read(&self) -> Timestamp {
        let source = match self.source {
            Source::Machine(ahead) => Timestamp::now().plus(ahead),
            Source::Fixed(at) => at,
        };
        source.max(self.last)
    }

    /// Returns an instant later than every one returned before, so that no two changes share a time stamp.
    pub(crate) fn tick(&mut self) -> Timestamp {
        let now = self.read();
        self.last = if now > self.last { now } else { self.last.plus(Duration::from_millis(1)) };
        self.last
    }

    pub(crate) fn advance(&mut self, span: Duration) {
        match &mut self.source {
            Source::Machine(ahead) => *ahead += span,
            Source::Fixed(at) => *at = (*at).max(self.last).plus(span),
        }
    }

    pub(crate) const fn follow_machine(&mut self) {
        self.source = Source::Machine(Duration::ZERO);
    }
}
