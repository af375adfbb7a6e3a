//! What a person sees of a backfill: bars on a terminal, one line per unit elsewhere, on stderr; and how words reach a person
//! at all.

mod speak;
mod summary;

use std::fmt;
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{DecimalBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

pub use speak::{is_unsaid, say, tell};
pub use summary::Summary;

use crate::ingest::{Observer, Unit, UnitOutcome};
use crate::work::Target;

/// Counts units and shows them.
#[derive(Clone)]
pub struct Progress {
    view: View,
    counts: Arc<Counts>,
}

/// What was cached so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pipelines whose jobs were listed.
    pub pipelines: AtomicU64,
    /// Jobs of those pipelines.
    pub jobs: AtomicU64,
    /// Logs, archives and reports cached or found absent.
    pub pieces: AtomicU64,
    /// Bytes cached, uncompressed.
    pub bytes: AtomicU64,
    /// Units that could not be got, at some attempt.
    pub troubles: AtomicU64,
}

#[derive(Clone)]
enum View {
    Bars { bars: MultiProgress, pieces: ProgressBar, pipelines: ProgressBar },
    Lines,
    Silent,
}

impl Progress {
    /// Shows bars on a terminal and lines elsewhere.
    pub fn on_stderr() -> Self {
        if std::io::stderr().is_terminal() { Self::bars(MultiProgress::new()) } else { Self::of(View::Lines) }
    }

    /// Shows bars, on a terminal, from [`Self::begin`] on.
    pub fn bars(bars: MultiProgress) -> Self {
        let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let pipelines = bars.add(ProgressBar::new_spinner());
        pipelines.set_style(style("{spinner} {pos} pipelines listed{msg}"));
        let pieces = bars.add(ProgressBar::new(0));
        let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
            let _ = write!(text, "{:.0}/s", state.per_sec());
        };
        let template = "  [{bar:40.cyan/blue}] {pos}/{len} logs, archives and reports · {rate} · {eta} left";
        pieces.set_style(style(template).with_key("rate", rate));
        Self::of(View::Bars { bars, pieces, pipelines })
    }

    /// Shows the bars, before there is anything to count; until then nothing of them is on the screen.
    pub fn begin(&self) {
        if let View::Bars { pieces, pipelines, .. } = &self.view {
            pipelines.enable_steady_tick(Duration::from_millis(120));
            pieces.reset();
        }
    }

    /// Counts only.
    pub fn silent() -> Self {
        Self::of(View::Silent)
    }

    fn of(view: View) -> Self {
        Self { view, counts: Arc::default() }
    }

    /// Returns what was counted.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the bars, where log lines have to go around them.
    pub fn multi(&self) -> Option<MultiProgress> {
        match &self.view {
            View::Bars { bars, .. } => Some(bars.clone()),
            View::Lines | View::Silent => None,
        }
    }

    /// Returns what hears of every unit.
    pub fn observer(&self) -> Observer {
        let this = self.clone();
        Arc::new(move |unit| this.saw(unit))
    }

    /// Takes the bars away, for good: work that is still under way does not bring them back.
    pub fn finish(&self) {
        if let View::Bars { bars, pieces, pipelines } = &self.view {
            pieces.finish_and_clear();
            pipelines.finish_and_clear();
            let _ = bars.clear();
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    fn saw(&self, unit: &Unit) {
        let counts = &self.counts;
        match &unit.outcome {
            UnitOutcome::Listed { jobs, .. } => {
                counts.pipelines.fetch_add(1, Ordering::Relaxed);
                counts.jobs.fetch_add(*jobs, Ordering::Relaxed);
            }
            UnitOutcome::Cached { bytes, .. } => {
                counts.pieces.fetch_add(1, Ordering::Relaxed);
                counts.bytes.fetch_add(*bytes, Ordering::Relaxed);
            }
            UnitOutcome::Absent(_) => {
                counts.pieces.fetch_add(1, Ordering::Relaxed);
            }
            UnitOutcome::Failed(_) => {
                counts.troubles.fetch_add(1, Ordering::Relaxed);
            }
        }
        match &self.view {
            View::Silent => {}
            View::Lines => {
                if let Some(line) = line(unit) {
                    tell(line);
                }
            }
            View::Bars { bars, pieces, pipelines } => match &unit.outcome {
                UnitOutcome::Listed { pieces: needed, .. } => {
                    pipelines.inc(1);
                    pieces.inc_length(*needed);
                }
                UnitOutcome::Cached { .. } | UnitOutcome::Absent(_) => {
                    pieces.inc(1);
                    let bytes = DecimalBytes(counts.bytes.load(Ordering::Relaxed));
                    pipelines.set_message(format!(" · {} jobs · {bytes}", counts.jobs.load(Ordering::Relaxed)));
                }
                UnitOutcome::Failed(_) => {
                    if let Some(line) = line(unit) {
                        let _ = bars.println(line);
                    }
                }
            },
        }
    }
}

/// Returns a number of bytes in words: `18.20 kB`.
pub fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

/// Returns a unit as a line; a listed pipeline is shown by its jobs.
pub fn line(unit: &Unit) -> Option<String> {
    let what = match (unit.kind, unit.target) {
        ("report", _) => format!("tests of pipeline {}", unit.pipeline.pipeline),
        ("detail", _) => format!("document of pipeline {}", unit.pipeline.pipeline),
        ("bridges", _) => format!("trigger jobs of pipeline {}", unit.pipeline.pipeline),
        (kind, Target::Job(key)) => format!("{kind} of job {} ({})", key.job, unit.name),
        (kind, target) => format!("{kind} of {} {}", target.kind(), target.id()),
    };
    match &unit.outcome {
        UnitOutcome::Listed { .. } => None,
        UnitOutcome::Cached { count, .. } if unit.kind == "report" => Some(format!("✓ cached {what} ({count} tests)")),
        UnitOutcome::Cached { bytes, .. } => Some(format!("✓ cached {what}, {}", DecimalBytes(*bytes))),
        UnitOutcome::Absent(reason) => Some(format!("– no {what}: {}", reason.as_str())),
        UnitOutcome::Failed(problem) => Some(format!("✗ {what}: {problem}")),
    }
}
