//! What one reader sees of the cache: the only way from a route to the store.
//!
//! Guarantees: nothing of a project is queried before [`crate::access`] let this reader see the project; what is not cached
//! and what may not be seen are the same 404.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::try_join_all;

use super::answer::Problem;
use super::blob::File;
use super::provenance::Held;
use crate::access::{Denied, FileRight, Reader, Seen, Visible};
use crate::domain::{Document, JobKey, PipelineKey, ProjectId};
use crate::store::{JobFilter, JobRow, Page, PipelineFilter, PipelineRow, Slice, Store};

/// Projects that are looked at together to find those that a reader may see.
const CHECKS: u64 = 10;

/// A page of projects.
pub(super) enum Projects {
    /// With how many there are.
    Counted(Page<Document>),
    /// Only with whether there are more.
    Uncounted { rows: Vec<Document>, more: bool },
}

/// One reader's view of the cache.
pub(super) struct View {
    store: Store,
    reader: Reader,
}

impl FromRequest for View {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let reader = request.extensions().get::<Reader>().cloned();
        let store = request.app_data::<web::Data<Store>>();
        ready(match (reader, store) {
            (Some(reader), Some(store)) => Ok(Self { store: Store::clone(store), reader }),
            // No guard let the request in.
            _ => Err(Problem::UnknownPath),
        })
    }
}

impl View {
    /// Returns a page of the projects that can be seen. How many there are in all is known only to who sees everything.
    pub(super) async fn projects(&self, slice: Slice) -> Result<Projects, Problem> {
        if self.reader.sees_everything() {
            let page = self.store.projects(slice).await?;
            let rows = page.rows.into_iter().map(|(_, document)| document).collect();
            return Ok(Projects::Counted(Page { rows, total: page.total }));
        }
        let wanted = slice.offset.saturating_add(slice.limit).saturating_add(1);
        let (mut rows, mut found, mut walked) = (Vec::new(), 0, 0);
        while found < wanted {
            // The first one alone: it says whether the reader's token is one.
            let limit = if walked == 0 { 1 } else { CHECKS };
            let page = self.store.projects(Slice { offset: walked, limit }).await?;
            walked += page.rows.len() as u64;
            if page.rows.is_empty() {
                break;
            }
            let checks = page.rows.into_iter().map(|(id, document)| async move {
                match self.reader.visible(id).await {
                    Ok(_) => Ok(Some(document)),
                    Err(Denied::NotFound) => Ok(None),
                    Err(denied) => Err(denied),
                }
            });
            for document in try_join_all(checks).await?.into_iter().flatten() {
                found += 1;
                if found > slice.offset {
                    rows.push(document);
                }
            }
        }
        let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Ok(Projects::Uncounted { rows, more })
    }

    /// Finds a project by id or by path, for its pipelines and jobs. A numeric one need not be cached: a pipeline may be
    /// cached before its project is.
    pub(super) async fn project(&self, text: &str) -> Result<Seen, Problem> {
        Ok(self.reader.see(self.visible(text).await?).await?)
    }

    /// Finds a project by id or by path, for its own document only.
    pub(super) async fn visible(&self, text: &str) -> Result<Visible, Problem> {
        Ok(match Address::of(text)? {
            Address::Id(id) => self.reader.visible(id).await?,
            Address::Path(path) => self.reader.find(&path).await?,
        })
    }

    /// Succeeds unless the reader has to have a token and has none: GitLab shows single jobs, a project's jobs and logs to
    /// users only, also those of public projects, and says so before it looks for the project.
    pub(super) fn named(&self) -> Result<(), Problem> {
        Ok(self.reader.named()?)
    }

    /// Returns the right to a job's log.
    pub(super) async fn may_read_log(&self, project: Seen, id: &str) -> Result<FileRight, Problem> {
        Ok(self.reader.log(project, job_key(project, id)?).await?)
    }

    /// Returns the right to a job's archive.
    pub(super) async fn may_read_archive(&self, project: Seen, id: &str) -> Result<FileRight, Problem> {
        Ok(self.reader.archive(project, job_key(project, id)?).await?)
    }

    /// Returns a project's document.
    pub(super) async fn document(&self, project: Visible) -> Result<Held<Document>, Problem> {
        let document = self.store.project(project.project()).await?.ok_or(Problem::ProjectNotFound)?;
        let as_of = document.as_of;
        Ok(Held::hit(document, as_of))
    }

    /// Returns a page of a project's pipelines.
    pub(super) async fn pipelines(
        &self,
        project: Seen,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Problem> {
        let page = self.store.pipelines(project.project(), filter, slice).await?;
        if page.total == 0
            && let problem @ (Problem::ProjectNotFound | Problem::Away | Problem::Unusable) =
                self.nothing_in(project).await
        {
            return Err(problem);
        }
        Ok(page)
    }

    /// Returns a pipeline.
    pub(super) async fn pipeline(&self, project: Seen, id: &str) -> Result<Held<PipelineRow>, Problem> {
        let pipeline = id.parse().map_err(|_| Problem::Invalid { name: "pipeline_id", problem: "is invalid" })?;
        match self.store.pipeline(PipelineKey { project: project.project(), pipeline }).await? {
            Some(row) => {
                let as_of = row.document.as_of;
                Ok(Held::hit(row, as_of))
            }
            None => Err(self.nothing_in(project).await),
        }
    }

    /// Returns a page of a pipeline's jobs.
    pub(super) async fn pipeline_jobs(
        &self,
        pipeline: &PipelineRow,
        filter: JobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Problem> {
        Ok(self.store.pipeline_jobs(pipeline.key, filter, slice).await?)
    }

    /// Returns a job.
    pub(super) async fn job(&self, project: Seen, id: &str) -> Result<Held<JobRow>, Problem> {
        match self.store.job(job_key(project, id)?).await? {
            Some(row) => {
                let as_of = row.document.as_of;
                Ok(Held::hit(row, as_of))
            }
            None => Err(self.nothing_in(project).await),
        }
    }

    /// Begins to read a blob that a row of this view names; `None` when it was replaced meanwhile.
    pub(super) async fn open(&self, _: FileRight, file: File, method: &Method) -> Result<Option<BoxBody>, Problem> {
        file.open(&self.store, method).await
    }

    /// Returns what GitLab says when there is nothing: whether the project itself is unknown, or only what was asked for.
    async fn nothing_in(&self, project: Seen) -> Problem {
        match self.store.project(project.project()).await {
            Ok(Some(_)) => Problem::NotFound,
            Ok(None) => Problem::ProjectNotFound,
            Err(problem) => problem.into(),
        }
    }
}

fn job_key(project: Seen, id: &str) -> Result<JobKey, Problem> {
    let job = id.parse().map_err(|_| Problem::Invalid { name: "job_id", problem: "is invalid" })?;
    Ok(JobKey { project: project.project(), job })
}

/// A project as it stands in a URL: digits are an id, anything else is a URL-encoded path. The router leaves `%2F`
/// alone, so that a path stays one segment, and the extractor decodes it.
enum Address {
    Id(ProjectId),
    Path(String),
}

impl Address {
    fn of(text: &str) -> Result<Self, Problem> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Path(text.to_owned()));
        }
        text.parse().map(Self::Id).map_err(|_| Problem::ProjectNotFound)
    }
}
