//! How many pipelines a list has.
//!
//! The server counts the keys of an index without looking into them if a count asks for nothing but equal values of the
//! first fields of that index: several times as fast as by any other condition. So what a list leaves out, child pipelines, is
//! counted apart and taken away. What is written between two counts can make a sum wrong by as much, until the next read.

use futures_util::future::try_join_all;
use mongodb::bson::{Document as Filter, doc};
use serde::Deserialize;

use super::lists::CHILD;
use super::reach::Collections;
use super::schema::{
    PIPELINES, PIPELINES_BY_ID, PIPELINES_BY_REF, PIPELINES_BY_REF_AND_STATUS, PIPELINES_BY_SOURCE,
    PIPELINES_BY_SOURCE_AND_STATUS, PIPELINES_BY_STATUS, PIPELINES_OF_REFS,
};
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::domain::ProjectId;
use crate::store::{COUNTED, PipelineFilter, PipelineScope, Span};

/// A counter of rows, as an aggregation answers it.
#[derive(Debug, Deserialize)]
struct Counted {
    total: i64,
}

/// Counts documents that a filter meets, one by one, as far as lists are counted.
pub(super) async fn count(
    collections: &Collections,
    name: &str,
    asked: Filter,
    index: Option<&str>,
) -> Result<u64, Trouble> {
    let stages = [doc! { "$match": asked }, doc! { "$limit": integer(COUNTED + 1) }, doc! { "$count": "total" }];
    let count: Vec<Counted> = collections.aggregated(name, stages, index).await?;
    Ok(count.first().map_or(0, |count| natural(count.total)))
}

/// Counts a list by the keys of indexes, as far as lists are counted; `None` when it asks for more than they tell apart.
pub(super) async fn by_keys(
    collections: &Collections,
    project: ProjectId,
    filter: &PipelineFilter,
) -> Result<Option<u64>, Trouble> {
    let PipelineFilter { sha, name, updated, created, scope, .. } = filter;
    let latest = matches!(scope, Some(PipelineScope::Branches | PipelineScope::Tags));
    if latest || sha.is_some() || name.is_some() || *updated != Span::default() || *created != Span::default() {
        return Ok(None);
    }
    let (ref_, source) = (filter.ref_.as_deref(), filter.source.as_deref());
    let statuses = statuses(filter);
    let sum = async |source, most: u64| -> Result<u64, Trouble> {
        let counts = statuses.iter().map(|status| {
            let (equal, index) = keys(project, ref_, source, *status);
            collections.counted(PIPELINES, equal, index, most)
        });
        Ok(try_join_all(counts).await?.into_iter().sum())
    };
    let left_out = if source.is_some() { 0 } else { sum(Some(CHILD), u64::MAX).await? };
    let all = sum(source, left_out + COUNTED + 1).await?;
    Ok(Some(all.saturating_sub(left_out).min(COUNTED + 1)))
}

/// Returns the statuses that are counted one by one; `None` in it is any.
fn statuses(filter: &PipelineFilter) -> Vec<Option<&str>> {
    match (filter.status.as_deref(), filter.scope.and_then(PipelineScope::statuses)) {
        (status, None) => vec![status],
        (None, Some(statuses)) => statuses.iter().map(|status| Some(*status)).collect(),
        (Some(status), Some(statuses)) => statuses.contains(&status).then_some(Some(status)).into_iter().collect(),
    }
}

/// Returns equal values to count by and the index that begins with their fields.
fn keys(project: ProjectId, ref_: Option<&str>, source: Option<&str>, status: Option<&str>) -> (Filter, &'static str) {
    let index = match (source, status, ref_) {
        (None, None, None) => PIPELINES_BY_ID,
        (None, None, Some(_)) => PIPELINES_BY_REF,
        (None, Some(_), None) => PIPELINES_BY_STATUS,
        (None, Some(_), Some(_)) => PIPELINES_BY_REF_AND_STATUS,
        (Some(_), None, None) => PIPELINES_BY_SOURCE,
        (Some(_), None, Some(_)) => PIPELINES_OF_REFS,
        (Some(_), Some(_), _) => PIPELINES_BY_SOURCE_AND_STATUS,
    };
    let mut equal = doc! { "project": integer(project.0) };
    for (field, value) in [("source", source), ("status", status), ("ref", ref_)] {
        if let Some(value) = value {
            equal.insert(field, value);
        }
    }
    (equal, index)
}
