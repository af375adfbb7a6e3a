//! What of a job and a pipeline still has to be fetched: pure decisions of the design's section 4.4.

use super::{
    ArchiveRecord, Job, JobId, JobPhase, LogNote, LogRecord, Piece, Reason, ReportRecord, Schedule, Timestamp,
};

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

    /// Returns what either needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { log: self.log || other.log, archive: self.archive || other.archive }
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

/// Returns the jobs whose JUnit the pipeline's report consists of, sorted: of each name the latest attempt, if it delivered
/// JUnit, or is `held`: GitLab no longer lists a file that expired. `None` while one of the jobs is active, because the
/// report would be of an unfinished pipeline.
pub fn report_jobs<'a>(
    blocked_or_ended: bool,
    held: &[JobId],
    jobs: impl Iterator<Item = (JobId, &'a str, JobPhase, bool)>,
) -> Option<Vec<JobId>> {
    let mut latest = std::collections::HashMap::new();
    for (id, name, phase, junit) in jobs {
        let active = phase == JobPhase::Active || (phase == JobPhase::Created && !blocked_or_ended);
        if active {
            return None;
        }
        let newest = latest.entry(name).or_insert((id, junit));
        if id > newest.0 {
            *newest = (id, junit);
        }
    }
    let mut ids: Vec<JobId> =
        latest.into_values().filter(|(id, junit)| *junit || held.contains(id)).map(|(id, _)| id).collect();
    ids.sort_unstable();
    Some(ids)
}

/// Decides whether a pipeline's report has to be fetched, given the attempts it would consist of.
pub fn needs_report(held: &ReportRecord, build_ids: &[JobId], eagerness: Eagerness) -> bool {
    if build_ids.is_empty() {
        return false;
    }
    if held.build_ids != build_ids {
        return true;
    }
    match held.piece {
        Piece::Missing | Piece::Partial => true,
        Piece::Live => eagerness == Eagerness::Unsettled,
        Piece::Absent(Reason::Failed | Reason::NotFinished) => eagerness != Eagerness::Missing,
        Piece::Whole | Piece::Absent(_) => false,
    }
}
