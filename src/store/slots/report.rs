//! The order within the two slots of a pipeline's report: the report and its summary, each judged for itself.

use super::Verdict;
use crate::domain::{Piece, Reason, ReportRecord};

/// What is to be done with a publication of a report and its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Published {
    /// What becomes of the report's blob.
    pub(in crate::store) report: Verdict,
    /// The held summary stays.
    pub(in crate::store) keeps_summary: bool,
}

/// Returns which of a pipeline's report and summary is a gap, and in which state: the summary only where the report is none.
pub(in crate::store) fn lacking_report(report: Piece, summary: Piece) -> Option<(&'static str, Piece)> {
    match (report.is_gap(), summary.is_gap()) {
        (true, _) => Some(("report", report)),
        (false, true) => Some(("summary", summary)),
        (false, false) => None,
    }
}

/// Judges a report with its summary and makes `record` what is to be written, but for a new blob's id. A refused one of the same
/// attempts still counts as a look.
pub(in crate::store) fn publish_report(held: &ReportRecord, record: &mut ReportRecord, same_blob: bool) -> Published {
    let report = judge_report(held, record, same_blob);
    let same = held.build_ids == record.build_ids;
    // What was refused of other attempts is refused as a whole, so that it is asked for again.
    let keeps_summary = if same { keeps_summary(held, record) } else { report == Verdict::Refuse };
    let (looks, last_look) = match same {
        true => (held.looks.max(record.looks), held.last_look.max(record.last_look)),
        false if report == Verdict::Refuse => (held.looks, held.last_look.max(record.last_look)),
        false => (record.looks, record.last_look),
    };
    if report == Verdict::Refuse {
        let (summary_piece, summary) = (record.summary_piece, record.summary.take());
        *record = ReportRecord { summary_piece, summary, ..held.clone() };
    }
    if keeps_summary {
        record.summary_piece = held.summary_piece;
        record.summary.clone_from(&held.summary);
    }
    (record.looks, record.last_look) = (looks, last_look);
    Published { report, keeps_summary }
}

/// Of other attempts it replaces, with what it lacks as well; of the same ones it must not be smaller, nor less final, nor pruned
/// before.
fn judge_report(held: &ReportRecord, new: &ReportRecord, same_blob: bool) -> Verdict {
    let holds = |record: &ReportRecord| matches!(record.piece, Piece::Live | Piece::Whole);
    // GitLab's zeros are told without bytes.
    let held_bytes = holds(held) && held.blob.is_some();
    let rank = |record: &ReportRecord| (record.total_count, record.piece == Piece::Whole);
    let pruned = |record: &ReportRecord| record.piece == Piece::Absent(Reason::Pruned);
    let same = held.build_ids == new.build_ids;
    if pruned(held) && same {
        Verdict::Refuse
    } else if !held_bytes || pruned(new) {
        Verdict::Replace
    } else if !holds(new) && (same || new.piece == Piece::Absent(Reason::Forbidden)) {
        Verdict::Refuse
    } else if !same {
        Verdict::Replace
    } else if rank(new) < rank(held) {
        Verdict::Refuse
    } else if same_blob {
        Verdict::Note
    } else {
        Verdict::Replace
    }
}

/// Returns whether the held summary of the same attempts is better: pruned, held over not held, whole over live.
fn keeps_summary(held: &ReportRecord, new: &ReportRecord) -> bool {
    let rank = |piece: Piece| match piece {
        Piece::Absent(Reason::Pruned) => 3,
        Piece::Whole => 2,
        Piece::Live | Piece::Partial => 1,
        Piece::Missing | Piece::Absent(_) => 0,
    };
    rank(new.summary_piece) < rank(held.summary_piece)
}
