//! The kinds of call, as metrics and per-endpoint limits know them.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// A kind of call. A closed set: it is a metric label and an index into the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    User,
    Projects,
    Project,
    Pipelines,
    Pipeline,
    Jobs,
    Job,
    Trace,
    Archive,
    /// A hop to another origin, where a log or archive is kept.
    Storage,
    Bridges,
    TestReport,
    TestReportSummary,
    /// What a reader asked and we have no answer to.
    Passed,
    /// Version and token.
    About,
    Hooks,
    HookDeliveries,
    HookChange,
    HookTest,
    HookResend,
}

impl Endpoint {
    /// How many there are.
    pub(super) const COUNT: usize = Self::HookResend as usize + 1;

    /// Returns the word that metrics use.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Projects => "projects",
            Self::Project => "project",
            Self::Pipelines => "pipelines",
            Self::Pipeline => "pipeline",
            Self::Jobs => "jobs",
            Self::Job => "job",
            Self::Trace => "trace",
            Self::Archive => "archive",
            Self::Storage => "storage",
            Self::Bridges => "bridges",
            Self::TestReport => "test_report",
            Self::TestReportSummary => "test_report_summary",
            Self::Passed => "passed",
            Self::About => "about",
            Self::Hooks => "hooks",
            Self::HookDeliveries => "hook_deliveries",
            Self::HookChange => "hook_change",
            Self::HookTest => "hook_test",
            Self::HookResend => "hook_resend",
        }
    }

    /// Whether its answers are so large, or their readers may be so slow, that they may use only half of the permits.
    pub(super) fn is_bulk(self) -> bool {
        matches!(self, Self::Archive | Self::Passed)
    }

    /// Whether its answer is a file that GitLab may keep elsewhere and redirect to (contract, sections 5.6 and 5.7).
    pub(super) fn is_file(self) -> bool {
        matches!(self, Self::Trace | Self::Archive)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EncodeLabelValue for Endpoint {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}
