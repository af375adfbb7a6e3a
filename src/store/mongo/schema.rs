//! The collections and their indexes, made at every start: idempotent, and safe when several replicas start together.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::IndexOptions;

use super::mend;
use super::paths;
use super::reach::Collections;
use super::trouble::Trouble;

pub(super) const META: &str = "meta";
pub(super) const PROJECTS: &str = "projects";
/// Which project each path led to last.
pub(super) const PATHS: &str = "paths";
pub(super) const PIPELINES: &str = "pipelines";
pub(super) const JOBS: &str = "jobs";
/// Blobs, as GridFS calls their two collections, so that `mongofiles` reads them.
pub(super) const FILES: &str = "fs.files";
pub(super) const CHUNKS: &str = "fs.chunks";
/// Trigger jobs, a document for each pipeline.
pub(super) const BRIDGES: &str = "bridges";
pub(super) const JOURNAL: &str = "journal";
pub(super) const FAILURES: &str = "failures";
pub(super) const MARKS: &str = "marks";
pub(super) const PROGRESS: &str = "progress";
/// What looks at GitLab's lists showed.
pub(super) const LISTINGS: &str = "listings";
pub(super) const LEASES: &str = "leases";
/// Tombstones.
pub(super) const FORGOTTEN: &str = "forgotten";
/// One document that lists the processes, so that their shares of the permits change one after the other.
pub(super) const PROCESSES: &str = "processes";
/// What GitLab said about readers.
pub(super) const VERDICTS: &str = "verdicts";

/// Pipelines by their id, with all that a list of them asks.
pub(super) const PIPELINES_BY_ID: &str = "pipelines_by_id";
/// Pipelines by their last change, with all that a list of them asks.
pub(super) const PIPELINES_BY_UPDATE: &str = "pipelines_by_update";
/// Pipelines of each status, newest first.
pub(super) const PIPELINES_BY_STATUS: &str = "pipelines_by_status";
/// Pipelines of each ref, newest first.
pub(super) const PIPELINES_BY_REF: &str = "pipelines_by_ref";
/// Pipelines of each commit.
pub(super) const PIPELINES_BY_SHA: &str = "pipelines_by_sha";
/// Pipelines of each source, newest first.
pub(super) const PIPELINES_BY_SOURCE: &str = "pipelines_by_source";
/// Pipelines of each name, newest first.
pub(super) const PIPELINES_BY_NAME: &str = "pipelines_by_name";
/// Pipelines of each status of a ref, newest first.
pub(super) const PIPELINES_BY_REF_AND_STATUS: &str = "pipelines_by_ref_and_status";
/// Pipelines of each source and status of a ref, newest first.
pub(super) const PIPELINES_BY_SOURCE_AND_STATUS: &str = "pipelines_by_source_and_status";
/// Pipelines of each source of a ref, newest first, with all that finding the latest of each ref asks.
pub(super) const PIPELINES_OF_REFS: &str = "pipelines_of_refs";
/// Pipelines of tags.
pub(super) const PIPELINES_OF_TAGS: &str = "pipelines_of_tags";
/// What is counted of pipelines.
pub(super) const PIPELINES_BY_PIECES: &str = "pipelines_by_pieces";
/// What earlier versions count of pipelines.
pub(super) const PIPELINES_BY_REPORT: &str = "pipelines_by_report";
/// Pipelines that need something.
pub(super) const PIPELINES_OPEN: &str = "pipelines_open";
/// The jobs of a pipeline, with all that a list of them asks.
pub(super) const JOBS_OF_PIPELINE: &str = "jobs_of_pipeline";
/// The jobs of a project, newest first.
pub(super) const JOBS_BY_ID: &str = "jobs_by_id";
/// The jobs of each status, newest first, with all that earlier versions count of them.
pub(super) const JOBS_BY_STATUS: &str = "jobs_by_status";
/// What is counted of jobs.
pub(super) const JOBS_BY_STATE: &str = "jobs_by_state";
/// Jobs that need something.
pub(super) const JOBS_OPEN: &str = "jobs_open";

