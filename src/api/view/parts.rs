//! Parts of logs and archives that one reader sees.

use std::time::Duration;

use super::View;
use crate::access::{FileRight, Seen};
use crate::api::DIRECTORIES;
use crate::api::answer::Problem;
use crate::api::freshness::{self, JobPart};
use crate::api::own::followers::Followers;
use crate::api::provenance::Held;
use crate::archive::{ENTRY_BYTES, MAX_FILE_BYTES, Tree};
use crate::domain::Subject;
use crate::parts::{ArchiveReader, FileReader, LogReader};
use crate::store::{JobRow, Slice};
use crate::work::{Cause, Target};

/// How old the log of a running job may be for those who follow it.
const FOLLOWED: Duration = Duration::from_secs(3);

impl View {
    /// Begins to read parts of a job's log; one that is not held reads as empty.
    pub(in crate::api) fn log(&self, _: FileRight, row: &JobRow) -> LogReader {
        LogReader::new(&self.api.store, &row.log)
    }

    /// Returns a page of what is in a directory of a job's archive. That may take some memory: only a few are read at once.
    pub(in crate::api) async fn archive_tree(
        &self,
        _: FileRight,
        row: &JobRow,
        (path, recursive): (&[u8], bool),
        slice: Slice,
    ) -> Result<Tree, Problem> {
        let mut archive = ArchiveReader::open(&self.api.store, &row.archive, self.api.archive_entries).await?;
        let half = self.api.archive_entries.saturating_mul(ENTRY_BYTES) / 2;
        let places = if archive.directory_bytes() > half { DIRECTORIES } else { 1 };
        let _places = self.api.archives.acquire_many(places).await.map_err(|_| Problem::Away)?;
        Ok(archive.tree(path, recursive, slice.offset, slice.limit).await?)
    }

    /// Finds one file of a job's archive.
    pub(in crate::api) async fn archive_file(
        &self,
        _: FileRight,
        row: &JobRow,
        path: &[u8],
    ) -> Result<FileReader, Problem> {
        let _place = self.api.archives.acquire().await.map_err(|_| Problem::Away)?;
        let mut archive = ArchiveReader::open(&self.api.store, &row.archive, self.api.archive_entries).await?;
        Ok(archive.file(path, MAX_FILE_BYTES).await?)
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

    /// Returns who follows logs.
    pub(in crate::api) fn followers(&self) -> &Followers {
        &self.api.followers
    }
}
