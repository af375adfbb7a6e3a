//! The real program as a child process: its exit codes, its signals, its two streams, and its death.

mod backfill;
mod descriptors;
mod disk;
mod killed;
mod moved;
mod reading;
mod refusals;
mod rotation;
mod stopping;
mod unread;

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use cistern::config::keys;
use cistern::demo::fake::Delivery;
use cistern::domain::JobKey;
use cistern::loopback::{self, Answer};
use serde_json::Value;

use crate::rig::eventually;
use crate::rig::{Rig, until};

/// A running `cistern`; killed when the test drops it.
pub(crate) struct Process {
    child: Mutex<Child>,
    stdout: Stream,
    stderr: Stream,
    readers: Vec<JoinHandle<()>>,
}

/// What a process has written so far.
#[derive(Clone, Default)]
struct Stream(Arc<Mutex<String>>);

impl Stream {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, mut source: impl Read + Send + 'static) -> JoinHandle<()> {
        let stream = self.clone();
        let reads = move || {
            let mut buffer = [0; 4096];
            let mut rest = Vec::new();
            while let Ok(read @ 1..) = source.read(&mut buffer) {
                rest.extend_from_slice(&buffer[..read]);
                // A character may be cut in two by the pipe.
                let whole = std::str::from_utf8(&rest).map_or_else(|error| error.valid_up_to(), str::len);
                stream.text().push_str(std::str::from_utf8(&rest[..whole]).expect("checked"));
                rest.drain(..whole);
            }
        };
        std::thread::Builder::new().name("output".to_owned()).spawn(reads).expect("a thread")
    }
}

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` when a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts a verb with the rig's settings in its environment, and nothing else there.
    pub(crate) fn start(rig: &Rig, store: &str, arguments: &[&str]) -> Self {
        Self::spawn(rig, store, Command::new(env!("CARGO_BIN_EXE_cistern")).args(arguments))
    }

    /// As [`Self::start`], with variables that are no settings.
    pub(crate) fn start_with(rig: &Rig, store: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let script = r#"while [ "$1" != -- ]; do export "$1"; shift; done; shift; exec "$@""#;
        let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).args(variables).args(["--", env!("CARGO_BIN_EXE_cistern")]);
        Self::spawn(rig, store, command.args(arguments))
    }

    /// As [`Self::start`], but a write beyond a limit of `prlimit` is an error of the write and not a signal.
    pub(crate) fn start_limitable(rig: &Rig, store: &str, arguments: &[&str]) -> Self {
        Self::start_after(rig, store, r#"trap "" XFSZ"#, arguments)
    }

    /// As [`Self::start`], after a shell command that prepares the process.
    pub(crate) fn start_after(rig: &Rig, store: &str, preparation: &str, arguments: &[&str]) -> Self {
        let script = format!(r#"{preparation}; exec "$0" "$@""#);
        Self::spawn(rig, store, Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_cistern")]).args(arguments))
    }

    fn spawn(rig: &Rig, store: &str, command: &mut Command) -> Self {
        let settings = rig.values(store).into_iter().map(|(key, value)| (keys::variable(&key), value));
        let mut child = command
            .env_clear()
            .envs(settings)
            .current_dir(rig.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let (stdout, stderr) = (Stream::default(), Stream::default());
        let readers = vec![
            stdout.follow(child.stdout.take().expect("a pipe")),
            stderr.follow(child.stderr.take().expect("a pipe")),
        ];
        Self { child: Mutex::new(child), stdout, stderr, readers }
    }

    /// Waits until `serve` says where it listens.
    pub(crate) async fn serving(self) -> Server {
        let found = || {
            assert!(self.is_running(), "it ended: {}", self.stderr.text());
            let text = self.stderr.text();
            let line = text.lines().find(|line| line.contains(r#""message":"serving""#))?;
            let line: Value = serde_json::from_str(line).ok()?;
            let address = |field: &str| line[field].as_str()?.parse().ok();
            Some((address("listen")?, address("admin.listen")?))
        };
        until(|| found().is_some()).await;
        let (main, admin) = found().expect("it was there a moment ago");
        Server { main, admin, process: self }
    }

    /// Sends a signal by its name, for instance `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        self.command("kill", &[&format!("-{name}")], &[]);
    }

    /// Limits how long its files may become from now on; `unlimited` makes room again.
    pub(crate) fn limit_files(&self, limit: &str) {
        self.command("prlimit", &["--pid"], &[&format!("--fsize={limit}:")]);
    }

    /// Returns the most memory that it had so far, in KiB; `None` once it has ended.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child().id())).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().trim_end_matches(" kB").parse().ok()
    }

    fn command(&self, program: &str, before: &[&str], after: &[&str]) {
        let id = self.child().id().to_string();
        let status = Command::new(program).args(before).arg(id).args(after).status().expect("a command");
        assert!(status.success(), "{program}");
    }

    /// Ends it as a crash does, and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Returns what it has written to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.text().clone()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child().try_wait().expect("a status").is_none()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Ended {
        until(|| !self.is_running()).await;
        let code = self.child().wait().expect("a status").code();
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader");
        }
        Ended { code, stdout: self.stdout.text().clone(), stderr: self.log() }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A `cistern serve` that listens.
