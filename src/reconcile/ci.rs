//! Projects whose CI or repository is switched off: told once, remembered, left alone, and swept in full when it is on again.
//!
//! A project's document tells so (contract, section 5.3). Where GitLab refuses the pipelines (403) of a project whose document
//! it shows, that is about this project's CI, too, whatever the document says.

use std::collections::HashMap;

use super::{PassError, Reconciler, patiently};
use crate::domain::{Project, ProjectId, Timestamp};
use crate::gitlab::{self, Class, Kind};
use crate::store::Change;

/// Since when which projects have no CI, as passes have noted.
pub(super) type WithoutCi = HashMap<ProjectId, Timestamp>;

impl Reconciler {
    /// Returns what was noted of all projects.
    pub(super) async fn noted_without_ci(&self) -> Result<WithoutCi, PassError> {
        Ok(self.store.without_ci(None).await?.into_iter().collect())
    }

    /// Returns the project's present document if a listing of its pipelines failed because its CI is off, or not for the token.
    pub(super) async fn is_without_ci(
        &self,
        project: ProjectId,
        error: &gitlab::Error,
    ) -> Result<Option<Project>, PassError> {
        if !matches!(error.kind, Kind::Forbidden) {
            return Ok(None);
        }
        match patiently!(self, self.gitlab.project(Class::Backfill, project)) {
            Ok(shown) => Ok(Some(shown)),
            Err(error) if error.kind.is_of_the_token() => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Notes that a project has no CI, and tells of it if that is news.
    pub(super) async fn note_without_ci(
        &self,
        project: &Project,
        noted: &WithoutCi,
        now: Timestamp,
    ) -> Result<(), PassError> {
        if noted.contains_key(&project.id) {
            return Ok(());
        }
        self.store.apply(vec![Change::WithoutCi(project.id, Some(now))]).await?;
        let (id, path) = (project.id.0, &*project.path);
        if project.ci_enabled {
            tracing::warn!(
                project.id = id,
                path,
                "GitLab shows a project and refuses its pipelines (403): its CI or repository is off, or not for this token's \
                 role; each pass asks once more, and this is not told again"
            );
        } else {
            tracing::info!(
                project.id = id,
                path,
                "a project's CI or repository is switched off: it is left alone until it is on again"
            );
        }
        Ok(())
    }

    /// Notes that a project has CI, after a sweep of it.
    pub(super) async fn note_ci(&self, project: &Project, noted: &WithoutCi) -> Result<(), PassError> {
        if noted.contains_key(&project.id) {
            self.store.apply(vec![Change::WithoutCi(project.id, None)]).await?;
            tracing::info!(
                project.id = project.id.0,
                path = &*project.path,
                "a project's CI is on again: swept in full"
            );
        }
        Ok(())
    }
}
