//! How good what is held is for what was asked: pure decisions of the design's sections 2 and 4.4.

use serde::Deserialize;

use super::provenance::Complete;
use crate::domain::{ArchiveFile, Document, JobPhase, Piece, PipelinePhase, Timestamp};
use crate::store::{JobRow, Listing, PipelineRow, Progress};
use crate::work::Cause;

/// What of a job is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobPart {
    Document,
    Log,
    Archive,
}

/// What of a pipeline is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PipelinePart {
    /// Its row of the listing.
    Document,
    /// Its own document.
    Detail,
    Jobs,
}

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// GitLab's clock when GitLab said so.
    pub(super) as_of: Timestamp,
    /// What GitLab is asked to make it better; `None` when it is final.
    pub(super) ask: Option<Ask>,
}

/// What GitLab is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) cause: Cause,
    /// Since when what is held is good enough for a while; `None`: it lacks something.
    pub(super) since: Option<Timestamp>,
}

impl Standing {
    pub(super) fn last(as_of: Timestamp) -> Self {
        Self { as_of, ask: None }
    }

    /// Something that changes without our knowing when.
    pub(super) fn aging(as_of: Timestamp) -> Self {
        Self { as_of, ask: Some(Ask { cause: Cause::Read, since: Some(as_of) }) }
    }

    pub(super) fn lacking(as_of: Timestamp, cause: Cause) -> Self {
        Self { as_of, ask: Some(Ask { cause, since: None }) }
    }
}

/// Judges a job. An ended one is final but for its pieces (law 5), one that GitLab deleted as a whole.
pub(super) fn of_job(row: &JobRow, part: JobPart) -> Standing {
    let as_of = row.document.as_of;
    if row.gone {
        return Standing::last(as_of);
    }
    let ended = row.status.job_phase() == JobPhase::Ended;
    match part {
        JobPart::Document if ended => Standing::last(as_of),
        JobPart::Document => Standing::aging(as_of),
        JobPart::Log => {
            let looked = row.log.last_look.filter(|_| row.log.piece.is_held());
            match (row.log.piece, looked) {
                (piece, _) if piece.is_final() => Standing::last(row.log.last_look.unwrap_or(as_of)),
                (Piece::Partial, Some(look)) if ended => Standing::lacking(look, Cause::Fetch),
                (_, Some(look)) => Standing { as_of: look, ask: Some(Ask { cause: Cause::Fetch, since: Some(look) }) },
                (_, None) => Standing::lacking(as_of, Cause::Fetch),
            }
        }
        JobPart::Archive if !ended => Standing::aging(as_of),
        JobPart::Archive if row.archive.piece.is_final() || ArchiveFile::listed_in(&row.document.text).is_none() => {
            Standing::last(as_of)
        }
        JobPart::Archive => Standing::lacking(as_of, Cause::Fetch),
    }
}

/// Judges a pipeline. One that ended is taken for final once its jobs were listed since: a retry that reopens it is an
/// event, or found by a pass.
pub(super) fn of_pipeline(row: &PipelineRow, part: PipelinePart) -> Standing {
    if row.gone {
        return Standing::last(row.document.as_of);
    }
    let ended = row.status.pipeline_phase() == PipelinePhase::Ended;
    let lacks = matches!(row.detail.piece, Piece::Missing | Piece::Partial);
    match (part, row.jobs_listed_at) {
        (PipelinePart::Detail, _) if lacks => Standing::lacking(row.document.as_of, Cause::Read),
        (PipelinePart::Document | PipelinePart::Detail, _) if ended => Standing::last(row.document.as_of),
        (PipelinePart::Document | PipelinePart::Detail, _) => Standing::aging(row.document.as_of),
        (PipelinePart::Jobs, Some(listed)) if ended && lists_all(row) => Standing::last(listed),
        (PipelinePart::Jobs, Some(listed)) => Standing::aging(listed),
        (PipelinePart::Jobs, None) => Standing::lacking(row.document.as_of, Cause::Read),
    }
}

/// Judges the list of a pipeline's trigger jobs: final once it was read after the pipeline's end.
pub(super) fn of_bridges(row: &PipelineRow, list: &Document) -> Standing {
    let ended = row.status.pipeline_phase() == PipelinePhase::Ended;
    if row.gone || (ended && second(list.as_of) >= second(row.updated_at)) {
        Standing::last(list.as_of)
    } else {
        Standing::aging(list.as_of)
    }
}

/// Returns whether a pipeline's jobs were listed to the end since it last changed, as far as is known.
pub(super) fn lists_all(row: &PipelineRow) -> bool {
    row.jobs_listed_at.is_some_and(|listed| second(listed) >= second(row.updated_at))
}

/// GitLab's `Date` has whole seconds, `updated_at` has not.
fn second(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

/// Returns from when on the passes have covered everything of a project; `since` is what is asked for.
pub(super) fn covers(progress: Option<&Progress>, since: Option<Timestamp>) -> Complete {
    progress.map_or(Complete::No, |progress| begins(progress.covered_since, since))
}

fn begins(covered: Timestamp, since: Option<Timestamp>) -> Complete {
    if since.is_some_and(|since| covered <= since) { Complete::Yes } else { Complete::Since(covered) }
}

/// Returns from when on everything of a project is cached as it was at a look: the look showed all of it, or the rest was covered
/// by passes. While those do not reach up to where the look begins, something may lack between.
pub(super) fn covers_with(look: &Listing, progress: Option<&Progress>, since: Option<Timestamp>) -> Complete {
    match begins(look.since, since) {
        Complete::Yes => Complete::Yes,
        _ => covers(progress.filter(|progress| look.since <= progress.watermark), since),
    }
}

/// Returns when a project was created, by its document.
pub(super) fn created_at(document: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Created {
        created_at: Timestamp,
    }
    serde_json::from_str::<Created>(document).ok().map(|project| project.created_at)
}
