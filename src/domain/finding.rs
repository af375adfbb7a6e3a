//! What a check of the surroundings found, and what to do about it.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// It could not be looked at.
    Unknown,
    /// Works, but somebody should know.
    Warning,
    /// Cistern cannot work like this.
    Problem,
}

/// One thing that was looked at. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at: `configuration`, `gitlab`, `token`, `clock`, `roles`, `hooks`, `store`.
    pub subject: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, as a sentence that also says what to do where something is to be done.
    pub text: String,
}

impl Finding {
    /// Returns that something is as it should be.
    pub fn fine(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Fine, text: text.into() }
    }

    /// Returns that something could not be looked at, and why.
    pub fn unknown(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Unknown, text: text.into() }
    }

    /// Returns that something works but should be known.
    pub fn warning(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Warning, text: text.into() }
    }

    /// Returns that something has to be mended.
    pub fn problem(subject: &'static str, text: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Problem, text: text.into() }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = match self.verdict {
            Verdict::Fine => '✓',
            Verdict::Unknown => '?',
            Verdict::Warning => '!',
            Verdict::Problem => '✗',
        };
        write!(f, "{mark} {}: {}", self.subject, self.text)
    }
}

/// Writes a number of bytes in the unit that suits it: `18.2 kB`.
pub fn in_bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = bytes as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if bytes < 1000 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
