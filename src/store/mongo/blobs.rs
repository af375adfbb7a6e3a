//! Blobs: bytes in chunks, written before anything points to them and removed after nothing does.
//!
//! They are GridFS files of the default bucket, written by us: the driver's upload would lose acknowledged data when two
//! writers chose one id, and has no ranged download. A file's document comes before its first chunk and goes after its last.
//! While its `metadata.owner` is set, a blob is in the hands of that process, which may or may not have published it; `of`
//! names the document that would point to it. `replaced_at` is when it lost its pointer.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::time::Instant;

use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Document, RawDocumentBuf, cstr, doc, rawdoc};
use mongodb::error::ErrorKind;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::Mongo;
use super::calls::{BULK, Update, timed};
use super::group::Weighed;
use super::query::Query;
use super::reach::Collections;
use super::schema::{CHUNKS, FILES};
use super::trouble::{DUPLICATE_KEY, Trouble};
use super::values::integer;
use crate::domain::{BlobId, JobKey, PipelineKey};
use crate::store::change::fresh_id;
use crate::store::metrics::Operation;
use crate::store::standing::Did;
use crate::store::{CHUNK_BYTES, Error, Kind, StoredChunk, chunk_sum};

/// Whose blob it is or would be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Log(JobKey),
    Archive(JobKey),
    Report(PipelineKey),
    Summary(PipelineKey),
}

/// A file of GridFS.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileDocument {
    #[serde(rename = "_id")]
    id: i64,
    length: i64,
    chunk_size: i32,
    upload_date: DateTime,
    filename: String,
    metadata: Metadata,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<Holder>,
    /// How many bytes it is for readers, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<i64>,
}

/// The document that points to a blob once it is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Holder {
    /// `log`, `archive`, `report` or `summary`.
    pub(super) kind: Box<str>,
    /// The job's or pipeline's id.
    pub(super) id: i64,
}

/// A whole blob on its way to the database.
#[derive(Debug)]
pub(super) struct NewBlob {
    pub(super) id: i64,
    pub(super) of: Of,
    /// How many bytes it is for readers.
    pub(super) raw: u64,
    pub(super) bytes: Bytes,
}

/// A chunk that waits to be written.
pub(super) struct Chunk {
    blob: i64,
    number: u32,
    bytes: Bytes,
    answer: oneshot::Sender<Result<(), Trouble>>,
}

impl Weighed for Chunk {
    fn weight(&self) -> usize {
        self.bytes.len() + 256
    }
}

impl Of {
    fn holder(self) -> Holder {
        let (kind, id) = match self {
            Self::Log(key) => ("log", key.job.0),
            Self::Archive(key) => ("archive", key.job.0),
            Self::Report(key) => ("report", key.pipeline.0),
            Self::Summary(key) => ("summary", key.pipeline.0),
        };
        Holder { kind: kind.into(), id: integer(id) }
    }

    /// Returns the name under which a person finds it with `mongofiles`.
    fn file_name(self) -> String {
        match self {
            Self::Log(key) => format!("projects/{}/jobs/{}/trace.zst", key.project, key.job),
            Self::Archive(key) => format!("projects/{}/jobs/{}/artifacts.zip", key.project, key.job),
            Self::Report(key) => format!("projects/{}/pipelines/{}/test_report.json.zst", key.project, key.pipeline),
            Self::Summary(key) => {
                format!("projects/{}/pipelines/{}/test_report_summary.json", key.project, key.pipeline)
            }
        }
    }
}

impl Mongo {
    pub(in crate::store) async fn new_blob(&self) -> Result<BlobId, Error> {
        let owner = self.inner.owner.id;
        let id = fresh_id();
        let file = FileDocument {
            id,
            length: 0,
            chunk_size: i32::try_from(CHUNK_BYTES).unwrap_or(i32::MAX),
            upload_date: DateTime::now(),
            filename: format!("unpublished/{id}"),
            metadata: Metadata { owner: Some(owner), of: None, raw: None },
        };
        self.hold(id);
        let registered = self
            .read(Operation("new_blob", "register a blob"), |collections| async move {
                Ok(collections.of::<FileDocument>(FILES).insert_one(file).await.map(drop)?)
            })
            .await;
        registered.inspect_err(|_| self.let_go(&[id]))?;
        Ok(BlobId(id))
    }

