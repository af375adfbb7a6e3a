//! What readers get is what GitLab itself answers: the same shapes, the same bytes.

use cistern::demo::fake::{ArtifactDelivery, Options, World};
use serde_json::Value;

use crate::rig::Rig;

/// Keys of a project that depend on the role of the token that asks; they are never stored. What that role is, is.
fn depends_on_role(key: &str) -> bool {
    // How an import stands GitLab tells everybody.
    // Nor is how its repository is read, which lists do not tell.
    matches!(key, "runners_token" | "build_git_strategy")
        || (key.starts_with("import_") && key != "import_status")
        || key.ends_with("_token")
}

fn without_role(mut project: Value) -> Value {
    project.as_object_mut().expect("an object").retain(|key, _| !depends_on_role(key));
    project
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_gitlab_s_own() {
    let options = Options { artifacts: ArtifactDelivery::Direct, ..Options::default() };
    let mut world = World::demo(2, 6, 20, 11);
    // What only who runs a project is told reaches nobody else.
    for project in world.projects() {
        world.set_bot_role(project, 40);
    }
    let rig = Rig::with(world, options);
    assert!(rig.backfill("cistern.db").await.is_clean());
    let view = rig.view("cistern.db").await;
    let ours = async |path: String| {
        let answer = view.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        answer.body
    };
    let same = async |path: String| {
        let theirs = rig.get_gitlab(&path).await;
        assert!(theirs.body == ours(path.clone()).await, "{path}");
    };
    let (mut compared, mut retried) = (0, 0);
    for project in rig.fake.with(|world| world.projects()) {
        let base = format!("/api/v4/projects/{project}");
        let theirs = without_role(rig.ask_gitlab(&base).await);
        let held: Value = serde_json::from_slice(&ours(base.clone()).await).expect("JSON");
        assert_eq!(held, theirs);
        assert!(
            held["permissions"]["project_access"]["access_level"].is_u64() && held["path_with_namespace"].is_string()
        );
        let path = held["path_with_namespace"].as_str().expect("a path").replace('/', "%2F");
        assert_eq!(ours(format!("/api/v4/projects/{path}")).await, ours(base.clone()).await);

        for query in ["", "?per_page=2&page=2", "?source=parent_pipeline", "?status=failed", "?sort=asc"] {
            same(format!("{base}/pipelines{query}")).await;
        }
        for pipeline in rig.fake.with(|world| world.pipelines_of(project)) {
            let base = format!("{base}/pipelines/{pipeline}");
            // The listed document, whose keys the detail has too (design, section 4.7).
            let detail = rig.ask_gitlab(&base).await;
            let held: Value = serde_json::from_slice(&ours(base.clone()).await).expect("JSON");
            for (key, value) in held.as_object().expect("an object") {
                assert_eq!(detail.get(key), Some(value), "{base} {key}");
            }
            for query in
                ["jobs?per_page=100", "jobs?include_retried=true", "jobs?scope[]=failed", "jobs?per_page=7&page=2"]
            {
                same(format!("{base}/{query}")).await;
            }
            same(format!("{base}/test_report")).await;
            same(format!("{base}/test_report_summary")).await;
            let jobs = rig.fake.with(|world| world.jobs_of(pipeline));
            retried += rig
                .ask_gitlab(&format!("{base}/jobs?per_page=100"))
                .await
                .as_array()
                .map_or(0, |latest| jobs.len() - latest.len());
            for job in jobs {
                let base = format!("/api/v4/projects/{project}/jobs/{job}");
                same(base.clone()).await;
                same(format!("{base}/trace")).await;
                let trace = view.ask(&format!("{base}/trace")).await;
                assert_eq!(trace.header("content-disposition"), format!("infile; filename=\"{job}.log\""));
                let archive = rig.get_gitlab(&format!("{base}/artifacts")).await;
                let held = view.get(&format!("{base}/artifacts")).await;
                assert_eq!(held.status, archive.status, "{base}");
                if archive.status == 200 {
                    assert!(held.body == archive.body, "{base}/artifacts");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 20 && retried > 0, "a world worth comparing");
    view.close().await;
}
