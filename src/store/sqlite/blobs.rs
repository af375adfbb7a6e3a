//! Blobs: bytes in chunks, written before anything points to them and removed after nothing does.
//!
//! A blob has an owner from its first byte until it is published; `replaced_at` is when it lost its pointer. Chunks are
//! found by a computed key, so that they need no index. Removing goes in steps of at most 1 MiB, so that journal entries
//! never wait behind it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use deadpool_sqlite::rusqlite::{self, Connection, params};

use super::columns::{self, integer};
use super::trouble::Trouble;
use super::writer::Urgency;
use super::{Owner, Sqlite};
use crate::domain::{BlobId, ProjectId};
use crate::store::metrics::Operation;
use crate::store::{BlobKind, CHUNK_BYTES, Error, chunk_sum};

/// Bits of a chunk's key that number it within its blob: blobs end at 256 GiB.
const NUMBER_BITS: u32 = 20;

/// How long a replaced blob stays for those who read it.
const GRACE_MILLIS: i64 = 10 * 60 * 1000;

/// Chunks removed in one transaction: 1 MiB.
const CHUNKS_PER_STEP: i64 = 4;

/// Blobs that one sweep removes at most; the next one goes on.
const BLOBS_PER_SWEEP: i64 = 10_000;

/// Free pages given back to the file system in one transaction.
const PAGES_PER_STEP: i64 = 256;

/// Steps in which one sweep shrinks the file: 256 MiB.
const STEPS_PER_SWEEP: u32 = 256;

/// Blobs that are worked on. The writer thread takes them in and looks into it, so that neither is early or late.
pub(super) type InHand = Arc<Mutex<HashSet<i64>>>;

const REMOVE: Operation = Operation("remove_blob", "remove a blob");

impl Sqlite {
    pub(in crate::store) async fn new_blob(&self) -> Result<BlobId, Error> {
        let Owner { id, .. } = self.inner.owner;
        let in_hand = Arc::clone(&self.inner.in_hand);
        self.write(Operation("new_blob", "register a blob"), Urgency::Bulk, 0, move |connection| {
            let blob = insert(connection, Some(id), 0)?;
            in_hand.lock().unwrap_or_else(PoisonError::into_inner).insert(blob.0);
            Ok(blob)
        })
        .await
    }

    /// Leaves blobs to the sweep, unless they are published.
    pub(in crate::store) fn let_go(&self, blobs: &[i64]) {
        let mut in_hand = self.inner.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        for blob in blobs {
            in_hand.remove(blob);
        }
    }

