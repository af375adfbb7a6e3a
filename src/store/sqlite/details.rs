//! A pipeline's own document: its text is beside the row, its state in it.

use deadpool_sqlite::rusqlite::{self, Connection, OptionalExtension, Row, params};

use super::apply::Touched;
use super::columns;
use super::trouble::Trouble;
use crate::domain::{DetailRecord, Document, Piece, PipelineKey, Status, Timestamp};
use crate::store::slots::{Learned, judge_detail};

/// Judges the document of a pipeline whose row is written; nothing happens when that is not stored.
pub(super) fn learn(
    connection: &Connection,
    key: PipelineKey,
    learned: Learned<'_>,
    touched: &mut Touched,
) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(key);
    let stored = connection
        .prepare_cached(
            "SELECT updated_at, status, detail_piece, details.doc, details.as_of
             FROM pipelines LEFT JOIN details ON details.project = pipelines.project AND details.pipeline = pipelines.id
             WHERE pipelines.project = ?1 AND pipelines.id = ?2",
        )?
        .query_row([project, id], |row| {
            let shown: (Timestamp, Status) = (Timestamp::from_millis(row.get(0)?), columns::status(row, 1)?);
            Ok((shown, read(row, 2)?))
        })
        .optional()?;
    let Some(((updated_at, status), held)) = stored else { return Ok(()) };
    let now = judge_detail((updated_at, &status), &held, learned);
    if let Some(document) = now.document.filter(|now| held.document.as_ref() != Some(now)) {
        connection
            .prepare_cached(
                "INSERT INTO details (project, pipeline, as_of, doc) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (project, pipeline) DO UPDATE SET as_of = excluded.as_of, doc = excluded.doc",
            )?
            .execute(params![project, id, document.as_of.as_millis(), document.text])?;
    }
    if now.piece != held.piece {
        set(connection, key, now.piece)?;
        touched.pipeline(key);
    }
    Ok(())
}

fn set(connection: &Connection, key: PipelineKey, piece: Piece) -> Result<(), Trouble> {
    let (project, id) = columns::pipeline(key);
    connection
        .prepare_cached("UPDATE pipelines SET detail_piece = ?3 WHERE project = ?1 AND id = ?2")?
        .execute(params![project, id, piece.as_str()])?;
    Ok(())
}

/// Reads the record from its piece, text and date, which follow each other.
pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<DetailRecord> {
    let text = row.get::<_, Option<Box<str>>>(first + 1)?;
    let as_of = columns::time(row, first + 2)?;
    let document = text.zip(as_of).map(|(text, as_of)| Document { text, as_of });
    Ok(DetailRecord { piece: columns::piece(row, first)?, document })
}
