//! A store worked on behind everyone's back, as by a person with `sqlite3` or `mongosh`.

use std::path::PathBuf;
use std::time::Duration;

use cistern::domain::{BlobId, JobId, PipelineId, ProjectId};
use cistern::store::Place;
use deadpool_sqlite::rusqlite::{Connection, OptionalExtension as _};
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, RawDocumentBuf, doc};
use mongodb::{Client, Database};
use secrecy::ExposeSecret;

/// A store without Cistern in between.
pub(crate) enum Behind {
    File(PathBuf),
    Database(Database),
}

impl Behind {
    pub(crate) async fn new(place: &Place) -> Self {
        match place {
            Place::Sqlite(path) => Self::File(path.clone()),
            Place::Mongo(url) => {
                let client = Client::with_uri_str(url.expose_secret()).await.expect("a client");
                Self::Database(client.default_database().expect("a database"))
            }
        }
    }

    /// Forgets that a log is held.
    pub(crate) async fn lose_log(&self, job: JobId) {
        let sql = format!("UPDATE jobs SET log_piece = 'missing', log_blob = NULL, open = 2 WHERE id = {job}");
        let lost = doc! { "log.piece": "missing", "log.blob": null, "open": 2_i64 };
        self.change(&sql, ("jobs", job.0), lost).await;
    }

    /// Forgets that an archive is held.
    pub(crate) async fn lose_archive(&self, job: JobId) {
        let sql = format!("UPDATE jobs SET archive_piece = 'missing', archive_blob = NULL, open = 2 WHERE id = {job}");
        let lost = doc! { "archive.piece": "missing", "archive.blob": null, "open": 2_i64 };
        self.change(&sql, ("jobs", job.0), lost).await;
    }

    /// Forgets that a report is held.
    pub(crate) async fn lose_report(&self, pipeline: PipelineId) {
        let sql = format!(
            "UPDATE pipelines SET report_piece = 'missing', report_blob = NULL, report_builds = '[]' WHERE id = {pipeline}"
        );
        let lost = doc! { "report.piece": "missing", "report.blob": null, "report.builds": [] };
        self.change(&sql, ("pipelines", pipeline.0), lost).await;
    }

    /// Loses a pipeline's own document.
    pub(crate) async fn lose_detail(&self, pipeline: PipelineId) {
        let sql = format!("UPDATE pipelines SET detail_piece = 'missing' WHERE id = {pipeline}");
        self.change(&sql, ("pipelines", pipeline.0), doc! { "detail.piece": "missing" }).await;
    }

    /// Forgets that a pipeline's jobs were listed.
    pub(crate) async fn lose_listing(&self, pipeline: PipelineId) {
        let sql = format!("UPDATE pipelines SET open = 2, jobs_listed_at = NULL WHERE id = {pipeline}");
        let lost = doc! { "open": 2_i64, "jobs_listed_at": null };
        self.change(&sql, ("pipelines", pipeline.0), lost).await;
    }

    /// Makes a job's name something that no version writes.
    pub(crate) async fn garble_name(&self, job: JobId) {
        let sql = format!("UPDATE jobs SET name = CAST(x'ff' AS TEXT) WHERE id = {job}");
        self.change(&sql, ("jobs", job.0), doc! { "name": 7 }).await;
    }

    /// Removes a job.
    pub(crate) async fn remove_job(&self, job: JobId) {
        self.remove("jobs", job.0).await;
    }

    /// Removes a pipeline.
    pub(crate) async fn remove_pipeline(&self, pipeline: PipelineId) {
        self.remove("pipelines", pipeline.0).await;
    }

    /// Removes all jobs and pipelines.
    pub(crate) async fn remove_facts(&self) {
        match self {
            Self::File(_) => self.sql("DELETE FROM jobs; DELETE FROM pipelines"),
            Self::Database(database) => {
                for name in ["jobs", "pipelines"] {
                    database.collection::<Document>(name).delete_many(doc! {}).await.expect("removed");
                }
            }
        }
    }

    /// Returns how many projects and jobs there are.
    pub(crate) async fn facts(&self) -> u64 {
        self.count("projects", "", doc! {}).await + self.count("jobs", "", doc! {}).await
    }

