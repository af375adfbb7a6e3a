//! The projects of a group, which is known by its projects only (contract, section 5.3).

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::answer::Problem;
use super::choice::{Choice, Group};
use super::listing;
use super::openapi::{Answer, Basis, Kind, Operation, PAGING, parameter, shapes};
use super::projects::{self, CHOSEN_BY};
use super::query::Query;
use super::view::View;
use crate::store::Slice;

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