    pub(in crate::store) async fn put_chunk(&self, blob: BlobId, number: u32, bytes: Bytes) -> Result<(), Error> {
        let operation = Operation("put_chunk", "store a chunk");
        let begin = Instant::now();
        let _permit = self.inner.permits.acquire().await.map_err(|_| Error::new(operation.1, Kind::Closed))?;
        let _in_flight = self.inner.metrics.enter();
        let (answer, outcome) = oneshot::channel();
        let store = self.clone();
        let chunk = Chunk { blob: blob.0, number, bytes, answer };
        let taken = self.inner.chunks.add(chunk, move |batch| {
            let store = store.clone();
            async move { store.put_chunks(batch).await }
        });
        let outcome = if taken { self.answered(2 * BULK, outcome).await } else { Err(Trouble::Closed) };
        self.settle(operation, begin, Did::Write, outcome)
    }

    pub(in crate::store) async fn drop_blob(&self, blob: BlobId) -> Result<(), Error> {
        self.let_go(&[blob.0]);
        self.read(Operation("remove_blob", "remove a blob"), |collections| async move {
            let files = collections.of::<Document>(FILES);
            let loose = doc! { "_id": blob.0, "$or": [
                { "metadata.owner": { "$exists": true } }, { "metadata.replaced_at": { "$exists": true } },
            ] };
            let doomed = doc! { "$set": { "metadata.replaced_at": DateTime::from_millis(0) } };
            let marked = files.update_one(loose, doomed).await?.matched_count == 1;
            // Swept already: what came later has to go, too.
            if marked || files.find_one(doc! { "_id": blob.0 }).await?.is_none() {
                remove(&collections, &[blob.0]).await?;
            }
            Ok(())
        })
        .await
    }

    /// Keeps a blob of this process from being swept while it is worked on.
    pub(super) fn hold(&self, blob: i64) {
        self.inner.in_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(blob);
    }

    /// Leaves blobs to the sweep, unless they are published.
    pub(in crate::store) fn let_go(&self, blobs: &[i64]) {
        let mut in_hand = self.inner.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        for blob in blobs {
            in_hand.remove(blob);
        }
    }

    async fn put_chunks(&self, batch: Vec<Chunk>) {
        let owner = self.inner.owner.id;
        let outcome = match self.inner.reach.collections() {
            Ok(collections) => timed(BULK, put_chunks(&collections, owner, &batch)).await,
            Err(trouble) => Err(trouble),
        };
        self.inner.reach.note(outcome.as_ref().map(drop));
        for Chunk { blob, answer, .. } in batch {
            let told = match &outcome {
                Ok(mine) if mine.contains(&blob) => Ok(()),
                Ok(_) => Err(Trouble::FenceLost),
                Err(trouble) => Err(Trouble::Away(trouble.reason())),
            };
            // A caller that has gone does not want to know.
            let _ = answer.send(told);
        }
    }
}

/// Writes chunks and then looks whether their blobs are still this process's: what was swept meanwhile is removed again.
/// Returns the blobs that are.
async fn put_chunks(collections: &Collections, owner: i64, batch: &[Chunk]) -> Result<HashSet<i64>, Trouble> {
    let documents: Vec<RawDocumentBuf> =
        batch.iter().map(|chunk| chunk_document(chunk.blob, chunk.number, &chunk.bytes)).collect();
    insert_chunks(collections, documents).await?;
    let blobs: HashSet<i64> = batch.iter().map(|chunk| chunk.blob).collect();
    let mine = in_hand_of(collections, owner, blobs.iter().copied()).await?;
    for chunk in batch.iter().filter(|chunk| !mine.contains(&chunk.blob)) {
        let late = doc! { "files_id": chunk.blob, "n": integer(u64::from(chunk.number)) };
        collections.of::<Document>(CHUNKS).delete_one(late).await?;
    }
    Ok(mine)
}

