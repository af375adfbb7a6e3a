//! A fifth of all answers is faulty, in every way that can be told from a right one: what is cached is the truth all the same.

use std::time::Duration;

use cistern::app;
use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options, World};
use cistern::progress::Progress;
use cistern::reconcile::{Extent, Only};

use crate::rig::{PATIENCE, Rig, until};

const STORE: &str = "cistern.db";

/// Passes after which everything has to be cached although the faults go on.
const PASSES: usize = 12;

const EVERYTHING: Extent = Extent::Full(Duration::from_secs(3650 * 86_400));

/// Faults of a fifth of all answers.
fn fifth() -> Vec<Fault> {
    let everywhere = [
        FaultKind::HtmlStatus(502),
        FaultKind::ServerError,
        FaultKind::CloseBeforeHead,
        FaultKind::Truncated { percent: 60 },
        FaultKind::LoginPage,
        FaultKind::Drip { piece_bytes: 700, pause: Duration::from_millis(1) },
    ];
    let mut faults: Vec<Fault> = everywhere.into_iter().map(|kind| Fault::new(kind).percent(3)).collect();
    // What only a known size or shape gives away.
    faults.extend(
        [Endpoint::Artifacts, Endpoint::Storage]
            .map(|endpoint| Fault::new(FaultKind::Shortened { percent: 80 }).on(endpoint).percent(3)),
    );
    faults.extend(
        [Endpoint::Pipelines, Endpoint::PipelineJobs]
            .map(|endpoint| Fault::new(FaultKind::MalformedRow).on(endpoint).percent(3)),
    );
    faults.push(Fault::new(FaultKind::BrokenJson).on(Endpoint::TestReport).percent(3));
    // Everybody waits a second for each of these.
    faults.push(Fault::new(FaultKind::Throttled { retry_after_secs: 1 }).percent(1).times(3));
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_with_a_fifth_of_all_answers_faulty_ends_with_the_truth() {
    let options = Options { latency: Duration::from_millis(2), ..Options::default() };
    let rig = Rig::with(World::demo(3, 8, 12, 11), options).set("schedule.scale", "0.001");
    fifth().into_iter().for_each(|fault| rig.fake.inject(fault));
    let engine =
        app::Engine::open(&rig.config(STORE), "backfill", Progress::silent().observer()).await.expect("an engine");
    let (gitlab, reconciler) = (engine.gitlab.clone(), engine.reconciler.clone());
    let running = engine.start().await;
    let mut clean = false;
    for _ in 0..PASSES {
        // A pass may end early; the next one goes on.
        let report = reconciler.pass(EVERYTHING, &Only::All, PATIENCE).await;
        // What it left to the journal may be under way; a permit that leaked would never come back.
        until(|| gitlab.in_flight() == 0 && gitlab.waiting() == 0).await;
        clean = report.is_ok_and(|report| report.is_clean() && report.jobs == 0);
        if clean {
            break;
        }
    }
    running.stop(PATIENCE).await;
    assert!(clean, "not everything was cached after {PASSES} passes");
    assert!(rig.fake.max_in_flight() <= 20, "{} calls in flight", rig.fake.max_in_flight());
    assert!(rig.fake.leaked_credentials().is_empty());

    rig.fake.clear_faults();
    // What the journal tried last may have met a fault after the last pass had ended.
    assert!(rig.backfill(STORE).await.is_clean());
    assert!(rig.backfill("fresh.db").await.is_clean());
    let (cache, fresh) = (rig.cache(STORE).await, rig.cache("fresh.db").await);
    assert_eq!(cache.differences(&fresh), Vec::<String>::new());
    assert_eq!((cache.jobs.len(), cache.pipelines.len()), (fresh.jobs.len(), fresh.pipelines.len()));
    assert_eq!(rig.gaps(STORE).await, Vec::new());
}
