//! Runner logs: sections, ANSI colours, `\r` progress, non-ASCII text and, on request, a time stamp before each line.
//!
//! A generated log has exactly the size asked for, whatever the job's status and dates, so that its size is known
//! without generating it.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;

use crate::domain::Timestamp;

/// The least size of a generated log in bytes: the frame that every runner writes, and one line.
const MIN_GENERATED_BYTES: usize = 2_048;

/// The log of one job.
#[derive(Debug, Clone)]
pub struct Log(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Literal(Bytes),
    Generated { size_bytes: usize, seed: u64, stamped: bool },
}

/// What a generated log says about the run it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) job_id: u64,
    pub(crate) name: &'a str,
    pub(crate) started_at: Timestamp,
    pub(crate) failed: bool,
}

impl Log {
    /// No log at all, as of a job that never ran.
    pub const fn none() -> Self {
        Self(Kind::Literal(Bytes::new()))
    }

    /// Exactly these bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Literal(bytes.into()))
    }

    /// A plausible log of exactly `size_bytes` (at least 2 KiB); with `stamped` each line begins with an ISO time.
    pub fn generated(size_bytes: usize, seed: u64, stamped: bool) -> Self {
        Self(Kind::Generated { size_bytes: size_bytes.max(MIN_GENERATED_BYTES), seed, stamped })
    }

    /// Returns the size in bytes of the whole log.
    pub fn size_bytes(&self) -> usize {
        match &self.0 {
            Kind::Literal(bytes) => bytes.len(),
            Kind::Generated { size_bytes, .. } => *size_bytes,
        }
    }

    /// Returns true for a log that is made from a seed; while its job runs, a third of it has been written.
    pub(crate) const fn is_generated(&self) -> bool {
        matches!(self.0, Kind::Generated { .. })
    }

    pub(crate) fn render(&self, run: Run<'_>) -> Bytes {
        match &self.0 {
            Kind::Literal(bytes) => bytes.clone(),
            Kind::Generated { size_bytes, seed, stamped } => {
                let mut writer = Writer::new(*size_bytes, *seed, *stamped, run.started_at);
                writer.write(run);
                writer.text.into()
            }
        }
    }
}

/// Lines that a build prints; `{n}` and `{m}` become numbers.
const LINES: [&str; 12] = [
    "   Compiling harbour-core v0.{n}.{m} (/builds/harbour/core/crates/core-{m})\n",
    "\x1b[32m    ✓\x1b[0m rounds slack water to the minute \x1b[90m({n} ms)\x1b[0m\n",
    "Downloading https://registry.ravenfield.example/packages/tide-{m}-{n}.tgz\n",
    "\x1b[33mwarning\x1b[0m: unused variable `depth_{m}` at src/ledger/entry.rs:{n}:9\n",
    "2026/11/20 worker {m}: processed {n} records, backlog empty, nothing to do for the next interval\n",
    "    at Object.<anonymous> (/builds/harbour/core/spec/slack_{m}.spec.ts:{n}:17)\n",
    "#{m} [build {m}/9] RUN apt-get install -y --no-install-recommends libtide-dev={n}.{m} \x1b[2mCACHED\x1b[22m\n",
    "Größe geprüft: {n} Dateien, {m} davon geändert, naïve façade — ok\n",
    "\x1b[36;1m[{m}/9]\x1b[0;m Linking target build/bin/tide_tests with {n} objects\n",
    "progress {m}0%\rprogress {m}5%\rprogress {m}9% of {n} chunks\n",
    "{\"level\":\"info\",\"step\":{m},\"records\":{n},\"msg\":\"ledger page written\"}\n",
    "\n",
];

struct Writer {
    text: Vec<u8>,
    size: usize,
    random: fastrand::Rng,
    stamped: bool,
    at: Timestamp,
}

impl Writer {
    fn new(size: usize, seed: u64, stamped: bool, at: Timestamp) -> Self {
        Self { text: Vec::with_capacity(size), size, random: fastrand::Rng::with_seed(seed), stamped, at }
    }

