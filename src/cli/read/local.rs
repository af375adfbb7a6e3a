//! Reading from the local store, also beside a running `serve`.

use bytes::Bytes;
use futures_util::stream;

use super::args::Where;
use super::{Problem, show};
use crate::cli::stored::open;
use crate::config::{Config, ProjectRef};
use crate::domain::{JobKey, Piece, ProjectId};
use crate::log::Request;
use crate::parts::{ArchiveReader, LogReader};
use crate::store::{JobRow, Slice, Store};

/// Projects looked through at once to find a job's.
const PAGE: u64 = 1_000;

/// Nodes of an archive listed at most.
const NODES: u64 = 1_000_000;

/// Shows part of a log.
pub(super) async fn log(config: &Config, place: &Where, parameters: &[(&'static str, String)]) -> Result<(), Problem> {
    let request = Request::parse(parameters.iter().map(|(key, value)| (*key, value.as_str())))?;
    let store = open(config, "read").await?;
    let row = find(&store, place).await?;
    if row.log.blob.is_none() && row.log.piece != Piece::Whole {
        return Err(Problem::NotHeld { what: "log", why: row.log.piece.as_str() });
    }
    let reading = LogReader::new(&store, &row.log).read(request).await?;
    let shown = show(reading.into_stream()).await;
    store.close().await?;
    shown
}

/// Lists an archive, or shows one file of it.
pub(super) async fn artifacts(config: &Config, place: &Where, path: Option<&str>) -> Result<(), Problem> {
    let store = open(config, "read").await?;
    let row = find(&store, place).await?;
    if row.archive.blob.is_none() {
        return Err(Problem::NotHeld { what: "archive", why: row.archive.piece.as_str() });
    }
    let mut archive = ArchiveReader::open(&store, &row.archive).await?;
    let shown = match path {
        Some(path) => {
            let file = archive.file(path, u64::MAX).await?;
            let size = file.size();
            show(file.stream(0..size)?).await
        }
        None => {
            let tree = archive.directory().tree("", true, 0, NODES);
            let nodes = tree.into_iter().flat_map(|tree| tree.nodes).filter(|node| node.kind == "file");
            let lines: String =
                nodes.map(|node| format!("{:>12}  {}\n", node.size.unwrap_or(0), node.path.escape_debug())).collect();
            show(stream::iter([Ok::<_, Problem>(Bytes::from(lines))])).await
        }
    };
    store.close().await?;
    shown
}

/// Finds the job, in the project that is named or in whichever has it: job ids are those of the whole instance.
async fn find(store: &Store, place: &Where) -> Result<JobRow, Problem> {
    let job = place.job;
    let in_project = async |project: ProjectId| Ok::<_, Problem>(store.job(JobKey { project, job }).await?);
    let found = match &place.project {
        Some(ProjectRef::Id(id)) => in_project(*id).await?,
        Some(ProjectRef::Path(path)) => match store.project_by_path(path.clone()).await? {
            Some((id, _)) => in_project(id).await?,
            None => None,
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
    found.ok_or(Problem::NoJob(job))
}
