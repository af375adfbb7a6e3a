//! `forget`: gone at once, and gone for good until it is undone.

use std::fs;

use super::*;
use crate::process::Server;
use crate::rig::Engine;

/// Has every byte of a log in one piece that can be looked for.
const CANARY: &[u8] = b"canary-5f2c8a";

fn with_canary(world: &mut World) -> (ProjectId, PipelineId, Vec<JobId>) {
    let (project, pipeline, mut jobs) = finished(world, "group/app", 1);
    // Long enough that it is no neighbour's rest, and random enough that it is stored as it is.
    let noise = (0..40_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    let archive = archive(CANARY.iter().copied().chain(noise));
    let job = world.add_job(pipeline, JobSpec::new("secret").archive(archive));
    finish(world, &vec![job]);
    jobs.push(job);
    (project, pipeline, jobs)
}

/// Returns how often the canary stands anywhere in the store.
async fn canaries(rig: &Rig) -> usize {
    let count = |bytes: &[u8]| bytes.windows(CANARY.len()).filter(|window| *window == CANARY).count();
    let files = fs::read_dir(rig.directory.path()).expect("a directory").filter_map(Result::ok);
    let in_files: usize = files.filter_map(|file| fs::read(file.path()).ok()).map(|bytes| count(&bytes)).sum();
    let documents = rig.behind(STORE).await.documents().await;
    in_files + documents.iter().map(|(_, bytes)| count(bytes)).sum::<usize>()
}

async fn a_job_is_gone_at_once_beside_a_running_serve_and_nothing_brings_it_back(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, jobs) = with_canary(&mut world);
    let rig = Rig::new(world).on(engine);
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    let job = jobs[1];
    server.until_cached(&rig, key(project, job)).await;
    assert!(canaries(&rig).await > 0, "the archive is stored as it is");

    let (id, of) = (job.to_string(), project.to_string());
    let rows = json(&rig, 0, &["forget", "--project", "group/app", "--job", &id]).await;
    let (row, removed) = (&rows[0], &rows[0]["removed"]);
    assert_eq!((&row["kind"], &row["job"], &row["forgotten"]), (&"job".into(), &job.0.into(), &true.into()));
    assert_eq!((&removed["jobs"], &removed["blobs"]), (&1.into(), &2.into()));

    for path in ["", "/trace", "/artifacts"] {
        let path = format!("/api/v4/projects/{project}/jobs/{job}{path}");
        assert_eq!(reason(server.address(), &path), (404, Some("forgotten".to_owned())));
    }
    server.until_cached(&rig, key(project, jobs[0])).await;

    // Neither an event nor a pass brings it back, and it is no gap.
    rig.fake.reset_counters();
    server.deliver(&rig.fake.job_event(job).expect("an event")).await;
    server.deliver(&rig.fake.pipeline_event(pipeline).expect("an event")).await;
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert_eq!(run(&rig, &["verify"]).await.code, Some(0));
    assert_eq!(rig.fake.requests().of(cistern::demo::fake::Endpoint::Trace), 0, "nothing of it is fetched");
    assert_eq!(reason(server.address(), &format!("/api/v4/projects/{of}/jobs/{job}/trace")).0, 404);
    drop(server);

    // What the file system still has is overwritten once nobody reads the log of writes any more.
    assert_eq!(run(&rig, &["stats"]).await.code, Some(0));
    assert_eq!(canaries(&rig).await, 0, "no byte of it is left");
    assert_eq!(json(&rig, 0, &["forget", "--list"]).await[0]["job"], job.0);
}

async fn it_comes_back_when_that_is_undone(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, jobs) = finished(&mut world, "group/app", 2);
    let rig = Rig::new(world).on(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let before = rig.cache(STORE).await;
    let (job, whole) = (jobs[0].to_string(), pipeline.to_string());
    for part in [&["--job", &job][..], &["--pipeline", &whole], &[]] {
        let subject = [&["forget", "--project", "group/app"], part].concat();
        assert_eq!(json(&rig, 0, &subject).await[0]["forgotten"], true);
        assert_ne!(rig.cache(STORE).await, before, "{part:?}");
        assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
        assert_ne!(rig.cache(STORE).await, before, "{part:?} is not cached again");
        assert_eq!(run(&rig, &["verify"]).await.code, Some(0), "{part:?} is no gap");
        let project = project.to_string();
        let undo = [&["forget", "--undo", "--project", &project], part].concat();
        assert_eq!(json(&rig, 0, &undo).await[0]["changed"], true);
        assert_eq!(json(&rig, 0, &undo).await[0]["changed"], false);
        assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
        assert_eq!(rig.cache(STORE).await, before, "{part:?} is cached again");
    }
    assert_eq!(json(&rig, 0, &["forget", "--list"]).await, Value::Array(vec![]));
}

