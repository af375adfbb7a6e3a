//! Documents: which one stays, and how they are listed.

use super::*;
use cistern::domain::Subject;

async fn projects_are_found_by_id_and_by_path_in_any_case(engine: Engine) {
    let rig = Rig::new(engine).await;
    let project = |id: u64, path: &str, as_of| {
        let json = serde_json::json!({"id": id, "path_with_namespace": path});
        Change::Project(Project::parse(&raw(&json), at(as_of)).expect("a project"))
    };
    let changes = vec![project(1, "group/old", 1), project(1, "Group/App", 5), project(1, "group/stale", 2)];
    rig.store.apply(changes).await.expect("stored");
    let (id, document) = rig.store.project_by_path("group/app".into()).await.expect("read").expect("found");
    assert_eq!((id, document.as_of), (ProjectId(1), at(5)));
    assert_eq!(rig.store.project(id).await.expect("read"), Some(document));
    assert_eq!(rig.store.project_by_path("group/other".into()).await.expect("read"), None);
    assert_eq!(rig.store.projects(ALL).await.expect("read").total, 1);
}

async fn since_when_a_project_has_no_ci_stays_until_it_has(engine: Engine) {
    let rig = Rig::new(engine).await;
    let (one, other) = (ProjectId(1), ProjectId(2));
    let off = |project, time| Change::WithoutCi(project, Some(at(time)));
    rig.store.apply(vec![off(one, 5)]).await.expect("stored");
    rig.store.apply(vec![off(other, 7), off(one, 9)]).await.expect("stored");
    assert_eq!(rig.store.without_ci(None).await.expect("read"), [(one, at(5)), (other, at(7))]);
    rig.store.apply(vec![Change::WithoutCi(one, None), off(one, 11)]).await.expect("stored");
    rig.store.apply(vec![Change::WithoutCi(other, None)]).await.expect("stored");
    assert_eq!(rig.store.without_ci(None).await.expect("read"), [(one, at(11))]);
    assert_eq!(rig.store.without_ci(Some(one)).await.expect("read"), [(one, at(11))]);
    assert_eq!(rig.store.without_ci(Some(other)).await.expect("read"), []);
}

async fn a_former_path_leads_to_its_project_until_another_one_takes_it(engine: Engine) {
    let rig = Rig::new(engine).await;
    let project = |id: u64, path: &str, as_of| {
        let json = serde_json::json!({"id": id, "path_with_namespace": path});
        Change::Project(Project::parse(&raw(&json), at(as_of)).expect("a project"))
    };
    let found_at =
        |path: &str, id, as_of| Change::FoundAt { path: path.into(), project: ProjectId(id), as_of: at(as_of) };
    let at_path = async |path: &str| {
        let found = rig.store.project_by_path(path.to_owned()).await.expect("read");
        found.map(|(id, _)| id.0)
    };
    let apply = async |changes| rig.store.apply(changes).await.expect("stored");
    apply(vec![project(1, "group/one", 10)]).await;
    apply(vec![project(1, "group/two", 20)]).await;
    apply(vec![project(1, "group/three", 30), found_at("Elsewhere/Before", 1, 30)]).await;
    for path in ["group/one", "Group/TWO", "group/three", "elsewhere/before"] {
        assert_eq!(at_path(path).await, Some(1), "{path}");
    }
    apply(vec![found_at("group/nowhere", 9, 30)]).await;
    assert_eq!(at_path("group/nowhere").await, None, "of a project that is not stored");
    apply(vec![project(2, "group/one", 40)]).await;
    apply(vec![found_at("group/one", 1, 35)]).await;
    assert_eq!((at_path("group/one").await, at_path("group/two").await), (Some(2), Some(1)));
    apply(vec![project(2, "group/four", 50)]).await;
    assert_eq!(at_path("group/one").await, Some(2), "whose it was last");
    apply(vec![project(1, "group/one", 60)]).await;
    assert_eq!((at_path("group/one").await, at_path("group/four").await), (Some(1), Some(2)), "it came back");
    rig.store.remove(Subject::Project { project: ProjectId(2) }).await.expect("removed");
    assert_eq!((at_path("group/four").await, at_path("group/one").await), (None, Some(1)));
}

async fn of_two_documents_of_a_job_the_final_and_then_the_later_one_stays(engine: Engine) {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let rig = Rig::new(engine).await;
        // A running document with a late date was read before the job ended, by a slow answer of a replica.
        let documents = [job(JOB, "running", 300), job(JOB, "success", 100), job(JOB, "success", 200)];
        for index in order {
            rig.store.apply(vec![Change::Job(documents[index].clone())]).await.expect("stored");
        }
        let row = rig.store.job(JOB).await.expect("read").expect("stored");
        assert_eq!((row.status.as_str(), row.document.as_of), ("success", at(200)), "{order:?}");
    }
}

