//! `cistern hooks` as a person uses it, against a GitLab that really delivers, and beside a running `serve`.

mod ensure;
mod failed;
mod older;
mod rotate;

use std::time::Duration;

use cistern::demo::fake::{JobSpec, Options, PipelineSpec, RateLimit, World};
use cistern::domain::{JobId, ProjectId};
use serde_json::Value;

use crate::process::{Ended, Process, Server};
use crate::rig::Rig;

/// The token that manages webhooks.
const MANAGER: &str = "glpat-manager-0123456789";

/// A token that is put before the tests' own one.
const NEW_TOKEN: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn options() -> Options {
    let period = Duration::from_secs(1);
    let hook_calls = RateLimit { requests: 5, period };
    Options { hooks_token: Some(MANAGER.to_owned()), hook_calls, ..Options::default() }
}

/// Returns a GitLab with two projects, each with a job that ended, and the job of the first.
fn world() -> (World, [ProjectId; 2], JobId) {
    let mut world = World::new();
    let projects = ["group/app", "group/sub/lib"].map(|path| world.add_project(path));
    let jobs = projects.map(|project| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    (world, projects, jobs[0])
}

/// A service, and the rig with the settings that let its hooks be managed.
async fn serving(world: World, options: Options) -> (Rig, Server) {
    let rig = Rig::with(world, options).set("gitlab.hooks_token", MANAGER);
    let server = Server::start(&rig, "cistern.db").await;
    let url = format!("http://{}/", server.address());
    (rig.set("server.public_url", &url), server)
}

/// Runs `cistern hooks …` and returns its JSON and its exit code.
async fn hooks(rig: &Rig, arguments: &[&str]) -> (Value, i32) {
    let ended = run(rig, &[arguments, &["--output", "json"]].concat()).await;
    let answer = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("no JSON: {ended:?}"));
    (answer, ended.code.expect("an exit code"))
}

async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    let ended = Process::start(rig, "cistern.db", &[&["hooks"], arguments].concat()).ended().await;
    let shown = format!("{}{}", ended.stdout, ended.stderr);
    for secret in [MANAGER, NEW_TOKEN, crate::rig::SIGNING_TOKEN, rig.fake.token(), "panicked"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    ended
}

/// Returns one field of each element of an array.
fn column(answer: &Value, field: &str) -> Value {
    answer.as_array().expect("an array").iter().map(|row| row[field].clone()).collect()
}
