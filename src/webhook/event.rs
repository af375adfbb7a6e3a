//! What a delivery is about: an identity and whether it ended, nothing else (design, law 1).
//!
//! It guarantees that nothing but identities, statuses, the project's path and the end's time is read of a body:
//! `variables` and everything else is skipped without being copied. Unknown keys, events, statuses and date forms are
//! no errors.
//!
//! It deliberately keeps no facts: whether the job really ended is GitLab's to say when the work is done.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::verify::Verified;
use crate::domain::{JobId, JobKey, JobPhase, PipelineId, PipelineKey, PipelinePhase, ProjectId, Status, Timestamp};
use crate::work::{Cause, Lane, Target, Work};

/// What a verified body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// Something of a pipeline or job happened.
    Hint(Hint<'a>),
    /// An event of another kind.
    Other,
    /// A pipeline or job event whose identity we cannot read, for example because the hook has a body template of its
    /// own (contract, section 1.1).
    Unreadable {
        /// The project, when at least that can be read: it is swept early.
        project: Option<ProjectId>,
    },
}

/// What happened to which pipeline or job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint<'a> {
    /// Which event said so.
    pub kind: Kind,
    /// What is to be looked at.
    pub target: Target,
    /// [`Cause::Ended`] when GitLab has something final, or waiting for a person, to show; [`Cause::Changed`]
    /// otherwise.
    pub cause: Cause,
    /// The project's path, for selecting projects by path.
    pub path: Option<Cow<'a, str>>,
    /// When it ended, by GitLab's clock.
    pub finished_at: Option<Timestamp>,
}

/// The kinds of event that are hints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `Pipeline Hook`.
    Pipeline,
    /// `Job Hook`.
    Job,
}

/// The body is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON object")]
pub struct NotAnObject;

/// The top level. Values stay raw, so that one of an unexpected type spoils only itself.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    object_kind: Option<&'a RawValue>,
    #[serde(borrow)]
    object_attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    project: Option<&'a RawValue>,
    #[serde(borrow)]
    project_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pipeline_id: Option<&'a RawValue>,
    #[serde(borrow)]
    build_id: Option<&'a RawValue>,
    #[serde(borrow)]
    build_status: Option<&'a RawValue>,
    #[serde(borrow)]
    build_finished_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Attributes<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    finished_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ProjectObject<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    path_with_namespace: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the identity of a verified body.
///
/// `object_kind` decides, because system hooks announce every event as `System Hook`; `announced`, the text of
/// `X-Gitlab-Event`, is only asked when there is no `object_kind`.
pub fn parse<'a>(verified: Verified<'a>, announced: Option<&str>) -> Result<Event<'a>, NotAnObject> {
    let body = verified.bytes();
    // An array would do as well for serde: its items would be taken for the fields in order.
    if body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(NotAnObject);
    }
    let envelope: Envelope<'a> = serde_json::from_slice(body).map_err(|_| NotAnObject)?;
    let project: Option<ProjectObject<'a>> = object(envelope.project);
    let project_id = id(envelope.project_id).or_else(|| id(project.as_ref()?.id));
    let path = text(project.and_then(|project| project.path_with_namespace));
    let kind = match (text(envelope.object_kind).as_deref(), announced) {
        (Some("pipeline"), _) | (None, Some("Pipeline Hook")) => Kind::Pipeline,
        (Some("build"), _) | (None, Some("Job Hook")) => Kind::Job,
        _ => return Ok(Event::Other),
    };
    let hint = match kind {
        Kind::Pipeline => pipeline(&envelope, project_id, path),
        Kind::Job => job(&envelope, project_id, path),
    };
    Ok(hint.map_or(Event::Unreadable { project: project_id }, Event::Hint))
}

fn pipeline<'a>(envelope: &Envelope<'a>, project: Option<ProjectId>, path: Option<Cow<'a, str>>) -> Option<Hint<'a>> {
    let attributes: Attributes<'a> = object(envelope.object_attributes)?;
    let pipeline: PipelineId = id(attributes.id)?;
    let status = Status(text(attributes.status)?.into());
    // A `manual` pipeline waits for a person: what ran before has ended, and nothing more will be said of it.
    let ended = status.pipeline_phase() == PipelinePhase::Ended || status.as_str() == "manual";
    Some(Hint {
        kind: Kind::Pipeline,
        target: Target::Pipeline(PipelineKey { project: project?, pipeline }),
        cause: if ended { Cause::Ended } else { Cause::Changed },
        path,
        finished_at: date(attributes.finished_at),
    })
}

fn job<'a>(envelope: &Envelope<'a>, project: Option<ProjectId>, path: Option<Cow<'a, str>>) -> Option<Hint<'a>> {
    let status = Status(text(envelope.build_status)?.into());
    let project = project?;
    let ended = status.job_phase() == JobPhase::Ended;
    let target = if ended {
        Target::Job(JobKey { project, job: id::<JobId>(envelope.build_id)? })
    } else {
        Target::Pipeline(PipelineKey { project, pipeline: id(envelope.pipeline_id)? })
    };
    Some(Hint {
        kind: Kind::Job,
        target,
        cause: if ended { Cause::Ended } else { Cause::Changed },
        path,
        finished_at: date(envelope.build_finished_at),
    })
}

impl Hint<'_> {
    /// Returns the work it asks for: at once when something ended, else `refresh` from now, so that the many events of
    /// one running pipeline become one look. `None` when unfinished things are not followed (`refresh` is zero).
    pub fn work(&self, now: Timestamp, refresh: Duration) -> Option<Work> {
        let due = match self.cause {
            Cause::Ended => now,
            _ if refresh.is_zero() => return None,
            _ => now.plus(refresh),
        };
        Some(Work { target: self.target, lane: Lane::Live, cause: self.cause, due, listed: None, path: None })
    }
}

fn object<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let text = raw?.get();
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// Reads a GitLab id; ids are bare whole numbers, so that their JSON is their text.
fn id<T: std::str::FromStr>(raw: Option<&RawValue>) -> Option<T> {
    raw?.get().parse().ok()
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    serde_json::from_str(raw?.get()).ok().map(|Text(text)| text)
}

fn date(raw: Option<&RawValue>) -> Option<Timestamp> {
    Timestamp::parse(&text(raw)?)
}

#[cfg(test)]
mod tests;
