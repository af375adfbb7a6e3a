//! A type of its own for every id, so that a job can never be asked for by a pipeline's number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is no GitLab id: ids are whole numbers from 1 to 2^63 - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id: a whole number from 1 to 9223372036854775807")]
pub struct ParseIdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                match text.parse::<u64>() {
                    Ok(id) if id > 0 && i64::try_from(id).is_ok() => Ok(Self(id)),
                    _ => Err(ParseIdError),
                }
            }
        }
    };
}

id!(
    /// A project's numeric id, unique within the instance; survives renames and moves.
    ProjectId
);
id!(
    /// A pipeline's id, unique within the instance (not the per-project `iid`).
    PipelineId
);
id!(
    /// A job's id, unique within the instance. A retry is a new job with a new id.
    JobId
);

/// A pipeline and the project it belongs to: what every question about a pipeline needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PipelineKey {
    /// The project that owns the pipeline.
    pub project: ProjectId,
    /// The pipeline.
    pub pipeline: PipelineId,
}

/// A job and the project it belongs to: what every question about a job needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The project that owns the job.
    pub project: ProjectId,
    /// The job.
    pub job: JobId,
}
