//! `kill -9` of one replica: the others take over what it had accepted, without waiting for a restart.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cistern::demo::fake::Endpoint;
use cistern::domain::JobKey;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::{STORE, alone, ended_jobs, new_pipeline, replicas_that_only_listen, until_all_cached};
use crate::process::{deliver, outcome};
use crate::rig::{eventually, until};

const LEASE: Duration = Duration::from_secs(3);

/// The second after which a replica looks whose lease has ended.
const HEARTBEAT: Duration = Duration::from_secs(1);

const JOBS: usize = 240;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_replica_had_accepted_is_cached_by_the_other_within_two_leases() {
    let _machine = alone().await;
    let (rig, project, mut servers) = replicas_that_only_listen(2, &[("store.lease", "3s")]).await;
    // Those of the dead one stay with it for its lease and a minute: the other has to have permits of its own.
    for server in &servers {
        eventually(async || server.status().await["gitlab"]["calls"].as_u64() > Some(0)).await;
    }
    let jobs = ended_jobs(&rig, new_pipeline(&rig, project), JOBS);
    let addresses = [servers[0].address(), servers[1].address()];
    let answered = AtomicUsize::new(0);
    let deliveries = jobs.iter().enumerate().map(|(number, job)| {
        let event = rig.fake.job_event(job.job).expect("an event");
        let answered = &answered;
        async move {
            let answer = deliver(addresses[number % 2], &event).await.ok()?;
            // A database under this storm may be slow to record an event: what is deferred was promised to nobody.
            let outcome = outcome(&answer);
            if outcome == "deferred" {
                return None;
            }
            assert_eq!(outcome, "accepted");
            answered.fetch_add(1, Ordering::Relaxed);
            Some((*job, number % 2))
        }
    });
    let storm = stream::iter(deliveries).buffer_unordered(16).collect::<Vec<_>>();
    let victim = servers.remove(0);
    let kill = async {
        until(|| answered.load(Ordering::Relaxed) >= JOBS / 3).await;
        victim.process.kill();
        Instant::now()
    };
    let (accepted, killed) = tokio::join!(storm, kill);
    let accepted: Vec<(JobKey, usize)> = accepted.into_iter().flatten().collect();
    let of_victim = accepted.iter().filter(|(_, to)| *to == 0).count();
    assert!((1..JOBS / 2).contains(&of_victim), "the dead one had accepted {of_victim}: no kill amid them");

    let accepted: Vec<JobKey> = accepted.into_iter().map(|(job, _)| job).collect();
    until_all_cached(&rig, &servers[0], &accepted, killed + 2 * LEASE + HEARTBEAT).await;
    assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), 0, "the jobs were found by a pass");
    assert!(
        servers[0].process.log().contains("took over what processes that ended"),
        "it had no work of the dead one left"
    );
    let behind = rig.behind(STORE).await;
    eventually(async || behind.entries().await == 0).await;
    assert_eq!(behind.failures().await, 0);
}
