//! The growth of a store as a table for people and as JSON for programs.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Reads are compared with those of a store of so many jobs.
const SMALL: u64 = 10_000;

/// How many times as long a read may take.
const AIM: f64 = 2.0;

/// Within which time a service has to be ready.
const START: Duration = Duration::from_millis(100);

/// What was measured at one size.
pub(crate) struct Step {
    pub(crate) jobs: u64,
    /// What one more job took.
    pub(crate) cost: Duration,
    /// From the start of the process to its being ready.
    pub(crate) start: Duration,
    pub(crate) reads: Vec<(&'static str, Duration)>,
    /// The most memory the service had.
    pub(crate) memory: u64,
}

/// A store at all its sizes.
pub(crate) struct Grown {
    pub(crate) store: &'static str,
    pub(crate) steps: Vec<Step>,
}

impl Grown {
    /// Adds a size and tells it at once.
    pub(crate) fn add(&mut self, step: Step) {
        let Step { jobs, cost, start, memory, .. } = &step;
        let (cost, start) = (cost.as_secs_f64() * 1e6, start.as_secs_f64() * 1e3);
        let memory = *memory as f64 / f64::from(1 << 20);
        println!("{}, {jobs} jobs: one more {cost:.0} µs, ready after {start:.0} ms, {memory:.0} MiB", self.store);
        self.steps.push(step);
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let micros = |time: Duration| format!("{:.0} µs", time.as_secs_f64() * 1e6);
        let row = |name: String, cell: &dyn Fn(&Step) -> String, last: String| {
            let mut row = vec![name];
            row.extend(self.steps.iter().map(cell));
            row.push(last);
            row
        };
        let worst = self.steps.iter().map(|step| step.start).max().unwrap_or_default();
        let start = if worst <= START { "pass" } else { "short" };
        let mut rows = vec![
            row("one more job".to_owned(), &|step| micros(step.cost), String::new()),
            row("from start to ready".to_owned(), &|step| format!("{} ms", step.start.as_millis()), start.to_owned()),
            row("peak memory".to_owned(), &|step| format!("{} MiB", step.memory >> 20), String::new()),
        ];
        for (at, (what, _)) in
            self.steps.first().map(|step| step.reads.as_slice()).unwrap_or_default().iter().enumerate()
        {
            let told = self
                .ratio(at)
                .map_or(String::new(), |ratio| format!("{ratio:.2} {}", if ratio <= AIM { "pass" } else { "short" }));
            rows.push(row((*what).to_owned(), &|step| micros(step.reads[at].1), told));
        }
        rows
    }

    /// Returns how many times as long a read takes in the largest store as in the small one.
    fn ratio(&self, read: usize) -> Option<f64> {
        let small = self.steps.iter().find(|step| step.jobs == SMALL)?;
        let large = self.steps.last().filter(|step| step.jobs > SMALL)?;
        Some(large.reads[read].1.as_secs_f64() / small.reads[read].1.as_secs_f64())
    }

    fn to_json(&self) -> Value {
        let step = |step: &Step| {
            let reads: serde_json::Map<String, Value> =
                step.reads.iter().map(|(what, time)| ((*what).to_owned(), json!(time.as_secs_f64()))).collect();
            json!({
                "jobs": step.jobs,
                "job_seconds": step.cost.as_secs_f64(),
                "start_seconds": step.start.as_secs_f64(),
                "memory_bytes": step.memory,
                "read_seconds": reads,
            })
        };
        json!({ "store": self.store, "steps": self.steps.iter().map(step).collect::<Vec<_>>() })
    }
}

/// Writes the table to stdout and all figures to `target/bench/growth.json`.
pub(crate) fn publish(grown: &[Grown]) -> Result<(), Box<dyn Error>> {
    // The programs that cargo builds are in a directory of the target directory that is named after the profile.
    let program = Path::new(env!("CARGO_BIN_EXE_cistern"));
    let directory = program.parent().and_then(Path::parent).unwrap_or(Path::new("target")).join("bench");
    fs::create_dir_all(&directory)?;
    let document: Vec<Value> = grown.iter().map(Grown::to_json).collect();
    fs::write(directory.join("growth.json"), serde_json::to_string_pretty(&document)? + "\n")?;
    for store in grown {
        let sizes: Vec<String> = store.steps.iter().map(|step| format!("{} jobs", step.jobs)).collect();
        println!("\n| {} | {} | against {SMALL} jobs |", store.store, sizes.join(" | "));
        println!("|---|{}---|", "---:|".repeat(sizes.len()));
        for row in store.rows() {
            println!("| {} |", row.join(" | "));
        }
    }
    Ok(())
}
