//! Reading pipelines, their trigger jobs and their reports' states.

use mongodb::bson::{Bson, Document as Filter, doc};
use serde::Deserialize;

use super::Mongo;
use super::blobs;
use super::documents::PipelineDocument;
use super::jobs::Text;
use super::query::Query;
use super::reach::Collections;
use super::schema::{
    BRIDGES, PIPELINES, PIPELINES_BY_ID, PIPELINES_BY_NAME, PIPELINES_BY_REF, PIPELINES_BY_REPORT, PIPELINES_BY_SHA,
    PIPELINES_BY_SOURCE, PIPELINES_BY_STATUS, PIPELINES_BY_UPDATE,
};
use super::trouble::Trouble;
use super::values::{date, integer, natural};
use crate::domain::{Document, Piece, PipelineKey, ProjectId, Status};
use crate::store::metrics::Operation;
use crate::store::{
    COUNTED, Error, Page, PipelineFilter, PipelineOrder, PipelineRow, PipelineScope, PipelineTally, Slice, Span,
};

/// A counter of rows, as an aggregation answers it.
#[derive(Debug, Deserialize)]
struct Counted {
    total: i64,
}

impl Mongo {
    pub(in crate::store) async fn pipelines(
        &self,
        project: ProjectId,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("pipelines", "list pipelines"), |collections| async move {
            let asked = asked(&collections, project, &filter).await?;
            let index = index(&filter);
            let direction = if filter.ascending { 1 } else { -1 };
            let mut order = match filter.order {
                PipelineOrder::Id => Filter::new(),
                PipelineOrder::Status => doc! { "status": direction },
                PipelineOrder::Ref => doc! { "ref": direction },
                PipelineOrder::UpdatedAt => doc! { "updated_at": direction },
            };
            order.insert("_id", direction);
            page(&collections, PIPELINES, asked, order, Some(index), slice).await
        })
        .await
        .map(|Page { rows, total }| Page { rows: rows.into_iter().map(Text::document).collect(), total })
    }

    pub(in crate::store) async fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        self.read(Operation("pipeline", "read a pipeline"), |collections| async move {
            let asked = doc! { "_id": integer(key.pipeline.0), "project": integer(key.project.0) };
            let found = collections.one::<PipelineDocument>(PIPELINES, Query::of(asked)).await?;
            let Some(found) = found else { return Ok(None) };
            let summary = found.report.summary_blob;
            let mut row = found.into_row();
            if let Some(blob) = summary {
                row.report.summary = Some(whole_text(&collections, blob).await?);
            }
            Ok(Some(row))
        })
        .await
    }
    pub(in crate::store) async fn bridges(&self, key: PipelineKey) -> Result<Option<Document>, Error> {
        self.read(Operation("bridges", "read a pipeline's trigger jobs"), |collections| async move {
            let asked = doc! { "_id": integer(key.pipeline.0), "project": integer(key.project.0) };
            Ok(collections.one(BRIDGES, Query::of(asked)).await?.map(Text::document))
        })
        .await
    }
}