/// Returns which of these blobs are in the hands of this process and not about to be swept.
pub(super) async fn in_hand_of(
    collections: &Collections,
    owner: i64,
    blobs: impl Iterator<Item = i64>,
) -> Result<HashSet<i64>, Trouble> {
    #[derive(Deserialize)]
    struct Id {
        #[serde(rename = "_id")]
        id: i64,
    }
    let blobs: Vec<i64> = blobs.collect();
    let mine = doc! { "_id": { "$in": blobs }, "metadata.owner": owner, "metadata.replaced_at": { "$exists": false } };
    let found: Vec<Id> = collections.rows(FILES, Query::of(mine).fields(doc! { "_id": 1 })).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// Stores whole blobs in the hands of this process.
pub(super) async fn insert(collections: &Collections, owner: i64, blobs: &[NewBlob]) -> Result<(), Trouble> {
    if blobs.is_empty() {
        return Ok(());
    }
    let files = blobs.iter().map(|blob| FileDocument {
        id: blob.id,
        length: integer(blob.bytes.len() as u64),
        chunk_size: i32::try_from(CHUNK_BYTES).unwrap_or(i32::MAX),
        upload_date: DateTime::now(),
        filename: blob.of.file_name(),
        metadata: Metadata { owner: Some(owner), of: Some(blob.of.holder()), raw: Some(integer(blob.raw)) },
    });
    let files: Vec<FileDocument> = files.collect();
    collections.of::<FileDocument>(FILES).insert_many(&files).ordered(false).await?;
    let chunks = blobs.iter().flat_map(|blob| {
        (0..).zip(blob.bytes.chunks(CHUNK_BYTES)).map(|(number, bytes)| chunk_document(blob.id, number, bytes))
    });
    insert_chunks(collections, chunks.collect()).await
}

/// Names the document that is about to point to streamed blobs, how long they are and how long for readers; those that were swept are left alone.
pub(super) async fn claim(
    collections: &Collections,
    owner: i64,
    claims: &BTreeMap<i64, (Of, u64, u64)>,
) -> Result<HashSet<i64>, Trouble> {
    let updates = claims.iter().map(|(blob, (of, length, raw))| {
        let filter = rawdoc! { "_id": *blob, "metadata.owner": owner, "metadata.replaced_at": { "$exists": false } };
        let Holder { kind, id } = of.holder();
        let change = rawdoc! { "$set": {
            "length": integer(*length),
            "filename": of.file_name(),
            "metadata.of": { "kind": kind.into_string(), "id": id },
            "metadata.raw": integer(*raw),
        } };
        Update { filter, change: change.into(), upsert: false, multi: false }
    });
    let updated = collections.update(FILES, updates.collect()).await?;
    if updated.matched == claims.len() as u64 {
        return Ok(claims.keys().copied().collect());
    }
    in_hand_of(collections, owner, claims.keys().copied()).await
}

/// What became of blobs once the documents that point to them were written.
#[derive(Debug, Default)]
pub(super) struct Fates {
    /// Something points to them now.
    pub(super) published: Vec<i64>,
    /// Something pointed to them until now; their readers have 10 min to finish.
    pub(super) replaced: Vec<i64>,
    /// They were offered and not taken.
    pub(super) refused: Vec<i64>,
}

impl Fates {
    /// Writes down what became of them.
    pub(super) async fn write(&self, collections: &Collections) -> Result<(), Trouble> {
        let published = rawdoc! { "$unset": { "metadata.owner": "" } };
        let mut replaced = mongodb::bson::RawArrayBuf::new();
        replaced.push(rawdoc! { "$set": { "metadata.replaced_at": "$$NOW" } });
        replaced.push(rawdoc! { "$unset": "metadata.owner" });
        // Nobody has read them: they need no time to finish.
        let refused = rawdoc! {
            "$set": { "metadata.replaced_at": DateTime::from_millis(0) }, "$unset": { "metadata.owner": "" },
        };
        let updates = self
            .published
            .iter()
            .map(|blob| by_id(*blob, published.clone().into()))
            .chain(self.replaced.iter().map(|blob| by_id(*blob, replaced.clone().into())))
            .chain(self.refused.iter().map(|blob| by_id(*blob, refused.clone().into())));
        collections.update(FILES, updates.collect()).await.map(drop)
    }

    /// Takes another list's part.
    pub(super) fn add(&mut self, other: Self) {
        self.published.extend(other.published);
        self.replaced.extend(other.replaced);
        self.refused.extend(other.refused);
    }

    /// Returns every blob that is named.
    pub(super) fn all(&self) -> impl Iterator<Item = i64> {
        self.published.iter().chain(&self.replaced).chain(&self.refused).copied()
    }
}

/// Takes blobs that are about to be replaced into this process's hands before their pointers go, so that a crash in between
/// leaks none.
pub(super) async fn announce<'a>(
    collections: &Collections,
    owner: i64,
    fates: impl Iterator<Item = &'a Fates>,
) -> Result<(), Trouble> {
    let mine = rawdoc! { "$set": { "metadata.owner": owner } };
    let replaced = fates.flat_map(|fates| &fates.replaced).map(|blob| by_id(*blob, mine.clone().into()));
    collections.update(FILES, replaced.collect()).await.map(drop)
}

