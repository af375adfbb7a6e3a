//! The program under test, as a process of its own: what it says, and what it used.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cistern::demo::fake::FakeGitlab;

/// GitLab's signing token for all measurements.
pub(crate) const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Between two looks at a process that is about to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The kernel counts processor time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process used until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Of all its threads, in the kernel too.
    pub(crate) cpu_seconds: f64,
    /// The memory it has now, and the most it had at one time (`VmRSS`, `VmHWM`).
    pub(crate) bytes: u64,
    pub(crate) peak_bytes: u64,
}

impl Usage {
    pub(crate) fn mebibytes(&self) -> f64 {
        self.bytes as f64 / f64::from(1 << 20)
    }

    pub(crate) fn peak_mebibytes(&self) -> f64 {
        self.peak_bytes as f64 / f64::from(1 << 20)
    }
}

/// The most memory that one of our processes had since somebody asked.
static PEAK_BYTES: AtomicU64 = AtomicU64::new(0);

/// Returns the most memory that one of the program's processes had at one time since the last call, in MiB.
pub(crate) fn take_peak_mebibytes() -> f64 {
    PEAK_BYTES.swap(0, Ordering::Relaxed) as f64 / f64::from(1 << 20)
}

/// A program that ended well.
#[derive(Debug)]
pub(crate) struct Ended {
    /// What it wrote to its standard output.
    pub(crate) answer: String,
    /// From the start of the process to its end.
    pub(crate) wall_seconds: f64,
    pub(crate) usage: Usage,
}

/// A backfill that ended.
#[derive(Debug)]
pub(crate) struct Backfill {
    /// Its closing summary, as `--output json` prints it.
    pub(crate) summary: serde_json::Value,
    /// From the start of the process to its end.
    pub(crate) wall_seconds: f64,
    pub(crate) usage: Usage,
}

/// Starts a `cistern backfill` that nobody listens to.
pub(crate) fn start_backfill(fake: &FakeGitlab, store: &str) -> std::io::Result<Child> {
    let mut program = program(fake, store);
    program.args(["backfill", "--since", "3650d"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Runs `cistern backfill` over a made-up GitLab to its end.
pub(crate) fn backfill(fake: &FakeGitlab, store: &str, arguments: &[&str]) -> Result<Backfill, Box<dyn Error>> {
    let mut program = program(fake, store);
    let program = program.args(["backfill", "--since", "3650d", "--output", "json"]).args(arguments);
    // A line for each unit: nobody reads them.
    let ended = run(program.stderr(Stdio::null()))?;
    PEAK_BYTES.fetch_max(ended.usage.peak_bytes, Ordering::Relaxed);
    let summary = serde_json::from_str(&ended.answer)?;
    Ok(Backfill { summary, wall_seconds: ended.wall_seconds, usage: ended.usage })
}

/// Runs `cistern stats` and returns what it says of everything stored.
pub(crate) fn stats(fake: &FakeGitlab, store: &str) -> Result<serde_json::Value, Box<dyn Error>> {
    let ended = run(program(fake, store).args(["stats", "--output", "json"]))?;
    Ok(serde_json::from_str(&ended.answer)?)
}

/// Runs a program to its end. What it answers has to fit into a pipe: 64 KiB.
pub(crate) fn run(program: &mut Command) -> Result<Ended, Box<dyn Error>> {
    let began = Instant::now();
    let child = program.stdout(Stdio::piped()).spawn()?;
    let usage = watch(&child);
    let wall_seconds = began.elapsed().as_secs_f64();
    let output = child.wait_with_output()?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(format!("{} ended with {}: {answer}", program.get_program().display(), output.status).into());
    }
    Ok(Ended { answer, wall_seconds, usage })
}

/// `cistern serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it listens.
    pub(crate) fn start(fake: &FakeGitlab, store: &str) -> Result<Self, Box<dyn Error>> {
        Self::start_with(fake, store, &[])
    }

    /// Starts it with further settings, each the name of its variable without `CISTERN_` and its value.
    pub(crate) fn start_with(
        fake: &FakeGitlab,
        store: &str,
        settings: &[(&str, &str)],
    ) -> Result<Self, Box<dyn Error>> {
        let mut child = program(fake, store)
            .args(["serve", "--server-listen", "127.0.0.1:0", "--server-admin-listen", "127.0.0.1:0"])
            // What is announced is not to be fetched while its acceptance is measured.
            .args(["--webhook-refresh", "1h", "--log-format", "json", "--log-level", "info"])
            .env("CISTERN_WEBHOOK_SIGNING_TOKENS", SIGNING_TOKEN)
            .envs(settings.iter().map(|(name, value)| (format!("CISTERN_{name}"), value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("stderr is piped")?).lines();
        let addresses = lines.by_ref().find_map(|line| addresses(&line.ok()?));
        // Read on, so that the program never waits for somebody to read its log.
        std::thread::Builder::new().name("log".to_owned()).spawn(move || lines.for_each(drop))?;
        match addresses {
            Some((address, admin_address)) => Ok(Self { child, address, admin_address }),
            None => Err(format!("cistern serve did not start: {}", child.wait()?).into()),
        }
    }

    pub(crate) fn usage(&self) -> Usage {
        usage(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        PEAK_BYTES.fetch_max(self.usage().peak_bytes, Ordering::Relaxed);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(fake: &FakeGitlab, store: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_cistern"));
    program
        .env_clear()
        .env("CISTERN_GITLAB_URL", fake.url())
        .env("CISTERN_GITLAB_TOKEN", fake.token())
        .env("CISTERN_STORE_URL", store)
        .stdin(Stdio::null());
    program
}

/// Returns where it listens, for everybody and for its operator, from the line that says so.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let address = |field: &str| line.get(field)?.as_str()?.parse().ok();
    Some((address("listen")?, address("admin.listen")?))
}

/// Waits until a process has ended but is not yet forgotten, and returns what it used.
fn watch(child: &Child) -> Usage {
    let mut used = Usage::default();
    loop {
        match usage(child.id()) {
            // The memory of an ended process is gone; its processor time is not.
            Some(now) => used = Usage { peak_bytes: now.peak_bytes.max(used.peak_bytes), ..now },
            None => return used,
        }
        if has_ended(child.id()) {
            return usage(child.id()).map_or(used, |now| Usage { peak_bytes: used.peak_bytes, ..now });
        }
        #[expect(clippy::disallowed_methods, reason = "there is nothing else to do on this thread")]
        std::thread::sleep(LOOK_EVERY);
    }
}

fn has_ended(process: u32) -> bool {
    stat(process).is_none_or(|fields| fields.first().is_none_or(|state| state == "Z"))
}

fn usage(process: u32) -> Option<Usage> {
    let fields = stat(process)?;
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let bytes = |name: &str| {
        let kib = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Some(Usage {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
        bytes: bytes("VmRSS:"),
        peak_bytes: bytes("VmHWM:"),
    })
}

/// Returns the fields of `/proc/PID/stat` from the state on: the name before it may hold spaces.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(text.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}
