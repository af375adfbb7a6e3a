//! Groups and their projects; a group is known by its projects only (contract, section 5.3).

mod known;

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::choice::{Choice, Group};
use super::openapi::{Answer, Basis, Kind, Operation, PAGING, parameter, shapes};
use super::projects::{self, CHOSEN_BY};
use super::provenance::{Complete, Listed};
use super::query::Query;
use super::view::View;
use super::{listing, reply};
use crate::domain::{Document, Timestamp};
use crate::store::Slice;

pub(super) const LIST: Operation = Operation {
    id: "listGroups",
    tag: "groups",
    summary: "The groups of the cached projects",
    about: "With `access.mode = gitlab` GitLab's to answer. What a project does not tell of its groups is left out, and the list never \
            calls itself complete.",
    parameters: &[
        &[
            parameter("search", Kind::Text, "Part of the name or the path."),
            parameter("top_level_only", Kind::Switch, "Only those that are in no other."),
            parameter("order_by", Kind::Word(&["name", "path", "id"]), "`name` if left out."),
            parameter("sort", Kind::Word(&["asc", "desc"]), "The smallest first (if left out), or the largest."),
        ],
        PAGING,
    ],
    basis: Basis::Derived,
    answer: Answer::List(shapes::GROUP),
    problems: &[],
};

pub(super) const SHOW: Operation = Operation {
    id: "getGroup",
    tag: "groups",
    summary: "A group of cached projects",
    about: "What one of its projects tells of it; the rest is left out. With `api.pass_through = caller` GitLab's to answer.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::GROUP),
    problems: &[],
};

/// What GitLab can choose groups by and Cistern cannot.
const UNSUPPORTED: [&str; 8] = [
    "active",
    "archived",
    "custom_attributes",
    "marked_for_deletion_on",
    "min_access_level",
    "repository_storage",
    "skip_groups",
    "visibility",
];

pub(super) const PROJECTS: Operation = Operation {
    id: "listGroupProjects",
    tag: "projects",
    summary: "The cached projects of a group",
    about: "A group is known by its cached projects. Which other projects are shared with it is not: `with_shared` changes \
            nothing.",
    parameters: &[
        CHOSEN_BY,
        &[
            parameter("include_subgroups", Kind::Switch, "Those of the groups in it, too."),
            parameter("with_shared", Kind::Switch, "Left alone."),
        ],
        PAGING,
    ],
    basis: Basis::Derived,
    answer: Answer::List(shapes::PROJECT),
    problems: &[],
};

/// Answers with a page of groups.
pub(super) async fn list(request: HttpRequest, view: View) -> Result<HttpResponse, Problem> {
    if view.is_judged() {
        return Err(Problem::UnknownPath);
    }
    let query = Query::of(&request);
    query.refuse(&UNSUPPORTED)?;
    if query.flag("owned")? || query.text("order_by") == Some("similarity") {
        return Err(Problem::Unsupported(if query.flag("owned")? { "owned" } else { "order_by" }));
    }
    let key = query.word("order_by", &["name", "path", "id"].map(|key| (key, key)))?.unwrap_or("name");
    let ascending = query.choice("sort", "asc", "desc")?.unwrap_or(true);
    let (paging, top_level, words) = (query.paging()?, query.flag("top_level_only")?, query.text("search"));
    let words = words.unwrap_or_default().to_lowercase();
    let (facts, roster) = view.project_facts().await?;
    let mut rows = Vec::new();
    for (path, projects) in known::groups(&facts) {
        rows.extend(known::described(&view, roster, &path, projects).await?);
    }
    rows.retain(|group| {
        let has = |key: &str| group[key].as_str().is_some_and(|text| text.to_lowercase().contains(&words));
        (has("name") || has("path")) && !(top_level && group["parent_id"].is_number())
    });
    rows.sort_by_key(|group| (group[key].as_str().map(str::to_lowercase), group["id"].as_u64()));
    if !ascending {
        rows.reverse();
    }
    let as_of = Timestamp::now();
    let rows = rows.into_iter().map(|group| Document { text: group.to_string().into(), as_of }).collect();
    let page = listing::page_of(rows, paging.slice());
    let listed = Listed { page, provenance: roster.provenance(), complete: Complete::No, counted: true };
    Ok(listing::respond(&request, &query, paging, &listed))
}

/// Answers with one group.
pub(super) async fn show(request: HttpRequest, group: web::Path<String>, view: View) -> Result<HttpResponse, Problem> {
    if view.is_passed_on() {
        return Err(Problem::UnknownPath);
    }
    let (facts, roster) = view.project_facts().await?;
    let path = Group::find(&group, &facts, true).map(|group| group.path.to_lowercase());
    let found = match path.and_then(|path| known::groups(&facts).remove_entry(&path)) {
        Some((path, projects)) => known::described(&view, roster, &path, projects).await?,
        None => None,
    };
    let text = found.ok_or(Problem::GroupNotFound)?.to_string();
    Ok(reply::json(&request, roster.provenance(), text))
}

/// Answers with a page of a group's projects.
pub(super) async fn projects(
    request: HttpRequest,
    group: web::Path<String>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request);
    projects::judge(&query, &view)?;
    if query.is_keyset() {
        return Err(Problem::NoKeyset);
    }
    let (choice, paging) = (projects::chosen_by(&query)?, query.paging()?);
    let (subgroups, _) = (query.flag("include_subgroups")?, query.flag("with_shared")?);
    let (facts, roster) = view.project_facts().await?;
    let Some(group) = Group::find(&group, &facts, subgroups) else {
        // A token that is none is refused, whatever it asks for.
        if view.named().is_ok() {
            view.identified().await?;
        }
        return Err(Problem::GroupNotFound);
    };
    // Whoever sees none of its projects does not learn that there is such a group.
    let any = Choice { group: Some(Group { subgroups: true, ..group.clone() }), ..Choice::default() };
    let (first, _) =
        view.projects_of(roster, any.of(facts.clone()), Slice { offset: 0, limit: 1 }, Duration::ZERO).await?;
    if first.page.rows.is_empty() {
        return Err(Problem::GroupNotFound);
    }
    let chosen = view.chosen(&Choice { group: Some(group), ..choice }, facts).await?;
    let listed = projects::page(&query, &view, roster, chosen, paging.slice()).await?;
    Ok(listing::respond(&request, &query, paging, &listed))
}
