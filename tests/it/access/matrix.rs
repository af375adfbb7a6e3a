//! Every reader, every kind of project, every route.

use cistern::demo::fake::{Fault, FaultKind};

use super::*;
use crate::rig::PATIENCE;

/// Compares every answer and returns how many statuses of each kind there were, or all that differ.
async fn compare(instance: &Instance, serving: &Serving) -> Result<[usize; 4], String> {
    let (mut wrong, mut seen) = (Vec::new(), [0; 4]);
    for token in READERS {
        for place in &instance.places {
            let path = place.path.replace('/', "%2F");
            let routes = [place.project.to_string(), path].map(|project| place.routes(&project));
            for route in routes.iter().flatten() {
                let (theirs, ours) = (theirs(&instance.rig, route, token).await, ours(serving, route, token).await);
                let same_body = ours.status == 200 || ours.body == theirs.body || ours.status == 401;
                if ours.status != theirs.status || !same_body {
                    let (ours, theirs) = (ours.status, theirs.status);
                    wrong.push(format!("{} {token:?} {route}: {ours}, GitLab says {theirs}", place.name));
                }
                if let Some(at) = [200, 401, 403, 404].iter().position(|status| *status == ours.status) {
                    seen[at] += 1;
                }
            }
        }
        let list = "/projects?order_by=id&sort=asc&per_page=100";
        let (theirs, ours) = (theirs(&instance.rig, list, token).await, ours(serving, list, token).await);
        if ours.status != theirs.status || (ours.status == 200 && ids(&ours) != ids(&theirs)) {
            wrong.push(format!("{token:?} {list}: {}, GitLab says {}", ours.status, theirs.status));
        }
    }
    for token in READERS {
        let (theirs, ours) = (theirs(&instance.rig, "/user", token).await, ours(serving, "/user", token).await);
        if ours.status != theirs.status || (ours.status == 200 && ours.body != theirs.body) {
            wrong.push(format!("{token:?} /user: {}, GitLab says {}", ours.status, theirs.status));
        }
    }
    if wrong.is_empty() { Ok(seen) } else { Err(format!("{} wrong answers:\n{}", wrong.len(), wrong.join("\n"))) }
}

async fn readers_get_what_gitlab_gives_them(engine: Engine) {
    let instance = instance(engine).await;
    let serving = instance.rig.serve("cistern.db").await;
    let seen = compare(&instance, &serving).await.expect("equal answers");
    assert!(seen.iter().all(|count| *count > 20), "a matrix worth comparing: {seen:?}");
    // What is known by now answers the same.
    assert_eq!(compare(&instance, &serving).await, Ok(seen));
    serving.stop().await;
}

async fn rights_that_change_are_gitlab_s_of_now_when_their_time_is_over(engine: Engine) {
    let mut instance = instance(engine).await;
    instance.rig = instance.rig.set("access.positive_ttl", "500ms").set("access.negative_ttl", "500ms");
    let serving = instance.rig.serve("cistern.db").await;
    let before = compare(&instance, &serving).await.expect("equal answers");
    instance.rig.fake.with(|world| {
        for place in &instance.places {
            world.set_role(place.project, OWNER, 0);
            world.set_role(place.project, REPORTER, 10);
            world.set_role(place.project, OUTSIDER, 20);
        }
        world.set_token(REVOKED, TokenState::Good);
        world.set_token(GUEST, TokenState::Revoked);
        world.set_visibility(instance.places[0].project, Visibility::Private);
        world.set_visibility(instance.places[6].project, Visibility::Public);
    });
    let mut after = Err(String::new());
    let deadline = std::time::Instant::now() + PATIENCE;
    while after.is_err() && std::time::Instant::now() < deadline {
        after = compare(&instance, &serving).await;
    }
    assert_ne!(before, after.expect("equal answers"), "the rights did change");
    serving.stop().await;
}

async fn while_gitlab_is_away_everybody_gets_what_they_got(engine: Engine) {
    let mut instance = instance(engine).await;
    // Every yes is asked for again, in vain.
    instance.rig = instance.rig.set("access.positive_ttl", "0");
    let serving = instance.rig.serve("cistern.db").await;
    let everything = async || {
        let mut answers = Vec::new();
        for token in READERS {
            for place in &instance.places {
                let path = place.path.replace('/', "%2F");
                for route in place.routes(&path).into_iter().chain(place.routes(&place.project.to_string())) {
                    let answer = ours(&serving, &route, token).await;
                    answers.push((format!("{} {token:?} {route}", place.name), answer.status, answer.body));
                }
            }
        }
        answers
    };
    let before = everything().await;
    instance.rig.fake.inject(Fault::new(FaultKind::CloseBeforeHead));
    let after = everything().await;
    let granted = before.iter().filter(|(_, status, _)| *status == 200).count();
    assert!(granted > 100, "{granted}");
    for (before, after) in before.iter().zip(&after) {
        assert!(before == after, "{}: {} became {}", before.0, before.1, after.1);
    }
    serving.stop().await;
}

/// What GitLab has no shape for, or the fake has not, is judged like that of GitLab which shows the same.
async fn own_routes_are_judged_like_gitlab_s(engine: Engine) {
    let instance = instance(engine).await;
    let serving = instance.rig.serve("cistern.db").await;
    let (mut granted, mut refused) = (0, 0);
    for token in READERS {
        for place in &instance.places {
            let base = format!("/projects/{}", place.project);
            let (job, pipeline) =
                (format!("{base}/jobs/{}", place.job), format!("{base}/pipelines/{}", place.pipeline));
            let own = |base: &str, routes: &[&str]| -> Vec<String> {
                routes.iter().map(|route| format!("{base}/{route}")).collect()
            };
            let logs = own(&job, &["log", "log/sections", "log/errors", "log/follow"]);
            let completeness = [own(&base, &["completeness"]), own(&pipeline, &["completeness"])].concat();
            for (like, routes) in [(format!("{job}/trace"), logs), (pipeline.clone(), completeness)] {
                let like = ours(&serving, &like, token).await.status;
                for route in routes {
                    let path = format!("/api/cistern/v1{route}");
                    let sent = loopback::send(serving.address(), "GET", &path, &headers(token), b"").await;
                    assert_eq!(sent.expect("an answer").status, like, "{} {token:?} {route}", place.name);
                    if like == 200 { granted += 1 } else { refused += 1 }
                }
            }
            let archive = ours(&serving, &format!("{job}/artifacts"), token).await.status;
            let tree = ours(&serving, &format!("{job}/artifacts/tree"), token).await.status;
            let file = ours(&serving, &format!("{job}/artifacts/none"), token).await.status;
            assert!(tree == archive || (archive == 200 && tree == 422), "{} {token:?} {archive} {tree}", place.name);
            assert!(archive == 200 || file == archive, "{} {token:?} {archive} {file}", place.name);
        }
    }
    assert!(granted > 100 && refused > 100, "{granted} {refused}");
    serving.stop().await;
}

on_both! {
    own_routes_are_judged_like_gitlab_s;
    while_gitlab_is_away_everybody_gets_what_they_got;
    readers_get_what_gitlab_gives_them;
    rights_that_change_are_gitlab_s_of_now_when_their_time_is_over;
}
