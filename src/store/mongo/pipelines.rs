//! Reading pipelines and their trigger jobs.

use std::collections::HashMap;

use mongodb::bson::{Document as Filter, doc};
use serde::Deserialize;

use super::Mongo;
use super::blobs;
use super::documents::PipelineDocument;
use super::jobs::Text;
use super::pieces::DetailPart;
use super::query::Query;
use super::reach::Collections;
use super::schema::{BRIDGES, PIPELINES};
use super::trouble::Trouble;
use super::values::integer;
use super::{counts, lists};
use crate::domain::{Document, PipelineId, PipelineKey, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, PipelineFilter, PipelineOrder, PipelineRow, Slice};

impl Mongo {
    pub(in crate::store) async fn pipelines(
        &self,
        project: ProjectId,
        filter: PipelineFilter,
        slice: Slice,
    ) -> Result<Page<Document>, Error> {
        self.read(Operation("pipelines", "list pipelines"), |collections| async move {
            let asked = lists::asked(&collections, project, &filter).await?;
            let index = lists::index(&filter);
            let direction = if filter.ascending { 1 } else { -1 };
            let mut order = match filter.order {
                PipelineOrder::Id => Filter::new(),
                PipelineOrder::Status => doc! { "status": direction },
                PipelineOrder::Ref => doc! { "ref": direction },
                PipelineOrder::UpdatedAt => doc! { "updated_at": direction },
            };
            order.insert("_id", direction);
            let count = async {
                match counts::by_keys(&collections, project, &filter).await? {
                    Some(count) => Ok(count),
                    None => counts::count(&collections, PIPELINES, asked.clone(), Some(index)).await,
                }
            };
            page(&collections, PIPELINES, Query::of(asked.clone()).sort(order).index(index), count, slice).await
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

    pub(in crate::store) async fn pipeline_details(
        &self,
        project: ProjectId,
        ids: Vec<PipelineId>,
    ) -> Result<Vec<(PipelineId, Document)>, Error> {
        #[derive(Deserialize)]
        struct Detailed {
            #[serde(rename = "_id")]
            id: i64,
            detail: Option<DetailPart>,
        }
        self.read(Operation("pipeline_details", "read pipelines' own documents"), |collections| async move {
            let asked: Vec<i64> = ids.iter().map(|id| integer(id.0)).collect();
            let found = Query::of(doc! { "_id": { "$in": asked }, "project": integer(project.0) });
            let found: Vec<Detailed> = collections.rows(PIPELINES, found.fields(doc! { "detail": 1 })).await?;
            let document = |found: Detailed| Some((found.id, found.detail?.record().document?));
            let mut found: HashMap<i64, Document> = found.into_iter().filter_map(document).collect();
            Ok(ids.iter().filter_map(|id| Some((*id, found.remove(&integer(id.0))?))).collect())
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

/// Reads some rows of a list while it is counted as far as lists are counted.
pub(super) async fn page(
    collections: &Collections,
    name: &str,
    rows: Query,
    count: impl Future<Output = Result<u64, Trouble>>,
    slice: Slice,
) -> Result<Page<Text>, Trouble> {
    let rows = rows.fields(doc! { "doc": 1, "as_of": 1 }).skip(slice.offset).limit(integer(slice.limit + 1));
    let (count, rows) = tokio::try_join!(count, collections.rows::<Text>(name, rows))?;
    Ok(Page::bounded(rows, slice, count))
}

/// Reads a small blob that is a text.
async fn whole_text(collections: &Collections, blob: i64) -> Result<Box<str>, Trouble> {
    let mut whole = Vec::new();
    let mut number = 0;
    while let Some(chunk) = blobs::read_chunk(collections, blob, number).await? {
        if chunk.sound == Some(false) {
            return Err(Trouble::Unreadable("summary"));
        }
        whole.extend_from_slice(&chunk.bytes);
        number += 1;
    }
    String::from_utf8(whole).map(String::into_boxed_str).map_err(|_| Trouble::Unreadable("summary"))
}
