//! One reader who asks for one thing after the other.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::child::Server;
use crate::load::{Answers, Load, Request};
use crate::seed::{FIRST_JOB, FIRST_PIPELINE, JOBS, PROJECTS, reference, sha};

/// How often each thing is asked for; the median counts.
const TIMES: usize = 101;

/// Asks until the service is ready.
pub(crate) fn ready(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    loop {
        let mut stream = TcpStream::connect(address)?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        std::thread::yield_now();
    }
}

/// Returns what each kind of read takes, in the order of the API's description.
pub(crate) fn measure(server: &Server, jobs: u64) -> Result<Vec<(&'static str, Duration)>, Box<dyn Error>> {
    let pipelines = jobs / JOBS;
    // In the middle of everything, and not one that was just written.
    let number = pipelines / 2;
    let (project, own) = (number % PROJECTS + 1, number / PROJECTS);
    let (pipeline, job) = (FIRST_PIPELINE + number, FIRST_JOB + number * JOBS);
    let rare = reference(own / 5 * 5 + 4).replace('/', "%2F");
    let sha = sha(number);
    let lists = format!("/api/v4/projects/{project}/pipelines");
    let of_jobs = format!("/api/v4/projects/{project}/jobs");
    let middle = own.div_ceil(2).max(1);
    let one = format!("/api/v4/projects/{project}/jobs/{job}");
    let cistern = format!("/api/cistern/v1/projects/{project}");
    let asked = [
        ("projects", "/api/v4/projects".to_owned()),
        ("a project by its path", format!("/api/v4/projects/group%2Fapp-{project}")),
        ("pipelines", lists.clone()),
        ("pipelines, 100 a page", format!("{lists}?per_page=100")),
        ("pipelines, oldest first", format!("{lists}?sort=asc")),
        ("pipelines, a page in the middle", format!("{lists}?per_page=1&page={middle}")),
        ("pipelines with a status", format!("{lists}?status=failed")),
        ("pipelines with a status that none has", format!("{lists}?status=preparing")),
        ("pipelines of scope finished", format!("{lists}?scope=finished")),
        ("pipelines of scope running, none", format!("{lists}?scope=running")),
        ("pipelines of scope branches", format!("{lists}?scope=branches")),
        ("pipelines of scope tags, none", format!("{lists}?scope=tags")),
        ("pipelines of the main branch", format!("{lists}?ref=main")),
        ("pipelines of another branch", format!("{lists}?ref={rare}")),
        ("pipelines of a ref that none has", format!("{lists}?ref=absent")),
        ("pipelines of a commit", format!("{lists}?sha={sha}")),
        ("pipelines of a source that none has", format!("{lists}?source=web")),
        ("pipelines with a name that none has", format!("{lists}?name=nightly")),
        ("pipelines by their last change", format!("{lists}?order_by=updated_at")),
        ("pipelines by status", format!("{lists}?order_by=status")),
        ("pipelines by ref", format!("{lists}?order_by=ref")),
        ("the latest pipeline", format!("{lists}/latest")),
        ("the latest pipeline of a branch", format!("{lists}/latest?ref={rare}")),
        ("a pipeline", format!("{lists}/{pipeline}")),
        ("its jobs", format!("{lists}/{pipeline}/jobs")),
        ("its failed jobs", format!("{lists}/{pipeline}/jobs?scope[]=failed")),
        ("its completeness", format!("{cistern}/pipelines/{pipeline}/completeness")),
        ("a project's jobs", of_jobs.clone()),
        ("a project's failed jobs", format!("{of_jobs}?scope[]=failed")),
        ("a project's jobs of a status that none has", format!("{of_jobs}?scope[]=running")),
        ("a project's jobs, a page in the middle", format!("{of_jobs}?per_page=20&page={middle}")),
        ("a project's jobs by key", format!("{of_jobs}?pagination=keyset&id_before={job}")),
        ("a job", one.clone()),
        ("its log", format!("{one}/trace")),
        ("a project's completeness", format!("{cistern}/completeness")),
    ];
    asked.into_iter().map(|(what, path)| Ok((what, median(server.address, what, &path)?))).collect()
}

fn median(address: SocketAddr, what: &str, path: &str) -> Result<Duration, Box<dyn Error>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let requests = (0..TIMES).map(|_| Request::new(request.clone().into(), Vec::new())).collect();
    let load = Load { address, connections: 1, answers: Answers::of(200) };
    let done = load.run(requests).map_err(|error| format!("{what}: {error}"))?;
    Ok(Duration::from_secs_f64(done.part_millis(50) / 1000.0))
}
