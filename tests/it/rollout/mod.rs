//! Replicas are replaced under load, as by a Deployment: who sends webhooks or reads does not notice, and no event is lost.
//!
//! The list of endpoints is one second old here instead of five, and `drain_delay` two seconds: it has to be the longer one.

mod replicated;
mod single;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cistern::domain::{JobKey, PipelineId, ProjectId};
use cistern::loopback::{self, Answer};
use futures_util::{StreamExt, stream};

use crate::process::deliver;
use crate::replicas::{ended_jobs, new_pipeline};
use crate::rig::Rig;

/// How old the balancer's list of endpoints is at most, and how long a replica goes on serving after it was told to end.
const LAG: Duration = Duration::from_secs(1);
const DRAIN_DELAY: &str = "2s";

/// 200 webhooks a second, and as many readers.
const EVERY: Duration = Duration::from_millis(5);

/// How many of either may be under way: a machine that is busy otherwise gets fewer a second instead of answering late.
const MOST: usize = 32;

/// GitLab tells of a job several times: created, pending, running, ended. Here each ended job is told of so often.
const TOLD: usize = 4;

/// Jobs of one pipeline.
const JOBS: usize = 100;

/// Webhooks and readers at a steady rate.
struct Load<'a> {
    rig: &'a Rig,
    project: ProjectId,
    to: SocketAddr,
    stop: AtomicBool,
    /// Those that ended so far, the latest last, and the pipeline that the next one is in.
    jobs: Mutex<(Vec<JobKey>, PipelineId)>,
}

/// What became of it.
struct Sent {
    /// Every job that was told of.
    jobs: Vec<JobKey>,
    webhooks: usize,
    /// What those were answered that were not answered with 202.
    failed_webhooks: Vec<String>,
    reads: usize,
    /// What those were answered that did not get what they had asked for.
    failed_reads: Vec<String>,
}

impl Sent {
    fn failed(&self) -> Vec<&String> {
        self.failed_webhooks.iter().chain(&self.failed_reads).collect()
    }
}

/// Returns what is wrong with an answer that should be like this.
fn wrong(answer: std::io::Result<Answer>, status: u16, body: Option<&[u8]>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == status && body.is_none_or(|body| answer.body == body) => None,
        Ok(answer) => Some(format!("{}: {} bytes", answer.status, answer.body.len())),
        Err(error) => Some(error.to_string()),
    }
}

impl<'a> Load<'a> {
    fn new(rig: &'a Rig, project: ProjectId, to: SocketAddr) -> Self {
        let jobs = Mutex::new((Vec::new(), new_pipeline(rig, project)));
        Self { rig, project, to, stop: AtomicBool::new(false), jobs }
    }

    /// Sends until `during` ends. Readers ask for the log of a job that is cached.
    async fn run(&self, cached: JobKey, during: impl Future<Output = ()>) -> Sent {
        let log = self.rig.fake.with(|world| world.trace(cached.job)).expect("a log");
        let path = format!("/api/v4/projects/{}/jobs/{}/trace", cached.project, cached.job);
        let read = async |_| {
            let answer = loopback::send(self.to, "GET", &path, &[], b"").await;
            wrong(answer, 200, Some(&log))
        };
        let tell = async |number| {
            let event = self.rig.fake.job_event(self.job(number).job).expect("an event");
            wrong(deliver(self.to, &event).await, 202, None)
        };
        let during = async {
            during.await;
            self.stop.store(true, Ordering::Relaxed);
        };
        let (told, read, ()) = tokio::join!(self.steadily(tell), self.steadily(read), during);
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        let (webhooks, reads) = (told.len(), read.len());
        let [failed_webhooks, failed_reads] = [told, read].map(|answers| answers.into_iter().flatten().collect());
        Sent { jobs, webhooks, failed_webhooks, reads, failed_reads }
    }

    /// Returns how many jobs were told of so far.
    fn told(&self) -> usize {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).0.len()
    }

    async fn steadily(&self, ask: impl AsyncFn(usize) -> Option<String>) -> Vec<Option<String>> {
        let begin = (tokio::time::interval(EVERY), 0);
        let turns = stream::unfold(begin, async |(mut turn, number)| {
            turn.tick().await;
            (!self.stop.load(Ordering::Relaxed)).then_some((number, (turn, number + 1)))
        });
        turns.map(|number| ask(number)).buffer_unordered(MOST).collect().await
    }

    /// Returns the job that a webhook tells of; every few it is one that has just ended.
    fn job(&self, number: usize) -> JobKey {
        let (jobs, pipeline) = &mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if number.is_multiple_of(TOLD) {
            if jobs.len() % JOBS == JOBS - 1 {
                *pipeline = new_pipeline(self.rig, self.project);
            }
            jobs.extend(ended_jobs(self.rig, *pipeline, 1));
        }
        *jobs.last().expect("the first one makes one")
    }
}

/// Lets one job end and be cached, so that readers have something to ask for.
async fn cached_job(rig: &Rig, project: ProjectId, server: &crate::process::Server) -> JobKey {
    let job = ended_jobs(rig, new_pipeline(rig, project), 1)[0];
    server.deliver(&rig.fake.job_event(job.job).expect("an event")).await;
    server.until_cached(rig, job).await;
    job
}
