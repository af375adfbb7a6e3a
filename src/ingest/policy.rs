//! What the configuration says about single projects: whether they are ours, how old their things may become, whether their
//! text is masked.

use std::sync::Arc;

use super::Ingest;
use crate::domain::{Ages, AgesOf, Document, Job, JobKey, Pipeline, ProjectId, Timestamp};
use crate::masking::{Rules, RulesOf};

/// Which projects belong to us, by id and path.
pub type Selection = Arc<dyn Fn(ProjectId, &str) -> bool + Send + Sync>;

/// What is asked about each project, by id and path.
#[derive(Clone)]
pub struct Policy {
    /// Whether it belongs to us.
    pub selected: Selection,
    /// How old its things may become: what is older is not fetched.
    pub ages: AgesOf,
    /// How its text is masked, if it is.
    pub masking: RulesOf,
}

/// How one project is treated, as long as this process lives: one that is renamed keeps it.
#[derive(Debug, Clone, Default)]
pub(super) struct Treatment {
    /// Whether its document is known to be stored.
    pub(super) stored: bool,
    pub(super) ages: Ages,
    pub(super) masking: Option<Rules>,
}

impl Policy {
    pub(super) fn treatment(&self, id: ProjectId, path: &str, stored: bool) -> Treatment {
        Treatment { stored, ages: (self.ages)(id, path), masking: (self.masking)(id, path) }
    }
}

impl Ingest {
    /// Returns whether retention would remove a pipeline at once, with all that belongs to it.
    pub(super) fn is_over(&self, pipeline: &Pipeline) -> bool {
        self.treatment(pipeline.key.project).ages.are_over_for(pipeline, Timestamp::now())
    }

    /// Masks what a pipeline's document says in words.
    pub(super) fn mask_pipeline(&self, pipeline: &mut Pipeline) {
        let project = pipeline.key.project;
        self.mask_document(project, &mut pipeline.document);
        if let Some(detail) = &mut pipeline.detail {
            self.mask_document(project, detail);
        }
        self.mask_text(project, &mut pipeline.ref_);
        self.mask_text(project, &mut pipeline.name);
    }

    /// Masks what a job's document says in words, commit messages above all, and its pipeline's.
    pub(super) fn mask_job(&self, job: &mut Job) {
        let JobKey { project, .. } = job.key;
        self.mask_document(project, &mut job.document);
        if let Some(rules) = self.treatment(project).masking {
            job.name = rules.mask_text(&job.name).into();
        }
        self.mask_pipeline(&mut job.pipeline);
    }

    fn mask_text(&self, project: ProjectId, text: &mut Option<Box<str>>) {
        if let (Some(rules), Some(text)) = (self.treatment(project).masking, text) {
            *text = rules.mask_text(text).into();
        }
    }

    /// Masks the strings of a document.
    pub(super) fn mask_document(&self, project: ProjectId, document: &mut Document) {
        let Some(rules) = self.treatment(project).masking else { return };
        if let Some((text, secrets)) = rules.mask_json(&document.text) {
            document.text = text.into();
            self.metrics.masked("document", secrets);
        }
    }
}
