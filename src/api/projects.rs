//! Projects (contract, section 5.3).

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::query::Query;
use super::view::{Projects, View};
use super::{listing, reply};

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

/// Answers with a page of the cached projects that the reader may see.
pub(super) async fn list(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    query.refuse(&UNSUPPORTED)?;
    query.only("order_by", "id")?;
    query.only("sort", "asc")?;
    let paging = query.paging()?;
    Ok(match view.projects(paging.slice()).await? {
        Projects::Counted(page) => listing::respond(&request, &query, paging, &page),
        Projects::Uncounted { rows, more } => listing::respond_uncounted(&request, &query, paging, &rows, more),
    })
}

/// Answers with one project, by id or by path.
pub(super) async fn show(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let held = view.document(view.visible(&project).await?).await?;
    Ok(reply::json(&request, held.provenance, held.row.text))
}
