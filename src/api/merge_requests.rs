//! The pipelines of a merge request, as far as they say themselves that they are: their refs tell which request they are of.
//!
//! GitLab's answer has the pipelines of the source branch, too, when they ran for a commit of the request: which ones those are
//! is not known here.

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::listing;
use super::openapi::{Answer, Basis, Operation, PAGING, shapes};
use super::provenance::Listed;
use super::query::Query;
use super::simple;
use super::view::View;
use crate::domain::PipelineId;
use crate::store::{PipelineFilter, Slice};

/// What pipelines of a merge request run for: its branch, the merged result, a place in a merge train.
const KINDS: [&str; 3] = ["head", "merge", "train"];

pub(super) const PIPELINES: Operation = Operation {
    id: "listMergeRequestPipelines",
    tag: "pipelines",
    summary: "A merge request's pipelines",
    about: "Those that were made for the merge request (`source` is `merge_request_event`), newest first. Pipelines of its branch \
            are not among them, as GitLab lists them: ask for those by `ref`.",
    parameters: &[PAGING],
    basis: Basis::Derived,
    answer: Answer::List(shapes::PIPELINE),
    problems: &[],
};

/// Answers with a page of them.
pub(super) async fn pipelines(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    let paging = query.paging()?;
    let Slice { offset, limit } = paging.slice();
    let (project, number) = path.into_inner();
    let invalid = Problem::Invalid { name: "merge_request_iid", problem: "is invalid" };
    let number: u64 = number.parse().map_err(|_| invalid)?;
    let project = view.project(&project).await?;
    let mut whole: Option<Listed> = None;
    for kind in KINDS {
        let filter = PipelineFilter {
            ref_: Some(format!("refs/merge-requests/{number}/{kind}")),
            source: Some("merge_request_event".to_owned()),
            ..PipelineFilter::default()
        };
        let slice = Slice { offset: 0, limit: offset.saturating_add(limit) };
        let listed = view.pipelines(project, filter, slice, None).await?;
        whole = Some(match whole {
            None => listed,
            Some(whole) => joined(whole, listed),
        });
    }
    let Some(mut listed) = whole else { return Err(Problem::NotFound) };
    let rows = &mut listed.page.rows;
    rows.sort_by_key(|row| std::cmp::Reverse(simple::id_of::<PipelineId>(row)));
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX).min(rows.len());
    rows.drain(..skipped);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    *rows = std::mem::take(rows).into_iter().map(|row| simple::without(row, "name")).collect();
    Ok(listing::respond(&request, &query, paging, &listed))
}

fn joined(mut whole: Listed, more: Listed) -> Listed {
    whole.page.total += more.page.total;
    whole.page.rows.extend(more.page.rows);
    whole.complete = whole.complete.and(more.complete);
    whole
}
