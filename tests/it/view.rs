//! A store file as its readers see it: the real routes over sockets, and beside them the state of each piece.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use cistern::access::{self, Access, Mode};
use cistern::api::{self, Api, ReadThrough};
use cistern::domain::{JobId, JobKey, Piece, PipelineId, PipelineKey, ProjectId, Reason};
use cistern::loopback::{self, Answer};
use cistern::store::{Config, JobRow, PipelineRow, Store};
use serde_json::Value;

use crate::rig::{Rig, Sent};

/// A store file that is only read.
pub(crate) struct View {
    pub(crate) store: Store,
    address: std::net::SocketAddr,
    server: ServerHandle,
}

/// Everything that readers get.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cache {
    pub(crate) projects: BTreeMap<ProjectId, Value>,
    pub(crate) pipelines: BTreeMap<PipelineKey, PipelineView>,
    pub(crate) jobs: BTreeMap<JobKey, JobView>,
}

/// What readers get of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PipelineView {
    pub(crate) document: Value,
    /// Its own document.
    pub(crate) detail: Option<Value>,
    pub(crate) detail_piece: Piece,
    pub(crate) report: Option<Value>,
    pub(crate) summary: Option<Value>,
    pub(crate) piece: Piece,
    pub(crate) summary_piece: Piece,
}

/// What readers get of a job.
#[derive(Clone, PartialEq)]
pub(crate) struct JobView {
    pub(crate) pipeline: PipelineId,
    pub(crate) document: Value,
    pub(crate) log: Vec<u8>,
    pub(crate) log_piece: Piece,
    pub(crate) archive: Option<Vec<u8>>,
    pub(crate) archive_piece: Piece,
}

impl std::fmt::Debug for JobView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let archive = self.archive.as_ref().map(Vec::len);
        write!(f, "job with {} B of {:?} log, ", self.log.len(), self.log_piece)?;
        write!(f, "{archive:?} B of {:?} archive: {}", self.archive_piece, self.document)
    }
}

