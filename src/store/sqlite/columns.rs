//! How values of the domain are written into columns and read back.

use deadpool_sqlite::rusqlite::types::Type;
use deadpool_sqlite::rusqlite::{self, Connection, Row};

use crate::domain::{Document, JobKey, Piece, PipelineId, PipelineKey, PipelinePhase, PipelineSource, ProjectId};
use crate::domain::{JobId, Junit, Status, Timestamp};
use crate::store::BlobKind;
use crate::work::{Cause, Lane, Target};

/// Returns a number as SQLite holds it; GitLab's ids and our sizes end at 2^63 - 1.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Returns a stored number; what should never be negative counts as 0 when it is.
pub(super) fn natural(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Returns a stored small number, at most `u32::MAX`.
pub(super) fn small(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// Returns the database's idea of now in milliseconds, which all processes on one store share.
pub(super) fn now(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT CAST(round(unixepoch('subsec') * 1000) AS INTEGER)")?
        .query_row([], |row| row.get(0))
}

/// Returns project and id of a job as parameters.
pub(super) fn job(key: JobKey) -> (i64, i64) {
    (integer(key.project.0), integer(key.job.0))
}

/// Returns project and id of a pipeline as parameters.
pub(super) fn pipeline(key: PipelineKey) -> (i64, i64) {
    (integer(key.project.0), integer(key.pipeline.0))
}

/// Returns an optional time as a parameter.
pub(super) fn millis(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millis)
}

/// Reads an optional time.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(index)?.map(Timestamp::from_millis))
}

/// Reads a document from its two columns.
pub(super) fn document(row: &Row<'_>, text: usize, as_of: usize) -> rusqlite::Result<Document> {
    Ok(Document { text: row.get(text)?, as_of: Timestamp::from_millis(row.get(as_of)?) })
}

/// Reads a piece from its word without copying the word.
pub(super) fn piece(row: &Row<'_>, index: usize) -> rusqlite::Result<Piece> {
    let word = row.get_ref(index)?.as_str().map_err(|error| unreadable(index, error))?;
    Ok(Piece::from_word(word))
}

/// Returns what is known of a job's JUnit as its two columns: whether a report has to be asked for it, and whether nobody saw it.
pub(super) fn write_junit(junit: Junit) -> (bool, bool) {
    (junit != Junit::None, junit == Junit::Hidden)
}

/// Reads what is known of a job's JUnit from its two columns, which follow each other.
pub(super) fn junit(row: &Row<'_>, first: usize) -> rusqlite::Result<Junit> {
    Ok(match (row.get(first)?, row.get(first + 1)?) {
        (false, _) => Junit::None,
        (true, false) => Junit::Delivered,
        (true, true) => Junit::Hidden,
    })
}

/// Reads a status.
pub(super) fn status(row: &Row<'_>, index: usize) -> rusqlite::Result<Status> {
    Ok(Status(row.get(index)?))
}

/// Makes an error of a value that cannot be what we wrote.
pub(super) fn unreadable(index: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(index, Type::Null, Box::new(error))
}

/// Returns the number of a pipeline's phase.
pub(super) fn pipeline_phase(phase: PipelinePhase) -> i64 {
    match phase {
        PipelinePhase::Active => 0,
        PipelinePhase::Blocked => 1,
        PipelinePhase::Ended => 2,
    }
}

/// Returns kind, project and id of a target as parameters.
pub(super) fn target(target: &Target) -> (i64, i64, i64) {
    let kind = match target {
        Target::Project(_) => 5,
        Target::Pipeline(_) => 1,
        Target::Job(_) => 2,
        Target::Report(_) => 3,
        Target::Bridges(_) => 4,
        Target::Pipelines(..) => 6,
        // Never stored: who still wants it asks again.
        Target::Path(_) => 7,
        Target::Projects => 8,
        Target::Detail(_) => 9,
    };
    (kind, integer(target.project().0), integer(target.id()))
}

/// Returns the number of a target's kind, if there is such a kind.
pub(super) fn target_kind(word: &str) -> Option<i64> {
    match word {
        "pipeline" => Some(1),
        "job" => Some(2),
        "report" => Some(3),
        "bridges" => Some(4),
        "project" => Some(5),
        "detail" => Some(9),
        _ => None,
    }
}

/// Reads a target from its three columns, which follow each other.
pub(super) fn read_target(row: &Row<'_>, first: usize) -> rusqlite::Result<Target> {
    let project = ProjectId(natural(row.get(first + 1)?));
    let id = natural(row.get(first + 2)?);
    Ok(match row.get::<_, i64>(first)? {
        1 => Target::Pipeline(PipelineKey { project, pipeline: PipelineId(id) }),
        6 if id == 0 => Target::Pipelines(project, PipelineSource::Plain),
        6 => Target::Pipelines(project, PipelineSource::Child),
        9 => Target::Detail(PipelineKey { project, pipeline: PipelineId(id) }),
        5 => Target::Project(project),
        4 => Target::Bridges(PipelineKey { project, pipeline: PipelineId(id) }),
        3 => Target::Report(PipelineKey { project, pipeline: PipelineId(id) }),
        _ => Target::Job(JobKey { project, job: JobId(id) }),
    })
}

/// Returns the number of what a blob is of.
pub(super) fn blob_kind(kind: BlobKind) -> i64 {
    match kind {
        BlobKind::Log => 1,
        BlobKind::Archive => 2,
        BlobKind::Report => 3,
    }
}

/// Returns what a blob is of, from its number.
pub(super) fn read_blob_kind(number: i64) -> BlobKind {
    match number {
        1 => BlobKind::Log,
        2 => BlobKind::Archive,
        _ => BlobKind::Report,
    }
}

/// Returns the number of a lane: the order in which they are worked on.
pub(super) fn lane(lane: Lane) -> i64 {
    match lane {
        Lane::Live => 0,
        // Readers' misses are not journaled; one that were would have nobody waiting for it any more.
        Lane::Reader | Lane::Backfill => 1,
    }
}

/// Returns the lane of a stored number.
pub(super) fn read_lane(number: i64) -> Lane {
    if number == 0 { Lane::Live } else { Lane::Backfill }
}

/// Returns the number of a cause.
pub(super) fn cause(cause: Cause) -> i64 {
    match cause {
        Cause::Ended => 0,
        Cause::Changed => 1,
        Cause::Planned | Cause::Fetch | Cause::Read => 2,
        Cause::Look => 3,
        Cause::Full => 4,
        Cause::Recheck => 5,
    }
}

/// Returns the cause of a stored number.
pub(super) fn read_cause(number: i64) -> Cause {
    match number {
        0 => Cause::Ended,
        1 => Cause::Changed,
        3 => Cause::Look,
        4 => Cause::Full,
        5 => Cause::Recheck,
        _ => Cause::Planned,
    }
}
