//! What a list of pipelines is asked with: the filter in MongoDB's words, and the index by which the least is looked at.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use mongodb::bson::{Bson, Document as Filter, doc};
use serde::Deserialize;

use super::reach::Collections;
use super::schema::{
    PIPELINES, PIPELINES_BY_ID, PIPELINES_BY_NAME, PIPELINES_BY_REF, PIPELINES_BY_REF_AND_STATUS, PIPELINES_BY_SHA,
    PIPELINES_BY_SOURCE, PIPELINES_BY_SOURCE_AND_STATUS, PIPELINES_BY_STATUS, PIPELINES_BY_UPDATE, PIPELINES_OF_REFS,
    PIPELINES_OF_TAGS,
};
use super::trouble::Trouble;
use super::values::{date, integer};
use crate::domain::ProjectId;
use crate::store::{PipelineFilter, PipelineOrder, PipelineScope, Span};

/// The source of child pipelines: lists leave them out unless they are asked for.
pub(super) const CHILD: &str = "parent_pipeline";

/// Returns the index by which the least documents are looked at, or none has to be sorted.
pub(super) fn index(filter: &PipelineFilter) -> &'static str {
    match filter {
        // The latest of each ref are found by their ids.
        PipelineFilter { scope: Some(PipelineScope::Branches | PipelineScope::Tags), .. } => PIPELINES_BY_ID,
        PipelineFilter { sha: Some(_), .. } => PIPELINES_BY_SHA,
        PipelineFilter { updated, order, .. } if *updated != Span::default() || *order == PipelineOrder::UpdatedAt => {
            PIPELINES_BY_UPDATE
        }
        PipelineFilter { name: Some(_), .. } => PIPELINES_BY_NAME,
        PipelineFilter { ref_: Some(_), status, source, order: PipelineOrder::Id, .. }
            if status.is_some() || source.is_some() =>
        {
            match (status, source) {
                (Some(_), Some(_)) => PIPELINES_BY_SOURCE_AND_STATUS,
                (Some(_), None) => PIPELINES_BY_REF_AND_STATUS,
                _ => PIPELINES_OF_REFS,
            }
        }
        PipelineFilter { ref_: Some(_), .. } | PipelineFilter { order: PipelineOrder::Ref, .. } => PIPELINES_BY_REF,
        PipelineFilter { status: Some(_), .. } | PipelineFilter { order: PipelineOrder::Status, .. } => {
            PIPELINES_BY_STATUS
        }
        PipelineFilter { source: Some(_), .. } => PIPELINES_BY_SOURCE,
        PipelineFilter { scope: Some(_), .. } => PIPELINES_BY_STATUS,
        _ => PIPELINES_BY_ID,
    }
}

/// Returns what a filter asks for.
pub(super) async fn asked(
    collections: &Collections,
    project: ProjectId,
    filter: &PipelineFilter,
) -> Result<Filter, Trouble> {
    let mut asked = doc! { "project": integer(project.0) };
    let equal = [("ref", &filter.ref_), ("sha", &filter.sha), ("name", &filter.name)];
    for (name, value) in equal.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        asked.insert(name, value);
    }
    match &filter.source {
        Some(source) => asked.insert("source", source),
        None => asked.insert("source", doc! { "$ne": CHILD }),
    };
    for (name, span) in [("updated_at", filter.updated), ("created_at", filter.created)] {
        if let Some(span) = within(span) {
            asked.insert(name, span);
        }
    }
    let mut all = Vec::new();
    if let Some(status) = &filter.status {
        all.push(doc! { "status": status });
    }
    if let Some(statuses) = filter.scope.and_then(PipelineScope::statuses) {
        all.push(doc! { "status": { "$in": statuses } });
    }
    let latest = match filter.scope {
        Some(PipelineScope::Tags) => Some(latest_of_tags(collections, project).await?),
        Some(PipelineScope::Branches) => Some(latest_of_branches(collections, project).await?),
        _ => None,
    };
    if let Some(latest) = latest {
        all.push(doc! { "_id": { "$in": latest } });
    }
    if !all.is_empty() {
        asked.insert("$and", all);
    }
    Ok(asked)
}