/// Reads one chunk and holds it against its checksum; `None` behind the last.
pub(super) async fn read_chunk(
    collections: &Collections,
    blob: i64,
    number: u32,
) -> Result<Option<StoredChunk>, Trouble> {
    let key = doc! { "files_id": blob, "n": integer(u64::from(number)) };
    let chunks = collections.of::<RawDocumentBuf>(CHUNKS);
    let Some(found) = chunks.find_one(key).projection(doc! { "_id": 0, "data": 1, "sum": 1 }).await? else {
        return Ok(None);
    };
    let data = found.get_binary(cstr!("data")).map_err(|_| Trouble::Unreadable("chunk"))?;
    let bytes = Bytes::copy_from_slice(data.bytes);
    Ok(Some(StoredChunk::new(BlobId(blob), number, bytes, found.get_i64(cstr!("sum")).ok())))
}

/// Removes blobs that nobody can publish any more.
pub(super) async fn remove(collections: &Collections, blobs: &[i64]) -> Result<(), Trouble> {
    if blobs.is_empty() {
        return Ok(());
    }
    collections.of::<Document>(CHUNKS).delete_many(doc! { "files_id": { "$in": blobs } }).await?;
    collections.of::<Document>(FILES).delete_many(doc! { "_id": { "$in": blobs } }).await?;
    Ok(())
}

fn by_id(blob: i64, change: mongodb::bson::RawBson) -> Update {
    Update { filter: rawdoc! { "_id": blob }, change, upsert: false, multi: false }
}

fn chunk_document(blob: i64, number: u32, bytes: &[u8]) -> RawDocumentBuf {
    let data = Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
    let sum = chunk_sum(BlobId(blob), number, bytes);
    rawdoc! { "files_id": blob, "n": i32::try_from(number).unwrap_or(i32::MAX), "data": data, "sum": sum }
}

/// Inserts chunks; those that are there already, from an attempt whose answer was lost, are the same.
async fn insert_chunks(collections: &Collections, documents: Vec<RawDocumentBuf>) -> Result<(), Trouble> {
    let Err(error) = collections.of::<RawDocumentBuf>(CHUNKS).insert_many(&documents).ordered(false).await else {
        return Ok(());
    };
    match &*error.kind {
        ErrorKind::InsertMany(refused)
            if refused.write_concern_error.is_none()
                && refused.write_errors.iter().flatten().all(|error| error.code == DUPLICATE_KEY) =>
        {
            Ok(())
        }
        _ => Err(error.into()),
    }
}
