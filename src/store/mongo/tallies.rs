//! How many jobs and pipelines of a project are in which state.
//!
//! Nothing is kept of it that a crash, or a version that does not keep it, could make wrong: it is counted when it is asked
//! for. What is few is grouped. What is many is counted state by state: the server then counts keys of an index without looking
//! into them, in a tenth of the time. What is written meanwhile may be counted in both of its states or in none.

use futures_util::future::try_join_all;
use mongodb::bson::{Bson, Document, doc};
use serde::Deserialize;

use super::Mongo;
use super::query::Query;
use super::reach::Collections;
use super::schema::{JOBS, JOBS_BY_STATE, PIPELINES, PIPELINES_BY_PIECES};
use super::trouble::Trouble;
use super::values::{integer, natural};
use crate::domain::{Piece, ProjectId, Status};
use crate::store::metrics::Operation;
use crate::store::{Error, JobTally, PipelineTally};

/// From so many on, one question for each state takes less time than grouping them all.
const MANY: u64 = 2_000;

/// What is counted: by an index of the project and the fields that make a state, the last of them a word.
#[derive(Debug, Clone, Copy)]
struct Counted {
    collection: &'static str,
    index: &'static str,
    fields: &'static [&'static str],
}

const OF_JOBS: Counted = Counted {
    collection: JOBS,
    index: JOBS_BY_STATE,
    fields: &["status", "started", "archived", "log.piece", "archive.piece"],
};

const OF_PIPELINES: Counted =
    Counted { collection: PIPELINES, index: PIPELINES_BY_PIECES, fields: &["status", "report.piece", "detail.piece"] };

/// The values of the fields, in their order.
type State = Vec<Bson>;

impl Mongo {
    pub(in crate::store) async fn tallies(
        &self,
        project: ProjectId,
    ) -> Result<(Vec<JobTally>, Vec<PipelineTally>), Error> {
        self.read(Operation("tallies", "count a project's pieces"), |collections| async move {
            let project = integer(project.0);
            let (jobs, pipelines) =
                tokio::try_join!(tally(&collections, OF_JOBS, project), tally(&collections, OF_PIPELINES, project),)?;
            let jobs = jobs.into_iter().map(|(state, count)| JobTally {
                status: Status(word(&state, 0).into()),
                log_expected: flag(&state, 1),
                archive_expected: flag(&state, 2),
                log: Piece::from_word(word(&state, 3)),
                archive: Piece::from_word(word(&state, 4)),
                count,
            });
            let pipelines = pipelines.into_iter().map(|(state, count)| PipelineTally {
                status: Status(word(&state, 0).into()),
                report: Piece::from_word(word(&state, 1)),
                detail: Piece::from_word(word(&state, 2)),
                count,
            });
            Ok((jobs.collect(), pipelines.collect()))
        })
        .await
    }
}

fn word(state: &State, field: usize) -> &str {
    state.get(field).and_then(Bson::as_str).unwrap_or_default()
}

fn flag(state: &State, field: usize) -> bool {
    state.get(field).and_then(Bson::as_bool).unwrap_or_default()
}

/// Returns each state that something of a project is in, and how many are.
async fn tally(collections: &Collections, of: Counted, project: i64) -> Result<Vec<(State, u64)>, Trouble> {
    let all = doc! { "project": project };
    if collections.counted(of.collection, all, of.index, MANY).await? < MANY {
        return grouped(collections, of, project).await;
    }
    let mut states: Vec<State> = Vec::new();
    let mut from = vec![Bson::MinKey; of.fields.len()];
    while let Some(state) = first_from(collections, of, project, from).await? {
        from = behind(&state);
        states.push(state);
    }
    let counts = states.iter().map(|state| {
        let mut equal = doc! { "project": project };
        equal.extend(of.fields.iter().zip(state).map(|(field, value)| ((*field).to_owned(), value.clone())));
        collections.counted(of.collection, equal, of.index, u64::MAX)
    });
    let counts = try_join_all(counts).await?;
    // What was all in another state by then is in none.
    Ok(states.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect())
}

async fn grouped(collections: &Collections, of: Counted, project: i64) -> Result<Vec<(State, u64)>, Trouble> {
    #[derive(Deserialize)]
    struct Group {
        #[serde(rename = "_id")]
        state: Document,
        count: i64,
    }
    let name = |field: &str| field.replace('.', "_");
    let state: Document = of.fields.iter().map(|field| (name(field), Bson::String(format!("${field}")))).collect();
    let stages =
        [doc! { "$match": { "project": project } }, doc! { "$group": { "_id": state, "count": { "$sum": 1_i64 } } }];
    let found: Vec<Group> = collections.aggregated(of.collection, stages, Some(of.index)).await?;
    let values = |state: &Document| of.fields.iter().map(|field| value(state, &[&name(field)])).collect();
    Ok(found.into_iter().map(|Group { state, count }| (values(&state), natural(count))).collect())
}

/// Returns the first state in the order of the index that is not before the given one.
async fn first_from(
    collections: &Collections,
    of: Counted,
    project: i64,
    from: State,
) -> Result<Option<State>, Trouble> {
    let key = |project: i64, state: State| {
        let mut key = doc! { "project": project };
        key.extend(of.fields.iter().map(|field| (*field).to_owned()).zip(state));
        key
    };
    let end = key(project.saturating_add(1), vec![Bson::MinKey; of.fields.len()]);
    let mut fields = doc! { "_id": 0 };
    fields.extend(of.fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(1))));
    let first = Query::of(doc! {}).between(key(project, from), end).fields(fields).index(of.index).limit(1);
    let found: Vec<Document> = collections.rows(of.collection, first).await?;
    let values =
        |found: &Document| of.fields.iter().map(|field| value(found, &field.split('.').collect::<Vec<_>>())).collect();
    Ok(found.first().map(values))
}

/// Returns a value by the names on the way to it.
fn value(document: &Document, path: &[&str]) -> Bson {
    match path {
        [last] => document.get(last).cloned().unwrap_or(Bson::Null),
        [first, rest @ ..] => document.get_document(first).map_or(Bson::Null, |inner| value(inner, rest)),
        [] => Bson::Null,
    }
}

/// Returns the least that comes behind a state: no word is between one and the same with a zero byte.
fn behind(state: &State) -> State {
    let mut next = state.clone();
    match next.last_mut() {
        Some(Bson::String(word)) => word.push('\0'),
        Some(other) => *other = Bson::MaxKey,
        None => {}
    }
    next
}