fn within(span: Span) -> Option<Filter> {
    let ends = [("$gte", span.after), ("$lte", span.before)];
    let ends: Filter =
        ends.into_iter().filter_map(|(end, time)| Some((end.to_owned(), Bson::from(date(time?))))).collect();
    (!ends.is_empty()).then_some(ends)
}

/// Returns the latest pipeline of each tag.
async fn latest_of_tags(collections: &Collections, project: ProjectId) -> Result<Vec<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Latest {
        id: i64,
    }
    let of = doc! { "project": integer(project.0), "tag": true, "ref": { "$gte": "" }, "source": { "$ne": CHILD } };
    let stages = [doc! { "$match": of }, doc! { "$group": { "_id": "$ref", "id": { "$max": "$_id" } } }];
    let found: Vec<Latest> = collections.aggregated(PIPELINES, stages, Some(PIPELINES_OF_TAGS)).await?;
    Ok(found.into_iter().map(|latest| latest.id).collect())
}

/// Returns the latest pipeline of each branch. The index is asked for the first pipeline of each ref of each source, so that it
/// goes from ref to ref, not from pipeline to pipeline; only of a ref that names a tag, too, every pipeline is looked at.
async fn latest_of_branches(collections: &Collections, project: ProjectId) -> Result<Vec<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Source {
        #[serde(rename = "_id")]
        source: Option<Box<str>>,
    }
    #[derive(Deserialize)]
    struct Latest {
        #[serde(rename = "_id")]
        ref_: Box<str>,
        id: i64,
        #[serde(default)]
        tag: Option<bool>,
    }
    let number = integer(project.0);
    let stages = [doc! { "$match": { "project": number } }, doc! { "$group": { "_id": "$source" } }];
    let sources: Vec<Source> = collections.aggregated(PIPELINES, stages, Some(PIPELINES_OF_REFS)).await?;
    let sources = sources.into_iter().map(|found| found.source).filter(|source| source.as_deref() != Some(CHILD));
    // `refs/…` is no branch: `0` follows `/`.
    let ranges = [doc! { "$gte": "", "$lt": "refs/" }, doc! { "$gte": "refs0" }];
    let asked = sources.flat_map(|source| {
        ranges.clone().map(|range| {
            let of = doc! { "project": number, "source": source.as_deref(), "ref": range };
            let first = doc! { "_id": "$ref", "id": { "$first": "$_id" }, "tag": { "$first": "$tag" } };
            let stages = [doc! { "$match": of }, doc! { "$sort": { "ref": 1, "_id": -1 } }, doc! { "$group": first }];
            collections.aggregated::<Latest>(PIPELINES, stages, Some(PIPELINES_OF_REFS))
        })
    });
    let mut latest: BTreeMap<Box<str>, i64> = BTreeMap::new();
    let mut newest = |ref_, id: i64| {
        latest.entry(ref_).and_modify(|known| *known = id.max(*known)).or_insert(id);
    };
    let mut of_tags = BTreeSet::new();
    for Latest { ref_, id, tag } in try_join_all(asked).await?.into_iter().flatten() {
        if tag == Some(true) {
            of_tags.insert(ref_);
        } else {
            newest(ref_, id);
        }
    }
    if !of_tags.is_empty() {
        let of_tags: Vec<&str> = of_tags.iter().map(|ref_| &**ref_).collect();
        let of = doc! {
            "project": number, "ref": { "$in": of_tags }, "source": { "$ne": CHILD }, "tag": { "$ne": true },
        };
        let stages = [doc! { "$match": of }, doc! { "$group": { "_id": "$ref", "id": { "$max": "$_id" } } }];
        let found: Vec<Latest> = collections.aggregated(PIPELINES, stages, Some(PIPELINES_BY_REF)).await?;
        found.into_iter().for_each(|Latest { ref_, id, .. }| newest(ref_, id));
    }
    Ok(latest.into_values().collect())
}
