//! A job's artifacts by the name of a ref and of a job (contract, section 5.7).
//!
//! GitLab takes the newest successful pipeline of the ref, and of it and its child pipelines, parents first, the job of that name
//! which has an archive (GitLab's source, `Project#latest_successful_build_for_ref`). With `search_recent_successful_pipelines` older
//! pipelines are looked through, too, 100 in all (GitLab's docs).

use std::collections::BTreeSet;

use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::answer::Problem;
use super::freshness::PipelinePart;
use super::openapi::{Answer, Basis, Kind, Operation, Parameter, parameter};
use super::query::Query;
use super::view::View;
use super::{files, jobs, simple};
use crate::access::Seen;
use crate::domain::{ArchiveFile, Document, PipelineId, ProjectId};
use crate::store::{JobFilter, PipelineFilter, Slice};

/// How many pipelines are looked through at most.
const RECENT: u64 = 100;

/// Jobs of a pipeline are looked through so many at a time.
const JOBS: u64 = 500;

const WHICH: &[&[Parameter]] = &[&[
    parameter("job", Kind::Needed, "The name of the job."),
    parameter(
        "search_recent_successful_pipelines",
        Kind::Switch,
        "In the last 100 successful pipelines, not only in the newest.",
    ),
]];

pub(super) const ARCHIVE: Operation = Operation {
    id: "getArtifactsByRef",
    tag: "artifacts",
    summary: "The archive of a job of a branch's or tag's newest successful pipeline",
    about: "",
    parameters: WHICH,
    basis: Basis::Derived,
    answer: Answer::File,
    problems: &[],
};

pub(super) const FILE: Operation = Operation {
    id: "getArtifactFileByRef",
    tag: "artifacts",
    summary: "One file of the archive of a job of a branch's or tag's newest successful pipeline",
    about: "As of `jobs/{job}/artifacts/{path}`.",
    parameters: WHICH,
    basis: Basis::Derived,
    answer: Answer::File,
    problems: &[415, 422],
};

/// Answers with the archive.
pub(super) async fn archive(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (project, ref_) = path.into_inner();
    let job = find(&request, &view, &project, &ref_).await?;
    jobs::artifacts(request, web::Path::from((project, job)), view).await
}

/// Answers with one file of the archive.
pub(super) async fn file(
    request: HttpRequest,
    path: web::Path<(String, String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let (project, ref_, _) = path.into_inner();
    let job = find(&request, &view, &project, &ref_).await?;
    // As the router does, and GitLab: what is before the last one is of the ref. The path need not be text.
    let name = request.uri().path().rsplit_once("/raw/").map_or("", |(_, name)| name);
    let name: Vec<u8> = percent_decode_str(name).collect();
    files::named(&request, &(project, job), &name, &view).await
}

/// Finds the job, by its id as it stands in a URL.
async fn find(request: &HttpRequest, view: &View, project: &str, ref_: &str) -> Result<String, Problem> {
    let query = Query::of(request);
    let name = query.owned("job").ok_or(Problem::Invalid { name: "job", problem: "is missing" })?;
    let limit = if query.flag("search_recent_successful_pipelines")? { RECENT } else { 1 };
    let project = view.project(project).await?;
    let status = Some("success".to_owned());
    let filter = PipelineFilter { status, ref_: Some(ref_.to_owned()), ..PipelineFilter::default() };
    let newest = view.pipelines(project, filter, Slice { offset: 0, limit }, None).await?;
    for pipeline in newest.page.rows.iter().filter_map(simple::id_of::<PipelineId>) {
        if let Some(job) = below(view, project, pipeline, &name).await? {
            return Ok(job);
        }
    }
    Err(Problem::NotFound)
}

/// Finds the job in a pipeline or one that it has triggered in the same project; parents have smaller numbers.
async fn below(view: &View, project: Seen, root: PipelineId, name: &str) -> Result<Option<String>, Problem> {
    let mut left = BTreeSet::from([root]);
    while let Some(id) = left.pop_first() {
        let pipeline = match view.pipeline(project, &id.to_string(), PipelinePart::Jobs).await {
            Ok(pipeline) => pipeline,
            // GitLab tells of a child that is not cached.
            Err(Problem::NotFound) => continue,
            Err(problem) => return Err(problem),
        };
        let mut offset = 0;
        loop {
            let filter = JobFilter::default();
            let page = view.pipeline_jobs(&pipeline, filter, Slice { offset, limit: JOBS }).await?.page;
            if let Some(job) = page.rows.iter().find(|job| is_wanted(job, name)) {
                return Ok(simple::id_of::<u64>(job).map(|id| id.to_string()));
            }
            offset += JOBS;
            if offset >= page.total {
                break;
            }
        }
        let triggers = view.bridges(&pipeline).await?;
        left.extend(
            triggers.iter().flat_map(|list| children(&list.row, project.project())).filter(|child| *child > id),
        );
    }
    Ok(None)
}

/// Returns whether a job has this name and an archive.
fn is_wanted(job: &Document, name: &str) -> bool {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let is_named = serde_json::from_str::<Named>(&job.text).is_ok_and(|job| job.name == name);
    is_named && ArchiveFile::listed_in(&job.text).is_some()
}

/// Returns the pipelines of this project that trigger jobs have started.
fn children(triggers: &Document, project: ProjectId) -> Vec<PipelineId> {
    #[derive(Deserialize)]
    struct Trigger {
        downstream_pipeline: Option<Downstream>,
    }
    #[derive(Deserialize)]
    struct Downstream {
        id: PipelineId,
        project_id: ProjectId,
    }
    let triggers: Vec<Trigger> = serde_json::from_str(&triggers.text).unwrap_or_default();
    let started = triggers.into_iter().filter_map(|trigger| trigger.downstream_pipeline);
    started.filter(|pipeline| pipeline.project_id == project).map(|pipeline| pipeline.id).collect()
}
