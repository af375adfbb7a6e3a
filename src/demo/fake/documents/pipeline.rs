//! Pipeline entities: the row of listings, the detail, and the part inside job documents.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::demo::fake::world::{Pipeline, World};
use crate::domain::PipelineId;

impl World {
    /// The pipeline inside a job or trigger job document: the row without its name.
    pub(crate) fn pipeline_stub(&self, pipeline: &Pipeline) -> Value {
        json!({
            "id": pipeline.id,
            "iid": pipeline.iid,
            "project_id": pipeline.project,
            "sha": pipeline.sha,
            "ref": pipeline.ref_name,
            "status": pipeline.status,
            "source": pipeline.source,
            "created_at": pipeline.created_at,
            "updated_at": pipeline.updated_at,
            "web_url": self.pipeline_url(pipeline),
        })
    }

    pub(super) fn pipeline_url(&self, pipeline: &Pipeline) -> String {
        let path = self.projects.get(&pipeline.project).map_or("", |project| project.path.as_str());
        format!("{}/-/pipelines/{}", self.web_url(path), pipeline.id)
    }

    fn pipeline_row(&self, pipeline: &Pipeline) -> Value {
        let mut row = self.pipeline_stub(pipeline);
        if let Some(keys) = row.as_object_mut() {
            keys.insert("name".to_owned(), json!(pipeline.name));
        }
        row
    }

    /// A pipeline's row of the listing as text.
    pub(crate) fn pipeline_row_text(&mut self, id: PipelineId) -> Option<Bytes> {
        if let Some(text) = self.rendered.pipelines.get(&id) {
            return Some(text.clone());
        }
        let text = Bytes::from(self.pipeline_row(self.pipelines.get(&id)?).to_string());
        self.rendered.pipelines.insert(id, text.clone());
        Some(text)
    }

    /// The detail of one pipeline.
    pub(crate) fn pipeline_detail(&self, pipeline: &Pipeline) -> Value {
        let mut detail = self.pipeline_row(pipeline);
        let path = self.projects.get(&pipeline.project).map_or("", |project| project.path.as_str());
        let duration = pipeline.started_at.zip(pipeline.finished_at).map(|(from, to)| to.since(from).as_secs());
        let queued = pipeline.started_at.map(|started| started.since(pipeline.created_at).as_secs());
        let coverages = pipeline.jobs.iter().filter_map(|id| self.jobs.get(id)).filter_map(|job| job.coverage);
        let coverages: Vec<f64> = coverages.collect();
        let count = u32::try_from(coverages.len()).unwrap_or(u32::MAX);
        let coverage = (count > 0).then(|| format!("{:.2}", coverages.iter().sum::<f64>() / f64::from(count)));
        let status = pipeline.status.as_str();
        let more = json!({
            "before_sha": "9d01b7e2c3f4a5968778695a4b3c2d1e0f123456",
            "tag": pipeline.tag,
            "yaml_errors": pipeline.yaml_errors,
            "user": self.user(),
            "started_at": pipeline.started_at,
            "finished_at": pipeline.finished_at,
            "committed_at": null,
            "duration": duration,
            "queued_duration": queued,
            "coverage": coverage,
            "detailed_status": {
                "icon": format!("status_{status}"),
                "text": super::display_name(label(status)),
                "label": label(status),
                "group": status,
                "tooltip": label(status),
                "has_details": true,
                "details_path": format!("/{path}/-/pipelines/{}", pipeline.id),
                "illustration": null,
                "favicon": format!("/assets/ci_favicons/favicon_status_{status}.png"),
            },
            "archived": false,
        });
        if let (Some(keys), Value::Object(more)) = (detail.as_object_mut(), more) {
            keys.extend(more);
        }
        detail
    }
}

/// The word that people read for a status.
pub(super) fn label(status: &str) -> &str {
    if status == "success" { "passed" } else { status }
}
