//! What earlier versions settled wrongly becomes work for full passes again: once for each database, as SQLite's migrations do
//! it. Idempotent, and safe beside other replicas: whoever holds a document of before has to read it again.

use mongodb::bson::{Bson, Document, doc};

use super::reach::Collections;
use super::schema::{JOBS, META, OURS};
use super::trouble::Trouble;

/// How many of these were made; noted in the document of `meta`.
const MENDED: i64 = 1;

/// Mends a database that an earlier version wrote.
pub(super) async fn mend(collections: &Collections) -> Result<(), Trouble> {
    let meta = collections.of::<Document>(META);
    let done = meta.find_one(doc! { "_id": OURS, "mended": { "$gte": MENDED } }).await?.is_some();
    if done {
        return Ok(());
    }
    let jobs = collections.of::<Document>(JOBS);
    for (wrong, right) in [empty_logs(), kept_archives()] {
        let mut set = right;
        set.insert("rev", doc! { "$add": ["$rev", 1_i64] });
        jobs.update_many(wrong, vec![doc! { "$set": set }]).await?;
    }
    meta.update_one(doc! { "_id": OURS }, doc! { "$set": { "mended": MENDED } }).await?;
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

fn at_least(open: i64) -> Document {
    doc! { "$max": ["$open", open] }
}
