//! The rate limit of Rack::Attack: fixed periods, headers on every answer, plain-text 429 above it (contract, section 6).

use std::time::{Duration, Instant};

use super::http::Answer;
use super::options::RateLimit;
use crate::domain::Timestamp;

/// The count of the running period.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: RateLimit,
    period_began: Instant,
    observed: u32,
}

/// What one request learned about the limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict {
    limit: u32,
    observed: u32,
    left: Duration,
}

impl Limiter {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, period_began: Instant::now(), observed: 0 }
    }

    /// Counts one request.
    pub(super) fn observe(&mut self) -> Verdict {
        let elapsed = self.period_began.elapsed();
        if elapsed >= self.limit.period {
            (self.period_began, self.observed) = (Instant::now(), 0);
        }
        self.observed += 1;
        let left = self.limit.period.saturating_sub(self.period_began.elapsed());
        Verdict { limit: self.limit.requests, observed: self.observed, left }
    }
}

impl Verdict {
    pub(super) const fn refused(self) -> bool {
        self.observed > self.limit
    }

    /// Returns GitLab's refusal.
    pub(super) fn refusal(self) -> Answer {
        let secs = self.left.as_secs() + u64::from(self.left.subsec_nanos() > 0);
        let reset = Timestamp::now().plus(self.left);
        Answer::throttled(secs).header("RateLimit-ResetTime", super::http::http_date(reset))
    }

    pub(super) fn headers(self, answer: Answer) -> Answer {
        let reset = Timestamp::now().plus(self.left).as_millis().div_euclid(1000) + 1;
        answer
            .header("RateLimit-Limit", self.limit)
            .header("RateLimit-Observed", self.observed)
            .header("RateLimit-Remaining", self.limit.saturating_sub(self.observed))
            .header("RateLimit-Reset", reset)
            .header("RateLimit-Name", "throttle_authenticated_api")
    }
}
