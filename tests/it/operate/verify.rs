//! `verify --deep` and `verify --sample`.

use cistern::demo::fake::Log;

use super::*;
use crate::process::Server;
use crate::rig::Engine;

/// A cached project of three jobs, the last with an archive of several chunks.
async fn cached(engine: Engine) -> (Rig, ProjectId, Vec<JobId>) {
    let mut world = World::new();
    let (project, pipeline, mut jobs) = finished(&mut world, "group/app", 2);
    let noise = (0..900_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    let job = world.add_job(pipeline, JobSpec::new("zip").archive(archive(noise)));
    finish(&mut world, &vec![job]);
    jobs.push(job);
    let rig = Rig::new(world).on(engine);
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    (rig, project, jobs)
}

async fn every_stored_byte_is_held_against_its_checksum(engine: Engine) {
    let (rig, project, jobs) = cached(engine).await;
    let _server = Server::start(&rig, STORE).await;
    let sound = json(&rig, 0, &["verify", "--deep"]).await;
    assert_eq!((&sound["gaps"], &sound["deep"]["damaged"]), (&Value::Array(vec![]), &Value::Array(vec![])));
    assert_eq!((&sound["deep"]["checked"], &sound["deep"]["unchecked"]), (&4.into(), &0.into()));
    assert!(sound["sample"].is_null());

    let view = rig.view(STORE).await;
    let (log, archive) = (view.job(project, jobs[0]).await.log, view.job(project, jobs[2]).await.archive);
    view.close().await;
    let behind = rig.behind(STORE).await;
    behind.damage(log.blob.expect("a log")).await;
    behind.damage(archive.blob.expect("an archive")).await;
    let damaged = json(&rig, 1, &["verify", "--deep"]).await;
    let list = damaged["deep"]["damaged"].as_array().expect("a list");
    let told: Vec<_> = list.iter().map(|damage| (damage["job"].as_u64(), damage["kind"].as_str())).collect();
    assert_eq!(told.len(), 2, "{damaged}");
    assert!(told.contains(&(Some(jobs[0].0), Some("log"))) && told.contains(&(Some(jobs[2].0), Some("archive"))));
    assert!(list.iter().all(|damage| damage["problem"].as_str().is_some_and(|text| text.contains("checksum"))));
    let text = run(&rig, &["verify", "--deep"]).await;
    assert_eq!(text.code, Some(1));
    assert!(text.stdout.contains("2 damaged of 4 files") && text.stdout.contains("--undo"), "{text:?}");
    assert_eq!(json(&rig, 0, &["verify"]).await, Value::Array(vec![]), "without --deep nobody looks");

    let mut other = cistern::log::Indexer::default();
    other.push(b"another\nlog\n");
    behind.set_log_index(jobs[1], &other.finish().encode()).await;
    let damaged = json(&rig, 1, &["verify", "--deep"]).await;
    let list = damaged["deep"]["damaged"].as_array().expect("a list");
    assert!(list.iter().any(|damage| damage["problem"] == "its index is of another log"), "{damaged}");
    behind.set_log_index(jobs[1], &[]).await;

    // Older than checksums: the frames' own and the archive's SHA-256 tell it all the same.
    behind.lose_sums().await;
    let damaged = json(&rig, 1, &["verify", "--deep", "--project", "group/app"]).await;
    assert_eq!((&damaged["deep"]["checked"], &damaged["deep"]["unchecked"]), (&0.into(), &4.into()));
    assert_eq!(damaged["deep"]["damaged"].as_array().map(Vec::len), Some(2), "{damaged}");

    // As it advises.
    for job in [jobs[0], jobs[2]] {
        let job = job.to_string();
        for undo in [&[][..], &["--undo"]] {
            json(&rig, 0, &[&["forget", "--project", "group/app", "--job", &job], undo].concat()).await;
        }
    }
    assert_eq!(run(&rig, &["backfill"]).await.code, Some(0));
    assert_eq!(json(&rig, 0, &["verify", "--deep"]).await["deep"]["unchecked"], 1);
}

async fn some_jobs_are_compared_with_gitlab_byte_for_byte(engine: Engine) {
    let (rig, _, jobs) = cached(engine).await;
    let same = json(&rig, 0, &["verify", "--sample", "50"]).await;
    let sample = &same["sample"];
    assert_eq!((&sample["jobs"], &sample["compared"]), (&3.into(), &4.into()), "{sample}");
    assert_eq!((&sample["gone"], &sample["differences"]), (&0.into(), &Value::Array(vec![])));
    assert_eq!(json(&rig, 0, &["verify", "--sample", "1"]).await["sample"]["jobs"], 1);

    rig.fake.with(|world| {
        world.set_log(jobs[0], Log::bytes(b"not what it was\n".to_vec()));
        world.expire_artifacts(jobs[2]);
    });
    let other = json(&rig, 1, &["verify", "--sample", "50", "--project", "group/app"]).await;
    let sample = &other["sample"];
    assert_eq!((&sample["compared"], &sample["gone"]), (&3.into(), &1.into()), "{sample}");
    let differences = sample["differences"].as_array().expect("a list");
    assert_eq!((differences.len(), &differences[0]["job"]), (1, &jobs[0].0.into()), "{sample}");
    assert!(differences[0]["problem"].as_str().is_some_and(|text| text.contains("16 bytes at GitLab")));
}

on_both! {
    every_stored_byte_is_held_against_its_checksum;
    some_jobs_are_compared_with_gitlab_byte_for_byte;
}
