//! Jobs as GitLab lists them, in any number: ten projects, pipelines of 20 jobs, most of them successful and on one branch.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cistern::domain::{Job, LogRecord, Piece, Pipeline, PipelineId, PipelineKey, Project, ProjectId, Timestamp};
use cistern::store::{Change, Config, Place, Store};
use serde_json::Value;
use serde_json::value::RawValue;

/// Projects; they stay the same while the store grows.
pub(crate) const PROJECTS: u64 = 10;

/// Jobs of each pipeline.
pub(crate) const JOBS: u64 = 20;

/// The id of the first pipeline, and of the first job.
pub(crate) const FIRST_PIPELINE: u64 = 1_000_000;
pub(crate) const FIRST_JOB: u64 = 50_000_000;

/// Pipelines that are stored as one transaction while the store is filled.
const AT_ONCE: u64 = 25;

/// The last jobs before each size are stored as workers do it: each in a transaction of its own, so many at once.
const MEASURED: u64 = 2_000;
const WORKERS: usize = 20;

/// Bytes of each log.
const LOG_BYTES: usize = 20_000;

const STATUSES: [&str; 10] =
    ["success", "success", "failed", "success", "success", "success", "success", "canceled", "success", "failed"];

/// Opens a store, adds to it until it has so many jobs, and returns what each of the last ones took.
pub(crate) fn fill(url: &str, jobs: u64) -> Result<Duration, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let place = match url.strip_prefix("sqlite://") {
            Some(path) => Place::Sqlite(PathBuf::from(path)),
            None => Place::mongo(url)?,
        };
        let lease = Duration::from_secs(30);
        let store = Store::open(Config { cache: None, place, lease, operations: 50, kind: "bench" }).await?;
        store.heartbeat(0, 0, 20).await?;
        let samples = Samples::new()?;
        for project in 1..=PROJECTS {
            store.apply(vec![samples.project(project)?]).await?;
        }
        let stored = held(&store).await?;
        let (first, last) = (stored / JOBS, (jobs - MEASURED.min(jobs / 2)) / JOBS);
        for number in (first..last).step_by(usize::try_from(AT_ONCE)?) {
            let mut changes = Vec::new();
            for number in number..last.min(number + AT_ONCE) {
                changes.extend(samples.pipeline(number)?.into_iter().flatten());
            }
            store.apply(changes).await?;
            store.heartbeat(0, 0, 20).await?;
        }
        let cost = measured(&store, &samples, last..jobs / JOBS).await?;
        store.close().await?;
        Ok(cost)
    })
}

/// Returns how many jobs the store has.
async fn held(store: &Store) -> Result<u64, Box<dyn Error>> {
    Ok(store.documents().await?.values().map(|documents| documents.jobs).sum())
}

/// Stores pipelines as workers do, and returns the time for each job.
async fn measured(store: &Store, samples: &Samples, numbers: std::ops::Range<u64>) -> Result<Duration, Box<dyn Error>> {
    let jobs = u32::try_from((numbers.end - numbers.start) * JOBS)?;
    let (mut pipelines, mut waiting) = (Vec::new(), Vec::new());
    for number in numbers {
        let mut lists = samples.pipeline(number)?;
        pipelines.extend(lists.remove(0));
        waiting.extend(lists);
    }
    store.apply(pipelines).await?;
    let waiting = std::sync::Mutex::new(waiting.into_iter());
    let began = Instant::now();
    let next = || waiting.lock().ok().and_then(|mut lists| lists.next());
    let worker = || async {
        while let Some(changes) = next() {
            store.apply(changes).await?;
        }
        Ok::<(), cistern::store::Error>(())
    };
    futures_util::future::try_join_all((0..WORKERS).map(|_| worker())).await?;
    Ok(began.elapsed() / jobs)
}

/// GitLab's own documents, of which others are made.
struct Samples {
    job: Value,
    pipeline: Value,
    project: Value,
    /// Bytes of the log, and the log as it is stored.
    log_bytes: u64,
    log: Bytes,
}

