//! Projects (contract, section 5.3).

mod parameters;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::choice::{Choice, Order};
use super::openapi::{Answer, Basis, KEYSET, Kind, Operation, PAGING, Parameter, parameter, shapes};
use super::provenance::Listed;
use super::query::Query;
use super::simple::simple;
use super::view::{COUNTING, Roster, View};
use super::{listing, reply};
use crate::domain::ProjectId;
use crate::store::Slice;

pub(super) use self::parameters::judge;

/// What lists of projects can be chosen and sorted by, those of groups included.
pub(super) const CHOSEN_BY: &[Parameter] = &[
    parameter("search", Kind::Text, "Words that are all in the name, the path or the description."),
    parameter("archived", Kind::Switch, "Only archived ones, or only others."),
    parameter("visibility", Kind::Word(&["private", "internal", "public"]), "Only with this visibility."),
    parameter("order_by", Kind::Word(ORDERS), "What they are sorted by; `created_at` if left out."),
    parameter("sort", Kind::Word(&["asc", "desc"]), "The smallest first, or the largest (if left out)."),
    parameter("simple", Kind::Switch, "Only the keys of GitLab's simple entity."),
    parameter("search_namespaces", Kind::Switch, "`search` looks at the groups' path, too."),
    parameter("topic", Kind::Text, "Topics that all are the project's, with commas between them."),
    parameter("with_issues_enabled", Kind::Switch, "Only with issues."),
    parameter("with_merge_requests_enabled", Kind::Switch, "Only with merge requests."),
    parameter(
        "min_access_level",
        Kind::Word(&["5", "10", "15", "20"]),
        "Only where the role of whoever asks is as high. Higher ones are GitLab's to answer.",
    ),
];

/// What lists of projects are sorted by here; GitLab knows more.
const ORDERS: &[&str] = &["id", "name", "path", "created_at", "updated_at", "last_activity_at"];

pub(super) const LIST: Operation = Operation {
    id: "listProjects",
    tag: "projects",
    summary: "The cached projects",
    about: "What GitLab has to decide itself (`owned`, `starred` and the like; with `access.mode = gitlab` also `membership` and \
            `min_access_level`) is passed on, or 400 where it cannot be. By key with `order_by=id` only. GitLab is asked for the newest \
            hundred when the list is older than `api.max_age`: where there are more, it is not complete \
            until the next pass. With `access.mode = gitlab` GitLab is asked about each project that is counted, for a second at \
            most: meanwhile, and of more than 1,000 projects, there are no totals.",
    parameters: &[
        CHOSEN_BY,
        &[
            parameter(
                "membership",
                Kind::Switch,
                "Only those of whoever asks; of who needs no token of GitLab, all are.",
            ),
            parameter("active", Kind::Switch, "Only those neither archived nor about to be deleted, or only others."),
            parameter("id_after", Kind::Number(0, i64::MAX as u64), "Only with an id above this one."),
            parameter("id_before", Kind::Number(0, i64::MAX as u64), "Only with an id below this one."),
            parameter("last_activity_after", Kind::Date, "Only when something happened since."),
            parameter("last_activity_before", Kind::Date, "Only when nothing happened since."),
            parameter("updated_after", Kind::Date, "Only when changed since."),
            parameter("updated_before", Kind::Date, "Only when not changed since."),
        ],
        KEYSET,
        PAGING,
    ],
    basis: Basis::Cached,
    answer: Answer::List(shapes::PROJECT),
    problems: &[],
};

pub(super) const SHOW: Operation = Operation {
    id: "getProject",
    tag: "projects",
    summary: "One project",
    about: "",
    parameters: &[],
    basis: Basis::Cached,
    answer: Answer::One(shapes::PROJECT),
    problems: &[],
};

/// Answers with a page of the cached projects that the reader may see.
pub(super) async fn list(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    parameters::judge(&query, &view)?;
    let choice = Choice {
        active: query.switch("active")?,
        id_after: query.id("id_after")?,
        id_before: query.id("id_before")?,
        activity: query.span("last_activity_after", "last_activity_before")?,
        updated: query.span("updated_after", "updated_before")?,
        ..chosen_by(&query)?
    };
    if query.is_keyset() {
        return by_key(&request, &query, &view, choice).await;
    }
    let paging = query.shallow_paging("Project")?;
    let (facts, roster) = view.project_facts().await?;
    let chosen = view.chosen(&choice, facts).await?;
    let listed = page(&query, &view, roster, chosen, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &listed))
}

async fn by_key(request: &HttpRequest, query: &Query, view: &View, choice: Choice) -> Result<HttpResponse, Problem> {
    if choice.order != Order::Id {
        return Err(Problem::NoKeyset);
    }
    let per_page = query.paging()?.per_page;
    let key = if choice.ascending { "id_after" } else { "id_before" };
    let (facts, roster) = view.project_facts().await?;
    let chosen = view.chosen(&choice, facts).await?;
    let (listed, last) = view.projects_of(roster, chosen, Slice { offset: 0, limit: per_page }, Duration::ZERO).await?;
    let next = last.filter(|_| listed.page.total > per_page).map(|last| (key, last.to_string()));
    Ok(listing::respond_keyset(request, query, per_page, &shown(query, listed)?, next))
}

/// Returns a page of chosen projects.
pub(super) async fn page(
    query: &Query,
    view: &View,
    roster: Roster,
    chosen: Vec<ProjectId>,
    slice: Slice,
) -> Result<Listed, Problem> {
    let (listed, _) = view.projects_of(roster, chosen, slice, COUNTING).await?;
    shown(query, listed)
}

fn shown(query: &Query, mut listed: Listed) -> Result<Listed, Problem> {
    if query.flag("simple")? {
        listed.page.rows = listed.page.rows.into_iter().map(simple).collect();
    }
    Ok(listed)
}

/// Reads what all lists of projects are chosen by.
pub(super) fn chosen_by(query: &Query) -> Result<Choice, Problem> {
    let orders = [
        ("id", Order::Id),
        ("name", Order::Name),
        ("path", Order::Path),
        ("created_at", Order::CreatedAt),
        ("updated_at", Order::UpdatedAt),
        ("last_activity_at", Order::LastActivityAt),
    ];
    let visibilities = ["private", "internal", "public"].map(|word| (word, word));
    Ok(Choice {
        search: query.owned("search"),
        search_namespaces: query.flag("search_namespaces")?,
        topics: parameters::topics(query),
        enabled: parameters::enabled(query)?,
        visibility: query.word("visibility", &visibilities)?.map(str::to_owned),
        archived: query.switch("archived")?,
        order: query.word("order_by", &orders)?.unwrap_or_default(),
        ascending: query.choice("sort", "asc", "desc")?.unwrap_or(false),
        ..Choice::default()
    })
}

/// Answers with one project, by id or by path.
pub(super) async fn show(
    request: HttpRequest,
    project: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    parameters::judge_one(&Query::of(&request), &view)?;
    let held = view.document(&project).await?;
    Ok(reply::json(&request, held.provenance, held.row.text))
}
