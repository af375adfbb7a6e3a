//! Figures beside their ideals: as a table for people, as JSON for programs.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// Older results may be of another program.
const RECENT: Duration = Duration::from_secs(3600);

/// What a figure, or its ratio to the ideal, is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
    RatioAtMost(f64),
}

/// One measured figure.
#[derive(Debug)]
pub(crate) struct Figure {
    /// One that begins with `…` goes on with the subject of those before it.
    name: String,
    /// `NaN` when it could not be measured: the ideal's words then say why.
    value: f64,
    unit: &'static str,
    /// What it would be if nothing were lost, where that can be said, and what that is.
    ideal: Option<(f64, String)>,
    aim: Option<Aim>,
}

/// All figures, in order.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    all: Vec<Figure>,
    /// How many of them are on the terminal.
    shown: usize,
}

impl Figures {
    /// Adds a figure that has an ideal.
    pub(crate) fn against(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        ideal: f64,
        what: &str,
    ) -> &mut Figure {
        self.push(Figure { name: name.to_owned(), value, unit, ideal: Some((ideal, what.to_owned())), aim: None })
    }

    /// Adds a figure that has none.
    pub(crate) fn plain(&mut self, name: &str, value: f64, unit: &'static str) -> &mut Figure {
        self.push(Figure { name: name.to_owned(), value, unit, ideal: None, aim: None })
    }

    /// Adds a figure that cannot be had here, and why.
    pub(crate) fn absent(&mut self, name: &str, why: &str) -> &mut Figure {
        self.against(name, f64::NAN, "", f64::NAN, why)
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

    /// Prints the rows that were not printed yet.
    pub(crate) fn show(&mut self) {
        for figure in self.all.iter().skip(self.shown) {
            println!("{}", figure.as_row());
        }
        self.shown = self.all.len();
    }

    /// Writes the figures to `target/bench/figures.json`, and to stdout the table and which aims were not reached.
    pub(crate) fn publish(&self, machine: &str) -> Result<(), Box<dyn Error>> {
        let directory = target().join("bench");
        fs::create_dir_all(&directory)?;
        let mut subject = "";
        let figures: Vec<Value> = self.all.iter().map(|figure| figure.to_json(figure.subject(&mut subject))).collect();
        let document = json!({ "machine": machine, "version": env!("CARGO_PKG_VERSION"), "figures": figures });
        fs::write(directory.join("figures.json"), serde_json::to_string_pretty(&document)? + "\n")?;
        println!("\n| figure | measured | ideal | ratio | aim |\n|---|---:|---:|---:|---|");
        for figure in &self.all {
            println!("{}", figure.as_row());
        }
        println!("\nMeasured on {machine}.\n{}", self.verdict());
        Ok(())
    }

    /// Says how many aims were reached of how many, and which were not.
    fn verdict(&self) -> String {
        let (mut aims, mut short, mut subject) = (0, Vec::new(), "");
        for figure in &self.all {
            figure.subject(&mut subject);
            let Some((aim, reached)) = figure.aim.zip(figure.reached()) else { continue };
            aims += 1;
            if !reached {
                let of = if figure.name == subject { String::new() } else { format!("{subject} ") };
                let is = match (aim, figure.ratio()) {
                    (Aim::RatioAtMost(_), Some(ratio)) => format!("{ratio:.3} × ideal"),
                    _ => format!("{} {}", number(figure.value), figure.unit),
                };
                short.push(format!("{of}{} ({is}, aim {aim})", figure.name));
            }
        }
        let reached = aims - short.len();
        let which = if short.is_empty() { String::new() } else { format!("; short: {}", short.join("; ")) };
        format!("{reached} of {aims} aims reached{which}.")
    }

    fn push(&mut self, figure: Figure) -> &mut Figure {
        self.all.push(figure);
        let last = self.all.len() - 1;
        &mut self.all[last]
    }
}

impl Figure {
    /// Says what it is to be.
    pub(crate) fn aim(&mut self, aim: Aim) {
        self.aim = Some(aim);
    }

    fn ratio(&self) -> Option<f64> {
        self.ideal.as_ref().filter(|(ideal, _)| *ideal != 0.0).map(|(ideal, _)| self.value / ideal)
    }

    /// Returns whether the aim is reached, if there is one; what could not be measured reaches none.
    fn reached(&self) -> Option<bool> {
        Some(match self.aim? {
            Aim::AtMost(most) => self.value <= most,
            Aim::AtLeast(least) => self.value >= least,
            Aim::RatioAtMost(most) => self.ratio().is_some_and(|ratio| ratio <= most),
        })
    }

    fn as_row(&self) -> String {
        let Self { name, value, unit, ideal, aim } = self;
        let ideal = match ideal {
            Some((ideal, what)) if ideal.is_nan() => what.clone(),
            Some((ideal, what)) => format!("{} ({what})", number(*ideal)),
            None => String::new(),
        };
        let ratio = self.ratio().filter(|ratio| !ratio.is_nan()).map_or(String::new(), |ratio| format!("{ratio:.3}"));
        let aim = aim
            .zip(self.reached())
            .map_or(String::new(), |(aim, reached)| format!("{} ({aim})", if reached { "pass" } else { "short" }));
        format!("| {name} | {} {unit} | {ideal} | {ratio} | {aim} |", number(*value))
    }

    /// Returns what the figure is of: its own name, or the one before it that those beginning with `…` go on with.
    fn subject<'a>(&'a self, last: &mut &'a str) -> &'a str {
        if !self.name.starts_with('…') {
            *last = &self.name;
        }
        last
    }

    fn to_json(&self, subject: &str) -> Value {
        let ideal = self.ideal.as_ref().map(|(ideal, what)| json!({ "value": ideal, "what": what }));
        let aim = self.aim.map(|aim| aim.to_string());
        json!({
            "subject": subject, "name": self.name, "value": self.value, "unit": self.unit, "ideal": ideal, "ratio": self.ratio(),
            "aim": aim, "reached": self.reached(),
        })
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(text, "≤ {}", number(*most)),
            Self::AtLeast(least) => write!(text, "≥ {}", number(*least)),
            Self::RatioAtMost(most) => write!(text, "≤ {} × ideal", number(*most)),
        }
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

pub(crate) fn target() -> &'static Path {
    // The programs that cargo builds are in a directory of the target directory that is named after the profile.
    let program = Path::new(env!("CARGO_BIN_EXE_cistern"));
    program.parent().and_then(Path::parent).unwrap_or(Path::new("target"))
}

/// Writes a number with as many digits as it deserves.
fn number(value: f64) -> String {
    match value.abs() {
        size if size.is_nan() => "–".to_owned(),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
