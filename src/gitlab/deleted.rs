//! Whether a 404 for a pipeline means that it was deleted.

use super::{Class, Error, Gitlab, Kind};
use crate::domain::PipelineKey;

impl Gitlab {
    /// Returns whether a pipeline that was answered 404 was deleted: its project is there, with CI, and it is not. Where the
    /// project itself is hidden from our token, or deleted, its pipelines are not shown to us, but may come back with it
    /// (contract, section 8). At most two calls.
    pub async fn has_deleted(&self, class: Class, key: PipelineKey) -> Result<bool, Error> {
        match self.project(class, key.project).await {
            Ok(project) if project.ci_enabled => {}
            Ok(_) => return Ok(false),
            Err(Error { kind: Kind::NotFound, .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        match self.pipeline(class, key).await {
            Ok(_) => Ok(false),
            Err(Error { kind: Kind::NotFound, .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
