//! What one reader sees of the cache: the only way from a route to the store.
//!
//! Guarantees: nothing of a project is queried before [`crate::access`] let this reader see the project; what is not cached
//! and what may not be seen are the same 404.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};

use super::answer::Problem;
use super::blob::File;
use super::provenance::Held;
use crate::access::{Reader, Seen};
use crate::domain::{Document, JobKey, Piece, PipelineKey, ProjectId, Reason, Subject};
use crate::store::{JobFilter, JobRow, Page, PipelineFilter, PipelineRow, Slice, Store};

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
    /// Returns a page of the projects that can be seen.
    pub(super) async fn projects(&self, slice: Slice) -> Result<Page<Document>, Problem> {
        let page = self.store.projects(slice).await?;
        Ok(Page { rows: page.rows.into_iter().map(|(_, document)| document).collect(), total: page.total })
    }

    /// Finds a project by id or by path. A numeric one need not be cached: a pipeline may be cached before its project is.
    pub(super) async fn project(&self, text: &str) -> Result<Seen, Problem> {
        let id = match Address::of(text)? {
            Address::Id(id) => id,
            Address::Path(path) => {
                self.store.project_by_path(path).await?.map(|(id, _)| id).ok_or(Problem::ProjectNotFound)?
            }
        };
        self.reader.see(id).await.ok_or(Problem::ProjectNotFound)
    }

    /// Returns a project's document.
    pub(super) async fn document(&self, project: Seen) -> Result<Held<Document>, Problem> {
        let Some(document) = self.store.project(project.project()).await? else {
            return Err(self.nothing_in(project).await);
        };
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
            && let problem @ (Problem::ProjectNotFound | Problem::NotHeld(_) | Problem::Away | Problem::Unusable) =
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
            None => {
                let key = PipelineKey { project: project.project(), pipeline };
                Err(self.nothing_of(project, Subject::Pipeline(key)).await)
            }
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
        let job = id.parse().map_err(|_| Problem::Invalid { name: "job_id", problem: "is invalid" })?;
        match self.store.job(JobKey { project: project.project(), job }).await? {
            Some(row) => {
                let as_of = row.document.as_of;
                Ok(Held::hit(row, as_of))
            }
            None => {
                let key = JobKey { project: project.project(), job };
                Err(self.nothing_of(project, Subject::Job(key)).await)
            }
        }
    }

    /// Begins to read a blob that a row of this view names; `None` when it was replaced meanwhile.
    pub(super) async fn open(&self, file: File, method: &Method) -> Result<Option<BoxBody>, Problem> {
        file.open(&self.store, method).await
    }

    /// Returns what GitLab says when there is nothing: whether the project itself is unknown, or only what was asked for.
    async fn nothing_in(&self, project: Seen) -> Problem {
        match self.store.project(project.project()).await {
            Ok(Some(_)) => Problem::NotFound,
            Ok(None) => {
                let subject = Subject::Project { project: project.project() };
                self.forgotten(subject).await.unwrap_or(Problem::ProjectNotFound)
            }
            Err(problem) => problem.into(),
        }
    }

    /// As [`Self::nothing_in`], for what may have been forgotten by itself.
    async fn nothing_of(&self, project: Seen, subject: Subject) -> Problem {
        match self.forgotten(subject).await {
            Some(problem) => problem,
            None => self.nothing_in(project).await,
        }
    }

    /// Returns why there is nothing of a subject, if that is because a person told Cistern to forget it.
    async fn forgotten(&self, subject: Subject) -> Option<Problem> {
        match self.store.forgotten(vec![subject]).await {
            Ok(found) => found.contains(&subject).then_some(Problem::NotHeld(Piece::Absent(Reason::Forgotten))),
            Err(problem) => Some(problem.into()),
        }
    }
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
