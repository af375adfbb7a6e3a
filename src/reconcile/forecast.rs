//! What a full pass would fetch, without fetching it.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::plan::Policy;
use super::projects::Roll;
use super::prospect::Prospect;
use super::{Only, PassError, Reconciler, Skipped};

/// What a full pass would fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Projects it would sweep.
    pub projects: u64,
    /// Pipelines whose jobs it would list.
    pub pipelines: u64,
    /// Logs it would fetch.
    pub logs: u64,
    /// Archives it would fetch.
    pub archives: u64,
    /// Bytes of those archives.
    pub archive_bytes: u64,
    /// Pipelines it would ask for themselves, for what only their own documents tell.
    pub details: u64,
    /// Test reports it would fetch.
    pub reports: u64,
    /// Summaries of test reports it would fetch, also where the report itself has expired.
    pub summaries: u64,
    /// GitLab calls it would make: listings, own documents of pipelines, logs, archives and reports.
    pub gitlab_calls: u64,
    /// Storage downloads beside them, if GitLab redirects archives.
    pub storage_calls: u64,
    /// Pipelines it would find deleted.
    pub gone: u64,
    /// Calls for other things: documents of jobs that are read again, and confirmations of deletions and refusals.
    #[serde(skip)]
    pub(super) other_calls: u64,
    /// Of the documents of pipelines those that were asked for to find this out.
    #[serde(skip)]
    pub(super) details_asked: u64,
    /// Calls made to find this out: the listings.
    pub calls_made: u64,
    /// Projects whose CI or repository is switched off, or not for the token.
    pub without_ci: u64,
    /// What could not be counted, because GitLab did not answer about it.
    pub skipped: Vec<Skipped>,
    /// How long the rest would take at the present limits and at GitLab's present pace, bodies not counted.
    pub seconds: u64,
}

impl Reconciler {
    /// Lists what a full pass would list and counts what it would fetch. Writes nothing.
    pub async fn forecast(&self, since: Duration, only: &Only) -> Result<Forecast, PassError> {
        let calls = self.gitlab.calls();
        let mut forecast = Forecast::default();
        let mut roll = Roll::new(self, only);
        while let Some(group) = roll.next().await? {
            let policy = Policy {
                full: true,
                audit_window: self.config.audit_window,
                audit_every: Duration::from_secs(24 * 3600),
                now: group.as_of,
            };
            forecast.skipped.extend(group.skipped());
            for project in &group.projects {
                if !project.ci_enabled {
                    forecast.without_ci += 1;
                    continue;
                }
                let prospect = Prospect::new(self, project, &policy).await?;
                match prospect.count(policy.now.minus(since), &mut forecast).await {
                    Ok(()) => {
                        forecast.projects += 1;
                        self.forecast_refused(project, &mut forecast).await?;
                    }
                    Err(PassError::Gitlab(error)) if self.is_without_ci(project.id, &error).await?.is_some() => {
                        forecast.without_ci += 1;
                    }
                    Err(error) => {
                        let problem = self.or_problem(Err::<(), _>(error))?.err();
                        forecast.skipped.extend(problem.map(|problem| Skipped::project(project, "project", problem)));
                    }
                }
            }
        }
        forecast.calls_made = self.gitlab.calls() - calls;
        forecast.storage_calls = forecast.archives;
        forecast.gitlab_calls = forecast.calls_made
            + forecast.logs
            + forecast.archives
            + forecast.details
            + forecast.reports
            + forecast.summaries
            + forecast.other_calls
            - forecast.details_asked;
        let left = forecast.gitlab_calls + forecast.storage_calls - forecast.calls_made;
        forecast.seconds = self.gitlab.estimate(left).map_or(0, |estimate| estimate.as_secs_f64().ceil() as u64);
        Ok(forecast)
    }
}

impl Forecast {
    pub(super) fn add(&mut self, other: Self) {
        self.pipelines += other.pipelines;
        self.logs += other.logs;
        self.archives += other.archives;
        self.archive_bytes += other.archive_bytes;
        self.details += other.details;
        self.reports += other.reports;
        self.summaries += other.summaries;
        self.gone += other.gone;
        self.other_calls += other.other_calls;
        self.details_asked += other.details_asked;
        self.skipped.extend(other.skipped);
    }

    /// Writes it for people.
    pub fn in_words(&self) -> String {
        let mut text = format!(
            "would list the jobs of {} pipelines of {} projects and fetch {} logs, {} archives ({} bytes), {} test reports and \
             {} documents of pipelines:\n\
             {} GitLab calls, of which {} listings were made to find this out; up to {} downloads from object storage\n\
             about {} at the present limits and GitLab's present pace, without the time that large bodies take\n",
            self.pipelines,
            self.projects,
            self.logs,
            self.archives,
            self.archive_bytes,
            self.reports,
            self.details,
            self.gitlab_calls,
            self.calls_made,
            self.storage_calls,
            in_time(self.seconds)
        );
        if self.without_ci > 0 {
            let _ = writeln!(text, "{} projects have no CI, or none for this token", self.without_ci);
        }
        for skipped in &self.skipped {
            let _ = writeln!(text, "✗ not counted: {skipped}");
        }
        text
    }
}

/// Writes a time as people say it.
fn in_time(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
