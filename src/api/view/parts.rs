//! Parts of logs and archives that one reader sees.

use std::time::Duration;

use super::View;
use crate::access::{FileRight, Seen};
use crate::api::answer::Problem;
use crate::api::freshness::{self, JobPart};
use crate::api::provenance::Held;
use crate::domain::Subject;
use crate::parts::{ArchiveReader, LogReader};
use crate::store::JobRow;
use crate::work::{Cause, Target};

/// How old the log of a running job may be for those who follow it.
const FOLLOWED: Duration = Duration::from_secs(3);

impl View {
    /// Begins to read parts of a job's log; one that is not held reads as empty.
    pub(in crate::api) fn log(&self, _: FileRight, row: &JobRow) -> LogReader {
        LogReader::new(&self.api.store, &row.log)
    }

    /// Begins to read files of a job's archive. A directory may take some memory: only a few are read at once.
    pub(in crate::api) async fn archive(&self, _: FileRight, row: &JobRow) -> Result<ArchiveReader, Problem> {
        let _place = self.api.archives.acquire().await.map_err(|_| Problem::Away)?;
        Ok(ArchiveReader::open(&self.api.store, &row.archive).await?)
    }

    /// Returns a job whose log is followed: as [`job`](Self::job), but hardly older than GitLab has it.
    pub(in crate::api) async fn followed(&self, project: Seen, id: &str) -> Result<Held<JobRow>, Problem> {
        let key = super::job_key(project, id)?;
        let judge = |row: &JobRow| freshness::of_job(row, JobPart::Log);
        let read = || self.api.store.job(key);
        let held = self.held_within(FOLLOWED, (Target::Job(key), Cause::Fetch), read, judge).await?;
        match held {
            Some(held) => Ok(held),
            None => Err(self.nothing_of(project, Subject::Job(key)).await),
        }
    }

    /// Returns when this process begins to shut down.
    pub(in crate::api) async fn closing(&self) {
        self.api.closing.cancelled().await;
    }
}