/// Jobs whose log GitLab refused to the token, the one that was asked for least recently first.
pub(super) const LOGS_REFUSED: &str = "logs_refused";
/// As [`LOGS_REFUSED`], by their archive.
pub(super) const ARCHIVES_REFUSED: &str = "archives_refused";
/// Pipelines whose report GitLab refused to the token.
pub(super) const REPORTS_REFUSED: &str = "reports_refused";
/// Pipelines whose summary of the report GitLab refused to the token.
pub(super) const SUMMARIES_REFUSED: &str = "summaries_refused";

/// Pipelines whose own document GitLab refused to the token.
pub(super) const DETAILS_REFUSED: &str = "details_refused";

/// Blobs by what they are of: the oldest first, and all of one job or pipeline.
pub(super) const BLOBS_OF: &str = "blobs_of";

/// The document of `meta` that says whose database it is.
pub(super) const OURS: &str = "cistern";

/// The version of the documents that this program writes.
const VERSION: i64 = 1;

/// MongoDB 5.0, the oldest whose updates by pipeline are all that is needed here.
const OLDEST_WIRE_VERSION: i32 = 13;

/// The server's code of an index that exists with other options or another name.
const INDEX_CONFLICTS: [i32; 2] = [85, 86];

/// The server's code of a collection that exists.
const EXISTS: i32 = 48;