/// Returns the index by which the least documents are looked at, or none has to be sorted.
fn index(filter: &PipelineFilter) -> &'static str {
    match filter {
        // The latest of each ref are found by their ids.
        PipelineFilter { scope: Some(PipelineScope::Branches | PipelineScope::Tags), .. } => PIPELINES_BY_ID,
        PipelineFilter { sha: Some(_), .. } => PIPELINES_BY_SHA,
        PipelineFilter { updated, order, .. } if *updated != Span::default() || *order == PipelineOrder::UpdatedAt => {
            PIPELINES_BY_UPDATE
        }
        PipelineFilter { name: Some(_), .. } => PIPELINES_BY_NAME,
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
async fn asked(collections: &Collections, project: ProjectId, filter: &PipelineFilter) -> Result<Filter, Trouble> {
    let mut asked = doc! { "project": integer(project.0) };
    let equal = [("ref", &filter.ref_), ("sha", &filter.sha), ("name", &filter.name)];
    for (name, value) in equal.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
        asked.insert(name, value);
    }
    match &filter.source {
        Some(source) => asked.insert("source", source),
        None => asked.insert("source", doc! { "$ne": "parent_pipeline" }),
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
    let latest_of = match filter.scope {
        Some(PipelineScope::Tags) => Some(doc! { "tag": true }),
        Some(PipelineScope::Branches) => {
            Some(doc! { "tag": { "$ne": true }, "ref": { "$not": { "$regex": "^refs/" } } })
        }
        _ => None,
    };
    if let Some(kind) = latest_of {
        all.push(doc! { "_id": { "$in": latest(collections, project, kind).await? } });
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

/// Returns the latest pipeline of each ref of a kind.
async fn latest(collections: &Collections, project: ProjectId, mut kind: Filter) -> Result<Vec<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Latest {
        id: i64,
    }
    kind.insert("project", integer(project.0));
    kind.insert("source", doc! { "$ne": "parent_pipeline" });
    let stages = [doc! { "$match": kind }, doc! { "$group": { "_id": "$ref", "id": { "$max": "$_id" } } }];
    let found = collections.aggregated::<Latest>(PIPELINES, stages, Some(PIPELINES_BY_ID)).await?;
    Ok(found.into_iter().map(|latest| latest.id).collect())
}

/// Counts a project's pipelines by the state of their reports.
pub(super) async fn tally(collections: &Collections, project: i64) -> Result<Vec<PipelineTally>, Trouble> {
    #[derive(Deserialize)]
    struct State {
        status: Box<str>,
        report: Box<str>,
    }
    #[derive(Deserialize)]
    struct Tally {
        #[serde(rename = "_id")]
        state: State,
        count: i64,
    }
    let state = doc! { "status": "$status", "report": "$report.piece" };
    let stages =
        [doc! { "$match": { "project": project } }, doc! { "$group": { "_id": state, "count": { "$sum": 1_i64 } } }];
    let found = collections.aggregated::<Tally>(PIPELINES, stages, Some(PIPELINES_BY_REPORT)).await?;
    let tally = |Tally { state, count }| PipelineTally {
        status: Status(state.status),
        report: Piece::from_word(&state.report),
        count: natural(count),
    };
    Ok(found.into_iter().map(tally).collect())
}

/// Reads some rows of a list and counts it as far as lists are counted.
pub(super) async fn page(
    collections: &Collections,
    name: &str,
    asked: Filter,
    order: Filter,
    index: Option<&str>,
    slice: Slice,
) -> Result<Page<Text>, Trouble> {
    let counted = integer(COUNTED + 1);
    let stages = [doc! { "$match": asked.clone() }, doc! { "$limit": counted }, doc! { "$count": "total" }];
    let count = collections.aggregated::<Counted>(name, stages, index);
    let rows = Query::of(asked).sort(order).fields(doc! { "doc": 1, "as_of": 1 }).skip(slice.offset);
    let rows = rows.limit(integer(slice.limit + 1));
    let rows = match index {
        Some(index) => rows.index(index),
        None => rows,
    };
    let (count, rows) = tokio::try_join!(count, collections.rows::<Text>(name, rows))?;
    Ok(Page::bounded(rows, slice, count.first().map_or(0, |count| natural(count.total))))
}

/// Reads a small blob that is a text.
async fn whole_text(collections: &Collections, blob: i64) -> Result<Box<str>, Trouble> {
    let mut whole = Vec::new();
    let mut number = 0;
    while let Some(chunk) = blobs::read_chunk(collections, blob, number).await? {
        whole.extend_from_slice(&chunk);
        number += 1;
    }
    String::from_utf8(whole).map(String::into_boxed_str).map_err(|_| Trouble::Unreadable("summary"))
}
