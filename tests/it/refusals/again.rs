//! What GitLab refused once is asked for again: a role may have been raised, a setting changed, and no event tells so.

use std::time::Duration;

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec, Log, Options, PipelineSpec, World};
use cistern::domain::{JobId, JobKey, Piece, ProjectId};
use serde_json::Value;

use super::{FORBIDDEN, STORE, add_jobs, pieces};
use crate::process::{Process, Server};
use crate::rig::{Engine, Rig, eventually, on_both};

on_both! {
    when_a_role_was_raised_the_next_full_pass_has_everything;
    one_that_is_refused_for_good_does_not_hide_that_the_others_are_given;
    one_that_has_nothing_to_give_leaves_the_question_to_the_others;
    a_person_has_it_asked_for_at_once;
    an_event_has_its_job_asked_for_again;
    what_was_refused_for_a_while_is_as_if_it_never_were;
}

const GUEST: u8 = 10;
const REPORTER: u8 = 20;

/// Adds an ended job with a log of its own.
fn add_job(world: &mut World, project: ProjectId, number: usize) -> JobId {
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let log = Log::bytes(format!("log of {number}\n").into_bytes());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(log));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    job
}

async fn json(rig: &Rig, arguments: &[&str]) -> Value {
    let ended = Process::start(rig, STORE, &[arguments, &["--output", "json"]].concat()).ended().await;
    assert_eq!(ended.code, Some(0), "{arguments:?} {}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("JSON")
}

async fn when_a_role_was_raised_the_next_full_pass_has_everything(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let (_, jobs) = add_jobs(&mut world, project, 8);
    // A Guest sees the jobs of public pipelines, but not what is for reporters.
    world.set_public_pipelines(project, true);
    world.set_bot_role(project, GUEST);
    jobs.iter().for_each(|job| world.restrict_files(*job));
    let rig = Rig::with(world, Options::default()).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(pieces(&rig).await.iter().filter(|piece| **piece == FORBIDDEN).count(), 16);
    let verified = Process::start(&rig, STORE, &["verify"]).ended().await;
    assert_eq!(verified.code, Some(0), "no gaps: {}", verified.stdout);
    let told = "16 logs, archives, reports and documents of pipelines are forbidden";
    assert!(verified.stdout.contains(&format!("0 gaps\n{told}")), "{}", verified.stdout);
    let verified = Process::start(&rig, STORE, &["verify", "--output", "json"]).ended().await;
    assert_eq!(verified.stdout.trim(), "[]");
    assert!(verified.stderr.contains(told), "{}", verified.stderr);

    // As long as it is refused, a full pass asks for one job of the project, and once whether the project is shown.
    let forecast = rig.forecast(STORE).await;
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::Artifacts), asked.of(Endpoint::Job)), (1, 1, 0));
    assert_eq!((asked.of(Endpoint::Project), asked.total), (1, forecast.gitlab_calls), "{asked:?}");

    rig.fake.with(|world| world.set_bot_role(project, REPORTER));
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::Artifacts), asked.of(Endpoint::Job)), (8, 8, 0));
    assert!(rig.backfill("fresh.db").await.is_clean());
    assert_eq!(rig.cache(STORE).await, rig.cache("fresh.db").await);
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    let asked = rig.fake.requests();
    assert_eq!((asked.of(Endpoint::Trace), asked.of(Endpoint::Artifacts), asked.of(Endpoint::Project)), (0, 0, 0));
}

async fn one_that_is_refused_for_good_does_not_hide_that_the_others_are_given(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let jobs: Vec<JobId> = (0..5).map(|number| add_job(&mut world, project, number)).collect();
    jobs.iter().for_each(|job| world.forbid_log(*job));
    let rig = Rig::with(world, Options::default()).on(engine);
    assert!(rig.backfill(STORE).await.is_clean());
    for (refused, others) in jobs.iter().map(|job| (*job, jobs.iter().filter(move |other| *other != job))) {
        rig.fake.with(|world| {
            world.forbid_log(refused);
            others.clone().for_each(|job| world.allow_log(*job));
        });
        // Whichever was asked for least recently is asked for first, then another one.
        for _ in 0..2 {
            assert!(rig.backfill(STORE).await.is_clean());
        }
        let cache = rig.cache(STORE).await;
        for job in others {
            assert_eq!(cache.jobs[&JobKey { project, job: *job }].log_piece, Piece::Whole, "{job}");
        }
        let piece = cache.jobs[&JobKey { project, job: refused }].log_piece;
        // One that was held when it began to be refused stays.
        assert_eq!(piece, if refused == jobs[0] { FORBIDDEN } else { Piece::Whole });
    }
}

