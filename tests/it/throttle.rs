//! GitLab's two ways to say 429: everything stops, or one endpoint (contract, section 6).

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec, Options, PipelineSpec, RateLimit, World};
use cistern::domain::{JobId, ProjectId};

use crate::rig::{Rig, Serving, until};

const STORE: &str = "cistern.db";

async fn serving() -> (Rig, ProjectId, Serving) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve(STORE).await;
    (rig, project, serving)
}

/// Lets a job with an archive end and delivers its event.
async fn end_a_job(rig: &Rig, serving: &Serving, project: ProjectId) -> JobId {
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let archive = Archive::zip([("out.txt", &b"out"[..])]).expect("a zip");
        let job = world.add_job(pipeline, JobSpec::new("unit").archive(archive));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    let answer = serving.deliver(&rig.fake.job_event(job).expect("an event")).await;
    assert_eq!(answer.status, 202, "events are taken meanwhile");
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plain_429_stops_every_call() {
    let (rig, project, serving) = serving().await;
    let wait = FaultKind::Throttled { retry_after_secs: 600 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::Job).times(1));
    end_a_job(&rig, &serving, project).await;
    until(|| serving.queue.held_until().is_some()).await;
    rig.fake.reset_counters();
    for _ in 0..3 {
        end_a_job(&rig, &serving, project).await;
    }
    serving.idle().await;
    assert_eq!(rig.fake.requests().total, 0);
    assert_eq!(serving.queue.depths().1, 4, "all four wait in the journal");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_plain_429_everything_is_made_up_for() {
    let (rig, project, serving) = serving().await;
    let wait = FaultKind::Throttled { retry_after_secs: 1 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::Job).times(1));
    let job = end_a_job(&rig, &serving, project).await;
    let path = format!("/api/v4/projects/{project}/jobs/{job}/artifacts");
    crate::rig::eventually(async || serving.get(&path).await.status == 200).await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 2, "asked once more and not more often");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_herd_follows_a_429() {
    const JOBS: u64 = 120;
    let mut world = World::new();
    let project = world.add_project("group/app");
    let latency = std::time::Duration::from_millis(20);
    let rig = Rig::with(world, Options { latency, ..Options::default() });
    let serving = rig.serve(STORE).await;
    let wait = FaultKind::Throttled { retry_after_secs: 2 };
    rig.fake.inject(Fault::new(wait).on(Endpoint::Job).times(1));
    end_a_job(&rig, &serving, project).await;
    until(|| serving.queue.held_until().is_some()).await;
    for _ in 1..JOBS {
        end_a_job(&rig, &serving, project).await;
    }
    rig.fake.reset_counters();
    until(|| rig.fake.requests().total > 0).await;
    let began = std::time::Instant::now();
    until(|| rig.fake.requests().of(Endpoint::Job) >= JOBS).await;
    let requests = rig.fake.requests();
    let most = 20 * (began.elapsed().as_millis() / latency.as_millis() + 2);
    assert!(u128::from(requests.total + requests.storage) <= most, "{requests:?} in {:?}", began.elapsed());
    assert!(rig.fake.max_in_flight() <= 20, "{} at once", rig.fake.max_in_flight());
    serving.idle().await;
    assert_eq!(rig.fake.requests().of(Endpoint::Job), JOBS, "each is asked for once");
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), JOBS, "and nobody is left behind");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_json_429_stops_one_endpoint() {
    let (rig, project, serving) = serving().await;
    rig.fake.inject(Fault::new(FaultKind::ApplicationThrottled).on(Endpoint::Artifacts).times(1));
    end_a_job(&rig, &serving, project).await;
    until(|| rig.fake.requests().of(Endpoint::Trace) == 1).await;
    until(|| rig.fake.requests().of(Endpoint::Artifacts) == 1).await;
    serving.idle().await;
    let other = end_a_job(&rig, &serving, project).await;
    let trace = format!("/api/v4/projects/{project}/jobs/{other}/trace");
    crate::rig::eventually(async || !serving.get(&trace).await.body.is_empty()).await;
    serving.idle().await;
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 1, "nobody asks there");
    assert_eq!(serving.queue.held_until(), None, "the others go on");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_how_long_the_calls_take_at_gitlab_s_own_limit() {
    let options = Options { rate_limit: Some(RateLimit::per_minute(600)), ..Options::default() };
    let rig = Rig::with(World::demo(2, 4, 12, 5), options);
    let forecast = rig.forecast(STORE).await;
    let left = forecast.gitlab_calls + forecast.storage_calls - forecast.calls_made;
    assert!(left > 90, "{left} calls tell little");
    // Nine tenths of 600 a minute are for backfill.
    assert_eq!(forecast.seconds, left.div_ceil(9));
    assert!(forecast.in_words().contains(&format!("about {} s", forecast.seconds)), "{}", forecast.in_words());
}
