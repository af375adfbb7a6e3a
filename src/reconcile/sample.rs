//! Holding some jobs, chosen at random, against GitLab byte for byte.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::blob::Content;
use super::deep::{Damage, Described, describe};
use super::{PassError, Reconciler, Skipped, patiently};
use crate::domain::{JobKey, Piece, Project, ProjectId};
use crate::gitlab::{Body, Class, Error, Kind};
use crate::masking::Masker;
use crate::store::JobRow;

/// What `verify --sample` found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Jobs that were chosen: of those that hold a log or an archive.
    pub jobs: u64,
    /// Logs and archives that were compared.
    pub compared: u64,
    /// Logs and archives that GitLab no longer has.
    pub gone: u64,
    /// Logs that are not settled, which GitLab may still add to.
    pub unsettled: u64,
    /// What is not the same here and there.
    pub differences: Vec<Damage>,
    /// What GitLab did not answer about.
    pub skipped: Vec<Skipped>,
}

/// A text as it was read to its end.
#[derive(PartialEq, Eq)]
struct Read {
    size: u64,
    sha256: [u8; 32],
}

impl Reconciler {
    /// Chooses up to `count` jobs of each of these projects, or of all together, and compares their logs and archives.
    pub async fn verify_sample(&self, projects: &[ProjectId], count: u64) -> Result<Sample, PassError> {
        let mut jobs = Vec::new();
        if projects.is_empty() {
            jobs = self.store.random_jobs(None, count).await?;
        }
        for project in projects {
            jobs.extend(self.store.random_jobs(Some(*project), count).await?);
        }
        let mut sample = Sample { jobs: jobs.len() as u64, ..Sample::default() };
        for key in jobs {
            if let Some(row) = self.store.job(key).await? {
                self.compare(&row, &mut sample).await?;
            }
        }
        Ok(sample)
    }

    async fn compare(&self, row: &JobRow, sample: &mut Sample) -> Result<(), PassError> {
        for described in describe(row) {
            if described.kind == "log" && row.log.piece != Piece::Whole {
                sample.unsettled += 1;
                continue;
            }
            let there = match self.or_problem(self.read_there(row.key, described.kind).await)? {
                Ok(Some(there)) => there,
                Ok(None) => {
                    sample.gone += 1;
                    continue;
                }
                Err(problem) => {
                    let Described { job, kind, .. } = described;
                    sample.skipped.push(Skipped::piece(row.key.project, row.pipeline, job, kind, problem));
                    continue;
                }
            };
            sample.compared += 1;
            let here = self.read_here(&described).await?;
            if here.as_ref() != Some(&there) {
                let here =
                    here.map_or_else(|| "unreadable here".to_owned(), |here| format!("{} bytes here", here.size));
                let problem = format!("{here}, {} bytes at GitLab, and not the same ones", there.size);
                let Described { job, kind, .. } = described;
                let (project, pipeline) = (row.key.project, row.pipeline);
                sample.differences.push(Damage { project, pipeline, job, kind, problem });
            }
        }
        Ok(())
    }

    /// Reads what GitLab has, masked as it was before it was stored; `None` when it has it no longer.
    async fn read_there(&self, key: JobKey, kind: &'static str) -> Result<Option<Read>, PassError> {
        let rules = if kind == "log" { self.rules(key.project).await? } else { None };
        let read = patiently!(self, async {
            let body = match kind {
                "log" => self.gitlab.trace(Class::Backfill, key).await?,
                _ => self.gitlab.archive(Class::Backfill, key).await?,
            };
            read(body, rules.as_ref().map(crate::masking::Rules::begin)).await
        });
        match read {
            // Without a log GitLab answers an empty one.
            Ok(read) if read.size == 0 => Ok(None),
            Ok(read) => Ok(Some(read)),
            Err(error) if matches!(error.kind, Kind::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn rules(&self, project: ProjectId) -> Result<Option<crate::masking::Rules>, PassError> {
        let document = self.store.project(project).await?;
        let path = document.as_ref().and_then(Project::path_of).unwrap_or_default();
        Ok((self.masking)(project, &path))
    }

    async fn read_here(&self, described: &Described) -> Result<Option<Read>, PassError> {
        let mut content = Content::new(described.decoding)?;
        let mut hash = Sha256::new();
        let mut number = 0;
        while let Some(chunk) = self.store.stored_chunk(described.blob, number).await? {
            if chunk.sound == Some(false) || content.take(&chunk.bytes, |piece| hash.update(piece)).is_err() {
                return Ok(None);
            }
            number += 1;
        }
        Ok(content.end().map(|size| Read { size, sha256: hash.finalize().into() }))
    }
}

async fn read(mut body: Body, mut masker: Option<Masker>) -> Result<Read, Error> {
    let (mut size, mut hash) = (0, Sha256::new());
    let mut masked = Vec::new();
    while let Some(piece) = body.chunk().await? {
        let piece = match &mut masker {
            None => &piece[..],
            Some(masker) => {
                masked.clear();
                masker.push(&piece, &mut masked);
                &masked
            }
        };
        size += piece.len() as u64;
        hash.update(piece);
    }
    if let Some(mut masker) = masker {
        masked.clear();
        masker.finish(&mut masked);
        size += masked.len() as u64;
        hash.update(&masked);
    }
    Ok(Read { size, sha256: hash.finalize().into() })
}
