//! What readers are told when there is nothing to answer with.

use serde_json::Value;

use super::{Cistern, PROJECT, job, job_with, pipeline, project};
use crate::domain::{PipelineId, PipelineKey};
use crate::store::Change;

#[actix_web::test]
async fn what_gitlab_deleted_with_its_pipeline_has_expired() {
    let cistern = Cistern::start().await;
    let made_none = job_with(52, "lint", "success", Value::Null);
    cistern.apply(vec![project(), pipeline(5, "running", "push"), job(50, "build", "failed"), made_none]).await;
    cistern.apply(vec![Change::Gone(PipelineKey { project: PROJECT, pipeline: PipelineId(5) })]).await;
    let expected = [
        ("jobs/50/trace", 200, Some("expired")),
        ("jobs/50/artifacts", 404, Some("expired")),
        ("jobs/52/artifacts", 404, Some("no_archive")),
        ("pipelines/5/test_report", 404, Some("expired")),
    ];
    for (path, status, reason) in expected {
        let answer = cistern.get(&format!("/api/v4/projects/7/{path}")).await;
        assert_eq!((answer.status, answer.header("x-cistern-reason")), (status, reason), "{path}");
    }
    cistern.stop().await;
}

#[actix_web::test]
async fn other_paths_methods_and_a_closed_store_are_explained() {
    let cistern = Cistern::start().await;
    for path in
        ["/nothing", "/api/v4/groups/7", "/api/v4/projects/7/issues", "/api/v4/projects/group/name", "/api/cistern/v1"]
    {
        let answer = cistern.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["message"].as_str().is_some_and(|message| message.contains("no such path")), "{path}");
    }
    for (method, path) in [("POST", "/api/v4/projects"), ("DELETE", "/api/v4/projects/7/jobs/50"), ("PUT", "/nothing")]
    {
        let answer = cistern.ask(method, path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
    }
    cistern.store.close().await.expect("closed");
    let answer = cistern.get("/api/v4/projects").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(answer.json()["message"].is_string());
    cistern.server.stop(false).await;
}
