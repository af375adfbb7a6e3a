//! What readers are told when there is nothing to answer with.

use serde_json::Value;

use super::{Cistern, PROJECT, job, job_with, key, pipeline, project};
use crate::domain::{LogRecord, Piece, PipelineId, PipelineKey, Reason};
use crate::store::Change;

#[actix_web::test]
async fn a_log_that_is_not_held_is_empty_only_where_gitlabs_is() {
    let cistern = Cistern::start().await;
    let absent = [
        (51, Reason::NoLog, 200),
        (52, Reason::Erased, 200),
        (53, Reason::Forbidden, 404),
        (54, Reason::Expired, 404),
        (55, Reason::TooLarge, 404),
        (56, Reason::Pruned, 404),
        (57, Reason::Failed, 404),
    ];
    cistern.apply(vec![project(), pipeline(5, "running", "push"), job(49, "unit", "running")]).await;
    cistern.apply((50..58).map(|id| job(id, "unit", "failed")).collect()).await;
    let record = |reason| LogRecord { piece: Piece::Absent(reason), looks: 1, ..LogRecord::missing() };
    let log = |(id, reason, _)| Change::Log { key: key(id), record: record(reason), bytes: None };
    cistern.apply(absent.map(log).into()).await;
    let words = absent.map(|(id, reason, status)| (id, reason.as_str(), status));
    for (id, reason, status) in [(49, "not_finished", 200), (50, "missing", 404)].into_iter().chain(words) {
        let answer = cistern.get(&format!("/api/v4/projects/7/jobs/{id}/trace")).await;
        assert_eq!((answer.status, answer.header("x-cistern-reason")), (status, Some(reason)), "{reason}");
        // Where GitLab has none either its own words are enough.
        let refusal = match reason {
            "erased" | "expired" => "404 Not found".to_owned(),
            _ => format!("404 Not found: Cistern does not hold it ({reason})"),
        };
        let refusal = serde_json::json!({ "message": refusal });
        match status {
            200 => assert_eq!(answer.body.len(), 0, "{reason}"),
            _ => assert_eq!(answer.json(), refusal),
        }
        let base = format!("/api/cistern/v1/projects/7/jobs/{id}/log");
        for part in ["", "?tail=5", "?section=x", "?errors=true", "?grep=x", "/sections", "/errors"] {
            let answer = cistern.get(&format!("{base}{part}")).await;
            assert_eq!((answer.status, answer.header("x-cistern-reason")), (404, Some(reason)), "{reason} {part}");
            assert_eq!(answer.json(), refusal, "{part}");
        }
        if !["not_finished", "missing"].contains(&reason) {
            let answer = cistern.get(&format!("{base}/follow")).await;
            assert_eq!(answer.status, status, "{reason}");
            match status {
                200 => assert!(
                    String::from_utf8_lossy(&answer.body).contains(r#"data: {"status":"failed","log":"settled"}"#),
                    "{reason}"
                ),
                _ => assert_eq!((answer.json(), answer.header("x-cistern-reason")), (refusal, Some(reason))),
            }
        }
    }
    cistern.stop().await;
}

#[actix_web::test]
async fn what_gitlab_deleted_with_its_pipeline_has_expired() {
    let cistern = Cistern::start().await;
    let made_none = job_with(52, "lint", "success", Value::Null);
    cistern.apply(vec![project(), pipeline(5, "running", "push"), job(50, "build", "failed"), made_none]).await;
    cistern.apply(vec![Change::Gone(PipelineKey { project: PROJECT, pipeline: PipelineId(5) })]).await;
    let expected = [
        ("jobs/50/trace", 404, Some("expired")),
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
    for path in [
        "/nothing",
        "/api/v4/groups/7/members",
        "/api/v4/projects/7/issues",
        "/api/v4/projects/group/name",
        "/api/cistern/v1",
    ] {
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
