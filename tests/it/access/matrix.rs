//! Every reader, every kind of project, every route.

use cistern::demo::fake::{Fault, FaultKind};

use super::*;

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
                let is_project = route.matches('/').count() == 2 && ours.status == 200;
                let same_body = same_body && (!is_project || permissions(&ours) == permissions(&theirs));
                if ours.status != theirs.status || !same_body {
                    let (ours, theirs) = (ours.status, theirs.status);
                    wrong.push(format!("{} {token:?} {route}: {ours}, GitLab says {theirs}", place.name));
                }
                if let Some(at) = [200, 401, 403, 404].iter().position(|status| *status == ours.status) {
                    seen[at] += 1;
                }
            }
        }
        for list in ["/projects", "/groups/group/projects", "/groups/none/projects"] {
            let list = format!("{list}?order_by=id&sort=asc&per_page=100");
            let (theirs, ours) = (theirs(&instance.rig, &list, token).await, ours(serving, &list, token).await);
            if ours.status != theirs.status || (ours.status == 200 && ids(&ours) != ids(&theirs)) {
                wrong.push(format!("{token:?} {list}: {}, GitLab says {}", ours.status, theirs.status));
            }
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

/// Returns a reader's roles in a project, as its document tells them.
fn permissions(project: &Answer) -> serde_json::Value {
    let project: serde_json::Value = serde_json::from_slice(&project.body).expect("a project");
    project["permissions"].clone()
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
    let own_before = compare_own(&instance, &serving).await.expect("equal answers");
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
    // Lists for who has no token begin with what passes have found to be public.
    assert!(instance.rig.backfill("cistern.db").await.is_clean());
    let mut after = Err(String::new());
    let deadline = std::time::Instant::now() + PATIENCE;
    while after.is_err() && std::time::Instant::now() < deadline {
        after = compare(&instance, &serving).await;
    }
    assert_ne!(before, after.expect("equal answers"), "the rights did change");
    // What was asked about by now is younger than its time.
    let own_after = compare_own(&instance, &serving).await.expect("equal answers");
    assert_ne!(own_before, own_after, "the rights did change");
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

/// Compares what GitLab has no shape for with that of GitLab which shows the same; returns how much of it was granted and how
/// much was not.
async fn compare_own(instance: &Instance, serving: &Serving) -> Result<(usize, usize), String> {
    let (mut wrong, mut granted, mut refused) = (Vec::new(), 0, 0);
    for token in READERS {
        for place in &instance.places {
            for (route, like) in place.own_routes() {
                let theirs = theirs(&instance.rig, &like, token).await.status;
                let path = format!("/api/cistern/v1{route}");
                let sent = loopback::send(serving.address(), "GET", &path, &headers(token), b"").await;
                let ours = sent.expect("an answer").status;
                if ours != theirs {
                    wrong.push(format!("{} {token:?} {route}: {ours}, GitLab says {theirs}", place.name));
                }
                if ours == 200 { granted += 1 } else { refused += 1 }
            }
        }
    }
    if wrong.is_empty() { Ok((granted, refused)) } else { Err(wrong.join("\n")) }
}

async fn own_routes_are_judged_like_gitlab_s(engine: Engine) {
    let instance = instance(engine).await;
    let serving = instance.rig.serve("cistern.db").await;
    let seen = compare_own(&instance, &serving).await.expect("equal answers");
    assert!(seen.0 > 100 && seen.1 > 100, "a matrix worth comparing: {seen:?}");
    // What is known by now answers the same.
    assert_eq!(compare_own(&instance, &serving).await, Ok(seen));
    serving.stop().await;
}

on_both! {
    own_routes_are_judged_like_gitlab_s;
    while_gitlab_is_away_everybody_gets_what_they_got;
    readers_get_what_gitlab_gives_them;
    rights_that_change_are_gitlab_s_of_now_when_their_time_is_over;
}