async fn a_pipeline_can_reopen_but_not_go_back(engine: Engine) {
    let rig = Rig::new(engine).await;
    let steps = [("success", 10, "success"), ("running", 20, "running"), ("success", 10, "running")];
    for (status, updated, expected) in steps {
        rig.store.apply(vec![Change::Pipeline(pipeline(70, status, updated))]).await.expect("stored");
        let row = rig.store.pipeline(PIPELINE).await.expect("read").expect("stored");
        assert_eq!(row.status.as_str(), expected);
    }
    rig.store.apply(vec![Change::Pipeline(pipeline(70, "failed", 20))]).await.expect("stored");
    rig.store.apply(vec![Change::Pipeline(pipeline(70, "running", 20))]).await.expect("stored");
    assert_eq!(rig.store.pipeline(PIPELINE).await.expect("read").expect("stored").status.as_str(), "failed");
}

async fn what_a_job_tells_of_its_pipeline_only_stands_in_for_its_document(engine: Engine) {
    let rig = Rig::new(engine).await;
    let sketch = |updated| Change::Sketch(pipeline(70, "running", updated));
    rig.store.apply(vec![sketch(10)]).await.expect("stored");
    let row = async || rig.store.pipeline(PIPELINE).await.expect("read").expect("stored");
    assert_eq!(row().await.updated_at, at(10));
    rig.store.apply(vec![Change::Pipeline(pipeline(70, "success", 20)), sketch(20)]).await.expect("stored");
    rig.store.apply(vec![sketch(30)]).await.expect("stored");
    assert_eq!((row().await.status.as_str(), row().await.updated_at), ("success", at(20)));
}

async fn pipelines_are_listed_as_gitlab_lists_them(engine: Engine) {
    let rig = Rig::new(engine).await;
    let changes = (70..80).map(|id| {
        Change::Pipeline(pipeline(id, if id < 75 { "success" } else { "failed" }, i64::try_from(id).expect("small")))
    });
    rig.store.apply(changes.collect()).await.expect("stored");
    let ids = async |filter, slice| {
        let page = rig.store.pipelines(PROJECT, filter, slice).await.expect("listed");
        let id =
            |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON")["id"].as_u64().expect("an id");
        (page.rows.iter().map(|document| id(&document.text)).collect::<Vec<_>>(), page.total)
    };
    let any = PipelineFilter::default;
    assert_eq!(ids(any(), Slice { offset: 0, limit: 3 }).await, (vec![79, 78, 77], 9));
    assert_eq!(ids(any(), Slice { offset: 3, limit: 2 }).await, (vec![76, 74], 9));
    assert_eq!(ids(PipelineFilter { source: Some("parent_pipeline".into()), ..any() }, ALL).await, (vec![75], 1));
    assert_eq!(
        ids(PipelineFilter { status: Some("failed".into()), ascending: true, ..any() }, ALL).await,
        (vec![76, 77, 78, 79], 4)
    );
    assert_eq!(ids(PipelineFilter { ref_: Some("topic".into()), ..any() }, ALL).await, (vec![79, 77, 73, 71], 4));
    assert_eq!(ids(PipelineFilter { sha: Some(format!("{:040}", 72)), ..any() }, ALL).await, (vec![72], 1));
}

async fn earlier_attempts_are_listed_only_when_asked_for(engine: Engine) {
    let rig = Rig::new(engine).await;
    let jobs = [(1, "build", "failed"), (2, "test", "success"), (3, "build", "success")];
    let changes = jobs.map(|(id, name, status)| Change::Job(parse_job(job_json(id, name, status), 1)));
    rig.store.apply(changes.to_vec()).await.expect("stored");
    let count = async |filter| rig.store.pipeline_jobs(PIPELINE, filter, ALL).await.expect("listed").total;
    assert_eq!(count(JobFilter::default()).await, 2);
    assert_eq!(count(JobFilter { include_retried: true, ..JobFilter::default() }).await, 3);
    assert_eq!(count(JobFilter { scope: vec!["failed".into()], include_retried: true }).await, 1);
    assert_eq!(count(JobFilter { scope: vec!["failed".into()], include_retried: false }).await, 0);
    let page = rig.store.pipeline_jobs(PIPELINE, JobFilter::default(), Slice { offset: 0, limit: 1 }).await;
    assert!(page.expect("listed").rows[0].text.contains("\"id\":3"));
    let ids: Vec<u64> = rig.store.jobs_of(PIPELINE).await.expect("read").iter().map(|job| job.key.job.0).collect();
    assert_eq!(ids, [1, 2, 3]);
}

on_both! {
    projects_are_found_by_id_and_by_path_in_any_case;
    since_when_a_project_has_no_ci_stays_until_it_has;
    a_former_path_leads_to_its_project_until_another_one_takes_it;
    of_two_documents_of_a_job_the_final_and_then_the_later_one_stays;
    a_pipeline_can_reopen_but_not_go_back;
    what_a_job_tells_of_its_pipeline_only_stands_in_for_its_document;
    pipelines_are_listed_as_gitlab_lists_them;
    earlier_attempts_are_listed_only_when_asked_for;
}
