//! A commit's CI: what its pipelines and their jobs tell of it.
//!
//! Which commit a branch is at is not known here: by a ref it is the one of the ref's newest pipeline.

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::try_join_all;
use serde_json::{Map, Value, json};

use super::answer::Problem;
use super::freshness::PipelinePart;
use super::openapi::{Answer, Basis, Kind, Operation, PAGING, parameter, shapes};
use super::pass::InPart;
use super::provenance::{Complete, Held, Listed, Provenance, Source};
use super::query::Query;
use super::view::View;
use super::{listing, reply, simple};
use crate::access::Seen;
use crate::domain::{Document, PipelineId};
use crate::store::{COUNTED, JobFilter, PipelineFilter, PipelineRow, Slice};

/// How many pipelines of a commit are looked at: the newest ones.
const RECENT: u64 = 100;

/// The sources of pipelines that GitLab does not count among a commit's: its source calls them dangling, which ones they are is
/// inferred. Child pipelines are not listed anyway.
const DANGLING: [&str; 7] = [
    "webide",
    "ondemand_dast_scan",
    "ondemand_dast_validation",
    "security_orchestration_policy",
    "container_registry_push",
    "duo_workflow",
    "pipeline_execution_policy_schedule",
];

/// The keys of GitLab's small user entity (GitLab's source: `Entities::UserBasic`); jobs tell more of theirs.
const BASIC: [&str; 9] =
    ["id", "username", "public_email", "name", "state", "locked", "avatar_url", "custom_attributes", "web_url"];

pub(super) const SHOW: Operation = Operation {
    id: "getCommit",
    tag: "commits",
    summary: "A commit, by its whole SHA or by the ref that it is of",
    about: "What jobs tell of it and its newest pipeline; only commits that a cached pipeline ran for, and of a ref the commit of its \
            newest one. `stats` is left out, which nothing tells here: unless `stats=false` it is GitLab that answers, where \
            `api.pass_through` lets it and it can.",
    parameters: &[&[parameter(
        "stats",
        Kind::Switch,
        "Whether the counts of changed lines are wanted; `true` if left out.",
    )]],
    basis: Basis::Derived,
    answer: Answer::One(shapes::COMMIT),
    problems: &[],
};

pub(super) const STATUSES: Operation = Operation {
    id: "listCommitStatuses",
    tag: "commits",
    summary: "The statuses of a commit: its pipelines' jobs and trigger jobs",
    about: "Of the newest hundred pipelines that ran for it. Statuses that other services have set are not among them, so that the list \
            never calls itself complete.",
    parameters: &[
        &[
            parameter("ref", Kind::Text, "Only for this branch or tag."),
            parameter("stage", Kind::Text, "Only of this stage."),
            parameter("name", Kind::Text, "Only with this name."),
            parameter("pipeline_id", Kind::Number(1, i64::MAX as u64), "Only of this pipeline."),
            parameter("all", Kind::Switch, "Earlier attempts, too."),
            parameter("order_by", Kind::Word(&["id", "pipeline_id"]), "`id` if left out."),
            parameter("sort", Kind::Word(&["asc", "desc"]), "The smallest first (if left out), or the largest."),
        ],
        PAGING,
    ],
    basis: Basis::Derived,
    answer: Answer::List(shapes::COMMIT_STATUS),
    problems: &[],
};

/// Answers with a commit.
pub(super) async fn show(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let with_stats = Query::of(&request).switch("stats")?.unwrap_or(true);
    let (project, commit) = path.into_inner();
    let project = view.project(&project).await?;
    let is_sha = [40, 64].contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sha = if is_sha { commit } else { head_of(&view, project, commit).await? };
    let mut pipelines = Vec::new();
    let mut document = Map::from_iter([("id".to_owned(), json!(sha))]);
    for row in of_commit(&view, project, &sha).await?.page.rows {
        pipelines.push(with_jobs(&view, project, &row).await?);
        let any = JobFilter { include_retried: true, ..JobFilter::default() };
        let Some(last) = pipelines.last() else { continue };
        let jobs = view.pipeline_jobs(last, any, Slice { offset: 0, limit: 1 }).await?.page.rows;
        if let Some(Value::Object(commit)) = jobs.first().map(|job| read(&job.text)["commit"].take()) {
            document = commit;
            break;
        }
    }
    let Some(Held { row, provenance }) = pipelines.into_iter().next() else { return Err(Problem::CommitNotFound) };
    let last = read(&simple::without(row.document, "name").text);
    document.insert("status".to_owned(), last["status"].clone());
    document.insert("project_id".to_owned(), json!(project.project()));
    document.insert("last_pipeline".to_owned(), last);
    let mut response = reply::json(&request, provenance, Value::Object(document).to_string());
    if with_stats {
        response.extensions_mut().insert(InPart);
    }
    Ok(response)
}

