//! What of a job still has to be fetched: pure decisions of the design's section 4.4.

use super::{Ages, ArchiveFile, ArchiveRecord, Document, Job, LogNote, LogRecord, Piece, Reason, Schedule, Timestamp};

/// Which pieces of a job have to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Its log: never looked at, or not settled and due for another look.
    pub log: bool,
    /// Its archive.
    pub archive: bool,
}

impl Needs {
    /// Returns whether anything has to be fetched.
    pub fn any(self) -> bool {
        self.log || self.archive
    }

    /// Returns which of these pieces retention would remove at once: they are not fetched.
    #[must_use]
    pub fn too_old(self, job: &Job, ages: &Ages, now: Timestamp) -> Self {
        let ended = job.finished_at.unwrap_or(job.document.as_of);
        Self {
            log: self.log && Ages::is_over(ages.logs, ended, now),
            archive: self.archive && Ages::is_over(ages.artifacts, ended, now),
        }
    }

    /// Returns which of these pieces are listed with more bytes than are held of one: they are recorded, not fetched.
    #[must_use]
    pub fn too_large(self, job: &Job, limits: SizeLimits) -> Self {
        Self {
            log: self.log && limits.exclude_log_of(job),
            archive: self.archive && job.archive.as_ref().is_some_and(|archive| limits.exclude(archive)),
        }
    }

    /// Returns these pieces without others.
    #[must_use]
    pub fn without(self, others: Self) -> Self {
        Self { log: self.log && !others.log, archive: self.archive && !others.archive }
    }

    /// Returns what either needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { log: self.log || other.log, archive: self.archive || other.archive }
    }
}

/// How many bytes a log and an archive may have at most to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimits {
    /// A log, uncompressed.
    pub log: u64,
    /// An archive.
    pub archive: u64,
}

impl SizeLimits {
    /// Returns whether GitLab lists more bytes of a job's log than are held.
    pub fn exclude_log_of(self, job: &Job) -> bool {
        job.trace_size.is_some_and(|size| size > self.log)
    }

    /// Returns whether GitLab lists more bytes of an archive than are held.
    pub fn exclude(self, archive: &ArchiveFile) -> bool {
        archive.size.is_some_and(|size| size > self.archive)
    }
}

/// Returns which pieces of a job GitLab refused to the token: they are fetched only where it is asked again on purpose.
pub fn refused(job: &Job, log: &LogRecord, archive: &ArchiveRecord) -> Needs {
    let expected = job.ended() && !job.erased;
    Needs {
        log: expected && job.started_at.is_some() && log.piece.is_refused(),
        archive: expected && job.archive.is_some() && archive.piece.is_refused(),
    }
}

/// How eager to be about logs that are held but not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eagerness {
    /// Only what is missing: incremental passes leave later looks to their journal entries.
    Missing,
    /// What failed too: an event about the very thing starts its attempts anew.
    Failed,
    /// Unsettled things too: full passes and due looks.
    Unsettled,
}

/// Decides what of a job has to be fetched, given what is held of it.
pub fn needs(job: &Job, log: &LogRecord, archive: &ArchiveRecord, eagerness: Eagerness) -> Needs {
    if !job.ended() || job.erased {
        return Needs::default();
    }
    let wanted = |piece: Piece| match piece {
        Piece::Missing | Piece::Partial => true,
        Piece::Live => eagerness == Eagerness::Unsettled,
        Piece::Absent(Reason::Failed | Reason::NotFinished) => eagerness != Eagerness::Missing,
        Piece::Whole | Piece::Absent(_) => false,
    };
    Needs {
        log: job.started_at.is_some() && wanted(log.piece),
        archive: job.archive.is_some() && (wanted(archive.piece) || is_kept_past_expiry(archive, eagerness)),
    }
}

/// Returns whether a listed archive is asked for that GitLab once answered 404 for, past its expiry: as long as GitLab lists it,
/// a full pass asks again.
fn is_kept_past_expiry(archive: &ArchiveRecord, eagerness: Eagerness) -> bool {
    archive.piece == Piece::Absent(Reason::Expired) && eagerness == Eagerness::Unsettled
}

/// Returns whether a listed job's document is worth a write, where another one is stored with what is held of its archive: it
/// differs, or its date decides something: how settled a log is, or that an archive that is no longer listed has expired.
pub fn is_worth_a_write(job: &Job, needs: Needs, stored: &Document, archive: &ArchiveRecord) -> bool {
    let expired = archive.piece == Piece::Missing && job.is_past_expiry();
    needs.any() || expired || stored.text != job.document.text
}

/// Returns what a finished look at a log makes of it: `job` as read before the look, `size` the bytes that GitLab delivered,
/// `now` GitLab's clock at the look. The caller fills in where the bytes are.
pub fn after_look(job: &Job, held: &LogRecord, size: u64, now: Timestamp, schedule: &Schedule) -> LogRecord {
    let mut record = LogRecord {
        piece: Piece::Live,
        size,
        looks: held.looks + 1,
        first_look: held.first_look.or(Some(now)),
        last_look: Some(now),
        ..LogRecord::missing()
    };
    let settled = if size == 0 { Piece::Absent(Reason::NoLog) } else { Piece::Whole };
    match job.trace_size {
        Some(listed) if listed == size => record.piece = settled,
        // All of it is held from a look before.
        Some(listed) if size == 0 && listed == held.delivered() => record.piece = Piece::Whole,
        // GitLab has a log and does not deliver it: that never settles, and is a gap when it lasts.
        Some(_) if size == 0 => {
            record.mismatch_since = held.mismatch_since;
            let ended = job.finished_at.unwrap_or(now);
            record.note = (now.since(ended) >= schedule.never_archived_after).then_some(LogNote::ListedEmpty);
        }
        Some(_) => {
            let since = held.mismatch_since.unwrap_or(now);
            record.mismatch_since = Some(since);
            if held.mismatch_since.is_some() && now.since(since) >= schedule.mismatch_gap {
                record.piece = settled;
                record.note = Some(LogNote::SizeMismatch);
            }
        }
        None => {
            let ended = job.finished_at.unwrap_or(now);
            if now.since(ended) >= schedule.never_archived_after {
                record.piece = settled;
                record.note = Some(LogNote::NeverArchived);
            }
        }
    }
    record
}

/// Returns when an unsettled log is looked at next; `None` leaves it to the full passes.
pub fn next_look(record: &LogRecord, schedule: &Schedule) -> Option<Timestamp> {
    if record.piece != Piece::Live {
        return None;
    }
    let first = record.first_look?;
    let offset = schedule.log_looks.get(usize::try_from(record.looks).ok()?.checked_sub(1)?)?;
    Some(first.plus(*offset))
}
