//! What one reader sees of the cache: the only way from a route to the store.
//!
//! Guarantees: nothing of a project is queried before [`crate::access`] let this reader see the project; what is not cached
//! and what may not be seen are the same 404.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use serde::Deserialize;

use super::answer::Problem;
use super::blob::File;
use super::provenance::Held;
use crate::access::{Reader, Seen};
use crate::domain::{Document, JobKey, PipelineKey, ProjectFacts, ProjectId};
use crate::store::{
    Entry, Failure, Gap, JobFilter, JobRow, JobTally, Page, PipelineFilter, PipelineRow, PipelineTally, Progress,
    ProjectJobFilter, Slice, Store,
};

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
        let job = id.parse().map_err(|_| Problem::Invalid { name: "job_id", problem: "is invalid" })?;
        match self.store.job(JobKey { project: project.project(), job }).await? {
            Some(row) => {
                let as_of = row.document.as_of;
                Ok(Held::hit(row, as_of))
            }
            None => Err(self.nothing_in(project).await),
        }
    }

    /// Begins to read a blob that a row of this view names; `None` when it was replaced meanwhile.
    pub(super) async fn open(&self, file: File, method: &Method) -> Result<Option<BoxBody>, Problem> {
        file.open(&self.store, method).await
    }

    /// Returns what lists of projects are chosen by, of all cached projects: only for choosing, before
    /// [`projects_of`](Self::projects_of) says which of the chosen ones can be seen.
    pub(super) async fn project_facts(&self) -> Result<Vec<(ProjectId, ProjectFacts)>, Problem> {
        Ok(self.store.project_facts().await?)
    }

    /// Returns a page of those of the chosen projects that can be seen, in their order, and the last one's id.
    pub(super) async fn projects_of(
        &self,
        chosen: Vec<ProjectId>,
        slice: Slice,
    ) -> Result<(Page<Document>, Option<ProjectId>), Problem> {
        let mut seen = Vec::new();
        for id in chosen {
            seen.extend(self.reader.see(id).await.map(Seen::project));
        }
        let total = seen.len() as u64;
        let offset = usize::try_from(slice.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
        let ids: Vec<ProjectId> = seen.into_iter().skip(offset).take(limit).collect();
        let last = ids.last().copied();
        Ok((Page { rows: self.store.project_documents(ids).await?, total }, last))
    }

    /// Returns the newest pipeline of a ref, or of the project's default branch.
    pub(super) async fn latest(&self, project: Seen, ref_: Option<String>) -> Result<Held<Document>, Problem> {
        let ref_ = match ref_ {
            Some(ref_) => ref_,
            None => {
                let document = self.store.project(project.project()).await?.ok_or(Problem::ProjectNotFound)?;
                default_branch(&document).ok_or(Problem::NotFound)?
            }
        };
        let filter = PipelineFilter { ref_: Some(ref_), ..PipelineFilter::default() };
        let page = self.store.pipelines(project.project(), filter, Slice { offset: 0, limit: 1 }).await?;
        match page.rows.into_iter().next() {
            Some(document) => {
                let as_of = document.as_of;
                Ok(Held::hit(document, as_of))
            }
            None => Err(self.nothing_in(project).await),
        }
    }

    /// Returns a page of a project's jobs.
    pub(super) async fn project_jobs(
        &self,
        project: Seen,
        filter: ProjectJobFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Problem> {
        let page = self.store.project_jobs(project.project(), filter, slice).await?;
        if page.rows.is_empty()
            && let problem @ (Problem::ProjectNotFound | Problem::Away | Problem::Unusable) =
                self.nothing_in(project).await
        {
            return Err(problem);
        }
        Ok(page)
    }

    /// Returns a pipeline's trigger jobs, a JSON array; `None` while nobody fetched them.
    pub(super) async fn bridges(&self, pipeline: &PipelineRow) -> Result<Option<Document>, Problem> {
        Ok(self.store.bridges(pipeline.key).await?)
    }

    /// Returns all jobs of a pipeline with the state of their pieces, lowest id first.
    pub(super) async fn jobs_of(&self, pipeline: &PipelineRow) -> Result<Vec<JobRow>, Problem> {
        Ok(self.store.jobs_of(pipeline.key).await?)
    }

    /// Returns the pipeline of a job.
    pub(super) async fn pipeline_of(&self, job: &JobRow) -> Result<Option<PipelineRow>, Problem> {
        Ok(self.store.pipeline(PipelineKey { project: job.key.project, pipeline: job.pipeline }).await?)
    }

    /// Returns what is known of a project's completeness, lists of at most `limit`.
    pub(super) async fn standing(&self, project: Seen, limit: u64) -> Result<Standing, Problem> {
        let id = project.project();
        if let problem @ (Problem::ProjectNotFound | Problem::Away | Problem::Unusable) = self.nothing_in(project).await
        {
            return Err(problem);
        }
        let (tallies, progress, gaps, failures, entries) = tokio::try_join!(
            self.store.tallies(id),
            self.store.progress(id),
            self.store.gaps(Some(id), limit),
            self.store.failures(Some(id)),
            self.store.entries_of(id, limit),
        )?;
        let (jobs, pipelines) = tallies;
        Ok(Standing { jobs, pipelines, progress, gaps, failures, entries })
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

/// How far a project is cached.
pub(super) struct Standing {
    /// Its jobs, by their state.
    pub(super) jobs: Vec<JobTally>,
    /// Its pipelines, by their state.
    pub(super) pipelines: Vec<PipelineTally>,
    /// How far its passes have come.
    pub(super) progress: Option<Progress>,
    /// What should be cached and is not.
    pub(super) gaps: Vec<Gap>,
    /// What failed for good.
    pub(super) failures: Vec<Failure>,
    /// What is to be done.
    pub(super) entries: Vec<Entry>,
}

fn default_branch(project: &Document) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        default_branch: Option<String>,
    }
    serde_json::from_str::<Named>(&project.text).ok()?.default_branch
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
