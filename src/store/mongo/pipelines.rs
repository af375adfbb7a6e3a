//! Reading pipelines and projects.

use mongodb::bson::{Document as Filter, doc};
use serde::Deserialize;

use super::Mongo;
use super::blobs;
use super::jobs::Text;
use super::query::Query;
use super::reach::Collections;
use super::schema::{PIPELINES, PIPELINES_LISTED, PROJECTS};
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::domain::{Document, PipelineKey, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, PipelineFilter, PipelineRow, Slice};

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
            let PipelineFilter { status, ref_, sha, source, ascending } = filter;
            let mut asked = doc! { "project": integer(project.0) };
            for (name, value) in [("status", status), ("ref", ref_), ("sha", sha)] {
                if let Some(value) = value {
                    asked.insert(name, value);
                }
            }
            match source {
                Some(source) => asked.insert("source", source),
                None => asked.insert("source", doc! { "$ne": "parent_pipeline" }),
            };
            let order = doc! { "_id": if ascending { 1 } else { -1 } };
            page(&collections, PIPELINES, asked, order, Some(PIPELINES_LISTED), slice).await
        })
        .await
        .map(|Page { rows, total }| Page { rows: rows.into_iter().map(Text::document).collect(), total })
    }

    pub(in crate::store) async fn pipeline(&self, key: PipelineKey) -> Result<Option<PipelineRow>, Error> {
        self.read(Operation("pipeline", "read a pipeline"), |collections| async move {
            let asked = doc! { "_id": integer(key.pipeline.0), "project": integer(key.project.0) };
            let Some(found) = collections.pipelines().find_one(asked).await? else { return Ok(None) };
            let summary = found.report.summary_blob;
            let mut row = found.into_row();
            if let Some(blob) = summary {
                row.report.summary = Some(whole_text(&collections, blob).await?);
            }
            Ok(Some(row))
        })
        .await
    }

    pub(in crate::store) async fn projects(&self, slice: Slice) -> Result<Page<(ProjectId, Document)>, Error> {
        self.read(Operation("projects", "list projects"), |collections| async move {
            page(&collections, PROJECTS, Filter::new(), doc! { "_id": 1 }, None, slice).await
        })
        .await
        .map(|Page { rows, total }| Page { rows: rows.into_iter().map(project).collect(), total })
    }

    pub(in crate::store) async fn project(&self, id: ProjectId) -> Result<Option<Document>, Error> {
        self.read(Operation("project", "read a project"), |collections| async move {
            let found = collections.of::<Text>(PROJECTS).find_one(doc! { "_id": integer(id.0) }).await?;
            Ok(found.map(Text::document))
        })
        .await
    }

    pub(in crate::store) async fn project_by_path(&self, path: String) -> Result<Option<(ProjectId, Document)>, Error> {
        self.read(Operation("project_by_path", "find a project"), |collections| async move {
            let named = doc! { "path_key": path.to_ascii_lowercase() };
            let found = collections.of::<Text>(PROJECTS).find_one(named).sort(doc! { "as_of": -1 }).await?;
            Ok(found.map(project))
        })
        .await
    }
}

fn project(found: Text) -> (ProjectId, Document) {
    (ProjectId(natural(found.id)), found.document())
}

/// Reads some rows of a list and counts all of it.
async fn page(
    collections: &Collections,
    name: &str,
    asked: Filter,
    order: Filter,
    index: Option<&str>,
    slice: Slice,
) -> Result<Page<Text>, Trouble> {
    let stages = [doc! { "$match": asked.clone() }, doc! { "$count": "total" }];
    let count = collections.aggregated::<Counted>(name, stages, index);
    let rows = Query::of(asked).sort(order).fields(doc! { "doc": 1, "as_of": 1 }).skip(slice.offset);
    let rows = rows.limit(integer(slice.limit));
    let rows = async {
        match (slice.limit, index) {
            (0, _) => Ok(Vec::new()),
            (_, Some(index)) => collections.rows::<Text>(name, rows.index(index)).await,
            (_, None) => collections.rows::<Text>(name, rows).await,
        }
    };
    let (count, rows) = tokio::try_join!(count, rows)?;
    Ok(Page { rows, total: count.first().map_or(0, |count| natural(count.total)) })
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
