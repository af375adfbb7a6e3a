//! Deliveries that did not arrive: GitLab does not send them again by itself (contract, section 1.3).

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;

use super::patience::patiently;
use super::survey::Groups;
use super::test::advice;
use super::{Hooks, Place, explain, is_general};
use crate::domain::{JobId, PipelineId, ProjectId, Timestamp};
use crate::gitlab::{Class, Delivered, Error, Hook};

/// Pages of a hook's log that are read at most: 20,000 deliveries.
const PAGES: usize = 1000;

/// How sending again went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resent {
    /// Whether it arrived.
    pub arrived: bool,
    /// The status it was answered with.
    pub status: Option<u16>,
    /// What went wrong.
    pub problem: Option<String>,
}

/// A delivery that did not arrive, and was not sent again with success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// Whose hook.
    pub place: Place,
    /// The hook.
    pub hook: u64,
    /// The log's entry; `None`: the log itself could not be read to its end, and `said` tells why.
    pub delivery: Option<u64>,
    /// When it was sent; GitLab 19.0 and later.
    pub sent_at: Option<Timestamp>,
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// The pipeline it is about.
    pub pipeline: Option<PipelineId>,
    /// The job it is about.
    pub job: Option<JobId>,
    /// The status it was answered with; `None` when nothing answered.
    pub status: Option<u16>,
    /// What the service said, or what to do.
    pub said: Option<String>,
    /// How sending it again went, if it was.
    pub resent: Option<Resent>,
}

impl Hooks {
    /// Lists the pipeline and job events of the last days that did not arrive, and with `resend` has each sent again, oldest
    /// first, as fast as GitLab allows (5 a minute and hook).
    pub async fn failed(
        &self,
        places: &[Place],
        since: Duration,
        resend: bool,
        out: &mut Vec<Missed>,
    ) -> Result<(), Error> {
        let mut groups = Groups::new();
        for place in places {
            let found = match self.found(place, &mut groups).await {
                Ok(found) => found,
                Err(error) if is_general(&error) => return Err(error),
                Err(error) => {
                    out.push(Missed { said: Some(explain(&error, place)), ..Missed::of(place, 0) });
                    continue;
                }
            };
            for hook in found.hooks {
                match self.missed(place, &hook, since, out).await {
                    Ok(first) if resend => self.resend(place, &hook, &mut out[first..]).await?,
                    Ok(_) => {}
                    Err(error) if is_general(&error) => return Err(error),
                    Err(error) => out.push(Missed { said: Some(explain(&error, place)), ..Missed::of(place, hook.id) }),
                }
            }
        }
        Ok(())
    }

    /// Reads a hook's log, newest first; returns where in `out` its misses begin.
    async fn missed(&self, place: &Place, hook: &Hook, since: Duration, out: &mut Vec<Missed>) -> Result<usize, Error> {
        let start = Timestamp::now().minus(since);
        let first = out.len();
        let mut arrived = HashSet::new();
        let mut next = None;
        for _ in 0..PAGES {
            let page = patiently!(self.gitlab.deliveries(Class::Reader, &place.owner, hook.id, next.as_ref()))?;
            let over = page.rows.iter().any(|delivered| delivered.sent_at.is_some_and(|at| at < start));
            for delivered in page.rows {
                if delivered.sent_at.is_some_and(|at| at < start) || !delivered.is_ours() {
                    continue;
                }
                match (&delivered.key, delivered.arrived()) {
                    (Some(key), true) => {
                        arrived.insert(key.clone());
                    }
                    // Of one delivery that failed again and again, the last attempt stands for all.
                    (Some(key), false) if !arrived.insert(key.clone()) => {}
                    (_, true) => {}
                    (_, false) => out.push(Missed::new(place, hook.id, delivered)),
                }
            }
            next = page.next;
            if next.is_none() || over {
                out[first..].reverse();
                return Ok(first);
            }
        }
        out[first..].reverse();
        tracing::warn!(hook = hook.id, "the log of deliveries is longer than is read: older ones are not shown");
        Ok(first)
    }

    async fn resend(&self, place: &Place, hook: &Hook, missed: &mut [Missed]) -> Result<(), Error> {
        for missed in missed {
            let Some(delivery) = missed.delivery else { continue };
            let resent = match patiently!(self.gitlab.resend(&place.owner, hook.id, delivery)) {
                Ok(status) => {
                    let arrived = status.is_some_and(|status| (200..400).contains(&status));
                    Resent { arrived, status, problem: (!arrived).then(|| advice(status).to_owned()) }
                }
                Err(error) if is_general(&error) => return Err(error),
                Err(error) => Resent { arrived: false, status: None, problem: Some(explain(&error, place)) },
            };
            missed.resent = Some(resent);
        }
        Ok(())
    }
}

impl Missed {
    fn of(place: &Place, hook: u64) -> Self {
        Self {
            place: place.clone(),
            hook,
            delivery: None,
            sent_at: None,
            project: None,
            pipeline: None,
            job: None,
            status: None,
            said: None,
            resent: None,
        }
    }

    fn new(place: &Place, hook: u64, delivered: Delivered) -> Self {
        Self {
            delivery: Some(delivered.id),
            sent_at: delivered.sent_at,
            project: delivered.project,
            pipeline: delivered.pipeline,
            job: delivered.job,
            status: delivered.status,
            said: delivered.said,
            ..Self::of(place, hook)
        }
    }

    /// Returns whether it is still missing.
    pub fn is_open(&self) -> bool {
        !self.resent.as_ref().is_some_and(|resent| resent.arrived)
    }
}

impl std::fmt::Display for Missed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", if self.is_open() { '✗' } else { '✓' }, self.place)?;
        let Some(delivery) = self.delivery else {
            return write!(f, ": {}", self.said.as_deref().unwrap_or_default());
        };
        write!(f, ", webhook {}, delivery {delivery}", self.hook)?;
        match (self.job, self.pipeline) {
            (Some(job), _) => write!(f, " of job {job}")?,
            (None, Some(pipeline)) => write!(f, " of pipeline {pipeline}")?,
            (None, None) => {}
        }
        if let Some(at) = self.sent_at {
            write!(f, " at {at}")?;
        }
        match self.status {
            Some(status) => write!(f, ": answered {status}")?,
            None => f.write_str(": not answered")?,
        }
        self.said.iter().try_for_each(|said| write!(f, " ({said})"))?;
        match &self.resent {
            None => Ok(()),
            Some(Resent { arrived: true, status, .. }) => {
                write!(f, "; sent again, answered {}", status.map_or("?".to_owned(), |status| status.to_string()))
            }
            Some(Resent { problem, .. }) => {
                write!(f, "; sent again in vain: {}", problem.as_deref().unwrap_or_default())
            }
        }
    }
}
