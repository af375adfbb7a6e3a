//! Groups, and what speaks to whom: as far as GitLab's words can be said without it.

use cistern::demo::fake::{Options, World};
use serde_json::Value;

use crate::rig::{Rig, ask};

const STORE: &str = "cistern.db";
const TOKEN: &str = "glpat-developer-2b3c4d5e";

/// Makes sure that all that we say is what GitLab says.
fn is_part_of(ours: &Value, theirs: &Value) {
    let keys = ours.as_object().expect("an object");
    assert!(keys.len() > 5, "{ours}");
    for (key, value) in keys {
        assert_eq!(value, &theirs[key], "{key} of {ours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_those_of_the_cached_projects_and_of_those_that_a_reader_sees() {
    let mut world = World::new();
    for path in ["harbour/core/ledger", "harbour/core/tides", "secret/plans/vault", "plain/site"] {
        world.add_project(path);
    }
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    let tokens = [("access.mode", "token"), ("access.tokens", "everything-1f2e3d4c"), ("api.pass_through", "off")];
    let rig = tokens.iter().fold(rig, |rig, (key, value)| rig.set(key, value));
    let serving = rig.serve(STORE).await;
    let get = async |path: &str| {
        ask(serving.address(), "GET", &format!("/api/v4{path}"), &[("PRIVATE-TOKEN", "everything-1f2e3d4c")]).await
    };
    let list = get("/groups?per_page=100").await;
    let theirs = rig.ask_gitlab("/api/v4/groups?per_page=100").await;
    let (ours, theirs) = (list.json(), theirs.as_array().expect("groups").clone());
    let ours = ours.as_array().expect("groups");
    assert_eq!((ours.len(), theirs.len(), list.header("x-total")), (5, 5, "5"));
    ours.iter().zip(&theirs).for_each(|(ours, theirs)| is_part_of(ours, theirs));
    assert_eq!(list.header("x-cistern-complete"), "false");
    let names = async |query: &str| {
        let groups = get(&format!("/groups?{query}")).await.json();
        groups.as_array().expect("groups").iter().map(|group| group["full_path"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("search=COR").await, ["harbour/core"]);
    assert_eq!(names("top_level_only=true&sort=desc&per_page=2").await, ["secret", "plain"]);
    assert_eq!(names("order_by=path&per_page=2&page=2").await, ["plain", "secret/plans"]);
    for path in ["harbour%2Fcore", "Harbour", "secret"] {
        let asked = path.to_lowercase();
        is_part_of(
            &get(&format!("/groups/{path}")).await.json(),
            &rig.ask_gitlab(&format!("/api/v4/groups/{asked}")).await,
        );
    }
    for (path, status) in [
        ("/groups/none", 404),
        ("/groups/harbour%2Fcore%2Fledger", 404),
        ("/groups?owned=true", 400),
        ("/groups?min_access_level=30", 400),
        ("/groups?order_by=similarity", 400),
        ("/groups?order_by=size", 400),
    ] {
        assert_eq!(get(path).await.status, status, "{path}");
    }
    let (token, user) = (get("/personal_access_tokens/self").await.json(), get("/user").await.json());
    assert_eq!(
        (&token["user_id"], &token["active"], &token["scopes"][0]),
        (&user["id"], &true.into(), &"read_api".into())
    );
    assert_eq!(get("/metadata").await.json(), get("/version").await.json());
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_gitlab_judges_readers_groups_and_tokens_are_its_to_tell() {
    let mut world = World::new();
    world.add_user(TOKEN);
    let (ours, _) = (world.add_project("group/app"), world.add_project("secret/vault"));
    world.set_role(ours, TOKEN, 30);
    let rig = Rig::with(world, Options::default()).set("access.mode", "gitlab");
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    for path in ["/groups", "/groups/group", "/groups/secret", "/personal_access_tokens/self"] {
        let path = format!("/api/v4{path}");
        let passed = ask(serving.address(), "GET", &path, &[("PRIVATE-TOKEN", TOKEN)]).await;
        assert_eq!(passed.source(), "passed", "{path}");
    }
    serving.stop().await;
    let rig = rig.set("api.pass_through", "off");
    let serving = rig.serve(STORE).await;
    for (path, status) in [("group", 200), ("secret", 404)] {
        let path = format!("/api/v4/groups/{path}");
        let answer = ask(serving.address(), "GET", &path, &[("PRIVATE-TOKEN", TOKEN)]).await;
        assert_eq!(answer.status, status, "{path}");
    }
    serving.stop().await;
}