/// Answers with a page of a commit's statuses.
pub(super) async fn statuses(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    view.named()?;
    let query = Query::of(&request);
    let (all, pipeline, paging) = (query.flag("all")?, query.id("pipeline_id")?, query.paging()?);
    let by_pipeline = query.word("order_by", &[("id", false), ("pipeline_id", true)])?.unwrap_or(false);
    let ascending = query.choice("sort", "asc", "desc")?.unwrap_or(true);
    let (project, sha) = path.into_inner();
    let project = view.project(&project).await?;
    let Listed { page, mut provenance, .. } = of_commit(&view, project, &sha).await?;
    let wanted = |row: &&Document| pipeline.is_none_or(|id| simple::id_of(row) == Some(PipelineId(id)));
    let looks = page.rows.iter().filter(wanted).map(|row| jobs_of(&view, project, row, all));
    let mut rows = Vec::new();
    for (source, jobs) in try_join_all(looks).await? {
        // Whatever was not simply held makes the whole no better than itself.
        provenance = if source.source == Source::Hit { provenance } else { source };
        rows.extend(jobs);
    }
    rows.retain(|job| ["ref", "stage", "name"].iter().all(|key| query.text(key).is_none_or(|text| job[*key] == text)));
    rows.sort_by_key(|job| (by_pipeline.then(|| job["pipeline"]["id"].as_u64()), job["id"].as_u64()));
    if !ascending {
        rows.reverse();
    }
    let as_of = provenance.as_of.unwrap_or_default();
    let rows = rows.into_iter().map(|job| Document { text: status(job).to_string().into(), as_of }).collect();
    let page = listing::page_of(rows, paging.slice());
    Ok(listing::respond(&request, &query, paging, &Listed { page, provenance, complete: Complete::No, counted: true }))
}

/// Returns the commit of a ref's newest pipeline.
async fn head_of(view: &View, project: Seen, ref_: String) -> Result<String, Problem> {
    let filter = PipelineFilter { ref_: Some(ref_), ..PipelineFilter::default() };
    let newest = view.pipelines(project, filter, Slice { offset: 0, limit: 1 }, None).await?.page.rows;
    let sha = newest.first().and_then(|row| read(&row.text)["sha"].as_str().map(str::to_owned));
    sha.ok_or(Problem::CommitNotFound)
}

/// Returns the newest pipelines that GitLab counts as a commit's.
async fn of_commit(view: &View, project: Seen, sha: &str) -> Result<Listed, Problem> {
    let filter = PipelineFilter { sha: Some(sha.to_owned()), ..PipelineFilter::default() };
    let mut listed = view.pipelines(project, filter, Slice { offset: 0, limit: RECENT }, None).await?;
    listed.page.rows.retain(|row| !DANGLING.iter().any(|source| read(&row.text)["source"] == *source));
    if listed.page.rows.is_empty() { Err(Problem::CommitNotFound) } else { Ok(listed) }
}

async fn with_jobs(view: &View, project: Seen, row: &Document) -> Result<Held<PipelineRow>, Problem> {
    let id: PipelineId = simple::id_of(row).ok_or(Problem::Unusable)?;
    view.pipeline(project, &id.to_string(), PipelinePart::Jobs).await
}

/// Returns a pipeline's jobs and trigger jobs.
async fn jobs_of(
    view: &View,
    project: Seen,
    row: &Document,
    include_retried: bool,
) -> Result<(Provenance, Vec<Value>), Problem> {
    let pipeline = with_jobs(view, project, row).await?;
    let filter = JobFilter { include_retried, ..JobFilter::default() };
    let jobs = view.pipeline_jobs(&pipeline, filter, Slice { offset: 0, limit: COUNTED }).await?;
    let mut all: Vec<Value> = jobs.page.rows.iter().map(|job| read(&job.text)).collect();
    let triggers = view.bridges(&pipeline).await?;
    if let Some(Value::Array(triggers)) = triggers.map(|list| read(&list.row.text)) {
        all.extend(triggers);
    }
    Ok((pipeline.provenance, all))
}

/// Says of a job what GitLab's commit statuses do (GitLab's source: `Entities::CommitStatus`). They lead to its page, as in
/// GitLab's docs; nothing describes a job.
fn status(mut job: Value) -> Value {
    let mut author = job["user"].take();
    if let Some(user) = author.as_object_mut() {
        user.retain(|key, _| BASIC.contains(&key.as_str()));
    }
    json!({
        "id": job["id"],
        "sha": job["pipeline"]["sha"],
        "ref": job["ref"],
        "status": job["status"],
        "name": job["name"],
        "target_url": job["web_url"],
        "description": null,
        "created_at": job["created_at"],
        "started_at": job["started_at"],
        "finished_at": job["finished_at"],
        "allow_failure": job["allow_failure"],
        "coverage": job["coverage"],
        "pipeline_id": job["pipeline"]["id"],
        "author": author,
    })
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