impl Rig {
    /// Opens a store of this rig to read it.
    pub(crate) async fn view(&self, store: &str) -> View {
        let place = self.config(store).store.place;
        let config = Config { place, lease: Duration::from_secs(30), operations: 8, cache: None, kind: "view" };
        let store = Store::open(config).await.expect("a store");
        let shared = Api::new(store.clone(), ReadThrough::off(), 1_000);
        let access = Access::new(Mode::Open { allow_open_network: false }, store.clone()).expect("a rule");
        let server = HttpServer::new(move || {
            App::new().service(access::reads(access.clone(), |config| api::routes(config, shared.clone())))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a port");
        let address = server.addrs()[0];
        let running = server.run();
        let server = running.handle();
        tokio::spawn(running);
        View { store, address, server }
    }

    /// Reads everything that readers of a store file get.
    pub(crate) async fn cache(&self, store: &str) -> Cache {
        let view = self.view(store).await;
        let cache = view.cache().await;
        view.close().await;
        cache
    }
}

impl View {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        loopback::send(self.address, "GET", path, &[], b"").await.expect("an answer")
    }

    /// Asks, and returns the answer with its headers.
    pub(crate) async fn ask(&self, path: &str) -> Sent {
        crate::rig::ask(self.address, "GET", path, &[]).await
    }

    async fn some_json(&self, path: &str) -> Option<Value> {
        let answer = self.get(path).await;
        (answer.status == 200).then(|| serde_json::from_slice(&answer.body).expect("JSON"))
    }

    /// Reads all pages of a listing.
    async fn rows(&self, path: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for page in 1.. {
            let separator = if path.contains('?') { '&' } else { '?' };
            let found = self.some_json(&format!("{path}{separator}per_page=100&page={page}")).await.expect(path);
            let found = found.as_array().expect("a list").clone();
            if found.is_empty() {
                break;
            }
            rows.extend(found);
        }
        rows
    }

    pub(crate) async fn job(&self, project: ProjectId, job: JobId) -> JobRow {
        self.store.job(JobKey { project, job }).await.expect("read").expect("a stored job")
    }

    pub(crate) async fn pipeline(&self, project: ProjectId, pipeline: PipelineId) -> PipelineRow {
        self.store.pipeline(PipelineKey { project, pipeline }).await.expect("read").expect("a stored pipeline")
    }

    pub(crate) async fn log(&self, project: ProjectId, job: JobId) -> Vec<u8> {
        let answer = self.get(&format!("/api/v4/projects/{project}/jobs/{job}/trace")).await;
        // One that is not held is an error with its reason.
        if answer.status == 200 { answer.body } else { Vec::new() }
    }

    pub(crate) async fn archive(&self, project: ProjectId, job: JobId) -> Option<Vec<u8>> {
        let answer = self.get(&format!("/api/v4/projects/{project}/jobs/{job}/artifacts")).await;
        (answer.status == 200).then_some(answer.body)
    }

    pub(crate) async fn report(&self, project: ProjectId, pipeline: PipelineId) -> Option<Value> {
        self.some_json(&format!("/api/v4/projects/{project}/pipelines/{pipeline}/test_report")).await
    }

    pub(crate) async fn cache(&self) -> Cache {
        let mut cache = Cache { projects: BTreeMap::new(), pipelines: BTreeMap::new(), jobs: BTreeMap::new() };
        for document in self.rows("/api/v4/projects").await {
            let project = ProjectId(id(&document));
            let base = format!("/api/v4/projects/{project}/pipelines");
            let mut pipelines = self.rows(&base).await;
            pipelines.extend(self.rows(&format!("{base}?source=parent_pipeline")).await);
            cache.projects.insert(project, document);
            for document in pipelines {
                let pipeline = PipelineId(id(&document));
                for document in self.rows(&format!("{base}/{pipeline}/jobs?include_retried=true")).await {
                    let job = JobId(id(&document));
                    cache.jobs.insert(JobKey { project, job }, self.job_view(project, job, document).await);
                }
                let row = self.pipeline(project, pipeline).await;
                let held = row.report;
                let view = PipelineView {
                    document,
                    detail: self.some_json(&format!("{base}/{pipeline}")).await,
                    detail_piece: row.detail.piece,
                    report: self.report(project, pipeline).await,
                    summary: self.some_json(&format!("{base}/{pipeline}/test_report_summary")).await,
                    piece: held.piece,
                    summary_piece: held.summary_piece,
                };
                cache.pipelines.insert(PipelineKey { project, pipeline }, view);
            }
        }
        cache
    }

    async fn job_view(&self, project: ProjectId, job: JobId, document: Value) -> JobView {
        let row = self.job(project, job).await;
        JobView {
            pipeline: row.pipeline,
            document,
            log: self.log(project, job).await,
            log_piece: row.log.piece,
            archive: self.archive(project, job).await,
            archive_piece: row.archive.piece,
        }
    }

    pub(crate) async fn close(self) {
        self.server.stop(false).await;
        self.store.close().await.expect("closed");
    }
}

impl Cache {
    /// Returns where this cache, which has a history, is not what a backfill from empty made. What GitLab no longer
    /// serves may be held here and absent there.
    pub(crate) fn differences(&self, fresh: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |what: String, here: &dyn std::fmt::Debug, there: &dyn std::fmt::Debug| {
            found.push(format!("{what}:\n  here  {here:?}\n  fresh {there:?}"));
        };
        for (id, there) in &fresh.projects {
            let here = self.projects.get(id);
            if here != Some(there) {
                note(format!("project {id}"), &here, there);
            }
        }
        for (key, there) in &fresh.pipelines {
            match self.pipelines.get(key) {
                Some(here) if here.is_as_good_as(there) => {}
                here => note(format!("pipeline {}", key.pipeline), &here, there),
            }
        }
        for (key, there) in &fresh.jobs {
            match self.jobs.get(key) {
                Some(here) if here.is_as_good_as(there) => {}
                here => note(format!("job {}", key.job), &here, there),
            }
        }
        found
    }
}

impl PipelineView {
    /// The report may be of a pipeline that goes on, or hold suites whose files GitLab has deleted since. The summary outlives those.
    fn is_as_good_as(&self, fresh: &Self) -> bool {
        if (&self.document, &self.detail, self.detail_piece) != (&fresh.document, &fresh.detail, fresh.detail_piece) {
            return false;
        }
        if (fresh.piece, fresh.summary_piece) == (Piece::Missing, Piece::Missing) {
            return true;
        }
        let total = |view: &Self| view.report.as_ref().map(|report| report["total_count"].as_u64());
        let same = self.report == fresh.report && self.piece == fresh.piece;
        let kept = self.piece == Piece::Whole && total(self) > total(fresh);
        let summary = self.summary == fresh.summary && self.summary_piece == fresh.summary_piece;
        summary && (same || kept)
    }
}

impl JobView {
    fn is_as_good_as(&self, fresh: &Self) -> bool {
        let kept = fresh.archive_piece == Piece::Absent(Reason::Expired) && self.archive_piece == Piece::Whole;
        let log = self.log == fresh.log && self.log_piece == fresh.log_piece;
        let archive = self.archive == fresh.archive && self.archive_piece == fresh.archive_piece;
        self.pipeline == fresh.pipeline && self.document == fresh.document && log && (archive || kept)
    }
}

fn id(document: &Value) -> u64 {
    document["id"].as_u64().expect("an id")
}
