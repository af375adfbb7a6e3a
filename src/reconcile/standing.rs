//! How each project stands, for `/status`: how far its passes have come and what it lacks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Reconciler;
use crate::domain::{Piece, ProjectId, Reason, Timestamp};
use crate::store::{Error, Gap};

/// Projects that are shown at most; those with gaps first.
const SHOWN: usize = 1000;

/// Gaps that are counted at most.
const COUNTED: u64 = 100_000;

/// How one project stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The project's id.
    pub project: u64,
    /// The greatest `updated_at` of GitLab that a complete pass has covered; `None` before the first one.
    pub watermark: Option<Timestamp>,
    /// From when on everything up to the watermark was covered.
    pub covered_since: Option<Timestamp>,
    /// When the last complete full pass began.
    pub full_pass_at: Option<Timestamp>,
    /// Since when its CI or repository is switched off, or not for the token: it is left alone.
    pub without_ci_since: Option<Timestamp>,
    /// Things that should be cached and are not, failed ones included.
    pub gaps: u64,
    /// Of those, the ones that failed for good.
    pub failing: u64,
}

/// How the projects stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Standings {
    /// Projects that a pass has covered, that have no CI or that have gaps; those with gaps first, a thousand at most.
    pub projects: Vec<Standing>,
    /// How many more there are.
    pub left_out: usize,
    /// The gaps of all of them.
    pub gaps: u64,
}

impl Reconciler {
    /// Reads how the projects stand.
    pub(super) async fn standings(&self) -> Result<Standings, Error> {
        let mut projects: BTreeMap<ProjectId, Standing> = BTreeMap::new();
        for (id, progress) in self.store.all_progress().await? {
            let standing = Standing {
                project: id.0,
                watermark: Some(progress.watermark),
                covered_since: Some(progress.covered_since),
                full_pass_at: progress.full_pass_at,
                ..Standing::default()
            };
            projects.insert(id, standing);
        }
        for (id, since) in self.store.without_ci(None).await? {
            let standing = projects.entry(id).or_default();
            (standing.project, standing.without_ci_since) = (id.0, Some(since));
        }
        let gaps: Vec<Gap> = self.store.gaps(None, COUNTED).await?;
        for gap in &gaps {
            let standing = projects.entry(gap.project).or_default();
            standing.project = gap.project.0;
            standing.gaps += 1;
            standing.failing += u64::from(gap.state == Piece::Absent(Reason::Failed));
        }
        let mut projects: Vec<Standing> = projects.into_values().collect();
        projects.sort_by_key(|standing| (std::cmp::Reverse(standing.gaps), standing.project));
        let left_out = projects.len().saturating_sub(SHOWN);
        projects.truncate(SHOWN);
        Ok(Standings { projects, left_out, gaps: gaps.len() as u64 })
    }
}
