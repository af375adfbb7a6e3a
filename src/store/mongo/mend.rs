//! What earlier versions settled wrongly becomes work for full passes again: once for each database, as SQLite's migrations do
//! it. Idempotent, and safe beside other replicas: whoever holds a document of before has to read it again.

use mongodb::bson::{Bson, Document, doc};

use super::documents::{NO_DETAIL, NO_REPORT};
use super::reach::Collections;
use super::schema::{JOBS, META, OURS, PIPELINES};
use super::trouble::Trouble;

/// How many of these were made; noted in the document of `meta`.
const MENDED: i64 = 2;

/// Mends a database that an earlier version wrote.
pub(super) async fn mend(collections: &Collections) -> Result<(), Trouble> {
    let meta = collections.of::<Document>(META);
    let found = meta.find_one(doc! { "_id": OURS }).await?;
    let done = found.and_then(|meta| meta.get_i64("mended").ok()).unwrap_or(0);
    if done < 1 {
        pieces(collections).await?;
    }
    if done < MENDED {
        missing_details(collections).await?;
        meta.update_one(doc! { "_id": OURS }, doc! { "$set": { "mended": MENDED } }).await?;
    }
    Ok(())
}

/// What was wrong with logs, archives and reports.
async fn pieces(collections: &Collections) -> Result<(), Trouble> {
    let jobs = collections.of::<Document>(JOBS);
    for (wrong, right) in [empty_logs(), kept_archives()] {
        let mut set = right;
        set.insert("rev", doc! { "$add": ["$rev", 1_i64] });
        jobs.update_many(wrong, vec![doc! { "$set": set }]).await?;
    }
    hidden_junit(collections).await?;
    let large = doc! { "gone": { "$ne": true }, "report.piece": "too_large", "report.summary_piece": Bson::Null, "open": { "$bitsAllClear": NO_REPORT } };
    missing_summaries(collections, large).await
}

/// What was cached without the pipelines' own documents.
async fn missing_details(collections: &Collections) -> Result<(), Trouble> {
    let lacking = doc! { "gone": { "$ne": true }, "detail": Bson::Null, "open": { "$bitsAllClear": NO_DETAIL } };
    let set = doc! {
        "open": { "$add": ["$open", NO_DETAIL] }, "detail": { "piece": "missing" }, "rev": { "$add": ["$rev", 1_i64] },
    };
    collections.of::<Document>(PIPELINES).update_many(lacking, vec![doc! { "$set": set }]).await?;
    Ok(())
}

/// A log that GitLab listed and answered with nothing, twice, was taken for none.
fn empty_logs() -> (Document, Document) {
    let wrong = doc! { "log.piece": "no_log", "log.note": "size_mismatch" };
    (wrong, doc! { "log.piece": "live", "log.note": Bson::Null, "log.mismatch_since": Bson::Null, "open": at_least(1) })
}

/// An archive that GitLab keeps past its expiry is listed among the artifacts only; nobody asked for it.
fn kept_archives() -> (Document, Document) {
    let listed = doc! { "$regex": r#""file_type"\s*:\s*"archive""# };
    (doc! { "archive.piece": "expired", "doc": listed }, doc! { "archived": true, "open": at_least(1) })
}

/// Jobs whose artifacts had expired or were erased before anybody saw whether they held JUnit, and pipelines that were told to have
/// none for that reason.
async fn hidden_junit(collections: &Collections) -> Result<(), Trouble> {
    let captured = |pattern: &str| {
        doc! { "$arrayElemAt": [{ "$getField": { "field": "captures", "input": { "$regexFind": { "input": "$doc", "regex": pattern } } } }, 0] }
    };
    let time = |text: Document| doc! { "$dateFromString": { "dateString": text, "onError": Bson::Null, "onNull": Bson::Null } };
    let expires = time(captured(r#""artifacts_expire_at"\s*:\s*"([^"]+)""#));
    let erased = time(captured(r#""erased_at"\s*:\s*"([^"]+)""#));
    // Null comes before every time.
    let over = doc! { "$or": [
        { "$gt": [erased, Bson::Null] },
        { "$and": [{ "$gt": [expires.clone(), Bson::Null] }, { "$lte": [expires, "$as_of"] }] },
    ] };
    let jobs = collections.of::<Document>(JOBS);
    let unseen = doc! { "junit": false, "ended": true, "started": true, "$expr": over };
    let mut found = jobs.find(unseen).projection(doc! { "pipeline": 1 }).await?;
    while found.advance().await? {
        let job: Document = found.deserialize_current()?;
        let (Ok(id), Ok(pipeline)) = (job.get_i64("_id"), job.get_i64("pipeline")) else { continue };
        let of_report = doc! { "_id": pipeline, "report.builds": id };
        let pipelines = collections.of::<Document>(PIPELINES);
        if pipelines.find_one(of_report).await?.is_some() {
            continue;
        }
        let hidden = doc! { "junit": true, "junit_hidden": true, "rev": doc! { "$add": ["$rev", 1_i64] } };
        jobs.update_one(doc! { "_id": id }, vec![doc! { "$set": hidden }]).await?;
        let zeros = doc! { "_id": pipeline, "report.piece": "whole", "report.builds": [], "gone": { "$ne": true } };
        missing_summaries(collections, zeros).await?;
    }
    Ok(())
}

/// Has the summaries of these pipelines asked for, if one of their latest attempts may have delivered JUnit.
async fn missing_summaries(collections: &Collections, of: Document) -> Result<(), Trouble> {
    let set = doc! {
        "report.summary_piece": "missing", "junit": true, "rev": { "$add": ["$rev", 1_i64] },
        "open": { "$add": ["$open", { "$cond": [{ "$eq": [{ "$mod": [{ "$floor": { "$divide": ["$open", NO_REPORT] } }, 2] }, 1] }, 0_i64, NO_REPORT] }] },
    };
    collections.of::<Document>(PIPELINES).update_many(of, vec![doc! { "$set": set }]).await?;
    Ok(())
}

fn at_least(open: i64) -> Document {
    doc! { "$max": ["$open", open] }
}
