//! Publishing a job's log and archive: the better one stays, and what nothing points to any more is released.

use bytes::Bytes;
use deadpool_sqlite::rusqlite::{Connection, OptionalExtension, Row, params};

use super::apply::Touched;
use super::blobs::{self, What};
use super::columns::{self, integer};
use super::jobs::{LOG_COLUMNS, archive_columns, log_columns, read_archive, read_log};
use super::trouble::Trouble;
use crate::domain::{ArchiveRecord, BlobId, JobKey, LogRecord, Piece, PipelineId};
use crate::store::BlobKind;
use crate::store::slots::{self, Expected, Verdict};

/// Publishes a log.
pub(super) fn log(
    connection: &Connection,
    key: JobKey,
    mut record: LogRecord,
    bytes: Option<Bytes>,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (held, job) = held(connection, key)?;
    let offered = slots::offered(bytes.is_some(), &mut record.blob, record.piece);
    let same_blob = bytes.is_none() && record.blob == held.log.blob;
    match slots::publish_log(&held.log, &mut record, same_blob) {
        Verdict::Refuse => {
            blobs::release(connection, offered, held.log.blob)?;
            if held.log.piece.is_final() {
                return Ok(());
            }
        }
        Verdict::Note => {}
        Verdict::Replace => {
            let frames = record.frames.iter().copied().map(u64::from).sum();
            let what = What { kind: BlobKind::Log, project: key.project, target: key.job.0, raw: record.size };
            record.blob = blobs::place(connection, record.blob, held.log.blob, bytes, (frames, what))?;
            blobs::release(connection, offered, record.blob)?;
        }
    }
    let frames: Vec<u8> = record.frames.iter().flat_map(|length| length.to_le_bytes()).collect();
    let open = slots::open(job.expected, record.piece, held.archive.piece);
    let (project, id) = columns::job(key);
    connection
        .prepare_cached(
            "UPDATE jobs SET log_piece = ?3, log_blob = ?4, log_size = ?5, log_frames = ?6, log_looks = ?7,
                 log_first_look = ?8, log_last_look = ?9, log_mismatch_since = ?10, log_note = ?11, log_index = ?12, open = ?13,
                 log_fetched = ?14
             WHERE project = ?1 AND id = ?2",
        )?
        .execute(params![
            project,
            id,
            record.piece.as_str(),
            record.blob.map(|blob| blob.0),
            integer(record.size),
            frames,
            record.looks,
            columns::millis(record.first_look),
            columns::millis(record.last_look),
            columns::millis(record.mismatch_since),
            record.note.map(crate::domain::LogNote::as_str),
            record.index,
            open,
            record.fetched.map(integer),
        ])?;
    touched.job(key, job.pipeline);
    Ok(())
}

/// Publishes an archive.
pub(super) fn archive(
    connection: &Connection,
    key: JobKey,
    mut record: ArchiveRecord,
    bytes: Option<Bytes>,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (held, job) = held(connection, key)?;
    let offered = slots::offered(bytes.is_some(), &mut record.blob, record.piece);
    if slots::judge_archive(&held.archive, &record) == Verdict::Refuse {
        return blobs::release(connection, offered, held.archive.blob);
    }
    let what = What { kind: BlobKind::Archive, project: key.project, target: key.job.0, raw: record.size };
    record.blob = blobs::place(connection, record.blob, held.archive.blob, bytes, (record.size, what))?;
    blobs::release(connection, offered, record.blob)?;
    let open = slots::open(job.expected, held.log.piece, record.piece);
    let (project, id) = columns::job(key);
    connection
        .prepare_cached(
            "UPDATE jobs SET archive_piece = ?3, archive_blob = ?4, archive_size = ?5, archive_sha256 = ?6, archive_index = ?7,
                 open = ?8
             WHERE project = ?1 AND id = ?2",
        )?
        .execute(params![
            project,
            id,
            record.piece.as_str(),
            record.blob.map(|blob| blob.0),
            integer(record.size),
            record.sha256,
            record.index,
            open,
        ])?;
    touched.job(key, job.pipeline);
    Ok(())
}

