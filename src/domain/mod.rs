//! Identities and facts of GitLab CI as pure data: no IO, no clock but [`Timestamp::now`], nothing asynchronous.

mod alarm;
mod detail;
mod document;
mod finding;
mod ids;
mod job;
mod lenient;
mod needs;
mod origin;
mod pieces;
mod pipeline;
mod project;
mod report;
mod retention;
mod schedule;
mod status;
mod subject;
mod timestamp;

pub use alarm::Alarm;
pub use detail::DetailRecord;
pub use document::{Document, Malformed};
pub use finding::{Finding, Verdict, in_bytes};
pub use ids::{JobId, JobKey, ParseIdError, PipelineId, PipelineKey, ProjectId};
pub use job::{ArchiveFile, Job};
pub(crate) use lenient::lenient;
pub use needs::{Eagerness, Needs, SizeLimits, after_look, is_worth_a_write, needs, next_look, refused};
pub use origin::{Origin, TraceParent};
pub use pieces::{ArchiveRecord, BlobId, LogNote, LogRecord, Piece, Reason, ReportRecord};
pub use pipeline::{Pipeline, PipelineSource};
pub use project::{Namespace, Project, ProjectFacts};
pub use report::{Attempt, Counted, Junit, ReportNeeds, ReportPlan, Summarized, report_is_settled, report_retry};
pub use retention::{Ages, AgesOf};
pub use schedule::Schedule;
pub use status::{JobPhase, PipelinePhase, Status};
pub use subject::Subject;
pub use timestamp::Timestamp;
