//! What a job's JUnit file holds, as GitLab has parsed it.

use serde_json::{Value, json};

/// One test case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Test name; GitLab writes `(No name)` for a missing one.
    pub name: String,
    /// Class or module.
    pub classname: String,
    /// `success`, `failed`, `skipped` or `error`.
    pub status: String,
    /// How long it took.
    pub seconds: f64,
    /// Text, object, array or null: GitLab gives what the XML parser made of the element.
    pub system_output: Value,
}

/// The results of one job.
#[derive(Debug, Clone)]
pub struct Junit(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Cases(Vec<Case>),
    Broken(String),
    Generated { count: u32, failed: u32, seed: u64 },
}

impl Junit {
    /// Exactly these cases.
    pub const fn cases(cases: Vec<Case>) -> Self {
        Self(Kind::Cases(cases))
    }

    /// A file that GitLab could not parse: the suite has this error and no cases.
    pub fn broken(error: &str) -> Self {
        Self(Kind::Broken(error.to_owned()))
    }

    /// `count` cases of which `failed` failed, some skipped; the same for the same seed.
    pub const fn generated(count: u32, failed: u32, seed: u64) -> Self {
        Self(Kind::Generated { count, failed, seed })
    }

    pub(crate) fn error(&self) -> Option<&str> {
        match &self.0 {
            Kind::Broken(error) => Some(error),
            _ => None,
        }
    }

    /// Returns a plausible size of the compressed file, as `artifacts[]` lists it.
    pub(crate) fn listed_bytes(&self) -> usize {
        match &self.0 {
            Kind::Cases(cases) => 120 + 40 * cases.len(),
            Kind::Broken(_) => 20,
            Kind::Generated { count, .. } => 120 + 40 * usize::try_from(*count).unwrap_or(0),
        }
    }

    pub(crate) fn render(&self) -> Vec<Case> {
        match &self.0 {
            Kind::Cases(cases) => cases.clone(),
            Kind::Broken(_) => Vec::new(),
            Kind::Generated { count, failed, seed } => generate(*count, *failed, *seed),
        }
    }
}

fn generate(count: u32, failed: u32, seed: u64) -> Vec<Case> {
    const UNITS: [&str; 6] = ["slack", "ledger", "tide", "buoy", "größe", "harbour"];
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|number| {
            let unit = UNITS[random.usize(..UNITS.len())];
            let (status, system_output) = match number {
                n if n < failed && n % 4 == 3 => ("error", json!("TimeoutError: page did not load")),
                n if n < failed => {
                    ("failed", json!(format!("expected: {n}\n     got: {}\n# ./spec/{unit}_spec.rb", n + 1)))
                }
                n if n % 17 == 16 => ("skipped", json!({"message": "pending ticket 77"})),
                _ => ("success", Value::Null),
            };
            let seconds = f64::from(random.u32(1..4_000)) / 10_000.0;
            Case {
                name: format!("{unit}#round case {number:03}"),
                classname: format!("spec.lib.{unit}_spec"),
                status: status.to_owned(),
                seconds,
                system_output,
            }
        })
        .collect()
}
