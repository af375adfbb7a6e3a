//! Reading projects.

use std::collections::HashMap;

use mongodb::bson::{Document as Filter, doc};
use serde::Deserialize;

use super::Mongo;
use super::counts::count;
use super::jobs::Text;
use super::paths;
use super::pipelines::page;
use super::query::Query;
use super::schema::PROJECTS;
use super::values::{integer, natural};
use crate::domain::{Document, ProjectFacts, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{Error, Page, Slice};

/// What lists of projects are chosen by; an earlier version wrote none.
#[derive(Debug, Deserialize)]
struct Facts {
    #[serde(rename = "_id")]
    id: i64,
    facts: Option<Box<str>>,
}

impl Mongo {
    pub(in crate::store) async fn projects(&self, slice: Slice) -> Result<Page<(ProjectId, Document)>, Error> {
        self.read(Operation("projects", "list projects"), |collections| async move {
            let count = count(&collections, PROJECTS, Filter::new(), None);
            page(&collections, PROJECTS, Query::of(Filter::new()).sort(doc! { "_id": 1 }), count, slice).await
        })
        .await
        .map(|Page { rows, total }| Page { rows: rows.into_iter().map(project).collect(), total })
    }

    pub(in crate::store) async fn project_facts(&self) -> Result<Vec<(ProjectId, ProjectFacts)>, Error> {
        self.read(Operation("project_facts", "list projects"), |collections| async move {
            let all = Query::of(Filter::new()).sort(doc! { "_id": 1 }).fields(doc! { "facts": 1 });
            let mut facts = Vec::new();
            for found in collections.rows::<Facts>(PROJECTS, all).await? {
                let text = match found.facts {
                    Some(facts) => facts,
                    None => match collections.one::<Text>(PROJECTS, Query::of(doc! { "_id": found.id })).await? {
                        Some(whole) => whole.document().text,
                        None => continue,
                    },
                };
                facts.push((ProjectId(natural(found.id)), ProjectFacts::of(&text)));
            }
            Ok(facts)
        })
        .await
    }

    pub(in crate::store) async fn project_documents(&self, ids: Vec<ProjectId>) -> Result<Vec<Document>, Error> {
        self.read(Operation("project_documents", "read projects"), |collections| async move {
            let asked: Vec<i64> = ids.iter().map(|id| integer(id.0)).collect();
            let found = Query::of(doc! { "_id": { "$in": &asked } }).fields(doc! { "doc": 1, "as_of": 1 });
            let found: Vec<Text> = collections.rows(PROJECTS, found).await?;
            let mut found: HashMap<i64, Text> = found.into_iter().map(|text| (text.id, text)).collect();
            Ok(asked.iter().filter_map(|id| found.remove(id)).map(Text::document).collect())
        })
        .await
    }

    pub(in crate::store) async fn project(&self, id: ProjectId) -> Result<Option<Document>, Error> {
        self.read(Operation("project", "read a project"), |collections| async move {
            let found = collections.one(PROJECTS, Query::of(doc! { "_id": integer(id.0) })).await?;
            Ok(found.map(Text::document))
        })
        .await
    }

    pub(in crate::store) async fn project_by_path(&self, path: String) -> Result<Option<(ProjectId, Document)>, Error> {
        self.read(Operation("project_by_path", "find a project"), |collections| async move {
            let path = path.to_ascii_lowercase();
            let named = doc! { "path_key": &path };
            let mut found = collections.one(PROJECTS, Query::of(named).sort(doc! { "as_of": -1 })).await?;
            if found.is_none()
                && let Some(id) = paths::led_to(&collections, &path).await?
            {
                found = collections.one(PROJECTS, Query::of(doc! { "_id": id })).await?;
            }
            Ok(found.map(project))
        })
        .await
    }
}

fn project(found: Text) -> (ProjectId, Document) {
    (ProjectId(natural(found.id)), found.document())
}
