//! Which project each path led to last: a former path leads to its project until another one takes it.

use mongodb::bson::{Document, doc, rawdoc};
use serde::Deserialize;

use super::calls::Update;
use super::query::Query;
use super::reach::Collections;
use super::schema::{PATHS, PROJECTS};
use super::trouble::Trouble;
use super::values::{date, integer};
use crate::domain::{ProjectId, Timestamp};
use crate::store::Change;

/// Where a path led last.
#[derive(Debug, Deserialize)]
struct Led {
    project: i64,
}

/// Notes the paths of projects that are stored.
pub(super) async fn note(collections: &Collections, changes: impl Iterator<Item = &Change>) -> Result<(), Trouble> {
    let mut updates = Vec::new();
    for change in changes {
        match change {
            Change::Project(project) => updates.push(update(&project.path, project.id, project.document.as_of)),
            Change::FoundAt { path, project, as_of } => {
                let stored = doc! { "_id": integer(project.0) };
                if collections.of::<Document>(PROJECTS).find_one(stored).await?.is_some() {
                    updates.push(update(path, *project, *as_of));
                }
            }
            _ => {}
        }
    }
    // One that was seen there later is noted where the id is taken.
    collections.update(PATHS, updates).await.map(drop)
}

fn update(path: &str, project: ProjectId, as_of: Timestamp) -> Update {
    let (id, as_of) = (path.to_ascii_lowercase(), date(as_of));
    let filter = rawdoc! { "_id": id.as_str(), "as_of": { "$lte": as_of } };
    let change = rawdoc! { "_id": id.as_str(), "project": integer(project.0), "as_of": as_of };
    Update { filter, change: change.into(), upsert: true, multi: false }
}

/// Returns the project that a path, in small letters, led to last.
pub(super) async fn led_to(collections: &Collections, path: &str) -> Result<Option<i64>, Trouble> {
    let led: Option<Led> = collections.one(PATHS, Query::of(doc! { "_id": path })).await?;
    Ok(led.map(|led| led.project))
}

/// Forgets which paths led to a project.
pub(super) async fn forget(collections: &Collections, project: i64) -> Result<(), Trouble> {
    collections.of::<Document>(PATHS).delete_many(doc! { "project": project }).await?;
    Ok(())
}

/// Notes the paths of projects that an earlier version stored. Each project has one path at least.
pub(super) async fn fill(collections: &Collections) -> Result<(), Trouble> {
    let count = async |name| collections.of::<Document>(name).estimated_document_count().await;
    if count(PATHS).await? >= count(PROJECTS).await? {
        return Ok(());
    }
    let steps = [
        doc! { "$sort": { "as_of": -1 } },
        doc! { "$project": { "_id": "$path_key", "project": "$_id", "as_of": 1 } },
        doc! { "$merge": { "into": PATHS, "whenMatched": "keepExisting", "whenNotMatched": "insert" } },
    ];
    collections.of::<Document>(PROJECTS).aggregate(steps).await?;
    Ok(())
}
