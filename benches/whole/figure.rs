//! Figures beside their ideals: as a table for people, as JSON for programs.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Older results may be of another program.
const RECENT: Duration = Duration::from_secs(3600);

/// One measured figure.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it would be if nothing were lost, where that can be said, and what that is.
    pub(crate) ideal: Option<(f64, String)>,
}

/// All figures, in order.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure that has an ideal.
    pub(crate) fn against(&mut self, name: &str, value: f64, unit: &'static str, ideal: f64, what: &str) {
        self.push(Figure { name: name.to_owned(), value, unit, ideal: Some((ideal, what.to_owned())) });
    }

    /// Adds a figure that has none.
    pub(crate) fn plain(&mut self, name: &str, value: f64, unit: &'static str) {
        self.push(Figure { name: name.to_owned(), value, unit, ideal: None });
    }

    /// Adds what the microbenchmarks of the parts found, if they ran within the hour before.
    pub(crate) fn add_parts(&mut self) {
        let Ok(directory) = fs::read_dir(target().join("criterion")) else { return };
        let mut parts: Vec<(String, f64)> = directory.filter_map(|entry| part(&entry.ok()?.path())).collect();
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, nanoseconds) in parts {
            self.plain(&name, nanoseconds / 1000.0, "µs");
        }
    }

    /// Writes the figures to `target/bench/figures.json` and the table to stdout.
    pub(crate) fn publish(&self, machine: &str) -> Result<(), Box<dyn Error>> {
        let directory = target().join("bench");
        fs::create_dir_all(&directory)?;
        let figures: Vec<Value> = self.0.iter().map(Figure::to_json).collect();
        let document = json!({ "machine": machine, "version": env!("CARGO_PKG_VERSION"), "figures": figures });
        fs::write(directory.join("figures.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        println!("\n| figure | measured | ideal | ratio |\n|---|---:|---:|---:|");
        for figure in &self.0 {
            println!("{}", figure.as_row());
        }
        println!("\nMeasured on {machine}.");
        Ok(())
    }

    fn push(&mut self, figure: Figure) {
        println!("{}", figure.as_row());
        self.0.push(figure);
    }
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.ideal.as_ref().filter(|(ideal, _)| *ideal != 0.0).map(|(ideal, _)| self.value / ideal)
    }

    fn as_row(&self) -> String {
        let Self { name, value, unit, ideal } = self;
        let value = number(*value);
        let (ideal, ratio) = match (ideal, self.ratio()) {
            (Some((ideal, what)), Some(ratio)) => (format!("{} ({what})", number(*ideal)), format!("{ratio:.3}")),
            (Some((ideal, what)), None) => (format!("{} ({what})", number(*ideal)), String::new()),
            (None, _) => (String::new(), String::new()),
        };
        format!("| {name} | {value} {unit} | {ideal} | {ratio} |")
    }

    fn to_json(&self) -> Value {
        let ideal = self.ideal.as_ref().map(|(ideal, what)| json!({ "value": ideal, "what": what }));
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "ideal": ideal, "ratio": self.ratio() })
    }
}

/// Returns the middle one of several measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Reads the median of a recent microbenchmark in nanoseconds.
fn part(directory: &Path) -> Option<(String, f64)> {
    let read = |file: &str| -> Option<Value> {
        serde_json::from_slice(&fs::read(directory.join("new").join(file)).ok()?).ok()
    };
    let name = read("benchmark.json")?.get("title")?.as_str()?.to_owned();
    let median = read("estimates.json")?.pointer("/median/point_estimate")?.as_f64()?;
    let age = fs::metadata(directory.join("new/estimates.json")).ok()?.modified().ok()?.elapsed().ok()?;
    (age < RECENT).then_some((name, median))
}

fn target() -> &'static Path {
    // The programs that cargo builds are in a directory of the target directory that is named after the profile.
    let program = Path::new(env!("CARGO_BIN_EXE_cistern"));
    program.parent().and_then(Path::parent).unwrap_or(Path::new("target"))
}

/// Writes a number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
