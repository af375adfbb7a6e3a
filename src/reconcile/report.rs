//! What a pass did, as one typed value for the log line, `/status`, the command line and the tests.

use serde::Serialize;

use super::skipped::unreadable;
use crate::work::Target;

/// How many failures are kept in full; the rest are counted.
const FAILURES_KEPT: usize = 1000;

/// What one pass did.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Projects that were swept.
    pub projects: u64,
    /// Projects that could not be swept to the end; their watermark stayed.
    pub projects_failed: u64,
    /// Projects whose CI or repository is switched off, or not for the token: there was nothing to sweep.
    pub without_ci: u64,
    /// Pipelines that GitLab listed.
    pub listed: u64,
    /// Pipelines that needed work.
    pub pipelines: u64,
    /// Jobs that needed work.
    pub jobs: u64,
    /// Pipelines that lacked nothing but their own document.
    pub details: u64,
    /// Test reports that needed work.
    pub reports: u64,
    /// Things that GitLab no longer had when they were asked for.
    pub gone: u64,
    /// Items that wait for another try: in the journal, or for the next pass where they are not in it.
    pub postponed: u64,
    /// Items that failed for good.
    pub failed: u64,
    /// What failed or was postponed, and why; the first thousand.
    pub failures: Vec<Failed>,
    /// GitLab calls sent by this process meanwhile.
    pub gitlab_calls: u64,
    /// Downloads from GitLab's object storage beside them.
    pub storage_calls: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Something that a pass could not cache.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// What, in words: `log of job 456`, `project group/name`.
    pub what: String,
    /// Why.
    pub problem: String,
    /// Whether it will be tried again by itself.
    pub again: bool,
}

impl Report {
    /// Returns whether everything that was needed is cached or absent with a reason.
    pub fn is_clean(&self) -> bool {
        self.projects_failed == 0 && self.postponed == 0 && self.failed == 0
    }

    pub(super) fn count(&mut self, target: Target) {
        match target {
            Target::Path(_) | Target::Project(_) | Target::Projects | Target::Pipelines(..) => {}
            Target::Pipeline(_) => self.pipelines += 1,
            Target::Report(_) => self.reports += 1,
            Target::Job(_) => self.jobs += 1,
            Target::Detail(_) => self.details += 1,
            // Readers ask for them, passes do not.
            Target::Bridges(_) => {}
        }
    }

    /// Notes rows of a listing that could not be read.
    pub(super) fn unreadable(&mut self, what: String, rows: usize) {
        self.failed += rows as u64;
        self.note(what, unreadable(rows), true);
    }

    pub(super) fn note(&mut self, what: String, problem: String, again: bool) {
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(Failed { what, problem, again });
        }
    }
}