    /// Returns how many entries the journal has.
    pub(crate) async fn entries(&self) -> u64 {
        self.count("journal", "", doc! {}).await
    }

    /// Returns how many targets are set aside as failed.
    pub(crate) async fn failures(&self) -> u64 {
        self.count("failures", "", doc! {}).await
    }

    /// Returns how far a project was swept, in milliseconds, if it ever was.
    pub(crate) async fn watermark(&self, project: ProjectId) -> Option<i64> {
        match self {
            Self::File(_) => {
                let sql = format!("SELECT watermark FROM progress WHERE project = {project}");
                self.connect().query_row(&sql, [], |row| row.get(0)).optional().expect("a watermark")
            }
            Self::Database(database) => {
                let id = doc! { "_id": i64::try_from(project.0).expect("an id") };
                let found = database.collection::<Document>("progress").find_one(id).await.expect("read")?;
                Some(found.get_datetime("watermark").expect("a watermark").timestamp_millis())
            }
        }
    }

    /// Says that a project was swept so far, in milliseconds.
    pub(crate) async fn set_watermark(&self, project: ProjectId, millis: i64) {
        let sql = format!("UPDATE progress SET watermark = {millis} WHERE project = {project}");
        let set = doc! { "watermark": mongodb::bson::DateTime::from_millis(millis) };
        self.change(&sql, ("progress", project.0), set).await;
    }

    /// Returns how many blobs there are.
    pub(crate) async fn blobs(&self) -> u64 {
        match self {
            Self::File(_) => self.count("blobs", "", doc! {}).await,
            Self::Database(_) => self.count("fs.files", "", doc! {}).await,
        }
    }

    /// Returns how many blobs there are that were not replaced.
    pub(crate) async fn kept_blobs(&self) -> u64 {
        let kept = doc! { "metadata.replaced_at": { "$exists": false } };
        match self {
            Self::File(_) => self.count("blobs", "WHERE replaced_at IS NULL", kept).await,
            Self::Database(_) => self.count("fs.files", "", kept).await,
        }
    }

    /// Returns how many chunks there are.
    pub(crate) async fn chunks(&self) -> u64 {
        match self {
            Self::File(_) => self.count("chunks", "", doc! {}).await,
            Self::Database(_) => self.count("fs.chunks", "", doc! {}).await,
        }
    }

    /// Returns how many bytes the chunks of a blob hold.
    pub(crate) async fn bytes_of(&self, blob: BlobId) -> u64 {
        match self {
            Self::File(_) => {
                let sql = format!("SELECT sum(length(data)) FROM chunks WHERE id >> 20 = {}", blob.0);
                self.connect().query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("a sum").unsigned_abs()
            }
            Self::Database(database) => {
                let chunks = database.collection::<Document>("fs.chunks");
                let mut sum = 0;
                let mut number = 0;
                while let Some(chunk) = chunks.find_one(doc! { "files_id": blob.0, "n": number }).await.expect("read") {
                    sum += chunk.get_binary_generic("data").expect("data").len() as u64;
                    number += 1;
                }
                sum
            }
        }
    }

    /// Changes one byte of a blob's first chunk, as a bad disk does.
    pub(crate) async fn damage(&self, blob: BlobId) {
        match self {
            Self::File(_) => {
                let id = blob.0 << 20;
                self.sql(&format!(
                    "UPDATE chunks SET data = CAST(substr(data, 1, 30) || x'2a' || substr(data, 32) AS BLOB) WHERE id = {id}"
                ));
            }
            Self::Database(database) => {
                let chunks = database.collection::<Document>("fs.chunks");
                let first = doc! { "files_id": blob.0, "n": 0 };
                let found = chunks.find_one(first.clone()).await.expect("read").expect("a chunk");
                let mut bytes = found.get_binary_generic("data").expect("data").clone();
                bytes[30] ^= 0x2a;
                let data = mongodb::bson::Binary { subtype: mongodb::bson::spec::BinarySubtype::Generic, bytes };
                chunks.update_one(first, doc! { "$set": { "data": data } }).await.expect("changed");
            }
        }
    }

