//! A path that leads to no project we know is asked for, once, and only where its reader may see what may be there.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options, Visibility};
use cistern::loopback;

use super::{add_job, get, get_at_once, job_with_log, reading_through, slow};
use crate::rig::Serving;

const SOME: &str = "a-static-token-for-one-group";

async fn status(serving: &Serving, path: &str, token: &str) -> u16 {
    let token = ("PRIVATE-TOKEN".to_owned(), token.to_owned());
    let path = format!("/api/v4/projects/{path}");
    loopback::send(serving.address(), "GET", &path, &[token], b"").await.expect("an answer").status
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_of_a_path_that_is_not_cached_cost_one_call() {
    let (rig, _) = reading_through(slow());
    let serving = rig.serve(super::STORE).await;
    let new = rig.fake.with(|world| world.add_project("group/new"));
    let (pipeline, _) = add_job(&rig, new, job_with_log("log\n"), "success");
    rig.fake.reset_counters();
    let answers = get_at_once(serving.address(), "/api/v4/projects/Group%2Fnew", 50).await;
    for answer in &answers {
        assert_eq!((answer.status, answer.json()["id"].as_u64()), (200, Some(new.0)));
        // Who comes when it is there already is lucky.
        assert!(matches!(answer.source(), "miss" | "hit"), "{}", answer.head);
    }
    assert!(answers.iter().any(|answer| answer.source() == "miss"));
    assert_eq!(get(serving.address(), "/api/v4/projects/group%2Fnew").await.source(), "hit");
    assert_eq!(rig.fake.requests().total, 1);
    let list = get(serving.address(), "/api/v4/projects/group%2Fnew/pipelines").await;
    assert_eq!((list.json()[0]["id"].as_u64(), list.header("x-cistern-complete")), (Some(pipeline.0), "true"));
    assert_eq!(rig.fake.requests().of(Endpoint::Project), 1);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_leads_nowhere_is_not_asked_for_again_at_once() {
    let (rig, _) = reading_through(Options::default());
    let rig = rig.set("projects.exclude", "secret/**");
    let serving = rig.serve(super::STORE).await;
    let excluded = rig.fake.with(|world| world.add_project("secret/app"));
    rig.fake.reset_counters();
    for (path, cost) in [("group%2Fnone", 1), ("secret%2Fapp", 2), ("none", 2)] {
        for rest in ["", "/pipelines", ""] {
            let answer = get(serving.address(), &format!("/api/v4/projects/{path}{rest}")).await;
            assert_eq!(answer.status, 404, "{path}{rest}");
            assert!(answer.text().contains("404 Project Not Found"), "{}", answer.text());
        }
        assert_eq!(rig.fake.requests().total, cost, "{path}");
    }
    assert!(serving.store.project(excluded).await.expect("read").is_none());
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    assert_eq!(get(serving.address(), "/api/v4/projects/group%2Fother").await.status, 503);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_see_what_is_there_has_nothing_asked_for() {
    let (rig, _) = reading_through(Options::default());
    let rig = rig.set("access.mode", "token").set("access.tokens", &format!("{SOME}=group/**;999"));
    let serving = rig.serve(super::STORE).await;
    rig.fake.with(|world| {
        for path in ["group/new", "other/new"] {
            let project = world.add_project(path);
            world.set_visibility(project, Visibility::Public);
        }
    });
    rig.fake.reset_counters();
    assert_eq!(status(&serving, "other%2Fnew", SOME).await, 404);
    assert_eq!(status(&serving, "group%2Fnew", "wrong").await, 401);
    assert_eq!(rig.fake.requests().total, 0);
    assert_eq!(status(&serving, "group%2Fnew", SOME).await, 200);
    assert_eq!(rig.fake.requests().total, 1);
    serving.stop().await;
}