async fn a_running_serve_fetches_a_project_again_and_readers_do_not_wait_for_it(engine: Engine) {
    let mut world = World::new();
    let (project, pipeline, jobs) = finished(&mut world, "group/app", 2);
    let rig = Rig::new(world).on(engine).set("api.read_through", "true");
    let server = Server::start(&rig, STORE).await;
    server.until_cached(&rig, key(project, jobs[1])).await;
    let api = format!("/api/v4/projects/{project}");
    let reads = [
        api.clone(),
        format!("{api}/pipelines"),
        format!("{api}/pipelines/{pipeline}"),
        format!("{api}/pipelines/{pipeline}/jobs"),
        format!("{api}/jobs/{}", jobs[0]),
        format!("{api}/jobs/{}/trace", jobs[0]),
    ];

    // Whether or not anybody reads while it is forgotten and before it is swept.
    for read in [true, false] {
        assert_eq!(run(&rig, &["forget", "--project", "group/app"]).await.code, Some(0));
        for path in reads.iter().filter(|_| read) {
            assert_eq!(reason(server.address(), path), (404, Some("forgotten".to_owned())), "{path}");
        }
        let undo = ["forget", "--undo", "--project", &project.to_string()];
        assert_eq!(run(&rig, &undo).await.code, Some(0));
        for path in reads.iter().filter(|_| read) {
            assert_eq!(reason(server.address(), path), (200, None), "{path}");
        }
        for job in &jobs {
            server.until_cached(&rig, key(project, *job)).await;
        }
    }
}

async fn what_was_not_cached_is_said_to_be_not_and_is_not_fetched(engine: Engine) {
    let mut world = World::new();
    let (_, pipeline, jobs) = finished(&mut world, "group/app", 1);
    let rig = Rig::new(world).on(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let late = rig.fake.with(|world| {
        let late = world.add_job(pipeline, JobSpec::new("late"));
        finish(world, &vec![late]);
        late
    });
    let forget = |job: JobId| {
        let rig = &rig;
        async move { run(rig, &["forget", "--project", "group/app", "--job", &job.to_string()]).await }
    };
    for (job, words) in [
        (late, "was not cached; it will not be, before --undo"),
        (late, "was forgotten before; it is not cached again before --undo"),
        (jobs[0], "1 jobs and 1 files of"),
    ] {
        let ended = forget(job).await;
        assert!(ended.code == Some(0) && ended.stdout.contains(words), "{ended:?}");
    }
    let (of, job) = (pipeline.to_string(), jobs[0].to_string());
    let both = run(&rig, &["forget", "--project", "group/app", "--pipeline", &of, "--job", &job]).await;
    assert_eq!(both.code, Some(2), "a job of a pipeline is not a pipeline and a job: {both:?}");
    rig.fake.reset_counters();
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert_eq!(rig.fake.requests().of(cistern::demo::fake::Endpoint::Trace), 0, "neither is fetched");
}

async fn a_project_is_forgotten_with_everything_and_every_blob(engine: Engine) {
    let mut world = World::new();
    finished(&mut world, "group/app", 3);
    let (kept, _, jobs) = finished(&mut world, "group/kept", 1);
    let rig = Rig::new(world).on(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    let text = run(&rig, &["forget", "--project", "group/app"]).await;
    assert!(text.stdout.contains("1 pipelines, 3 jobs and 3 files"), "{text:?}");
    assert_eq!(rig.behind(STORE).await.blobs().await, 1, "the other project's log");
    let cache = rig.cache(STORE).await;
    assert_eq!(cache.jobs.keys().copied().collect::<Vec<_>>(), [key(kept, jobs[0])]);
    let unknown = run(&rig, &["forget", "--project", "group/app"]).await;
    assert_eq!(unknown.code, Some(1), "what is not stored can only be named by its id");
    assert_eq!(run(&rig, &["forget"]).await.code, Some(2));
}

on_both! {
    a_job_is_gone_at_once_beside_a_running_serve_and_nothing_brings_it_back;
    it_comes_back_when_that_is_undone;
    a_running_serve_fetches_a_project_again_and_readers_do_not_wait_for_it;
    what_was_not_cached_is_said_to_be_not_and_is_not_fetched;
    a_project_is_forgotten_with_everything_and_every_blob;
}
