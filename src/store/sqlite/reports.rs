//! Publishing and reading a pipeline's test report.

use bytes::Bytes;
use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, Row, params};

use super::apply::Touched;
use super::blobs::{self, What};
use super::columns::{self, integer};
use super::trouble::Trouble;
use crate::domain::{BlobId, JobId, Piece, PipelineKey, ReportRecord};
use crate::store::BlobKind;
use crate::store::slots::{self, Verdict};
use crate::work::Target;

/// The columns that [`read`] reads, in its order.
macro_rules! report_columns {
    () => {
        "report_piece, report_blob, report_size, report_summary, report_total, report_builds, report_looks, \
         report_last_look, summary_piece"
    };
}
pub(super) use report_columns;

/// Publishes a report.
pub(super) fn publish(
    connection: &Connection,
    key: PipelineKey,
    mut record: ReportRecord,
    bytes: Option<Bytes>,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    const SQL: &str = concat!("SELECT ", report_columns!(), " FROM pipelines WHERE project = ?1 AND id = ?2");
    let (project, id) = columns::pipeline(key);
    let held = connection
        .prepare_cached(SQL)?
        .query_row([project, id], |row| read(row, 0))
        .optional()?
        .ok_or(Trouble::NoSuchRow("pipeline"))?;
    let offered = slots::offered(bytes.is_some(), &mut record.blob, record.piece);
    let same_blob = bytes.is_none() && record.blob == held.blob;
    match slots::publish_report(&held, &mut record, same_blob).report {
        Verdict::Refuse => blobs::release(connection, offered, held.blob)?,
        Verdict::Note => {}
        Verdict::Replace => {
            let what = What { kind: BlobKind::Report, project: key.project, target: key.pipeline.0, raw: record.size };
            record.blob = blobs::place(connection, record.blob, held.blob, bytes, (record.size, what))?;
            blobs::release(connection, offered, record.blob)?;
        }
    }
    let builds = serde_json::to_string(&record.build_ids).map_err(|_| Trouble::Unreadable("report"))?;
    connection
        .prepare_cached(
            "UPDATE pipelines SET report_piece = ?3, report_blob = ?4, report_size = ?5, report_summary = ?6,
                 report_total = ?7, report_builds = ?8, report_looks = ?9, report_last_look = ?10,
                 summary_piece = ?11
             WHERE project = ?1 AND id = ?2",
        )?
        .execute(params![
            project,
            id,
            record.piece.as_str(),
            record.blob.map(|blob| blob.0),
            integer(record.size),
            record.summary,
            integer(record.total_count),
            builds,
            record.looks,
            columns::millis(record.last_look),
            record.summary_piece.as_str(),
        ])?;
    touched.pipeline(key);
    Ok(())
}

/// Reads a report's record from the columns of [`report_columns`], beginning at `first`.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<ReportRecord> {
    let builds = row.get_ref(first + 5)?.as_str().map_err(|error| columns::unreadable(first + 5, error))?;
    let build_ids: Vec<JobId> = serde_json::from_str(builds).map_err(|error| columns::unreadable(first + 5, error))?;
    Ok(ReportRecord {
        piece: columns::piece(row, first)?,
        blob: row.get::<_, Option<i64>>(first + 1)?.map(BlobId),
        size: columns::natural(row.get(first + 2)?),
        summary: row.get(first + 3)?,
        total_count: columns::natural(row.get(first + 4)?),
        build_ids,
        looks: columns::small(row.get(first + 6)?),
        last_look: columns::time(row, first + 7)?,
        summary_piece: columns::piece(row, first + 8)?,
    })
}

/// Makes a report that is held in a damaged blob a gap. Nothing happens when the pipeline holds another one by now.
pub(super) fn damaged(
    connection: &Connection,
    target: &Target,
    blob: BlobId,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let Target::Report(key) = *target else { return Ok(()) };
    let (project, pipeline) = columns::pipeline(key);
    connection
        .prepare_cached(
            "UPDATE pipelines SET report_piece = ?4
             WHERE project = ?1 AND id = ?2 AND report_blob = ?3 AND report_piece IN ('whole', 'live')",
        )?
        .execute(params![project, pipeline, blob.0, slots::damaged(Piece::Whole).as_str()])?;
    touched.pipeline(key);
    Ok(())
}
