//! Who may read what: every reader, every route, compared with what GitLab itself shows to the same token.

mod flood;
mod matrix;
mod modes;
mod secrets;
mod strangers;
mod times;
mod user;

use std::collections::BTreeSet;

use cistern::demo::fake::{
    Archive, ArtifactDelivery, JobSpec, Junit, Log, Options, PipelineSpec, TokenState, Visibility, World,
};
use cistern::domain::{JobId, PipelineId, ProjectId};
use cistern::loopback::{self, Answer};

use crate::rig::{Engine, PATIENCE, Rig, Serving, on_both};

const OWNER: &str = "glpat-owner-5f0c1d2e";
const REPORTER: &str = "glpat-reporter-9a8b7c6d";
const GUEST: &str = "glpat-guest-1b2c3d4e";
const OUTSIDER: &str = "glpat-outsider-0f9e8d7c";
const REVOKED: &str = "glpat-revoked-6e5d4c3b";
const EXPIRED: &str = "glpat-expired-7a6b5c4d";
const UNKNOWN: &str = "glpat-unknown-2c3d4e5f";

/// Everybody who may ask; the last one is nobody.
const READERS: [&str; 8] = [OWNER, REPORTER, GUEST, OUTSIDER, REVOKED, EXPIRED, UNKNOWN, ""];

/// A project with one pipeline and one job that left everything behind.
struct Place {
    /// What it is in the matrix.
    name: &'static str,
    project: ProjectId,
    /// The path by which readers know it.
    path: String,
    pipeline: PipelineId,
    job: JobId,
}

/// A GitLab with a project of each kind.
struct Instance {
    rig: Rig,
    places: Vec<Place>,
}

fn add(world: &mut World, name: &'static str, visibility: Visibility, public_pipelines: bool) -> Place {
    let path = format!("group/{}", name.replace(' ', "-"));
    let project = world.add_project(&path);
    world.set_visibility(project, visibility);
    world.set_public_pipelines(project, public_pipelines);
    for (token, level) in [(OWNER, 50), (REPORTER, 20), (GUEST, 10)] {
        world.set_role(project, token, level);
    }
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let archive = Archive::zip([("out.txt", b"built".as_slice())]).expect("a zip");
    let spec = JobSpec::new("unit").log(Log::bytes("printed")).archive(archive).junit(Junit::generated(3, 1, 1));
    let job = world.add_job(pipeline, spec);
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    Place { name, project, path, pipeline, job }
}

/// Makes a GitLab, caches it, and changes what the matrix wants to be changed afterwards.
async fn instance(engine: Engine) -> Instance {
    let mut world = World::new();
    for token in [OWNER, REPORTER, GUEST, OUTSIDER] {
        world.add_user(token);
    }
    for (token, state) in [(REVOKED, TokenState::Revoked), (EXPIRED, TokenState::Expired)] {
        world.add_token(OWNER, token);
        world.set_token(token, state);
    }
    let places = vec![
        add(&mut world, "public", Visibility::Public, true),
        add(&mut world, "public without pipelines", Visibility::Public, false),
        add(&mut world, "public with restricted files", Visibility::Public, true),
        add(&mut world, "internal", Visibility::Internal, true),
        add(&mut world, "internal without pipelines", Visibility::Internal, false),
        add(&mut world, "private", Visibility::Private, true),
        add(&mut world, "private without pipelines", Visibility::Private, false),
        add(&mut world, "renamed", Visibility::Private, true),
        add(&mut world, "deleted", Visibility::Public, true),
    ];
    world.restrict_files(places[2].job);
    let options = Options { artifacts: ArtifactDelivery::Direct, ..Options::default() };
    let rig = Rig::with(world, options).on(engine).set("access.mode", "gitlab");
    assert!(rig.backfill("cistern.db").await.is_clean());
    rig.fake.with(|world| {
        world.move_project(places[7].project, "elsewhere/renamed");
        world.delete_project(places[8].project);
    });
    Instance { rig, places }
}

impl Place {
    /// Returns every route of the project, by this name of it, without the API's root.
    fn routes(&self, project: &str) -> Vec<String> {
        let Self { pipeline, job, .. } = self;
        [
            String::new(),
            "/pipelines".to_owned(),
            format!("/pipelines/{pipeline}"),
            "/pipelines/latest?ref=main".to_owned(),
            format!("/pipelines/{pipeline}/jobs"),
            format!("/pipelines/{pipeline}/bridges"),
            format!("/pipelines/{pipeline}/test_report"),
            format!("/pipelines/{pipeline}/test_report_summary"),
            "/jobs".to_owned(),
            format!("/jobs/{job}"),
            format!("/jobs/{job}/trace"),
            format!("/jobs/{job}/artifacts"),
            format!("/jobs/{job}/artifacts/tree"),
            format!("/jobs/{job}/artifacts/out.txt"),
        ]
        .iter()
        .map(|rest| format!("/projects/{project}{rest}"))
        .collect()
    }

    /// Returns Cistern's own routes of the project, by its id, each with GitLab's route that shows the same.
    fn own_routes(&self) -> Vec<(String, String)> {
        let base = format!("/projects/{}", self.project);
        let (job, pipeline) = (format!("{base}/jobs/{}", self.job), format!("{base}/pipelines/{}", self.pipeline));
        let logs = ["log", "log?tail=1", "log?errors=true", "log/sections", "log/errors", "log/follow"];
        let logs = logs.iter().map(|route| (format!("{job}/{route}"), format!("{job}/trace")));
        let others = [
            (format!("{job}/test_report"), format!("{pipeline}/test_report")),
            (format!("{base}/completeness"), pipeline.clone()),
            (format!("{pipeline}/completeness"), pipeline.clone()),
        ];
        logs.chain(others).collect()
    }

    fn trace(&self) -> String {
        format!("/projects/{}/jobs/{}/trace", self.project, self.job)
    }
}

fn headers(token: &str) -> Vec<(String, String)> {
    let header = (!token.is_empty()).then(|| ("PRIVATE-TOKEN".to_owned(), token.to_owned()));
    header.into_iter().collect()
}

async fn get(address: std::net::SocketAddr, path: &str, token: &str) -> Answer {
    loopback::send(address, "GET", &format!("/api/v4{path}"), &headers(token), b"").await.expect("an answer")
}

/// Asks Cistern, again when too many of the same address were unknown or nobody.
async fn ours(serving: &Serving, path: &str, token: &str) -> Answer {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = get(serving.address(), path, token).await;
        if answer.status != 429 || tokio::time::Instant::now() > deadline {
            return answer;
        }
    }
}

/// Asks GitLab, following the redirect of a project that moved.
async fn theirs(rig: &Rig, path: &str, token: &str) -> Answer {
    let address = rig.fake.url().trim_start_matches("http://").parse().expect("an address");
    let answer = get(address, path, token).await;
    if answer.status != 301 {
        return answer;
    }
    let text = String::from_utf8(answer.body).expect("text");
    let (_, moved) = text.split_once("/api/v4").expect("an address");
    get(address, moved, token).await
}

/// Returns the ids of a page of projects.
fn ids(answer: &Answer) -> BTreeSet<u64> {
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&answer.body).expect("a list");
    rows.iter().map(|row| row["id"].as_u64().expect("an id")).collect()
}
