//! Many events for several replicas: each log is cached once, whoever was told of it, and however often.

use cistern::demo::fake::Endpoint;
use cistern::domain::JobKey;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{BURST, STORE, alone, ended_jobs, new_pipeline, replicas_that_only_listen, until_all_cached};
use crate::process::{Server, outcome};
use crate::rig::eventually;

const JOBS: usize = 1000;

/// Deliveries under way at once.
const AT_ONCE: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_events_over_three_replicas_are_cached_once_each_and_readable_everywhere() {
    let _machine = alone().await;
    let (rig, project, servers) = replicas_that_only_listen(3, &[]).await;
    let jobs = ended_jobs(&rig, new_pipeline(&rig, project), JOBS);
    // Every fifth event reaches two replicas.
    let mut deliveries: Vec<(JobKey, &Server)> = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        deliveries.push((*job, &servers[number % 3]));
        if number % 5 == 0 {
            deliveries.push((*job, &servers[(number + 1) % 3]));
        }
    }
    let sent = deliveries.len();
    let answers = deliveries.into_iter().map(|(job, server)| {
        let event = rig.fake.job_event(job.job).expect("an event");
        async move { server.deliver(&event).await }
    });
    let answers = stream::iter(answers).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    for answer in &answers {
        let outcome = outcome(answer);
        assert!(answer.status == 202 && ["accepted", "coalesced"].contains(&outcome.as_str()), "{outcome}");
    }
    let deadline = Instant::now() + BURST;
    for server in &servers {
        until_all_cached(&rig, server, &jobs, deadline).await;
    }
    let behind = rig.behind(STORE).await;
    eventually(async || behind.entries().await == 0).await;
    assert_eq!(behind.kept_blobs().await, JOBS as u64, "one blob for each log");
    assert_eq!(behind.failures().await, 0);
    let requests = rig.fake.requests();
    assert_eq!(requests.of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
    assert!(requests.of(Endpoint::Trace) <= sent as u64, "{requests:?}: a log was fetched again without an event");
}