    /// Makes all chunks older than checksums.
    pub(crate) async fn lose_sums(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE chunks SET sum = NULL"),
            Self::Database(database) => {
                let chunks = database.collection::<Document>("fs.chunks");
                chunks.update_many(doc! {}, doc! { "$unset": { "sum": "" } }).await.expect("changed");
            }
        }
    }

    /// Gives a job's log another index.
    pub(crate) async fn set_log_index(&self, job: JobId, index: &[u8]) {
        match self {
            Self::File(_) => {
                let hex: String = index.iter().map(|byte| format!("{byte:02x}")).collect();
                self.sql(&format!("UPDATE jobs SET log_index = x'{hex}' WHERE id = {job}"));
            }
            Self::Database(database) => {
                let index = Binary { subtype: BinarySubtype::Generic, bytes: index.to_vec() };
                let job = doc! { "_id": i64::try_from(job.0).expect("small") };
                let set = doc! { "$set": { "log.index": index } };
                database.collection::<Document>("jobs").update_one(job, set).await.expect("changed");
            }
        }
    }

    /// Makes the replacement of blobs look older than their readers' time.
    pub(crate) async fn age_replaced_blobs(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE blobs SET replaced_at = 0 WHERE replaced_at IS NOT NULL"),
            Self::Database(database) => {
                let replaced = doc! { "metadata.replaced_at": { "$exists": true } };
                let long_ago = doc! { "$set": { "metadata.replaced_at": DateTime::from_millis(1) } };
                database.collection::<Document>("fs.files").update_many(replaced, long_ago).await.expect("aged");
            }
        }
    }

    /// Makes all processes look silent for three leases: those that have a blob in hand, or all others.
    pub(crate) async fn silence(&self, with_a_blob: bool) {
        match self {
            Self::File(_) => {
                let which = if with_a_blob { "=" } else { "<>" };
                self.sql(&format!(
                    "UPDATE processes SET seen = seen - 3 * lease WHERE id {which} (SELECT owner FROM blobs)"
                ));
            }
            Self::Database(database) => {
                let files = database.collection::<Document>("fs.files");
                let owners = files.distinct("metadata.owner", doc! {}).await.expect("owners");
                let is_it = doc! { "$eq": [{ "$in": ["$$process.id", owners] }, with_a_blob] };
                let seen = doc! { "$dateSubtract": {
                    "startDate": "$$process.seen", "unit": "millisecond", "amount": { "$multiply": [3, "$$process.lease"] },
                } };
                let silent = doc! { "$mergeObjects": ["$$process", { "seen": seen }] };
                let list = doc! { "$map": {
                    "input": "$list", "as": "process", "in": { "$cond": [is_it, silent, "$$process"] },
                } };
                let change = vec![doc! { "$set": { "list": list, "rev": 1_i64 } }];
                database.collection::<Document>("processes").update_one(doc! {}, change).await.expect("silent");
            }
        }
    }

    /// Gives the journal to a process that does not exist.
    pub(crate) async fn orphan_entries(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE journal SET owner = 1"),
            Self::Database(database) => {
                let nobody = doc! { "$set": { "owner": 1_i64 } };
                database.collection::<Document>("journal").update_many(doc! {}, nobody).await.expect("orphaned");
            }
        }
    }

    /// Makes every look at a list of GitLab an hour older.
    pub(crate) async fn age_looks(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE listings SET as_of = as_of - 3600000"),
            Self::Database(database) => {
                let change = vec![doc! { "$set": { "as_of": { "$subtract": ["$as_of", 3_600_000] } } }];
                database.collection::<Document>("listings").update_many(doc! {}, change).await.expect("aged");
            }
        }
    }

    /// Moves the time of every verdict, as if the database's clock had been set back two hours since.
    pub(crate) async fn set_verdicts_ahead(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE verdicts SET asked = asked + 7200000, expires = expires + 7200000"),
            Self::Database(database) => {
                let ahead = |field: &str| doc! { "$add": [field, 7_200_000] };
                let change = vec![doc! { "$set": { "asked": ahead("$asked"), "expires": ahead("$expires") } }];
                database.collection::<Document>("verdicts").update_many(doc! {}, change).await.expect("moved");
            }
        }
    }

    /// Lets every lease expire.
    pub(crate) async fn expire_leases(&self) {
        match self {
            Self::File(_) => self.sql("UPDATE leases SET expires = 0"),
            Self::Database(database) => {
                let over = doc! { "$set": { "expires": DateTime::from_millis(0) } };
                database.collection::<Document>("leases").update_many(doc! {}, over).await.expect("expired");
            }
        }
    }

    /// Returns every byte that is kept beside the files of the test's directory: the documents of a database, by collection.
    pub(crate) async fn documents(&self) -> Vec<(String, Vec<u8>)> {
        let Self::Database(database) = self else { return Vec::new() };
        let mut kept = Vec::new();
        for name in database.list_collection_names().await.expect("collections") {
            let mut documents = database.collection::<RawDocumentBuf>(&name).find(doc! {}).await.expect("documents");
            while documents.advance().await.expect("a document") {
                kept.push((name.clone(), documents.current().as_bytes().to_vec()));
            }
        }
        kept
    }

    /// Has the database refuse to publish archives, as a full disk does.
    pub(crate) async fn refuse_archives(&self) {
        let when = "BEFORE UPDATE ON jobs WHEN new.archive_piece = 'whole'";
        self.refuse(when, "jobs", doc! { "archive.piece": { "$ne": "whole" } }).await;
    }

    /// Has the database refuse every pipeline.
    pub(crate) async fn refuse_pipelines(&self) {
        self.refuse("BEFORE INSERT ON pipelines", "pipelines", doc! { "_id": { "$lt": 0 } }).await;
    }

    async fn refuse(&self, when: &str, name: &str, valid: Document) {
        match self {
            Self::File(_) => {
                self.sql(&format!("CREATE TRIGGER refused_{name} {when} BEGIN SELECT RAISE(ABORT, 'refused'); END"));
            }
            Self::Database(database) => {
                database.run_command(doc! { "collMod": name, "validator": valid }).await.expect("refused");
            }
        }
    }

    /// Ends what [`Self::refuse_archives`] or [`Self::refuse_pipelines`] began.
    pub(crate) async fn accept_all(&self) {
        match self {
            Self::File(_) => {
                self.sql("DROP TRIGGER IF EXISTS refused_jobs; DROP TRIGGER IF EXISTS refused_pipelines");
            }
            Self::Database(database) => {
                for name in ["jobs", "pipelines"] {
                    database.run_command(doc! { "collMod": name, "validator": {} }).await.expect("accepted");
                }
            }
        }
    }

    /// Runs SQL on a file.
    pub(crate) fn sql(&self, sql: &str) {
        self.connect().execute_batch(sql).expect(sql);
    }

    pub(crate) fn connect(&self) -> Connection {
        let Self::File(path) = self else { panic!("no file") };
        let connection = Connection::open(path).expect("the file opens");
        connection.busy_timeout(Duration::from_secs(10)).expect("a timeout");
        connection
    }

    pub(super) async fn change(&self, sql: &str, (name, id): (&str, u64), set: Document) {
        match self {
            Self::File(_) => self.sql(sql),
            Self::Database(database) => {
                let id = doc! { "_id": i64::try_from(id).expect("an id") };
                database.collection::<Document>(name).update_one(id, doc! { "$set": set }).await.expect("changed");
            }
        }
    }

    async fn remove(&self, name: &str, id: u64) {
        match self {
            Self::File(_) => self.sql(&format!("DELETE FROM {name} WHERE id = {id}")),
            Self::Database(database) => {
                let id = doc! { "_id": i64::try_from(id).expect("an id") };
                database.collection::<Document>(name).delete_one(id).await.expect("removed");
            }
        }
    }

    async fn count(&self, name: &str, condition: &str, filter: Document) -> u64 {
        match self {
            Self::File(_) => {
                let sql = format!("SELECT count(*) FROM {name} {condition}");
                self.connect().query_row(&sql, [], |row| row.get::<_, i64>(0)).expect("a count").unsigned_abs()
            }
            Self::Database(database) => {
                database.collection::<Document>(name).count_documents(filter).await.expect("a count")
            }
        }
    }
}
