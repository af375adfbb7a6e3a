//! The closing summary of a backfill, for people and programs.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use indicatif::DecimalBytes;
use serde::Serialize;

use super::Counts;
use crate::reconcile::Report;

/// The closing summary: what `backfill --output json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Pipelines whose jobs were listed.
    pub pipelines: u64,
    /// Jobs of those pipelines.
    pub jobs: u64,
    /// Bytes cached, uncompressed.
    pub bytes: u64,
    /// Items that failed for good or wait for another try, and projects that could not be read to the end.
    pub failures: u64,
    /// How long it took.
    pub seconds: f64,
    /// Pipelines each second.
    pub pipelines_per_second: f64,
    /// Calls to GitLab; downloads from its object storage are in `pass`.
    pub gitlab_calls: u64,
    /// The pass in full, with the list of what failed and why.
    pub pass: Report,
}

impl Summary {
    /// Makes the summary of a pass and what was counted meanwhile.
    pub fn new(pass: Report, counts: &Counts) -> Self {
        let pipelines = counts.pipelines.load(Ordering::Relaxed);
        Self {
            pipelines,
            jobs: counts.jobs.load(Ordering::Relaxed),
            bytes: counts.bytes.load(Ordering::Relaxed),
            failures: pass.failed + pass.postponed + pass.projects_failed,
            seconds: pass.seconds,
            pipelines_per_second: if pass.seconds > 0.0 { pipelines as f64 / pass.seconds } else { 0.0 },
            gitlab_calls: pass.gitlab_calls,
            pass,
        }
    }

    /// Writes it for people: the figures, then what failed and why.
    pub fn in_words(&self) -> String {
        let mut text = format!(
            "{} pipelines, {} jobs, {}, {} failures in {:.2} s ({:.1} pipelines/s, {} GitLab calls)\n",
            self.pipelines,
            self.jobs,
            DecimalBytes(self.bytes),
            self.failures,
            self.seconds,
            self.pipelines_per_second,
            self.gitlab_calls
        );
        if self.pass.without_ci > 0 {
            let _ = writeln!(
                text,
                "{} projects have no CI, or none for this token: nothing was to be cached",
                self.pass.without_ci
            );
        }
        for failed in &self.pass.failures {
            let again = if failed.again { "will be tried again" } else { "failed for good" };
            let _ = writeln!(text, "✗ {}: {} ({again})", failed.what, failed.problem);
        }
        let unlisted = self.failures.saturating_sub(self.pass.failures.len() as u64);
        if unlisted > 0 {
            let _ = writeln!(text, "✗ and {unlisted} more");
        }
        text
    }
}
