//! Runner logs: sections, ANSI colours, `\r` progress, non-ASCII text and, on request, a time stamp before each entry.
//!
//! A generated log has exactly the size asked for, whatever the job's status and dates, so that its size is known
//! without generating it.

use bytes::Bytes;

use super::runner::{Form, Runner, Stream};
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

    /// A plausible log of exactly `size_bytes` (at least 2 KiB); with `stamped` each entry begins with its time, for an even
    /// seed in the form of runners up to 19.0, else in that of later ones.
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
                writer.runner.text.into()
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

/// The one of them that goes to standard error.
const WARNING: usize = 3;

/// The least that is left for the line that fills the log up: more than the longest line with its stamps, and that line's own.
const SLACK: usize = 288;

struct Writer {
    runner: Runner,
    size: usize,
    random: fastrand::Rng,
    form: Form,
}

impl Writer {
    fn new(size: usize, seed: u64, stamped: bool, at: Timestamp) -> Self {
        let form = match (stamped, seed % 2) {
            (false, _) => Form::Plain,
            (true, 0) => Form::CutMarkers,
            (true, _) => Form::WholeMarkers,
        };
        Self { runner: Runner::new(form, seed, at, size), size, random: fastrand::Rng::with_seed(seed), form }
    }

    fn write(&mut self, run: Run<'_>) {
        let version = if self.form == Form::WholeMarkers { "19.1.0 (7a2c0e9f)" } else { "18.9.0 (0f67ff19)" };
        self.say(&format!("\x1b[0KRunning with gitlab-runner {version}\x1b[0;m\n"));
        self.say("\x1b[0K  on k8s-linux-large-3 Zk81pQ0a, system ID: r_Zk81pQ0aVhTx\x1b[0;m\n");
        self.section("prepare_executor", "Preparing the \"kubernetes\" executor", 1);
        self.section("get_sources", "Getting source from Git repository", 2);
        self.open("step_script", "Executing \"step_script\" stage of the job script");
        let command = format!("\x1b[32;1m$ ./ci/run \"{}\" --job {}\x1b[0;m\n", run.name, run.job_id);
        self.runner.write(Stream::Out, &command);
        let begun = self.runner.text.len();
        let mut ended = self.runner.clone();
        footer(&mut ended, run.failed);
        let footer_bytes = ended.text.len() - begun;
        while self.runner.text.len() + footer_bytes + SLACK < self.size {
            let line = self.random.usize(..LINES.len());
            self.random_line(if line == WARNING { Stream::Err } else { Stream::Out }, LINES[line]);
        }
        self.fill_to(self.size - footer_bytes);
        footer(&mut self.runner, run.failed);
    }

    fn section(&mut self, name: &str, title: &str, lines: usize) {
        self.open(name, title);
        for _ in 0..lines {
            self.random_line(Stream::Runner, LINES[2]);
        }
        self.say(&format!("section_end:{}:{name}\r\x1b[0K", self.runner.at.as_millis() / 1000));
    }

    fn open(&mut self, name: &str, title: &str) {
        let at = self.runner.at.as_millis() / 1000;
        self.say(&format!("section_start:{at}:{name}\r\x1b[0K"));
        self.say(&format!("\x1b[0K\x1b[36;1m{title}\x1b[0;m\x1b[0;m\n"));
    }

    fn say(&mut self, text: &str) {
        self.runner.write(Stream::Runner, text);
    }

    /// Writes a line, one state of a progress bar after the other.
    fn random_line(&mut self, stream: Stream, template: &str) {
        let (n, m) = (self.random.u32(100..1000), self.random.u32(1..10));
        let line = template.replace("{n}", &n.to_string()).replace("{m}", &m.to_string());
        line.split_inclusive('\r').for_each(|state| self.runner.write(stream, state));
    }

    /// Ends the body with one line of dots, so that the log has its exact size.
    fn fill_to(&mut self, size: usize) {
        let mut empty = self.runner.clone();
        empty.write(Stream::Out, "\n");
        let dots = size.saturating_sub(empty.text.len());
        self.runner.write(Stream::Out, &(".".repeat(dots) + "\n"));
    }
}

/// Writes the end of a log, as long whenever that is.
fn footer(runner: &mut Runner, failed: bool) {
    let verdict = if failed { "31;1mERROR: Job failed: exit code 1" } else { "32;1mJob succeeded" };
    runner.write(Stream::Runner, &format!("section_end:{}:step_script\r\x1b[0K", runner.at.as_millis() / 1000));
    runner.write(Stream::Runner, &format!("\x1b[{verdict}\n\x1b[0;m"));
    runner.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_log_has_exactly_the_size_asked_for() {
        for size in [2_048, 2_049, 4_096, 61_003, 262_144] {
            for (stamped, failed, seed) in [(false, false, 3), (true, true, 3), (true, false, 4)] {
                let started_at = Timestamp::from_millis(1_795_166_042_000);
                let run = Run { job_id: 7, name: "rspec 3/4", started_at, failed };
                let log = Log::generated(size, seed, stamped).render(run);
                assert_eq!(log.len(), size, "{stamped}, {seed}");
                let is_stamped = |line: &[u8]| line.get(26..30).is_some_and(|mark| matches!(mark, b"Z 00" | b"Z 01"));
                let mut lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                assert!(!stamped || lines.all(is_stamped));
            }
        }
    }
}
