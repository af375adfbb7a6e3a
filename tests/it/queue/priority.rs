//! Live first (law 7): an event does not wait behind a backfill.

use std::time::Duration;

use cistern::demo::fake::{Endpoint, Options};
use cistern::reconcile::{Extent, Only};

use super::{deliver, empty, job_event, settled_jobs};
use crate::rig::{PATIENCE, Rig};

const CALLS: u64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_call_of_an_event_begins_within_one_calls_time_though_a_backfill_wants_every_permit() {
    // Journaling the event, on a machine that has much else to do, takes less than one of these calls.
    let options = Options { latency: Duration::from_millis(400), ..Options::default() };
    let (world, project) = empty();
    let rig = Rig::with(world, options).set("limits.api_calls", &CALLS.to_string());
    let serving = rig.serve("cistern.db").await;
    for _ in 0..10 {
        settled_jobs(&rig, project, 10);
    }
    let reconciler = serving.reconciler.clone();
    let pass = async { reconciler.pass(Extent::Due, &Only::All, PATIENCE).await.expect("a pass") };
    let event = async {
        // Logs are being fetched and others wait for their turn.
        serving.until(|| rig.fake.requests().of(Endpoint::Trace) >= CALLS).await;
        let (_, jobs) = settled_jobs(&rig, project, 1);
        let before = rig.fake.requests();
        assert_eq!(before.of(Endpoint::Job), 0);
        deliver(&serving, &job_event(&rig, jobs[0])).await;
        serving.until(|| rig.fake.requests().of(Endpoint::Job) > 0).await;
        let begun = rig.fake.requests().total - before.total;
        assert!(rig.fake.requests().of(Endpoint::Trace) < 90, "the backfill goes on");
        begun
    };
    let (_, begun) = tokio::join!(pass, event);
    // Each of the calls in flight may end and be followed by another while the event is journaled, and the event's is among
    // those that follow then.
    assert!(begun <= 2 * CALLS + 1, "{begun} calls began before the event's own");
    serving.stop().await;
}