async fn one_that_has_nothing_to_give_leaves_the_question_to_the_others(engine: Engine) {
    for first in ["an empty log", "an archive that has expired", "an archive that is listed no more", "erased"] {
        let mut world = World::new();
        let project = world.add_project("group/app");
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let archive = Archive::zip([("out.txt", b"made".as_slice())]).expect("a zip");
        let spec = if first == "an empty log" {
            JobSpec::new("none").log(Log::none())
        } else {
            JobSpec::new("made").archive(archive)
        };
        let job = world.add_job(pipeline, spec);
        world.start_job(job);
        world.finish_job(job, "success");
        world.forbid_log(job);
        world.forbid_artifacts(job);
        let rig = Rig::with(world, Options::default()).on(engine);
        assert!(rig.backfill(STORE).await.is_clean());
        let others: Vec<JobId> = rig.fake.with(|world| (0..3).map(|number| add_job(world, project, number)).collect());
        rig.fake.with(|world| others.iter().for_each(|other| world.forbid_log(*other)));
        assert!(rig.backfill(STORE).await.is_clean());
        assert_eq!(
            pieces(&rig).await.iter().filter(|piece| **piece == FORBIDDEN).count(),
            4 + usize::from(first != "an empty log")
        );

        rig.fake.with(|world| {
            match first {
                "an archive that has expired" => world.keep_artifacts_past_expiry(job),
                "an archive that is listed no more" => world.expire_artifacts(job),
                "erased" => world.erase_job(job),
                _ => {}
            }
            world.allow_artifacts(job);
            others.iter().chain([&job]).for_each(|job| world.allow_log(*job));
            world.advance(Duration::from_secs(25 * 3600));
        });
        assert!(rig.backfill(STORE).await.is_clean());
        let cache = rig.cache(STORE).await;
        for other in others {
            assert_eq!(cache.jobs[&JobKey { project, job: other }].log_piece, Piece::Whole, "{first}");
        }
        assert!(rig.backfill("fresh.db").await.is_clean());
        assert_eq!(cache, rig.cache("fresh.db").await, "{first}");
    }
}

async fn a_person_has_it_asked_for_at_once(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let jobs: Vec<JobId> = (0..3).map(|number| add_job(&mut world, project, number)).collect();
    jobs.iter().for_each(|job| world.forbid_log(*job));
    let rig = Rig::with(world, Options::default()).on(engine);
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let listed = json(&rig, &["work", "list", "--state", "forbidden"]).await;
    assert_eq!((&listed["forbidden"], &listed["items"][0]["state"]), (&3.into(), &"forbidden".into()));
    let text = Process::start(&rig, STORE, &["work", "list", "--job", &jobs[1].to_string()]).ended().await.stdout;
    let words = format!("⊘ forbidden  job {} of project {project}", jobs[1]);
    assert!(text.contains(&words) && text.contains("0 failed, 1 forbidden"), "{text}");
    let dropped = Process::start(&rig, STORE, &["work", "drop", "--state", "forbidden"]).ended().await;
    assert!(dropped.code == Some(2) && dropped.stderr.contains("cistern forget"), "{dropped:?}");

    rig.fake.with(|world| jobs.iter().for_each(|job| world.allow_log(*job)));
    assert_eq!(json(&rig, &["work", "retry", "--job", &jobs[1].to_string()]).await["changed"], 1);
    server.until_cached(&rig, JobKey { project, job: jobs[1] }).await;
    eventually(async || json(&rig, &["work", "list", "--state", "forbidden"]).await["forbidden"] == 2).await;
    assert_eq!(json(&rig, &["work", "retry", "--state", "forbidden"]).await["changed"], 2);
    for job in [jobs[0], jobs[2]] {
        server.until_cached(&rig, JobKey { project, job }).await;
    }
}

async fn an_event_has_its_job_asked_for_again(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let job = add_job(&mut world, project, 1);
    world.forbid_log(job);
    let rig = Rig::with(world, Options::default()).on(engine).set("schedule.scale", "0.0001");
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    rig.fake.with(|world| world.allow_log(job));
    // Events come in twos and threes: the first of them after a while counts.
    let (event, key) = (rig.fake.job_event(job).expect("an event"), JobKey { project, job });
    let delivered = async || {
        server.deliver(&event).await;
        server.log_of(key).await == b"log of 1\n"
    };
    eventually(delivered).await;
}

async fn what_was_refused_for_a_while_is_as_if_it_never_were(engine: Engine) {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let (pipelines, jobs) = add_jobs(&mut world, project, 8);
    let rig = Rig::with(world, Options::default()).on(engine);
    for endpoint in [Endpoint::Trace, Endpoint::Artifacts] {
        rig.fake.inject(Fault::new(FaultKind::Forbidden).on(endpoint).subject(jobs[5].0));
    }
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::TestReport).subject(pipelines[0].0));
    assert!(rig.backfill(STORE).await.is_clean());
    assert_eq!(pieces(&rig).await.iter().filter(|piece| **piece == FORBIDDEN).count(), 3);
    rig.fake.clear_faults();
    assert!(rig.backfill(STORE).await.is_clean());
    assert!(rig.backfill("fresh.db").await.is_clean());
    assert_eq!(rig.cache(STORE).await, rig.cache("fresh.db").await);
    assert_eq!(pieces(&rig).await, [Piece::Whole; 18]);
}
