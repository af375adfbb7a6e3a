//! GitLab's part of the demo: signed deliveries of new pipelines, and a look whether each job is cached within moments.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::fake::{Archive, Delivery, FakeGitlab, JobSpec, PipelineSpec};
use super::script::{Trouble, since};
use crate::domain::{JobId, JobKey, Piece, PipelineId, PipelineKey, ProjectId};
use crate::loopback;
use crate::progress::tell;
use crate::store::Store;
use crate::webhook::PATH;

/// How long a job may take to be cached before the demo says that it is not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks into the store.
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct Play<'a> {
    fake: &'a FakeGitlab,
    store: &'a Store,
    address: SocketAddr,
    all_well: bool,
}

/// Plays every kind of delivery; returns whether each had the effect that it should have.
pub(super) async fn play(fake: &FakeGitlab, store: &Store, address: SocketAddr) -> Result<bool, Trouble> {
    let mut play = Play { fake, store, address, all_well: true };
    let project = fake.with(|world| world.projects().first().copied()).ok_or("the made-up GitLab has no project")?;
    let pipeline = fake.with(|world| world.add_pipeline(project, PipelineSpec::default()));
    let jobs = ["build-job", "unit-test", "lint"].map(|name| fake.with(|world| world.add_job(pipeline, spec(name))));

    // Finished jobs.
    for job in jobs {
        fake.with(|world| {
            world.start_job(job);
            world.finish_job(job, "success");
        });
        play.ended(project, job, "finished job").await?;
    }
    // A running job: its pipeline is refreshed a little later.
    let slow = fake.with(|world| world.add_job(pipeline, spec("slow-job")));
    fake.with(|world| world.start_job(slow));
    play.send("running job", fake.job_event(slow), 202).await?;
    play.known(JobKey { project, job: slow }).await?;
    // A job that fails and is retried: the retry is another job, and both are kept.
    fake.with(|world| world.finish_job(slow, "failed"));
    play.ended(project, slow, "failed job").await?;
    let again = fake.with(|world| world.retry_job(slow));
    fake.with(|world| {
        world.start_job(again);
        world.finish_job(again, "success");
    });
    play.ended(project, again, "retried job").await?;
    // Twice the same delivery, as a project hook and a group hook send it. What it is about has been taken up already, so that
    // it may have changed since: it is accepted and looked at again.
    let twice = fake.job_event(again);
    play.send("the same event again", twice.clone(), 202).await?;
    play.send("and again", twice, 202).await?;
    tell(
        "  (coalesced: what it asks for is waited for already; accepted: that had begun, so GitLab is asked once more)",
    );
    // A child pipeline, by its Pipeline Hook alone.
    let child = fake.with(|world| world.add_child_pipeline(pipeline, "child", PipelineSpec::default()));
    let contract = fake.with(|world| world.add_job(child, spec("contract")));
    fake.with(|world| {
        world.start_job(contract);
        world.finish_job(contract, "success");
    });
    play.pipeline(project, child, contract).await?;
    // A forged one.
    let forged = fake.job_event(again).map(Delivery::with_bad_signature);
    play.send("bad signature", forged, 401).await?;
    Ok(play.all_well)
}

impl Play<'_> {
    /// Sends the event of an ended job and waits until the job is cached.
    async fn ended(&mut self, project: ProjectId, job: JobId, what: &str) -> Result<(), Trouble> {
        let began = Instant::now();
        self.send(what, self.fake.job_event(job), 202).await?;
        self.cached(JobKey { project, job }, began).await
    }

    async fn pipeline(&mut self, project: ProjectId, pipeline: PipelineId, job: JobId) -> Result<(), Trouble> {
        let began = Instant::now();
        self.send("child pipeline", self.fake.pipeline_event(pipeline), 202).await?;
        self.cached(JobKey { project, job }, began).await?;
        let key = PipelineKey { project, pipeline };
        self.all_well &= self.store.pipeline(key).await?.is_some();
        Ok(())
    }

    async fn send(&mut self, what: &str, delivery: Option<Delivery>, expected: u16) -> Result<(), Trouble> {
        let delivery = delivery.ok_or("the made-up GitLab has no such event")?;
        let headers: Vec<(String, String)> =
            delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let answer = loopback::send(self.address, "POST", PATH, &headers, &delivery.body()).await?;
        let body = String::from_utf8_lossy(&answer.body);
        let well = answer.status == expected;
        self.all_well &= well;
        tell(format_args!("{} {what}: {} {}", if well { "→" } else { "✗" }, answer.status, body.trim()));
        Ok(())
    }

    /// Waits until a job's log is held and its archive too, if it has one.
    async fn cached(&mut self, key: JobKey, began: Instant) -> Result<(), Trouble> {
        while began.elapsed() < PATIENCE {
            if let Some(row) = self.store.job(key).await?
                && matches!(row.log.piece, Piece::Live | Piece::Whole)
                && row.archive.piece == Piece::Whole
            {
                tell(format_args!("  ✓ job {} ({}) cached after {}", key.job, row.name, since(began)));
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.all_well = false;
        tell(format_args!("  ✗ job {} not cached within {PATIENCE:?}", key.job));
        Ok(())
    }

    /// Waits until a job's document is stored.
    async fn known(&mut self, key: JobKey) -> Result<(), Trouble> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(row) = self.store.job(key).await? {
                tell(format_args!("  ✓ job {} ({}) known as {} after {}", key.job, row.name, row.status, since(began)));
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.all_well = false;
        Ok(())
    }
}

fn spec(name: &str) -> JobSpec {
    let archive = Archive::zip([("report.txt", name.as_bytes())]).ok();
    JobSpec { archive, ..JobSpec::new(name) }
}
