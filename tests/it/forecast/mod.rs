//! The dry run counts what the backfill then does, whatever is held, has failed, is forgotten, deleted or too old.

mod life;

use std::collections::BTreeMap;
use std::time::Duration;

use cistern::demo::fake::{Archive, ArtifactDelivery, Endpoint, JobSpec, Junit, Options, PipelineSpec, World};
use cistern::domain::{JobKey, Piece, PipelineKey, Subject, Timestamp};
use cistern::reconcile::Extent;
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestCaseResult};

use self::life::{Life, Step};
use crate::process::Process;
use crate::rig::{Engine, Rig};

const STORE: &str = "cistern.db";

const HOUR: Duration = Duration::from_secs(3600);

/// How long ago the world begins. Its own clock goes on by some hours, so that looks at logs are over when they are due, and
/// ages fall between its things.
const AGO: Duration = Duration::from_secs(120 * 3600);

/// What is configured, and how GitLab behaves.
#[derive(Debug, Clone)]
struct Setting {
    /// In hours: `retention.logs`, `artifacts`, `reports`, `documents`.
    ages: [Option<u64>; 4],
    /// `limits.log_size` and `limits.artifact_size`, in bytes.
    sizes: (Option<u64>, Option<u64>),
    /// How far back it is listed, in hours.
    since: u64,
    redirect: bool,
    children_in_plain: bool,
}

fn setting() -> impl Strategy<Value = Setting> {
    let age = || prop_oneof![3 => Just(None), 2 => (70..119_u64).prop_map(Some)];
    let size = |sizes: std::ops::Range<u64>| prop_oneof![2 => Just(None), 1 => sizes.prop_map(Some)];
    let ages = [age(), age(), age(), age()];
    let since = prop_oneof![3 => Just(24 * 3650), 1 => 70..119_u64];
    (ages, (size(100..2_000), size(150..400)), since, any::<bool>(), any::<bool>()).prop_map(
        |(ages, sizes, since, redirect, children_in_plain)| Setting { ages, sizes, since, redirect, children_in_plain },
    )
}

/// As many as `PROPTEST_CASES` says, else few.
fn config(few: u32) -> ProptestConfig {
    const UNSAID: u32 = 256;
    let cases = match ProptestConfig::default().cases {
        UNSAID => few,
        cases => cases,
    };
    let kept = FileFailurePersistence::Direct("tests/proptest-regressions/forecast.txt");
    ProptestConfig {
        cases,
        max_shrink_iters: 200,
        max_shrink_time: 120_000,
        failure_persistence: Some(Box::new(kept)),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(16))]

    #[test]
    fn the_dry_run_counts_what_the_backfill_then_does(setting in setting(), steps in life::steps()) {
        run(foretells(Engine::Sqlite, setting, steps))?;
    }
}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn the_dry_run_counts_what_the_backfill_then_does_on_mongodb(setting in setting(), steps in life::steps()) {
        run(foretells(Engine::Mongo, setting, steps))?;
    }
}

/// What is left out of the count, one kind after the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_too_old_or_too_large_is_not_counted() {
    let ended = |hours: u32| Timestamp::from_millis(Timestamp::now().minus(HOUR * hours).as_millis() / 1000 * 1000);
    let mut world = World::at(ended(100));
    let project = world.add_project("group/app");
    let (start, end) = (*b"PK\x03\x04", *b"PK\x05\x06");
    let archive = |size: usize| Archive::bytes([&start[..], &vec![0; size - 26][..], &end[..], &[0; 18][..]].concat());
    let pipeline = |world: &mut World, size: usize| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let spec = JobSpec::new("unit").archive(archive(size)).junit(Junit::generated(3, 0, 1));
        let job = world.add_job(pipeline, spec);
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        (PipelineKey { project, pipeline }, JobKey { project, job })
    };
    // Documents are too old, then reports, logs and archives one after the other; the last one is too large.
    let old = [10, 10, 10, 10, 3].map(|hours| {
        let made = pipeline(&mut world, 1_000);
        world.advance(HOUR * hours);
        made
    });
    let [large, forgotten, of_forgotten] = [9_000, 1_000, 1_000].map(|size| pipeline(&mut world, size));
    let rig = Rig::new(world).set("reconcile.since", "1h").set("limits.artifact_size", "8000");
    let ages = [("documents", "95h"), ("reports", "85h"), ("logs", "75h"), ("artifacts", "65h")];
    let count = async |rig: &Rig| {
        let forecast = rig.forecast(STORE).await;
        (forecast.pipelines, forecast.logs, forecast.archives, forecast.archive_bytes, forecast.reports)
    };
    assert_eq!(count(&rig).await, (8, 8, 7, 7_000, 8), "the large one is not fetched");
    let rig = ages.into_iter().fold(rig, |rig, (kind, age)| rig.set(&format!("retention.{kind}"), age));
    assert_eq!(count(&rig).await, (8, 5, 3, 3_000, 6), "too old: {old:?}");
    forget(&rig, Subject::Job(forgotten.1), true).await;
    assert_eq!(count(&rig).await, (8, 4, 2, 2_000, 5), "its report has no other job");
    forget(&rig, Subject::Pipeline(of_forgotten.0), true).await;
    assert_eq!(count(&rig).await, (7, 3, 1, 1_000, 4), "only {large:?} and one that is young enough are left");
    let report = rig.backfill(STORE).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    let done = rig.fake.requests();
    let asked = [Endpoint::Trace, Endpoint::Artifacts, Endpoint::TestReport].map(|endpoint| done.of(endpoint));
    assert_eq!(asked, [3, 1, 4]);
}

