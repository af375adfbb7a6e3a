//! The order within a slot (design, section 4.5): which of two publications stays, whichever comes first.
//!
//! Pure, and the same for every store. What a person or GitLab removed wins over everything; what is held wins over what is not. That GitLab
//! refused something to the token is no verdict on it: whatever is learned of it wins over that.

mod detail;
mod report;

use crate::domain::{ArchiveRecord, BlobId, Job, Junit, LogRecord, Piece, Reason, Timestamp};

pub(super) use detail::{Learned, judge_detail};
pub(super) use report::{lacking_report, publish_report};

/// The facts of a job that decide which of its pieces are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expected {
    /// It ended.
    pub(super) ended: bool,
    /// It ran, so it has a log.
    pub(super) log: bool,
    /// GitLab lists an archive.
    pub(super) archive: bool,
}

/// What is known of a job before its new document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// What was expected of it.
    pub(super) expected: Expected,
    /// GitLab's `Date` of the stored document.
    pub(super) as_of: Timestamp,
    /// Its log.
    pub(super) log: Piece,
    /// Its archive.
    pub(super) archive: Piece,
    /// Whether it delivered JUnit.
    pub(super) junit: Junit,
}

/// What a document makes of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Documented {
    /// It replaces the stored one.
    pub(super) newer: bool,
    /// What is expected from now on.
    pub(super) expected: Expected,
    /// The log; what was erased loses its blob.
    pub(super) log: Piece,
    /// The archive; what was erased loses its blob.
    pub(super) archive: Piece,
    /// Whether it delivered JUnit.
    pub(super) junit: Junit,
}

impl Documented {
    /// Returns whether nothing is left to get, so that a former failure is over.
    pub(super) fn is_settled(&self) -> bool {
        self.newer && self.expected.ended && open(self.expected, self.log, self.archive) == 0
    }
}

/// Judges a job's document: ended over not ended, then the later `as_of`, then the newcomer; and what it alone decides of the
/// pieces: erased, never had a log, expired before it was fetched.
pub(super) fn document(known: Option<Known>, job: &Job) -> Documented {
    let newer = known.is_none_or(|known| (job.ended(), job.document.as_of) >= (known.expected.ended, known.as_of));
    let mut expected =
        Expected { ended: job.ended(), log: job.started_at.is_some(), archive: job.archive.is_some() && !job.erased };
    let (mut log, mut archive) = (Piece::Missing, Piece::Missing);
    if let Some(known) = known {
        (log, archive) = (known.log, known.archive);
        if !newer {
            expected = known.expected;
        }
    }
    let lacks = |piece: Piece| piece.is_refused() || (!piece.is_final() && piece != Piece::Live);
    if job.erased {
        // Nobody can take an erasure back, so that an older document may tell it too.
        (log, archive) = (Piece::Absent(Reason::Erased), Piece::Absent(Reason::Erased));
    } else if newer && job.ended() {
        if !expected.log && lacks(log) {
            log = Piece::Absent(Reason::NoLog);
        }
        if !expected.archive && job.is_past_expiry() && lacks(archive) {
            archive = Piece::Absent(Reason::Expired);
        }
    }
    let junit = match known {
        Some(known) if !newer => known.junit,
        known => Junit::of(job, known.map(|known| (known.expected.ended, known.junit))),
    };
    Documented { newer, expected, log, archive, junit }
}

/// Returns a piece of a job that failed for good: what is expected of an ended one and still missing.
pub(super) fn failed(ended: bool, expected: bool, piece: Piece) -> Piece {
    match piece {
        Piece::Missing | Piece::Absent(Reason::NotFinished) if expected && ended => Piece::Absent(Reason::Failed),
        other => other,
    }
}

/// Returns a held piece of which some was found damaged: as good as missing, but what is sound of it is served.
pub(super) fn damaged(piece: Piece) -> Piece {
    match piece {
        Piece::Whole | Piece::Live => Piece::Partial,
        other => other,
    }
}

/// Returns the streamed blob that is offered; a piece that holds nothing points to none.
pub(super) fn offered(has_bytes: bool, blob: &mut Option<BlobId>, piece: Piece) -> Option<BlobId> {
    let offered = if has_bytes { None } else { *blob };
    if has_bytes || !piece.is_held() {
        *blob = None;
    }
    offered
}

