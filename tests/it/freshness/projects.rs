//! The list of projects: one that was made since the passes came by is in it, for one call however many ask.

use cistern::demo::fake::{Endpoint, Fault, FaultKind, Options, Visibility, World};
use cistern::domain::{ProjectId, Subject};
use serde_json::Value;

use super::{Answer, STORE, ask, get, get_at_once, reading_through, slow};
use crate::rig::{Engine, Rig, Serving, on_both};

const ALL: &str = "/api/v4/projects?per_page=100&order_by=id&sort=asc";
const GROUP: &str = "/api/v4/groups/group/projects?per_page=100&order_by=id&sort=asc";

fn ids(answer: &Answer) -> Vec<u64> {
    let rows: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list");
    rows.iter().map(|row| row["id"].as_u64().expect("an id")).collect()
}

fn complete(answer: &Answer) -> &str {
    answer.header("x-cistern-complete")
}

async fn get_as(serving: &Serving, path: &str, token: &str) -> Answer {
    ask(serving.address(), "GET", path, &[("PRIVATE-TOKEN", token)]).await
}

fn add_project(rig: &Rig, path: &str) -> ProjectId {
    rig.fake.with(|world| world.add_project(path))
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_readers_see_a_project_that_nobody_announced_for_one_call() {
    let (rig, project) = reading_through(slow());
    let serving = rig.serve(STORE).await;
    rig.fake.reset_counters();
    let first = get(serving.address(), ALL).await;
    assert_eq!((ids(&first), first.source(), complete(&first)), (vec![project.0], "hit", "true"));
    assert!(first.age() < 30 && rig.fake.requests().total == 0, "the pass has just listed them");

    let new = add_project(&rig, "group/new");
    rig.fake.with(|world| world.set_archived(project, true));
    rig.behind(STORE).await.age_looks().await;
    for answer in get_at_once(serving.address(), ALL, 50).await {
        assert_eq!((ids(&answer), answer.source()), (vec![project.0, new.0], "refreshed"));
        assert_eq!((complete(&answer), &answer.json()[0]["archived"]), ("true", &Value::Bool(true)));
        assert!(answer.age() < 30, "{}", answer.head);
    }
    // Young enough by now, also for the group's list, by number or by key.
    for path in [ALL, GROUP, "/api/v4/projects?pagination=keyset&order_by=id&sort=asc"] {
        let answer = get(serving.address(), path).await;
        assert_eq!((ids(&answer), answer.source()), (vec![project.0, new.0], "hit"), "{path}");
    }
    assert_eq!((rig.fake.requests().of(Endpoint::Projects), rig.fake.requests().total), (1, 1));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_projects_the_newest_are_looked_at_and_nobody_says_that_these_are_all() {
    let (rig, _) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    for number in 0..110 {
        add_project(&rig, &format!("group/p{number}"));
    }
    let serving = rig.serve(STORE).await;
    let new = add_project(&rig, "group/new");
    rig.fake.reset_counters();
    let newest = get(serving.address(), "/api/v4/projects?order_by=id&per_page=1").await;
    assert_eq!((ids(&newest), newest.source(), complete(&newest)), (vec![new.0], "refreshed", "false"));
    assert_eq!((newest.header("x-total"), rig.fake.requests().total), ("112", 1));
    serving.stop().await;
    // A pass lists them all.
    let rig = rig.set("api.max_age", "1h");
    let serving = rig.serve(STORE).await;
    let listed = get(serving.address(), ALL).await;
    assert_eq!((listed.source(), complete(&listed), listed.header("x-total")), ("hit", "true", "112"));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_gitlab_the_list_is_the_last_one_and_stale() {
    let (rig, project) = reading_through(Options::default());
    let serving = rig.serve(STORE).await;
    rig.behind(STORE).await.age_looks().await;
    rig.fake.inject(Fault::new(FaultKind::HtmlStatus(502)));
    for path in [ALL, GROUP] {
        let answer = get(serving.address(), path).await;
        assert_eq!((answer.status, ids(&answer), answer.source()), (200, vec![project.0], "stale"), "{path}");
        assert!(complete(&answer) == "false" && answer.age() >= 3600, "{}", answer.head);
        rig.fake.reset_counters();
    }
    assert_eq!(rig.fake.requests().total, 0, "nobody waits for it again at once");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_our_token_may_not_list_is_no_failure() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.set("api.max_age", "0s");
    let serving = rig.serve(STORE).await;
    rig.fake.inject(Fault::new(FaultKind::Forbidden).on(Endpoint::Projects));
    rig.fake.reset_counters();
    for _ in 0..3 {
        let answer = get(serving.address(), ALL).await;
        assert_eq!((ids(&answer), answer.source(), complete(&answer)), (vec![project.0], "stale", "false"));
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Projects), 1);
    assert_eq!(serving.store.failures(None).await.expect("the failures").len(), 0);
    assert_eq!(serving.store.journal_len().await.expect("a count"), 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_ours_are_taken_in_and_what_was_forgotten_stays_so() {
    let (rig, project) = reading_through(Options::default());
    let rig =
        rig.set("api.max_age", "0s").set("projects.include", "group/**").set("projects.exclude", "group/secret/**");
    let forgotten = add_project(&rig, "group/forgotten");
    let serving = rig.serve(STORE).await;
    let subject = Subject::Project { project: forgotten };
    serving.store.forget(subject).await.expect("forgotten");
    serving.store.remove(subject).await.expect("removed");
    let hidden = [add_project(&rig, "group/secret/app"), add_project(&rig, "other/app")];
    let new = add_project(&rig, "group/new");
    assert_eq!(ids(&get(serving.address(), ALL).await), [project.0, new.0]);
    for other in [hidden[0], hidden[1], forgotten] {
        assert!(serving.store.project(other).await.expect("read").is_none(), "{other}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reader_sees_of_the_new_ones_what_is_theirs() {
    const MEMBER: &str = "glpat-member-1b2c3d4e";
    const OUTSIDER: &str = "glpat-outsider-0f9e8d7c";
    let mut world = World::new();
    let old = world.add_project("group/old");
    world.set_visibility(old, Visibility::Private);
    for token in [MEMBER, OUTSIDER] {
        world.add_user(token);
    }
    let judged = Rig::with(world, Options::default())
        .set("api.read_through", "true")
        .set("api.max_age", "0s")
        .set("access.mode", "gitlab");
    let serving = judged.serve(STORE).await;
    let (private, public) = judged.fake.with(|world| {
        let private = world.add_project("group/private");
        world.set_visibility(private, Visibility::Private);
        world.set_role(private, MEMBER, 20);
        let public = world.add_project("group/public");
        world.set_visibility(public, Visibility::Public);
        (private, public)
    });
    judged.fake.reset_counters();
    for path in [ALL, GROUP] {
        assert_eq!(ids(&get_as(&serving, path, MEMBER).await), [private.0, public.0], "{path}");
        assert_eq!(ids(&get_as(&serving, path, OUTSIDER).await), [public.0], "{path}");
        assert_eq!(ids(&get(serving.address(), path).await), [public.0], "{path}");
        assert_eq!(get_as(&serving, path, "glpat-of-nobody").await.status, 401, "{path}");
        // They are counted over what the reader may read.
        let first = get_as(&serving, &path.replace("per_page=100", "per_page=1"), MEMBER).await;
        assert_eq!((first.header("x-total"), first.header("x-total-pages")), ("2", "2"), "{path}");
        assert!(first.header("link").contains("rel=\"last\""), "{path}: {}", first.head);
        assert_eq!(get_as(&serving, path, OUTSIDER).await.header("x-total"), "1", "{path}");
    }
    serving.stop().await;

    let some = judged.set("access.mode", "token").set("access.tokens", "a-static-token=group/p*");
    let serving = some.serve(STORE).await;
    let another = add_project(&some, "group/pebble");
    add_project(&some, "group/other");
    let all = get_as(&serving, ALL, "a-static-token").await;
    assert_eq!((ids(&all), all.header("x-total")), (vec![private.0, public.0, another.0], "3"));
    some.fake.reset_counters();
    assert_eq!(get_as(&serving, ALL, "wrong").await.status, 401);
    assert_eq!(some.fake.requests().total, 0);
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_look() {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.on(Engine::Mongo);
    let (one, other) = (rig.serve(STORE).await, rig.serve(STORE).await);
    let new = add_project(&rig, "group/new");
    rig.behind(STORE).await.age_looks().await;
    rig.fake.reset_counters();
    for (serving, source) in [(&one, "refreshed"), (&other, "hit"), (&one, "hit")] {
        let answer = get(serving.address(), ALL).await;
        assert_eq!((ids(&answer), answer.source()), (vec![project.0, new.0], source));
    }
    assert_eq!(rig.fake.requests().of(Endpoint::Projects), 1);
    one.stop().await;
    other.stop().await;
}

async fn a_project_has_one_shape_whatever_was_read_last(engine: Engine) {
    let (rig, project) = reading_through(Options::default());
    let rig = rig.on(engine);
    // Who runs a project is told more of it than lists tell.
    rig.fake.with(|world| world.set_bot_role(project, 40));
    let serving = rig.serve(STORE).await;
    let path = format!("/api/v4/projects/{project}");
    let first = get(serving.address(), &path).await;
    assert_eq!((first.source(), &first.json()["build_git_strategy"]), ("miss", &Value::from("fetch")));
    rig.fake.with(|world| world.set_archived(project, true));
    rig.behind(STORE).await.age_looks().await;
    assert_eq!(get(serving.address(), ALL).await.source(), "refreshed");
    let keys = |answer: &Answer| answer.json().as_object().expect("a project").keys().cloned().collect::<Vec<_>>();
    let later = get(serving.address(), &path).await;
    assert_eq!((later.source(), &later.json()["archived"]), ("hit", &Value::Bool(true)));
    assert_eq!(keys(&later), keys(&first));
    rig.fake.with(|world| world.set_archived(project, false));
    assert!(rig.backfill(STORE).await.is_clean());
    let again = get(serving.address(), &path).await;
    assert_eq!((again.source(), &again.body), ("hit", &first.body));
    serving.stop().await;
}

on_both! {
    a_project_has_one_shape_whatever_was_read_last;
}