/// Makes what is missing, after making sure that the server fits and that the database is ours and of no newer version.
pub(super) async fn prepare(collections: &Collections) -> Result<(), Trouble> {
    check_server(&collections.database.run_command(doc! { "hello": 1 }).await?)?;
    claim(collections).await?;
    let made = INDEXES.iter().map(|(collection, declare)| {
        let models: Vec<IndexModel> = declare();
        async move { collections.of::<Document>(collection).create_indexes(models).await }
    });
    // Transactions that make a collection get into each other's way.
    for name in [LEASES, PROGRESS] {
        match collections.database.create_collection(name).await {
            Err(error) if !matches!(&*error.kind, ErrorKind::Command(command) if command.code == EXISTS) => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    match futures_util::future::try_join_all(made).await {
        Ok(_) => {
            mend::mend(collections).await?;
            paths::fill(collections).await
        }
        Err(error) => Err(match &*error.kind {
            ErrorKind::Command(command) if INDEX_CONFLICTS.contains(&command.code) => Trouble::Unusable(
                "the database has an index of Cistern's with other options: drop that index, it is made again"
                    .to_owned(),
            ),
            _ => error.into(),
        }),
    }
}

/// Refuses a server that is too old, or alone: without a replica set nothing is retried and nothing is confirmed by many.
pub(super) fn check_server(hello: &Document) -> Result<(), Trouble> {
    if hello.get_i32("maxWireVersion").unwrap_or(0) < OLDEST_WIRE_VERSION {
        return Err(Trouble::Unusable("the database is older than MongoDB 5.0: upgrade it".to_owned()));
    }
    let in_replica_set = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|role| role == "isdbgrid");
    if !in_replica_set {
        return Err(Trouble::Unusable(
            "the database is no replica set, which leases and confirmed writes need: start mongod with --replSet and run \
             rs.initiate(); one member is enough"
                .to_owned(),
        ));
    }
    Ok(())
}

/// Makes the database ours, or makes sure that it is.
async fn claim(collections: &Collections) -> Result<(), Trouble> {
    if owner(collections).await?.is_some() {
        return Ok(());
    }
    // Another replica may do the same; whoever comes first decides the version.
    let claimed = doc! { "$setOnInsert": { "schema": VERSION } };
    collections.of::<Document>(META).update_one(doc! { "_id": OURS }, claimed).upsert(true).await?;
    owner(collections).await?.map(drop).ok_or(Trouble::Unreadable("schema version"))
}

/// Returns the version of a database that is ours, and `None` for one that could become so; refuses every other.
pub(super) async fn owner(collections: &Collections) -> Result<Option<i64>, Trouble> {
    let found = async || -> Result<Option<Document>, Trouble> {
        Ok(collections.of::<Document>(META).find_one(doc! { "_id": OURS }).await?)
    };
    let mut meta = found().await?;
    if meta.is_none() {
        let names = collections.database.list_collection_names().await?;
        let taken = INDEXES.iter().map(|(name, _)| *name).find(|name| names.iter().any(|found| found == name));
        let Some(taken) = taken else { return Ok(None) };
        // Another replica may have claimed it in between; it does so before it makes anything else.
        meta = found().await?;
        if meta.is_none() {
            return Err(Trouble::Unusable(format!(
                "the database has a collection `{taken}` of another program: name a database of Cistern's own in store.url"
            )));
        }
    }
    match meta.and_then(|meta| meta.get_i64("schema").ok()) {
        Some(newer) if newer > VERSION => Err(Trouble::Unusable(format!(
            "the database was written by a newer Cistern (schema version {newer}; this one knows up to {VERSION}): run that \
             version or a newer one, or name another database in store.url"
        ))),
        Some(version) => Ok(Some(version)),
        None => Err(Trouble::Unreadable("schema version")),
    }
}

/// A collection and the indexes that it needs.
type Declared = (&'static str, fn() -> Vec<IndexModel>);

/// The indexes of each collection.
const INDEXES: [Declared; 8] = [
    (PROJECTS, || vec![index("projects_by_path", doc! { "path_key": 1 })]),
    (PIPELINES, || {
        let rest = doc! { "source": 1, "status": 1, "ref": 1, "sha": 1, "name": 1, "tag": 1, "created_at": 1 };
        let (mut by_id, mut by_update) =
            (doc! { "project": 1, "_id": 1 }, doc! { "project": 1, "updated_at": 1, "_id": 1 });
        by_id.extend(rest.clone());
        by_id.insert("updated_at", 1);
        by_update.extend(rest);
        vec![
            index(PIPELINES_BY_ID, by_id),
            index(PIPELINES_BY_UPDATE, by_update),
            index(PIPELINES_BY_STATUS, doc! { "project": 1, "status": 1, "_id": 1, "source": 1, "created_at": 1 }),
            index(
                PIPELINES_BY_REF,
                doc! { "project": 1, "ref": 1, "_id": 1, "source": 1, "status": 1, "tag": 1, "created_at": 1 },
            ),
            index(PIPELINES_BY_SHA, doc! { "project": 1, "sha": 1, "_id": 1 }),
            index(PIPELINES_BY_SOURCE, doc! { "project": 1, "source": 1, "_id": 1, "status": 1, "created_at": 1 }),
            index(
                PIPELINES_BY_REF_AND_STATUS,
                doc! { "project": 1, "ref": 1, "status": 1, "_id": 1, "source": 1, "created_at": 1 },
            ),
            index(PIPELINES_BY_SOURCE_AND_STATUS, doc! { "project": 1, "source": 1, "status": 1, "ref": 1, "_id": 1 }),
            index(PIPELINES_OF_REFS, doc! { "project": 1, "source": 1, "ref": 1, "_id": -1, "tag": 1 }),
            partial(
                PIPELINES_OF_TAGS,
                doc! { "project": 1, "ref": 1, "_id": 1, "source": 1, "tag": 1 },
                doc! { "tag": true },
            ),
            index(PIPELINES_BY_NAME, doc! { "project": 1, "name": 1, "_id": 1 }),
            index(PIPELINES_BY_REPORT, doc! { "project": 1, "status": 1, "report.piece": 1 }),
            index(PIPELINES_BY_PIECES, doc! { "project": 1, "status": 1, "report.piece": 1, "detail.piece": 1 }),
            partial(
                DETAILS_REFUSED,
                doc! { "project": 1, "detail_refused_at": 1, "_id": 1 },
                doc! { "detail.piece": "forbidden" },
            ),
            partial(REPORTS_REFUSED, refused(), doc! { "report.piece": "forbidden" }),
            partial(SUMMARIES_REFUSED, refused(), doc! { "report.summary_piece": "forbidden" }),
            partial(PIPELINES_OPEN, doc! { "project": 1, "_id": 1 }, doc! { "open": { "$gt": 0 } }),
        ]
    }),
    (JOBS, || {
        let by_status = doc! {
            "project": 1, "status": 1, "_id": -1, "started": 1, "archived": 1, "log.piece": 1, "archive.piece": 1,
        };
        let by_state = doc! {
            "project": 1, "status": 1, "started": 1, "archived": 1, "log.piece": 1, "archive.piece": 1,
        };
        let of_pipeline = doc! { "project": 1, "pipeline": 1, "name": 1, "_id": 1, "status": 1, "junit": 1 };
        vec![
            index(JOBS_OF_PIPELINE, of_pipeline),
            index(JOBS_BY_ID, doc! { "project": 1, "_id": -1 }),
            index(JOBS_BY_STATUS, by_status),
            index(JOBS_BY_STATE, by_state),
            partial(LOGS_REFUSED, refused(), doc! { "log.piece": "forbidden" }),
            partial(ARCHIVES_REFUSED, refused(), doc! { "archive.piece": "forbidden" }),
            partial(JOBS_OPEN, doc! { "project": 1, "pipeline": 1, "_id": 1 }, doc! { "open": { "$gt": 0 } }),
        ]
    }),
    (FILES, || {
        vec![
            // As GridFS wants it, under the name that every driver gives it.
            index("filename_1_uploadDate_1", doc! { "filename": 1, "uploadDate": 1 }),
            index(BLOBS_OF, doc! { "metadata.of.kind": 1, "metadata.of.id": 1 }),
            partial("blobs_in_hand", doc! { "metadata.owner": 1 }, doc! { "metadata.owner": { "$exists": true } }),
            partial(
                "blobs_replaced",
                doc! { "metadata.replaced_at": 1 },
                doc! { "metadata.replaced_at": { "$exists": true } },
            ),
        ]
    }),
    (CHUNKS, || {
        // As GridFS wants it. The Rust driver makes it without `unique`, so ours is made first.
        let options = IndexOptions::builder().name("files_id_1_n_1".to_owned()).unique(true).build();
        vec![IndexModel::builder().keys(doc! { "files_id": 1, "n": 1 }).options(options).build()]
    }),
    (JOURNAL, || vec![index("journal_in_order", doc! { "owner": 1, "lane": 1, "due": 1, "_id": 1 })]),
    (FAILURES, || vec![index("failures_of_project", doc! { "project": 1, "kind": 1, "target": 1 })]),
    (VERDICTS, || {
        let expired = IndexOptions::builder().name("verdicts_expired".to_owned()).expire_after(Duration::ZERO).build();
        let expired = IndexModel::builder().keys(doc! { "expires": 1 }).options(expired).build();
        vec![index("verdicts_of_token", doc! { "token": 1 }), expired]
    }),
];

fn refused() -> Document {
    doc! { "project": 1, "refused_at": 1, "_id": 1 }
}

fn index(name: &str, keys: Document) -> IndexModel {
    IndexModel::builder().keys(keys).options(IndexOptions::builder().name(name.to_owned()).build()).build()
}

fn partial(name: &str, keys: Document, filter: Document) -> IndexModel {
    let options = IndexOptions::builder().name(name.to_owned()).partial_filter_expression(filter).build();
    IndexModel::builder().keys(keys).options(options).build()
}