/// Judges a log and makes `record` what is to be written, but for a new blob's id. A refused one still counts as a look, so
/// that the next look is not due at once, unless what is held is final.
pub(super) fn publish_log(held: &LogRecord, record: &mut LogRecord, same_blob: bool) -> Verdict {
    if same_blob && record.frames.is_empty() {
        record.frames.clone_from(&held.frames);
        record.index.clone_from(&held.index);
    }
    let looks = held.looks.max(record.looks);
    let first_look = match (held.first_look, record.first_look) {
        (Some(held), Some(new)) => Some(held.min(new)),
        (held, new) => held.or(new),
    };
    let last_look = held.last_look.max(record.last_look);
    let verdict = judge_log(held, record, same_blob);
    if verdict == Verdict::Refuse {
        record.clone_from(held);
        if held.piece.is_final() {
            return verdict;
        }
    }
    (record.looks, record.first_look, record.last_look) = (looks, first_look, last_look);
    verdict
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

/// Returns the job row's `open`: 2 a piece is missing, 1 the log is live, a piece failed, or an archive past its expiry is listed
/// and answered 404 (work for full passes), 0 nothing to do.
pub(super) fn open(expected: Expected, log: Piece, archive: Piece) -> i64 {
    let missing = |piece: Piece| matches!(piece, Piece::Missing | Piece::Partial | Piece::Absent(Reason::NotFinished));
    let unsettled = |piece: Piece| !piece.is_final();
    if !expected.ended {
        0
    } else if (expected.log && missing(log)) || (expected.archive && missing(archive)) {
        2
    } else {
        let kept = archive == Piece::Absent(Reason::Expired);
        i64::from((expected.log && unsettled(log)) || (expected.archive && (unsettled(archive) || kept)))
    }
}

/// Erased over pruned over settled over longer over shorter. Of two settled ones the longer stays.
fn judge_log(held: &LogRecord, new: &LogRecord, same_blob: bool) -> Verdict {
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

fn log_rank(record: &LogRecord) -> (u8, u64) {
    let rank = match record.piece {
        Piece::Missing => 0,
        Piece::Absent(Reason::NotFinished) => 1,
        Piece::Absent(Reason::Failed) => 2,
        // Every verdict on the ended job's log goes before it, so that it does not stay missing.
        Piece::Partial => 3,
        // No verdict on the log: whatever is learned of it goes before, and what is held stays.
        Piece::Absent(Reason::Forbidden) => 4,
        Piece::Live if record.size == 0 => 5,
        Piece::Absent(Reason::NoLog) => 6,
        Piece::Absent(Reason::Expired) => 7,
        Piece::Absent(Reason::TooLarge) => 8,
        Piece::Live => 9,
        Piece::Whole => 10,
        Piece::Absent(Reason::Pruned) => 11,
        Piece::Absent(Reason::Erased) => 12,
        Piece::Absent(Reason::Forgotten) => 13,
        Piece::Absent(Reason::NoArchive) => 14,
    };
    (rank, if record.piece.is_held() { record.delivered() } else { 0 })
}

fn archive_rank(piece: Piece) -> u8 {
    match piece {
        Piece::Missing => 0,
        Piece::Absent(Reason::NotFinished) => 1,
        Piece::Absent(Reason::Failed) => 2,
        Piece::Absent(Reason::Forbidden) => 3,
        Piece::Absent(Reason::NoLog) => 4,
        Piece::Absent(Reason::Expired) => 5,
        Piece::Absent(Reason::TooLarge) => 6,
        // Damaged: what is sound of it stays until GitLab gives it again.
        Piece::Partial | Piece::Live => 7,
        Piece::Whole => 8,
        Piece::Absent(Reason::Pruned) => 9,
        Piece::Absent(Reason::Erased) => 10,
        Piece::Absent(Reason::Forgotten) => 11,
        Piece::Absent(Reason::NoArchive) => 12,
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
        let expired = Piece::Absent(Reason::Expired);
        assert_eq!(open(Expected { archive: true, ..ended }, Piece::Whole, expired), 1, "it is listed");
        assert_eq!(open(ended, Piece::Whole, expired), 0);
    }
}