impl Samples {
    fn new() -> Result<Self, Box<dyn Error>> {
        let body = |text: &str| -> Result<Vec<Value>, Box<dyn Error>> {
            let answer: Value = serde_json::from_str(text)?;
            Ok(answer.get("_body").and_then(Value::as_array).ok_or("no list")?.clone())
        };
        let jobs = body(include_str!("../../fixtures/rest/23-api-pipeline-jobs-page.json"))?;
        let pipelines = body(include_str!("../../fixtures/rest/21-api-pipelines-page.json"))?;
        let projects = body(include_str!("../../fixtures/rest/20-api-projects-simple-keyset-page.json"))?;
        let ended = |list: Vec<Value>| list.into_iter().find(|item| item["status"] == "success").ok_or("none ended");
        let mut job = ended(jobs)?;
        job["artifacts"] = Value::Array(Vec::new());
        job["artifacts_file"] = Value::Null;
        let mut random = fastrand::Rng::with_seed(7);
        let line = || format!("2026-11-24T10:00:00Z 00O test {} of the suite passed\n", random.u16(..));
        let text: String = std::iter::repeat_with(line).take(LOG_BYTES / 50).collect();
        Ok(Self {
            job,
            pipeline: ended(pipelines)?,
            project: projects.into_iter().next().ok_or("no project")?,
            log_bytes: text.len() as u64,
            log: zstd::bulk::compress(text.as_bytes(), 3)?.into(),
        })
    }

    fn project(&self, id: u64) -> Result<Change, Box<dyn Error>> {
        let mut project = self.project.clone();
        project["id"] = id.into();
        project["path_with_namespace"] = format!("group/app-{id}").into();
        Ok(Change::Project(Project::parse(&*raw(&project)?, Timestamp::now())?))
    }

    /// Returns the changes that store a pipeline, then those for each of its jobs.
    fn pipeline(&self, number: u64) -> Result<Vec<Vec<Change>>, Box<dyn Error>> {
        let (project, id) = (number % PROJECTS + 1, FIRST_PIPELINE + number);
        let own = number / PROJECTS;
        let mut pipeline = self.pipeline.clone();
        // A pipeline each two minutes, the last of them recently.
        let minutes = i64::try_from(number)? * 2;
        let at = Timestamp::from_millis((1_760_000_000 + minutes * 60) * 1000).to_string();
        pipeline["id"] = id.into();
        pipeline["iid"] = own.into();
        pipeline["project_id"] = project.into();
        pipeline["status"] = STATUSES[usize::try_from(own % 10)?].into();
        pipeline["ref"] = reference(own).into();
        pipeline["sha"] = sha(number).into();
        pipeline["created_at"] = at.as_str().into();
        pipeline["updated_at"] = at.as_str().into();
        let parsed = Pipeline::parse_detail(ProjectId(project), &*raw(&pipeline)?, Timestamp::now())?;
        let key = PipelineKey { project: ProjectId(project), pipeline: PipelineId(id) };
        let mut lists = vec![vec![Change::Pipeline(parsed), Change::JobsListed(key, Timestamp::now())]];
        for place in 0..JOBS {
            let mut job = self.job.clone();
            let status = STATUSES[usize::try_from((own + place) % 10)?];
            job["id"] = (FIRST_JOB + number * JOBS + place).into();
            job["name"] = format!("test {place}/{JOBS}").into();
            job["status"] = status.into();
            job["pipeline"] = pipeline.clone();
            lists.push(self.job(project, &job)?);
        }
        Ok(lists)
    }

    fn job(&self, project: u64, job: &Value) -> Result<Vec<Change>, Box<dyn Error>> {
        let job = Job::parse(ProjectId(project), &*raw(job)?, Timestamp::now())?;
        let frames = vec![u32::try_from(self.log.len())?];
        let record = LogRecord { piece: Piece::Whole, size: self.log_bytes, frames, ..LogRecord::missing() };
        let publish = Change::Log { key: job.key, record, bytes: Some(self.log.clone()) };
        Ok(vec![Change::Job(Box::new(job)), publish])
    }
}

/// Returns the ref of a project's pipeline: of five, four are of the main branch, the fifth is of one of many others.
pub(crate) fn reference(own: u64) -> String {
    if own % 5 == 4 { format!("feature/{}", own / 50) } else { "main".to_owned() }
}

/// Returns the commit of a pipeline.
pub(crate) fn sha(number: u64) -> String {
    format!("{number:040x}")
}

fn raw(value: &Value) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value)
}
