//! Jobs of which a field is not what GitLab documents: that field is lost, and nothing else of them.

use cistern::demo::fake::{
    Archive, ArtifactDelivery, Endpoint, Fault, FaultKind, JobSpec, Junit, Options, PipelineSpec, World,
};
use cistern::domain::{JobId, Piece, ProjectId, Reason};
use serde_json::{Value, json};

use super::{run, world};
use crate::rig::Rig;

fn archive() -> Archive {
    Archive::zip([("out.txt", &b"out"[..])]).expect("a zip")
}

/// A world with one job for each of these members of its document, which is written so.
fn with_odd(members: &[(&str, Value)]) -> (World, ProjectId, Vec<JobId>) {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let jobs = members.iter().enumerate().map(|(number, (member, value))| {
        let spec = JobSpec::new(&format!("job {number}")).archive(archive()).junit(Junit::generated(3, 0, 1));
        let job = world.add_job(pipeline, spec);
        run(&mut world, job);
        world.write_oddly(job, member, value.clone());
        job
    });
    let jobs = jobs.collect();
    (world, project, jobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_field_loses_that_field_and_not_the_job() {
    let members = [
        ("/artifacts_file/size", Value::Null),
        ("/artifacts_file/size", json!("5 kB")),
        ("/artifacts_file/filename", Value::Null),
        ("/artifacts", json!([{"file_type": "trace"}, {"file_type": 7}, null, "x"])),
        ("/artifacts", Value::Null),
        ("/artifacts_expire_at", json!("12026-11-20T09:14:02.200Z")),
        ("/started_at", json!("12026-11-20T09:14:02.200Z")),
        ("/finished_at", json!(1_795_166_042)),
        ("/erased_at", json!(false)),
        ("/tag", json!("v1.0")),
        ("/name", Value::Null),
        ("/pipeline/created_at", json!("yesterday")),
        ("/pipeline/sha", json!([])),
        ("/coverage", json!({"total": 5})),
        ("/duration", json!("PT5M")),
        ("/user", json!("Ines")),
    ];
    let (world, project, jobs) = with_odd(&members);
    let rig = Rig::with(world, Options::default());
    let report = rig.backfill("cistern.db").await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!(report.jobs, members.len() as u64);
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());
    let view = rig.view("cistern.db").await;
    for (job, member) in jobs.iter().zip(&members) {
        assert_eq!(Some(view.log(project, *job).await), rig.fake.with(|world| world.trace(*job)).map(Vec::from));
        let held = view.archive(project, *job).await;
        assert_eq!(held, rig.fake.with(|world| world.archive(*job)).map(Vec::from), "{member:?}");
        let document = rig.ask_gitlab(&format!("/api/v4/projects/{project}/jobs/{job}")).await;
        let kept = view.get(&format!("/api/v4/projects/{project}/jobs/{job}")).await;
        let kept: Value = serde_json::from_slice(&kept.body).expect("JSON");
        let place = member.0;
        assert_eq!((kept.pointer(place), document.pointer(place)), (Some(&member.1), Some(&member.1)));
    }
    view.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_unknown_size_is_published_only_as_a_whole_zip_within_the_limit() {
    for artifacts in [ArtifactDelivery::Direct, ArtifactDelivery::Redirect] {
        let (mut world, project, jobs) = with_odd(&[("/artifacts_file/size", Value::Null)]);
        world.write_oddly(jobs[0], "/artifacts/0/size", Value::Null);
        let rig = Rig::with(world, Options { artifacts, ..Options::default() }).set("schedule.scale", "0.001");
        let endpoint = match artifacts {
            ArtifactDelivery::Direct => Endpoint::Artifacts,
            ArtifactDelivery::Redirect => Endpoint::Storage,
        };
        // Its announced length is that of what arrives: only the end that a zip has is missing.
        for kind in [FaultKind::Shortened { percent: 50 }, FaultKind::Truncated { percent: 50 }] {
            rig.fake.inject(Fault::new(kind.clone()).on(endpoint));
            assert!(!rig.backfill("cistern.db").await.is_clean());
            let view = rig.view("cistern.db").await;
            assert!(!view.job(project, jobs[0]).await.archive.piece.is_held(), "{artifacts:?} {kind:?}");
            view.close().await;
            rig.fake.clear_faults();
        }
        let whole = rig.fake.with(|world| world.archive(jobs[0])).expect("an archive");
        let limit = (whole.len() - 1).to_string();
        let rig = rig.set("limits.artifact_size", &limit);
        assert!(rig.backfill("cistern.db").await.is_clean());
        let view = rig.view("cistern.db").await;
        assert_eq!(view.job(project, jobs[0]).await.archive.piece, Piece::Absent(Reason::TooLarge), "{artifacts:?}");
        view.close().await;

        let rig = rig.set("limits.artifact_size", &whole.len().to_string());
        assert!(rig.backfill("another.db").await.is_clean());
        let view = rig.view("another.db").await;
        assert_eq!(view.archive(project, jobs[0]).await, Some(whole.to_vec()), "{artifacts:?}");
        view.close().await;
    }
}
