//! The order within the slot of a pipeline's own document.

use crate::domain::{DetailRecord, Document, Piece, PipelinePhase, Reason, Status, Timestamp};

/// What is learned of the document while its pipeline's row is written.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Learned<'a> {
    /// Nothing: only the row may have changed.
    Nothing,
    /// The document.
    Document(&'a Document),
    /// That it is not to be had, and why.
    Absent(Reason),
}

/// Judges the document: later `updated_at`, then ended over not ended, then later `as_of`, then the newcomer, as for the row. It is
/// whole when it is of the state of the row that `updated_at` and status show. What is held is never given up.
pub(in crate::store) fn judge_detail(
    (updated_at, status): (Timestamp, &Status),
    held: &DetailRecord,
    learned: Learned<'_>,
) -> DetailRecord {
    let document = match (learned, &held.document) {
        (Learned::Document(new), Some(old)) if rank(new) < rank(old) => Some(old.clone()),
        (Learned::Document(new), _) => Some(new.clone()),
        (Learned::Nothing | Learned::Absent(_), old) => old.clone(),
    };
    let mut now = DetailRecord { piece: Piece::Whole, document };
    if now.is_of(updated_at, status) {
        return now;
    }
    now.piece = match (learned, held.piece) {
        (Learned::Absent(reason), _) => Piece::Absent(reason),
        (Learned::Nothing, piece @ Piece::Absent(_)) => piece,
        _ if now.document.is_some() => Piece::Partial,
        _ => Piece::Missing,
    };
    now
}

fn rank(document: &Document) -> (Option<(Timestamp, bool)>, Timestamp) {
    let shown = DetailRecord::shown(document);
    (shown.map(|(updated_at, status)| (updated_at, status.pipeline_phase() == PipelinePhase::Ended)), document.as_of)
}