pub(crate) struct Server {
    pub(crate) process: Process,
    main: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    pub(crate) async fn start(rig: &Rig, store: &str) -> Self {
        Process::start(rig, store, &["serve"]).serving().await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.main
    }

    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Answer {
        deliver(self.main, delivery).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        loopback::send(self.main, "GET", path, &[], b"").await.expect("an answer")
    }

    /// Returns what `/readyz` tells; it is 200 through every outage.
    pub(crate) async fn ready(&self) -> Value {
        let answer = self.get("/readyz").await;
        assert_eq!(answer.status, 200);
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    pub(crate) async fn metrics(&self) -> String {
        let answer = loopback::send(self.admin, "GET", "/metrics", &[], b"").await.expect("an answer");
        String::from_utf8(answer.body).expect("text")
    }

    pub(crate) async fn status(&self) -> Value {
        let answer = loopback::send(self.admin, "GET", "/status", &[], b"").await.expect("an answer");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Waits until a path of the main listener answers with this status.
    pub(crate) async fn until_answers(&self, path: &str, status: u16) {
        eventually(async || self.get(path).await.status == status).await;
    }

    /// Returns the job's log as a reader gets it, or the error that says why not.
    pub(crate) async fn log_of(&self, job: JobKey) -> Vec<u8> {
        self.get(&format!("/api/v4/projects/{}/jobs/{}/trace", job.project, job.job)).await.body
    }

    /// Waits until a reader gets the job's log, all that GitLab has of it.
    pub(crate) async fn until_cached(&self, rig: &Rig, job: JobKey) {
        let whole = rig.fake.with(|world| world.trace(job.job)).expect("a log");
        assert!(!whole.is_empty(), "an empty log proves nothing");
        // Where the job is not known the body is an error.
        eventually(async || self.log_of(job).await == whole).await;
    }

    /// Waits until the webhooks were looked at, which happens at start and every hour.
    pub(crate) async fn until_hooks_seen(&self) {
        eventually(async || self.metrics().await.contains("cistern_webhook_hooks{")).await;
    }

    /// Waits until the pass at start has ended well.
    pub(crate) async fn until_swept(&self) {
        eventually(async || !self.status().await["reconcile"]["last_success"].is_null()).await;
    }
}

/// Sends a delivery as GitLab does, to a service that may die meanwhile.
pub(crate) async fn deliver(address: SocketAddr, delivery: &Delivery) -> std::io::Result<Answer> {
    let headers: Vec<_> = delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    loopback::send(address, "POST", "/webhooks/gitlab", &headers, &delivery.body()).await
}

/// Returns the outcome word of an answer to a delivery.
pub(crate) fn outcome(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).expect("JSON");
    body["outcome"].as_str().expect("an outcome").to_owned()
}
