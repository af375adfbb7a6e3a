//! The verbs by which people look after a cache, run as people run them: the real program, on both stores, alone and beside a
//! running `serve`.

mod absent;
mod forget;
mod masking;
mod prune;
mod readers;
mod stats;
mod unanswered;
mod verify;
mod work;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use cistern::demo::fake::{Archive, JobSpec, PipelineSpec, World};
use cistern::domain::{JobId, JobKey, PipelineId, ProjectId};
use serde_json::Value;

use crate::process::{Ended, Process};
use crate::rig::{Rig, on_both};

const STORE: &str = "cistern.db";

/// Runs a verb to its end.
async fn run(rig: &Rig, arguments: &[&str]) -> Ended {
    Process::start(rig, STORE, arguments).ended().await
}

/// Runs a verb that ends with this code; returns what it printed as JSON.
async fn json(rig: &Rig, code: i32, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    let ended = run(rig, &arguments).await;
    assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

/// A project with finished jobs, whose logs are archived.
fn finished(world: &mut World, path: &str, jobs: usize) -> (ProjectId, PipelineId, Vec<JobId>) {
    let project = world.add_project(path);
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let jobs = (0..jobs).map(|number| world.add_job(pipeline, JobSpec::new(&format!("unit {number}")))).collect();
    finish(world, &jobs);
    (project, pipeline, jobs)
}

fn finish(world: &mut World, jobs: &Vec<JobId>) {
    for job in jobs {
        world.start_job(*job);
        world.finish_job(*job, "success");
        world.archive_trace(*job);
    }
}

/// An archive that begins and ends as a zip does.
fn archive(content: impl IntoIterator<Item = u8>) -> Archive {
    let (start, end) = (*b"PK\x03\x04", *b"PK\x05\x06");
    Archive::bytes(start.into_iter().chain(content).chain(end).chain([0; 18]).collect::<Vec<u8>>())
}

fn key(project: ProjectId, job: JobId) -> JobKey {
    JobKey { project, job }
}

/// Returns with which status a path is answered, and for which reason nothing is there.
fn reason(address: SocketAddr, path: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let header = answer.lines().find_map(|line| line.strip_prefix("x-cistern-reason: "));
    (status, header.map(|reason| reason.trim().to_owned()))
}
