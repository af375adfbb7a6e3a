//! Job and trigger job entities.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::people::{runner, runner_manager};
use crate::demo::fake::world::{Bridge, Job, Pipeline, World};
use crate::domain::{JobId, Timestamp};

/// What `artifacts[]` lists now: archive, metadata and junit until they are deleted, `trace` once archived.
fn artifacts_of(job: &Job) -> Vec<Value> {
    let entry = |kind: &str, size: usize, filename: &str, format: &str| json!({"file_type": kind, "size": size, "filename": filename, "file_format": format});
    let mut artifacts = Vec::new();
    if let Some(archive) = job.archive.as_ref().filter(|_| job.has_archive()) {
        artifacts.push(entry("archive", archive.size_bytes(), "artifacts.zip", "zip"));
        artifacts.push(entry("metadata", 391, "metadata.gz", "gzip"));
    }
    if let Some(junit) = job.junit.as_ref().filter(|_| job.has_junit()) {
        artifacts.push(entry("junit", junit.listed_bytes(), "junit.xml.gz", "gzip"));
    }
    if job.trace_archived {
        artifacts.push(entry("trace", job.log.size_bytes(), "job.log", "raw"));
    }
    artifacts
}

/// The dates and numbers in which jobs and trigger jobs differ.
struct Times {
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    erased_at: Option<Timestamp>,
    duration_secs: Option<f64>,
    queued_secs: Option<f64>,
}

/// The names and flags in which jobs and trigger jobs differ.
struct Face<'a> {
    id: JobId,
    status: &'a str,
    stage: &'a str,
    name: &'a str,
    coverage: Option<f64>,
    allow_failure: bool,
    failure_reason: Option<&'a str>,
}

impl World {
    /// A job's document as text.
    pub(crate) fn job_text(&mut self, id: JobId) -> Option<Bytes> {
        if let Some(text) = self.rendered.jobs.get(&id) {
            return Some(text.clone());
        }
        let job = self.jobs.get(&id)?;
        let pipeline = self.pipelines.get(&job.pipeline)?;
        let document = self.make_odd(id, Value::Object(self.job_document(job, pipeline)));
        let text = Bytes::from(document.to_string());
        self.rendered.jobs.insert(id, text.clone());
        Some(text)
    }

    pub(crate) fn job_document(&self, job: &Job, pipeline: &Pipeline) -> Map<String, Value> {
        let face = Face {
            id: job.id,
            status: &job.status,
            stage: &job.stage,
            name: &job.name,
            coverage: job.coverage.filter(|_| job.is_ended()),
            allow_failure: job.allow_failure,
            failure_reason: job.failure_reason.as_deref(),
        };
        let times = Times {
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
            erased_at: job.erased_at,
            duration_secs: job.duration_secs(),
            queued_secs: job.queued_secs(),
        };
        let mut document = self.base(&face, &times, pipeline);
        document.insert("source".to_owned(), json!(pipeline.source));
        let listed = job.has_archive() && !job.is_past_expiry(self.now());
        if let Some(archive) = job.archive.as_ref().filter(|_| listed) {
            let file = json!({"filename": "artifacts.zip", "size": archive.size_bytes()});
            document.insert("artifacts_file".to_owned(), file);
        }
        let ran = job.started_at.is_some();
        document.insert("artifacts".to_owned(), Value::Array(artifacts_of(job)));
        document.insert("runner".to_owned(), if ran { runner() } else { Value::Null });
        document.insert("runner_manager".to_owned(), if ran { runner_manager() } else { Value::Null });
        document.insert("artifacts_expire_at".to_owned(), json!(job.artifacts_expire_at));
        document.insert("archived".to_owned(), json!(false));
        document.insert("tag_list".to_owned(), json!(job.tags));
        document
    }

    /// A trigger job's document: it mirrors the pipeline that it started.
    pub(crate) fn bridge_document(&self, bridge: &Bridge) -> Option<Value> {
        let pipeline = self.pipelines.get(&bridge.pipeline)?;
        let child = self.pipelines.get(&bridge.downstream);
        let status = child.map_or("success", |child| child.status.as_str());
        let face = Face {
            id: bridge.id,
            status,
            stage: "child",
            name: &bridge.name,
            coverage: None,
            allow_failure: false,
            failure_reason: None,
        };
        let (started_at, finished_at) = child.map_or((None, None), |child| (child.started_at, child.finished_at));
        let times = Times {
            created_at: bridge.created_at,
            started_at,
            finished_at,
            erased_at: None,
            duration_secs: started_at.zip(finished_at).map(|(from, to)| to.since(from).as_secs_f64()),
            queued_secs: started_at.map(|started| started.since(bridge.created_at).as_secs_f64()),
        };
        let mut document = self.base(&face, &times, pipeline);
        document.insert("downstream_pipeline".to_owned(), json!(child.map(|child| self.pipeline_stub(child))));
        Some(Value::Object(document))
    }

    fn base(&self, face: &Face<'_>, times: &Times, pipeline: &Pipeline) -> Map<String, Value> {
        let path = self.projects.get(&pipeline.project).map_or("", |project| project.path.as_str());
        let mut document = json!({
            "id": face.id,
            "status": face.status,
            "stage": face.stage,
            "name": face.name,
            "ref": pipeline.ref_name,
            "tag": pipeline.tag,
            "coverage": face.coverage,
            "allow_failure": face.allow_failure,
            "created_at": times.created_at,
            "started_at": times.started_at,
            "finished_at": times.finished_at,
            "erased_at": times.erased_at,
            "duration": times.duration_secs,
            "queued_duration": times.queued_secs,
            "user": self.user_of_job(),
            "commit": self.commit(path, &pipeline.sha),
            "pipeline": self.pipeline_stub(pipeline),
            "web_url": format!("{}/-/jobs/{}", self.web_url(path), face.id),
            "project": {"ci_job_token_scope_enabled": false},
        });
        match document.as_object_mut() {
            Some(keys) => {
                // The key exists only on failed jobs.
                if face.status == "failed" {
                    keys.insert("failure_reason".to_owned(), json!(face.failure_reason));
                }
                std::mem::take(keys)
            }
            None => Map::new(),
        }
    }
}