fn run(test: impl Future<Output = TestCaseResult>) -> TestCaseResult {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

async fn foretells(engine: Engine, setting: Setting, steps: Vec<Step>) -> TestCaseResult {
    let began = Timestamp::from_millis(Timestamp::now().minus(AGO).as_millis() / 1000 * 1000);
    let mut world = World::at(began);
    let mut life = Life::new(&mut world);
    let rig = rig(engine, &setting, world);
    for step in &steps {
        match step {
            Step::World(verb, which) => rig.fake.with(|world| life.go_on(world, *verb, *which)),
            Step::Fault(fault) => rig.fake.inject(fault.clone()),
            Step::Forget(what, which) => {
                let subject = rig.fake.with(|world| life.subject(world, *what, *which));
                if let Some(subject) = subject {
                    forget(&rig, subject, which.is_multiple_of(2)).await;
                }
            }
            Step::Prune => {
                let pruned = Process::start(&rig, STORE, &["prune"]).ended().await;
                prop_assert!(matches!(pruned.code, Some(0 | 3)), "{pruned:?}");
            }
            Step::Pass => {
                rig.pass(STORE, Extent::Due).await;
                rig.fake.clear_faults();
            }
            Step::Backfill => foretold(&rig, &setting).await?,
        }
    }
    foretold(&rig, &setting).await?;
    // Then there is nothing left to do but what is done each time.
    foretold(&rig, &setting).await
}

/// Has something forgotten; a pipeline or project perhaps by somebody who is interrupted before all of it is gone.
async fn forget(rig: &Rig, subject: Subject, to_the_end: bool) {
    let view = rig.view(STORE).await;
    view.store.forget(subject).await.expect("forgotten");
    if to_the_end || matches!(subject, Subject::Job(_)) {
        view.store.remove(subject).await.expect("removed");
    }
    view.close().await;
}

fn rig(engine: Engine, setting: &Setting, world: World) -> Rig {
    let artifacts = if setting.redirect { ArtifactDelivery::Redirect } else { ArtifactDelivery::Direct };
    let options = Options { artifacts, children_in_plain: setting.children_in_plain, ..Options::default() };
    let mut rig = Rig::with(world, options).on(engine).set("reconcile.since", "2d");
    for (kind, age) in ["logs", "artifacts", "reports", "documents"].into_iter().zip(setting.ages) {
        if let Some(hours) = age {
            rig = rig.set(&format!("retention.{kind}"), &format!("{hours}h"));
        }
    }
    for (kind, size) in [("log_size", setting.sizes.0), ("artifact_size", setting.sizes.1)] {
        if let Some(bytes) = size {
            rig = rig.set(&format!("limits.{kind}"), &bytes.to_string());
        }
    }
    rig
}

/// Returns the size of every archive that is held.
async fn archives(rig: &Rig) -> BTreeMap<JobKey, u64> {
    let cache = rig.cache(STORE).await;
    let whole = cache.jobs.into_iter().filter(|(_, job)| job.archive_piece == Piece::Whole);
    whole.map(|(key, job)| (key, job.archive.map_or(0, |archive| archive.len() as u64))).collect()
}

/// Asks what a backfill would do, lets it, and compares.
async fn foretold(rig: &Rig, setting: &Setting) -> TestCaseResult {
    let since = HOUR * u32::try_from(setting.since).expect("hours");
    rig.fake.clear_faults();
    let before = archives(rig).await;
    rig.fake.reset_counters();
    let forecast = rig.forecast_since(STORE, since).await;
    prop_assert_eq!(forecast.calls_made, rig.fake.requests().total);
    prop_assert_eq!(&forecast.skipped, &Vec::new());

    rig.fake.reset_counters();
    let report = rig.pass(STORE, Extent::Full(since)).await;
    prop_assert!(report.is_clean(), "{:?}", report.failures);
    let done = rig.fake.requests();
    let after = archives(rig).await;
    let bytes: u64 = after.iter().filter(|(key, _)| !before.contains_key(key)).map(|(_, size)| size).sum();
    let told = [
        ("projects", forecast.projects, report.projects),
        ("pipelines", forecast.pipelines, report.pipelines),
        ("logs", forecast.logs, done.of(Endpoint::Trace)),
        ("archives", forecast.archives, done.of(Endpoint::Artifacts)),
        ("bytes of archives", forecast.archive_bytes, bytes),
        ("reports", forecast.reports, done.of(Endpoint::TestReport)),
        ("summaries", forecast.summaries, done.of(Endpoint::TestReportSummary)),
        ("GitLab calls", forecast.gitlab_calls, done.total),
        ("GitLab calls, as counted", forecast.gitlab_calls, report.gitlab_calls),
        ("storage calls", if setting.redirect { forecast.storage_calls } else { 0 }, done.storage),
    ];
    for (what, told, done) in told {
        prop_assert_eq!(told, done, "{}: told {:?}\ndone {:?}\n{:?}", what, forecast, done, report);
    }
    Ok(())
}
