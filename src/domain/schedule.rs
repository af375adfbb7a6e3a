//! Every waiting time of the design's sections 4.1, 4.2 and 4.4, as data.

use std::time::Duration;

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// When things are looked at again. All times scale together, so that tests and the demo run the same schedule faster.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Later looks at an unsettled log, counted from the first look.
    pub log_looks: [Duration; 4],
    /// How long a size mismatch must last before the log counts as settled.
    pub mismatch_gap: Duration,
    /// How long after a job's end a log that GitLab never archived counts as settled, and one that it lists but does not deliver
    /// as a gap.
    pub never_archived_after: Duration,
    /// After which time a report whose counts differ is asked for again: GitLab caches reports for 2 min.
    pub report_again: Duration,
    /// How long after the end of its last job an answer about a report is final although its counts differ from the summary's:
    /// twice as long as GitLab may answer from its cache.
    pub report_settles_after: Duration,
    /// The longest wait before a report is asked for again that GitLab failed to make.
    pub report_daily: Duration,
    /// When GitLab is asked again about something an event announced and GitLab does not know yet (replica lag), or whose
    /// answer contradicts what GitLab lists.
    pub not_ended_retries: [Duration; 4],
    /// How soon an event about what GitLab refused to the token has it asked for again; events come in twos and threes.
    pub refused_again: Duration,
    /// The longest first wait after a failure; doubles with each attempt.
    pub backoff_base: Duration,
    /// The longest wait after a failure.
    pub backoff_ceiling: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            log_looks: [minutes(3), minutes(6), minutes(15), minutes(60)],
            mismatch_gap: minutes(10),
            never_archived_after: minutes(24 * 60),
            report_again: Duration::from_secs(130),
            report_settles_after: Duration::from_secs(260),
            report_daily: minutes(24 * 60),
            not_ended_retries: [2, 5, 15, 60].map(Duration::from_secs),
            refused_again: minutes(1),
            backoff_base: Duration::from_secs(1),
            backoff_ceiling: minutes(10),
        }
    }
}

impl Schedule {
    /// Returns the default schedule with every time multiplied by `scale`, which must be positive and finite.
    pub fn scaled(scale: f64) -> Self {
        let times = |time: Duration| time.mul_f64(scale);
        let full = Self::default();
        Self {
            log_looks: full.log_looks.map(times),
            mismatch_gap: times(full.mismatch_gap),
            never_archived_after: times(full.never_archived_after),
            report_again: times(full.report_again),
            report_settles_after: times(full.report_settles_after),
            report_daily: times(full.report_daily),
            not_ended_retries: full.not_ended_retries.map(times),
            refused_again: times(full.refused_again),
            backoff_base: times(full.backoff_base),
            backoff_ceiling: times(full.backoff_ceiling),
        }
    }

    /// Returns the longest wait after the `attempt`-th failure (from 1); the wait itself is drawn from zero to this (full
    /// jitter), so that what failed together does not come back together.
    pub fn backoff(&self, attempt: u32) -> Duration {
        let doubled = self.backoff_base.saturating_mul(1 << attempt.saturating_sub(1).min(20));
        doubled.min(self.backoff_ceiling)
    }
}
