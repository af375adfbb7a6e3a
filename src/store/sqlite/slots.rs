//! The order within a slot (design, section 4.5): which of two publications stays, whichever comes first.
//!
//! Pure: no SQL here. What a person or GitLab removed wins over everything; what is held wins over what is not, except that
//! what our token may not read is not kept while it is unsettled (design, sections 3.6 and 4.6).

use crate::domain::{ArchiveRecord, LogRecord, Piece, Reason, ReportRecord};

/// The facts of a job that decide which of its pieces are expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// It ended.
    pub(super) ended: bool,
    /// It ran, so it has a log.
    pub(super) log: bool,
    /// GitLab lists an archive.
    pub(super) archive: bool,
}

/// What is to be done with a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It takes the slot.
    Replace,
    /// It is the held one, looked at again.
    Note,
    /// What is held is better.
    Refuse,
}

/// Returns the job row's `open`: 2 a piece is missing, 1 the log is live or a piece failed (work for full passes), 0 nothing
/// to do.
pub(super) fn open(expected: Expected, log: Piece, archive: Piece) -> i64 {
    let missing = |piece: Piece| matches!(piece, Piece::Missing | Piece::Absent(Reason::NotFinished));
    let unsettled = |piece: Piece| !piece.is_final();
    if !expected.ended {
        0
    } else if (expected.log && missing(log)) || (expected.archive && missing(archive)) {
        2
    } else {
        i64::from((expected.log && unsettled(log)) || (expected.archive && unsettled(archive)))
    }
}

/// Judges a log: erased over pruned over settled over longer over shorter. Of two settled ones the longer stays.
pub(super) fn judge_log(held: &LogRecord, new: &LogRecord, same_blob: bool) -> Verdict {
    let (old_rank, new_rank) = (log_rank(held), log_rank(new));
    match new_rank.cmp(&old_rank) {
        std::cmp::Ordering::Less => Verdict::Refuse,
        std::cmp::Ordering::Greater => Verdict::Replace,
        std::cmp::Ordering::Equal if same_blob => Verdict::Note,
        std::cmp::Ordering::Equal if held.piece == Piece::Whole => Verdict::Refuse,
        std::cmp::Ordering::Equal => Verdict::Replace,
    }
}

/// Judges an archive: erased over pruned over whole over absent over failed. Of two whole ones the first stays.
pub(super) fn judge_archive(held: &ArchiveRecord, new: &ArchiveRecord) -> Verdict {
    match archive_rank(new.piece).cmp(&archive_rank(held.piece)) {
        std::cmp::Ordering::Less => Verdict::Refuse,
        std::cmp::Ordering::Equal if held.piece == Piece::Whole => Verdict::Refuse,
        std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Verdict::Replace,
    }
}

/// Judges a report: of other attempts it replaces; of the same ones it must not be smaller, nor less final.
pub(super) fn judge_report(held: &ReportRecord, new: &ReportRecord, same_blob: bool) -> Verdict {
    let holds = |record: &ReportRecord| matches!(record.piece, Piece::Live | Piece::Whole);
    let rank = |record: &ReportRecord| (record.total_count, record.piece == Piece::Whole);
    if !holds(held) {
        Verdict::Replace
    } else if !holds(new) {
        Verdict::Refuse
    } else if held.build_ids != new.build_ids {
        Verdict::Replace
    } else if rank(new) < rank(held) {
        Verdict::Refuse
    } else if same_blob {
        Verdict::Note
    } else {
        Verdict::Replace
    }
}

fn log_rank(record: &LogRecord) -> (u8, u64) {
    let rank = match record.piece {
        Piece::Missing => 0,
        Piece::Absent(Reason::NotFinished) => 1,
        Piece::Absent(Reason::Failed) => 2,
        Piece::Live if record.size == 0 => 3,
        Piece::Absent(Reason::NoLog) => 4,
        Piece::Absent(Reason::Expired) => 5,
        Piece::Absent(Reason::TooLarge) => 6,
        Piece::Live => 7,
        Piece::Absent(Reason::Forbidden) => 8,
        Piece::Whole => 9,
        Piece::Absent(Reason::Pruned) => 10,
        Piece::Absent(Reason::Erased) => 11,
    };
    let held = matches!(record.piece, Piece::Live | Piece::Whole);
    (rank, if held { record.size } else { 0 })
}

fn archive_rank(piece: Piece) -> u8 {
    match piece {
        Piece::Missing => 0,
        Piece::Absent(Reason::NotFinished) => 1,
        Piece::Absent(Reason::Failed) => 2,
        Piece::Live => 3,
        Piece::Absent(Reason::NoLog) => 4,
        Piece::Absent(Reason::Expired) => 5,
        Piece::Absent(Reason::TooLarge) => 6,
        Piece::Absent(Reason::Forbidden) => 7,
        Piece::Whole => 8,
        Piece::Absent(Reason::Pruned) => 9,
        Piece::Absent(Reason::Erased) => 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_expected_of_an_ended_job_is_open() {
        let ended = Expected { ended: true, log: true, archive: false };
        assert_eq!(open(ended, Piece::Missing, Piece::Missing), 2);
        assert_eq!(open(ended, Piece::Live, Piece::Missing), 1);
        assert_eq!(open(ended, Piece::Whole, Piece::Missing), 0);
        assert_eq!(open(Expected { archive: true, ..ended }, Piece::Live, Piece::Missing), 2);
        assert_eq!(open(Expected { log: false, ..ended }, Piece::Missing, Piece::Missing), 0);
        assert_eq!(open(Expected { ended: false, ..ended }, Piece::Missing, Piece::Missing), 0);
        assert_eq!(open(ended, Piece::Absent(Reason::Failed), Piece::Missing), 1);
    }
}
