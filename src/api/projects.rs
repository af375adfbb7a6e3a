//! Projects (contract, section 5.3).

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::listing;
use super::query::Query;
use crate::domain::{Document, ProjectId};
use crate::store::{Page, Store};

/// What GitLab can filter projects by and Cistern cannot. `membership` and `simple` are left alone: what is cached is
/// what the service token is a member of, and a full document has all that a simple one has.
const UNSUPPORTED: [&str; 29] = [
    "active",
    "archived",
    "custom_attributes",
    "id_after",
    "id_before",
    "imported",
    "include_hidden",
    "include_pending_delete",
    "last_activity_after",
    "last_activity_before",
    "marked_for_deletion_on",
    "min_access_level",
    "owned",
    "repository_checksum_failed",
    "repository_storage",
    "search",
    "search_namespaces",
    "starred",
    "statistics",
    "topic",
    "topic_id",
    "updated_after",
    "updated_before",
    "visibility",
    "wiki_checksum_failed",
    "with_custom_attributes",
    "with_issues_enabled",
    "with_merge_requests_enabled",
    "with_programming_language",
];

/// Answers with a page of all cached projects.
pub(super) async fn list(request: HttpRequest, store: web::Data<Store>) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    query.refuse(&UNSUPPORTED)?;
    query.only("order_by", "id")?;
    query.only("sort", "asc")?;
    let paging = query.paging()?;
    let page = store.projects(paging.slice()).await?;
    let rows = page.rows.into_iter().map(|(_, document)| document).collect();
    Ok(listing::respond(&request, &query, paging, &Page { rows, total: page.total }))
}

/// Answers with one project, by id or by path.
pub(super) async fn show(project: web::Path<String>, store: web::Data<Store>) -> Result<HttpResponse, Problem> {
    let document = match Address::of(&project)? {
        Address::Id(id) => store.project(id).await?,
        Address::Path(path) => store.project_by_path(path).await?.map(|(_, document)| document),
    };
    document.map(one).ok_or(Problem::ProjectNotFound)
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

/// Returns the id of a project in a URL. A numeric one is not looked up: a pipeline may be cached before its project
/// is.
pub(super) async fn resolve(store: &Store, project: &str) -> Result<ProjectId, Problem> {
    match Address::of(project)? {
        Address::Id(id) => Ok(id),
        Address::Path(path) => match store.project_by_path(path).await? {
            Some((id, _)) => Ok(id),
            None => Err(Problem::ProjectNotFound),
        },
    }
}

/// Returns what GitLab says when there is nothing: whether the project itself is unknown, or only what was asked for.
pub(super) async fn nothing_in(store: &Store, project: ProjectId) -> Problem {
    match store.project(project).await {
        Ok(Some(_)) => Problem::NotFound,
        Ok(None) => Problem::ProjectNotFound,
        Err(problem) => problem.into(),
    }
}

/// Answers with one document as GitLab wrote it.
pub(super) fn one(document: Document) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, "application/json")).body(String::from(document.text))
}
