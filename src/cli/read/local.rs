//! Reading from the local store, also beside a running `serve`.

use std::ffi::OsStr;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use super::args::Where;
use super::{Problem, line, show, tell_left_out};
use crate::archive::{Entry, Keep, Kind, Refused};
use crate::cli::stored::open;
use crate::config::{Config, ProjectRef};
use crate::domain::{JobKey, Piece, ProjectId, Reason, Subject};
use crate::log::Request;
use crate::parts::{ArchiveReader, LogReader};
use crate::store::{JobRow, Slice, Store};

/// Projects looked through at once to find a job's.
const PAGE: u64 = 1_000;

/// Files listed at a time.
const LINES: usize = 1_000;

/// Shows part of a log.
pub(super) async fn log(config: &Config, place: &Where, parameters: &[(&'static str, String)]) -> Result<(), Problem> {
    let request = Request::parse(parameters.iter().map(|(key, value)| (*key, value.as_str())))
        .map_err(|error| Problem::Usage(error.to_string()))?;
    let what = place.log_in_words();
    let store = open(config, "read").await?;
    let row = find(&store, place, &what).await?;
    if row.log.blob.is_none() && row.log.piece != Piece::Whole {
        return Err(not_held(&what, row.log_absence()));
    }
    let of_part = |error| Problem::of_part(&what, error);
    let reading = LogReader::new(&store, &row.log).read(request).await.map_err(of_part)?;
    let shown = show(reading.into_stream().map_err(of_part)).await;
    store.close().await?;
    shown
}

/// Lists an archive, or shows one file of it.
pub(super) async fn artifacts(config: &Config, place: &Where, path: Option<&OsStr>) -> Result<(), Problem> {
    let store = open(config, "read").await?;
    let what = place.archive_in_words(path);
    let row = find(&store, place, &what).await?;
    if row.archive.blob.is_none() {
        return Err(not_held(&what, row.archive_absence()));
    }
    let of_part = |error| Problem::of_part(&what, error);
    let mut archive =
        ArchiveReader::open(&store, &row.archive, config.limits.archive_entries).await.map_err(of_part)?;
    let shown = match path {
        Some(path) => {
            let file = archive.file(path.as_encoded_bytes(), u64::MAX).await.map_err(of_part)?;
            let size = file.size();
            show(file.stream(0..size).map_err(of_part)?.map_err(of_part)).await
        }
        None => {
            let directory = archive.directory(Keep::all()).await.map_err(of_part)?;
            let is_listed =
                |entry: &&Entry| entry.kind() == Kind::File && !matches!(entry.refused, Some(Refused::UnsafePath(_)));
            let lines = directory.entries().chunks(LINES).map(|entries| {
                let files = entries.iter().filter(is_listed);
                Ok(Bytes::from(files.map(|file| line(file.size, &file.path)).collect::<String>()))
            });
            let listed = show(stream::iter(lines)).await;
            tell_left_out(directory.left_out());
            listed
        }
    };
    store.close().await?;
    shown
}

/// Finds the job, in the project that is named or in whichever has it: job ids are those of the whole instance.
async fn find(store: &Store, place: &Where, what: &str) -> Result<JobRow, Problem> {
    let job = place.job;
    let in_project = async |project: ProjectId| Ok::<_, Problem>(store.job(JobKey { project, job }).await?);
    let found = match &place.project {
        Some(ProjectRef::Id(id)) => in_project(*id).await?,
        Some(ProjectRef::Path(path)) => match store.project_by_path(path.clone()).await? {
            Some((id, _)) => in_project(id).await?,
            None => return Err(Problem::NoProject(ProjectRef::Path(path.clone()))),
        },
        None => {
            let (mut offset, mut found) = (0, None);
            while found.is_none() {
                let page = store.projects(Slice { offset, limit: PAGE }).await?;
                if page.rows.is_empty() {
                    break;
                }
                offset += PAGE;
                for (project, _) in page.rows {
                    found = in_project(project).await?;
                    if found.is_some() {
                        break;
                    }
                }
            }
            found
        }
    };
    match found {
        Some(row) => Ok(row),
        None if is_forgotten(store, place).await? => Err(not_held(what, Piece::Absent(Reason::Forgotten))),
        None => Err(Problem::NoJob(job)),
    }
}

/// Returns whether there is a tombstone of the job; without its project only one of the job itself can be told from others.
async fn is_forgotten(store: &Store, place: &Where) -> Result<bool, Problem> {
    let project = match &place.project {
        Some(ProjectRef::Id(id)) => Some(*id),
        Some(ProjectRef::Path(path)) => store.project_by_path(path.clone()).await?.map(|(id, _)| id),
        None => None,
    };
    let Some(project) = project else {
        let tombstones = store.all_forgotten().await?;
        return Ok(tombstones.iter().any(|(subject, _)| matches!(subject, Subject::Job(key) if key.job == place.job)));
    };
    let job = Subject::Job(JobKey { project, job: place.job });
    Ok(store.forgotten(vec![job]).await?.contains(&job))
}

fn not_held(what: &str, why: Piece) -> Problem {
    Problem::NotHeld { what: what.to_owned(), why: why.as_str().to_owned() }
}
