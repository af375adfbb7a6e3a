//! Pass-through: what Cistern has no answer to, GitLab answers, to whom and within which bounds.

mod attacks;
mod bounds;
mod caller;
mod parameters;
mod service;

use cistern::demo::fake::{Endpoint, JobSpec, Log, Options, PipelineSpec, TokenState, Visibility, World};
use cistern::domain::{JobId, ProjectId};

use crate::rig::{PATIENCE, Rig, Sent, Serving, ask, until};

const OWNER: &str = "glpat-owner-5f0c1d2e";
const REPORTER: &str = "glpat-reporter-9a8b7c6d";
const OUTSIDER: &str = "glpat-outsider-0f9e8d7c";
const REVOKED: &str = "glpat-revoked-6e5d4c3b";

const STORE: &str = "cistern.db";

/// A GitLab with two private projects and a public one, all cached; owner and reporter are members of the first alone.
struct Place {
    rig: Rig,
    ours: ProjectId,
    other: ProjectId,
    public: ProjectId,
    job: JobId,
}

async fn place() -> Place {
    let mut world = World::new();
    for token in [OWNER, REPORTER, OUTSIDER] {
        world.add_user(token);
    }
    world.add_token(OWNER, REVOKED);
    world.set_token(REVOKED, TokenState::Revoked);
    let [ours, other, public] = ["group/app", "secret/vault", "open/site"].map(|path| world.add_project(path));
    world.set_visibility(public, Visibility::Public);
    world.set_role(ours, OWNER, 50);
    world.set_role(ours, REPORTER, 20);
    let pipeline = world.add_pipeline(ours, PipelineSpec::default());
    let job = world.add_job(pipeline, JobSpec::new("unit").log(Log::bytes("printed")));
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    let rig = Rig::with(world, Options::default());
    assert!(rig.backfill(STORE).await.is_clean());
    rig.fake.reset_counters();
    Place { rig, ours, other, public, job }
}

/// The same, where GitLab judges readers.
async fn judged() -> Place {
    let place = place().await;
    Place { rig: place.rig.set("access.mode", "gitlab"), ..place }
}

/// Asks below the API's root with a token, or none.
async fn get(serving: &Serving, path: &str, token: &str) -> Sent {
    send(serving, "GET", path, token, &[]).await
}

/// As [`get`], again when too many without a token came before.
async fn get_in_turn(serving: &Serving, path: &str, token: &str) -> Sent {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = get(serving, path, token).await;
        if answer.status != 429 || tokio::time::Instant::now() > deadline {
            return answer;
        }
    }
}

async fn send(serving: &Serving, method: &str, path: &str, token: &str, headers: &[(&str, &str)]) -> Sent {
    let token = [("PRIVATE-TOKEN", token)];
    let headers = [if token[0].1.is_empty() { &[] } else { &token[..] }, headers].concat();
    ask(serving.address(), method, &format!("/api/v4{path}"), &headers).await
}

/// Asks GitLab itself.
async fn theirs(rig: &Rig, path: &str, token: &str) -> Sent {
    let address = rig.fake.url().trim_start_matches("http://").parse().expect("an address");
    let token = [("PRIVATE-TOKEN", token)];
    let headers = if token[0].1.is_empty() { &[] } else { &token[..] };
    ask(address, "GET", &format!("/api/v4{path}"), headers).await
}

/// Returns the path of a link in a release that leads to this place.
fn link(project: ProjectId, place: &str) -> String {
    let place: String = url::form_urlencoded::byte_serialize(place.as_bytes()).collect();
    format!("/projects/{project}/releases/v1/downloads/{place}")
}

/// Waits until the service has looked at its own token, and counts anew: nothing but readers has GitLab asked from here on.
async fn quiet(rig: &Rig) {
    until(|| rig.fake.requests().of(Endpoint::User) > 0).await;
    rig.fake.reset_counters();
}

/// Returns how many GitLab calls are in flight.
async fn in_flight(serving: &Serving) -> u64 {
    let metrics = serving.admin("/metrics").await;
    let line = metrics.lines().find(|line| line.starts_with("cistern_gitlab_in_flight ")).expect("the metric");
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}
