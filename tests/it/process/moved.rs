//! The store's file under another name, under none, and in another's place.

use std::path::Path;

use cistern::demo::fake::{Endpoint, JobSpec, PipelineSpec, World};
use cistern::domain::JobKey;

use super::{Process, Server, eventually, outcome};
use crate::rig::{Engine, Rig};

async fn until_told(server: &Server) {
    eventually(async || server.ready().await["store"] == "away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_file_is_gone_accepts_nothing_and_answers_nothing_until_it_is_back() {
    for suffix in ["", "-wal"] {
        let mut world = World::new();
        let project = world.add_project("group/app");
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.finish_job(job, "success");
        world.archive_trace(job);
        let rig = Rig::new(world).on(Engine::Sqlite);
        let server = Server::start(&rig, "cistern.db").await;
        let key = JobKey { project, job };
        server.until_cached(&rig, key).await;
        server.until_swept().await;
        let file = rig.directory.path().join(format!("cistern.db{suffix}"));
        let kept = rig.directory.path().join("kept");
        let event = rig.fake.job_event(job).expect("an event");

        for replaced in [false, true] {
            std::fs::rename(&file, &kept).expect("moved away");
            if replaced {
                std::fs::copy(&kept, &file).expect("copied");
            }
            until_told(&server).await;
            let answer = server.deliver(&event).await;
            assert_eq!((answer.status, outcome(&answer).as_str()), (202, "deferred"), "{suffix} {replaced}");
            let outage = &server.ready().await["store_outage"];
            assert!(outage["why"].as_str().expect("why").contains("deleted or replaced"), "{outage}");
            assert!(outage["since"].is_string(), "{outage}");
            assert_eq!(server.get(&format!("/api/v4/projects/{project}/jobs/{job}")).await.status, 503);
            assert!(server.process.log().contains("nothing is accepted or answered meanwhile"));
            std::fs::rename(&kept, &file).expect("moved back");
            eventually(async || server.ready().await["store"] == "up").await;
        }
        server.until_cached(&rig, key).await;
        // The entry of the delivery before may still wait, in the file that is back.
        let answer = outcome(&server.deliver(&event).await);
        assert!(["accepted", "coalesced"].contains(&answer.as_str()), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_serve_on_the_file_by_another_name_is_refused() {
    let rig = Rig::new(World::new()).on(Engine::Sqlite);
    let server = Server::start(&rig, "cistern.db").await;
    let directory = rig.directory.path();
    let at = |name: &str| directory.join(name);
    std::os::unix::fs::symlink(at("cistern.db"), at("symbolic.db")).expect("linked");
    std::fs::hard_link(at("cistern.db"), at("hard.db")).expect("linked");
    std::os::unix::fs::symlink(Path::new("."), at("directory")).expect("linked");
    for name in ["symbolic.db", "hard.db", "directory/cistern.db"] {
        let second = Process::start(&rig, name, &["serve"]).ended().await;
        assert_eq!(second.code, Some(3), "{name}: {second:?}");
        assert!(second.stderr.contains("another `cistern serve` uses"), "{name}: {second:?}");
    }
    assert_eq!(server.ready().await["store"], "up");
    assert_eq!(rig.fake.requests().of(Endpoint::Job), 0);
}