    pub(in crate::store) async fn put_chunk(&self, blob: BlobId, number: u32, bytes: Bytes) -> Result<(), Error> {
        let Owner { id, .. } = self.inner.owner;
        let weight = bytes.len();
        let sum = chunk_sum(blob, number, &bytes);
        self.write(Operation("put_chunk", "store a chunk"), Urgency::Bulk, weight, move |connection| {
            let stored = connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO chunks (id, data, sum) SELECT ?1, ?2, ?5 FROM blobs
                     WHERE id = ?3 AND owner = ?4 AND replaced_at IS NULL",
                )?
                .execute(params![chunk_key(blob, number)?, &bytes[..], blob.0, id, sum])?;
            if stored == 1 { Ok(()) } else { Err(Trouble::FenceLost) }
        })
        .await
    }

    pub(in crate::store) async fn drop_blob(&self, blob: BlobId) -> Result<(), Error> {
        self.let_go(&[blob.0]);
        let loose = self
            .write(REMOVE, Urgency::Bulk, 0, move |connection| {
                let marked = connection
                    .prepare_cached(
                        "UPDATE blobs SET replaced_at = 0
                         WHERE id = ?1 AND (owner IS NOT NULL OR replaced_at IS NOT NULL)",
                    )?
                    .execute([blob.0])?;
                Ok(marked == 1)
            })
            .await?;
        if loose { self.remove_blob(blob).await } else { Ok(()) }
    }

    pub(in crate::store) async fn sweep_blobs(&self) -> Result<u64, Error> {
        let own = self.inner.owner.id;
        let in_hand = Arc::clone(&self.inner.in_hand);
        let doomed = self
            .write(Operation("sweep_blobs", "find loose blobs"), Urgency::Bulk, 0, move |connection| {
                Ok(doom(connection, own, &in_hand)?)
            })
            .await?;
        let mut removed = 0;
        for blob in doomed {
            self.remove_blob(blob).await?;
            removed += 1;
        }
        for _ in 0..STEPS_PER_SWEEP {
            let step = |connection: &Connection| Ok(shrink(connection)?);
            if !self.write(Operation("shrink", "shrink the file"), Urgency::Bulk, 1 << 20, step).await? {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes a blob that nobody can publish any more.
    pub(super) async fn remove_blob(&self, blob: BlobId) -> Result<(), Error> {
        let step = move |connection: &Connection| {
            let removed = connection
                .prepare_cached(
                    "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE id >= ?1 AND id < ?2 LIMIT ?3)",
                )?
                .execute(params![blob.0 << NUMBER_BITS, (blob.0 + 1) << NUMBER_BITS, CHUNKS_PER_STEP])?;
            if integer(removed as u64) == CHUNKS_PER_STEP {
                return Ok(true);
            }
            connection.prepare_cached("DELETE FROM blobs WHERE id = ?1")?.execute([blob.0])?;
            Ok(false)
        };
        while self.write(REMOVE, Urgency::Bulk, CHUNK_BYTES, step).await? {}
        Ok(())
    }
}

/// What a published blob is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct What {
    pub(super) kind: BlobKind,
    pub(super) project: ProjectId,
    /// The job, or of a report the pipeline.
    pub(super) target: u64,
    /// How many bytes it is for readers.
    pub(super) raw: u64,
}

/// Makes a slot point to what is published: to the bytes as a new blob, or to a streamed blob of this size, or to nothing.
/// What it pointed to before is retired.
pub(super) fn place(
    connection: &Connection,
    streamed: Option<BlobId>,
    held: Option<BlobId>,
    bytes: Option<Bytes>,
    (size, what): (u64, What),
) -> Result<Option<BlobId>, Trouble> {
    let placed = match bytes {
        Some(bytes) if bytes.is_empty() => None,
        Some(bytes) => Some(store(connection, &bytes)?),
        None if streamed == held => return Ok(held),
        None => streamed.map(|blob| publish(connection, blob, size)).transpose()?,
    };
    if let Some(blob) = placed {
        describe(connection, blob, what)?;
    }
    if let Some(blob) = held {
        retire(connection, blob.0)?;
    }
    Ok(placed)
}

/// Lets go of a streamed blob that was offered, unless it is the one that the slot points to.
pub(super) fn release(connection: &Connection, offered: Option<BlobId>, kept: Option<BlobId>) -> Result<(), Trouble> {
    if let Some(blob) = offered.filter(|blob| Some(*blob) != kept) {
        connection
            .prepare_cached("UPDATE blobs SET replaced_at = 0 WHERE id = ?1 AND owner IS NOT NULL")?
            .execute([blob.0])?;
    }
    Ok(())
}

/// Notes that nothing points to a blob any more; its readers have 10 min to finish.
pub(super) fn retire(connection: &Connection, blob: i64) -> Result<(), Trouble> {
    let now = columns::now(connection)?;
    connection.prepare_cached("UPDATE blobs SET replaced_at = ?2 WHERE id = ?1")?.execute([blob, now])?;
    Ok(())
}

fn describe(connection: &Connection, blob: BlobId, what: What) -> Result<(), Trouble> {
    let What { kind, project, target, raw } = what;
    connection
        .prepare_cached("UPDATE blobs SET kind = ?2, project = ?3, target = ?4, raw = ?5 WHERE id = ?1")?
        .execute(params![blob.0, columns::blob_kind(kind), integer(project.0), integer(target), integer(raw)])?;
    Ok(())
}

fn insert(connection: &Connection, owner: Option<i64>, size: u64) -> Result<BlobId, Trouble> {
    let now = columns::now(connection)?;
    let id = connection
        .prepare_cached("INSERT INTO blobs (owner, size, created_at) VALUES (?1, ?2, ?3)")?
        .insert(params![owner, integer(size), now])?;
    Ok(BlobId(id))
}

fn store(connection: &Connection, bytes: &Bytes) -> Result<BlobId, Trouble> {
    let blob = insert(connection, None, bytes.len() as u64)?;
    let mut statement = connection.prepare_cached("INSERT INTO chunks (id, data, sum) VALUES (?1, ?2, ?3)")?;
    for (number, chunk) in (0..).zip(bytes.chunks(CHUNK_BYTES)) {
        statement.execute(params![chunk_key(blob, number)?, chunk, chunk_sum(blob, number, chunk)])?;
    }
    Ok(blob)
}

fn publish(connection: &Connection, blob: BlobId, size: u64) -> Result<BlobId, Trouble> {
    let published = connection
        .prepare_cached(
            "UPDATE blobs SET owner = NULL, size = ?2 WHERE id = ?1 AND owner IS NOT NULL AND replaced_at IS NULL",
        )?
        .execute(params![blob.0, integer(size)])?;
    // Swept, because its owner was silent for two leases, or already published elsewhere.
    if published == 1 { Ok(blob) } else { Err(Trouble::FenceLost) }
}

pub(super) fn chunk_key(blob: BlobId, number: u32) -> Result<i64, Trouble> {
    if number >> NUMBER_BITS == 0 {
        Ok(blob.0 << NUMBER_BITS | i64::from(number))
    } else {
        Err(Trouble::Abandoned("a blob has at most 1048576 chunks".to_owned()))
    }
}

/// Finds what can go and marks it, so that nobody can publish or extend it any more.
fn doom(connection: &Connection, own: i64, in_hand: &InHand) -> rusqlite::Result<Vec<BlobId>> {
    let now = columns::now(connection)?;
    let unpublished: Vec<i64> = connection
        .prepare_cached("SELECT id FROM blobs WHERE owner = ?1 AND replaced_at IS NULL")?
        .query_map([own], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut let_go = connection.prepare_cached("UPDATE blobs SET replaced_at = 0 WHERE id = ?1")?;
    for blob in unpublished {
        if !in_hand.lock().unwrap_or_else(PoisonError::into_inner).contains(&blob) {
            let_go.execute([blob])?;
        }
    }
    connection
        .prepare_cached(
            "UPDATE blobs SET replaced_at = 0 WHERE owner IS NOT NULL AND owner <> ?1 AND replaced_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM processes WHERE id = owner AND seen + 2 * lease > ?2)",
        )?
        .execute([own, now])?;
    connection
        .prepare_cached("SELECT id FROM blobs WHERE replaced_at <= ?1 LIMIT ?2")?
        .query_map([now - GRACE_MILLIS, BLOBS_PER_SWEEP], |row| row.get(0).map(BlobId))?
        .collect()
}

/// Gives some free pages back; returns whether there is more to give.
fn shrink(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let spare = number("freelist_count")? - number("page_count")? / 16;
    if spare < PAGES_PER_STEP {
        return Ok(false);
    }
    // It answers a row for each page and frees nothing more when it is not read on.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_PER_STEP})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(true)
}
