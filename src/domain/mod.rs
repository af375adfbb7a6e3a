//! Identities and facts of GitLab CI as pure data: no IO, no clock but [`Timestamp::now`], nothing asynchronous.

mod document;
mod finding;
mod ids;
mod job;
mod needs;
mod pieces;
mod pipeline;
mod project;
mod retention;
mod schedule;
mod status;
mod subject;
mod timestamp;

pub use document::{Document, Malformed};
pub use finding::{Finding, Verdict};
pub use ids::{JobId, JobKey, ParseIdError, PipelineId, PipelineKey, ProjectId};
pub use job::{ArchiveFile, Job};
pub use needs::{Eagerness, Needs, after_look, needs, needs_report, next_look, report_jobs};
pub use pieces::{ArchiveRecord, BlobId, LogNote, LogRecord, Piece, Reason, ReportRecord};
pub use pipeline::{Pipeline, PipelineSource};
pub use project::{Namespace, Project, ProjectFacts};
pub use retention::{Ages, AgesOf};
pub use schedule::Schedule;
pub use status::{JobPhase, PipelinePhase, Status};
pub use subject::Subject;
pub use timestamp::Timestamp;