    fn write(&mut self, run: Run<'_>) {
        self.line("\x1b[0KRunning with gitlab-runner 18.9.0 (0f67ff19)\x1b[0;m\n");
        self.line("\x1b[0K  on k8s-linux-large-3 Zk81pQ0a, system ID: r_Zk81pQ0aVhTx\x1b[0;m\n");
        self.section("prepare_executor", "Preparing the \"kubernetes\" executor", 1);
        self.section("get_sources", "Getting source from Git repository", 2);
        self.open("step_script", "Executing \"step_script\" stage of the job script");
        self.line(&format!("\x1b[32;1m$ ./ci/run \"{}\" --job {}\x1b[0;m\n", run.name, run.job_id));
        let footer = self.footer(run.failed);
        // A time stamp's 32 bytes and the longest line must always fit, or the exact size would be missed.
        while self.text.len() + footer.len() + 192 < self.size {
            let line = LINES[self.random.usize(..LINES.len())];
            self.random_line(line);
        }
        self.pad_to(self.size - footer.len());
        self.text.extend_from_slice(&footer);
    }

    fn section(&mut self, name: &str, title: &str, lines: usize) {
        self.open(name, title);
        for _ in 0..lines {
            self.random_line(LINES[2]);
        }
        self.line(&format!("\x1b[0Ksection_end:{}:{name}\r\x1b[0K", self.at.as_millis() / 1000));
    }

    fn open(&mut self, name: &str, title: &str) {
        let at = self.at.as_millis() / 1000;
        self.line(&format!("\x1b[0Ksection_start:{at}:{name}\r\x1b[0K\x1b[0K\x1b[36;1m{title}\x1b[0;m\x1b[0;m\n"));
    }

    /// Appends one line, with its time before it when the log is stamped.
    fn line(&mut self, line: &str) {
        self.stamp();
        self.text.extend_from_slice(line.as_bytes());
    }

    fn random_line(&mut self, template: &str) {
        self.stamp();
        let (n, m) = (self.random.u32(100..1000), self.random.u32(1..10));
        let mut rest = template;
        while let Some(at) = rest.find("{n}").into_iter().chain(rest.find("{m}")).min() {
            let (before, after) = rest.split_at(at);
            self.text.extend_from_slice(before.as_bytes());
            let number = if after.starts_with("{n}") { n } else { m };
            // Writing into a vector cannot fail.
            let _ = write!(self.text, "{number}");
            rest = after.get(3..).unwrap_or_default();
        }
        self.text.extend_from_slice(rest.as_bytes());
    }

    fn stamp(&mut self) {
        if self.stamped {
            self.at = self.at.plus(Duration::from_millis(self.random.u64(1..40)));
            let shown = self.at.to_string();
            // The runner writes microseconds; GitLab's dates have milliseconds.
            let _ = write!(self.text, "{}000Z 00O ", shown.trim_end_matches('Z'));
        }
    }

    /// The end of the log, as a text of its own because its size must be known before the rest is written.
    fn footer(&self, failed: bool) -> Vec<u8> {
        let at = self.at.as_millis() / 1000;
        let verdict = if failed { "31;1mERROR: Job failed: exit code 1" } else { "32;1mJob succeeded" };
        format!("\x1b[0Ksection_end:{at}:step_script\r\x1b[0K\x1b[{verdict}\n\x1b[0;m").into_bytes()
    }

    /// Ends the body with one line of dots, so that the log has its exact size.
    fn pad_to(&mut self, size: usize) {
        self.text.resize(size.saturating_sub(1), b'.');
        self.text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_log_has_exactly_the_size_asked_for() {
        for size in [2_048, 2_049, 4_096, 61_003, 262_144] {
            for (stamped, failed) in [(false, false), (true, true)] {
                let started_at = Timestamp::from_millis(1_795_166_042_000);
                let run = Run { job_id: 7, name: "rspec 3/4", started_at, failed };
                assert_eq!(Log::generated(size, 3, stamped).render(run).len(), size, "{stamped}");
            }
        }
    }
}