/// Writes both pieces' words and `open`, as decided by the job's document; an erased piece loses what it pointed to.
pub(super) fn set_pieces(
    connection: &Connection,
    key: JobKey,
    log: Piece,
    archive: Piece,
    open: i64,
) -> Result<(), Trouble> {
    let (project, id) = columns::job(key);
    connection
        .prepare_cached(
            "UPDATE jobs SET log_piece = ?3, archive_piece = ?4, open = ?5,
                 log_blob = iif(?3 = 'erased', NULL, log_blob), log_size = iif(?3 = 'erased', 0, log_size),
                 log_fetched = iif(?3 = 'erased', NULL, log_fetched),
                 log_frames = iif(?3 = 'erased', x'', log_frames), log_index = iif(?3 = 'erased', x'', log_index),
                 archive_blob = iif(?4 = 'erased', NULL, archive_blob),
                 archive_size = iif(?4 = 'erased', 0, archive_size),
                 archive_sha256 = iif(?4 = 'erased', NULL, archive_sha256),
                 archive_index = iif(?4 = 'erased', x'', archive_index)
             WHERE project = ?1 AND id = ?2",
        )?
        .execute(params![project, id, log.as_str(), archive.as_str(), open])?;
    Ok(())
}

/// Marks what is expected of an ended job and still missing as failed. Nothing happens when the job is not stored.
pub(super) fn fail(connection: &Connection, key: JobKey, touched: &mut Touched) -> Result<(), Trouble> {
    let (held, job) = match held(connection, key) {
        Err(Trouble::NoSuchRow(_)) => return Ok(()),
        other => other?,
    };
    let Expected { ended, log, archive } = job.expected;
    let log = slots::failed(ended, log, held.log.piece);
    let archive = slots::failed(ended, archive, held.archive.piece);
    set_pieces(connection, key, log, archive, slots::open(job.expected, log, archive))?;
    touched.job(key, job.pipeline);
    Ok(())
}

/// Makes what is held in a damaged blob a gap. Nothing happens when the job holds another one by now.
pub(super) fn damaged(
    connection: &Connection,
    key: JobKey,
    blob: BlobId,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (held, job) = match held(connection, key) {
        Err(Trouble::NoSuchRow(_)) => return Ok(()),
        other => other?,
    };
    let judged =
        |piece: Piece, in_blob: Option<BlobId>| if in_blob == Some(blob) { slots::damaged(piece) } else { piece };
    let log = judged(held.log.piece, held.log.blob);
    let archive = judged(held.archive.piece, held.archive.blob);
    set_pieces(connection, key, log, archive, slots::open(job.expected, log, archive))?;
    touched.job(key, job.pipeline);
    Ok(())
}

struct Held {
    log: LogRecord,
    archive: ArchiveRecord,
}

struct Facts {
    expected: Expected,
    pipeline: PipelineId,
}

fn held(connection: &Connection, key: JobKey) -> Result<(Held, Facts), Trouble> {
    const SQL: &str = concat!(
        "SELECT ",
        log_columns!(),
        ", ",
        archive_columns!(),
        ", ended, started, archived, pipeline FROM jobs WHERE project = ?1 AND id = ?2"
    );
    let read = |row: &Row<'_>| {
        let held = Held { log: read_log(row, 0)?, archive: read_archive(row, LOG_COLUMNS)? };
        let expected = Expected { ended: row.get(16)?, log: row.get(17)?, archive: row.get(18)? };
        Ok((held, Facts { expected, pipeline: PipelineId(columns::natural(row.get(19)?)) }))
    };
    let row = connection.prepare_cached(SQL)?.query_row(columns::job(key), read).optional()?;
    row.ok_or(Trouble::NoSuchRow("job"))
}
