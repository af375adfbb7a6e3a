//! A pipeline's test report and its summary: what they are made of, what has to be asked, and when they are final (design, section
//! 4.4). Pure decisions, of GitLab's present answers and its clock alone, so that nobody's history shows in them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::{Eagerness, Job, JobId, JobPhase, Piece, Reason, ReportRecord, Schedule, Timestamp};

/// Whether a job delivered JUnit, as far as GitLab's documents of it told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Junit {
    /// It did not.
    None,
    /// It did; also after the file is gone.
    Delivered,
    /// It may have: nobody saw what it delivered before its artifacts expired or were erased. The summary tells.
    Hidden,
}

impl Junit {
    /// Returns what a job's document tells; `known` is whether the job had ended in the document before, and what that told.
    pub fn of(job: &Job, known: Option<(bool, Self)>) -> Self {
        let over = job.ended() && job.started_at.is_some() && (job.erased || job.is_past_expiry());
        match known {
            _ if job.junit => Self::Delivered,
            Some((_, Self::Delivered)) => Self::Delivered,
            Some((true, Self::None)) => Self::None,
            _ if over => Self::Hidden,
            _ => Self::None,
        }
    }
}

/// What a report depends on of one attempt of a job.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which job.
    pub id: JobId,
    /// Its name, which attempts share.
    pub name: Box<str>,
    /// What its status means.
    pub phase: JobPhase,
    /// Whether it delivered JUnit.
    pub junit: Junit,
    /// Whether GitLab lists the file, and so counts it in the report.
    pub listed: bool,
}

impl Attempt {
    /// Returns the attempt of a job as GitLab describes it now; `known` as in [`Junit::of`].
    pub fn of(job: &Job, known: Option<(bool, Junit)>) -> Self {
        let (id, name, phase) = (job.key.job, job.name.clone(), job.phase());
        Self { id, name, phase, junit: Junit::of(job, known), listed: job.junit }
    }
}

/// What a pipeline's report consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPlan {
    /// Of each name the latest attempt, if it delivered JUnit or may have, sorted.
    pub build_ids: Vec<JobId>,
    /// Those of which GitLab still lists the file.
    pub listed: Vec<JobId>,
}

/// What of a report has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportNeeds {
    /// The report, which is expensive for GitLab.
    pub report: bool,
    /// The summary.
    pub summary: bool,
}

impl ReportNeeds {
    /// Returns whether anything has to be asked.
    pub fn any(self) -> bool {
        self.report || self.summary
    }

    /// Returns what either needs.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { report: self.report || other.report, summary: self.summary || other.summary }
    }

    /// Returns how many calls that is.
    pub fn calls(self) -> u64 {
        u64::from(self.report) + u64::from(self.summary)
    }
}

impl ReportPlan {
    /// Plans the report of these attempts; one that the held report consists of counts as having delivered. `None` while one of the
    /// latest is active, because the report would be of an unfinished pipeline.
    pub fn of(blocked_or_ended: bool, held: &ReportRecord, attempts: &[Attempt]) -> Option<Self> {
        let mut latest: HashMap<&str, &Attempt> = HashMap::new();
        for attempt in attempts {
            let newest = latest.entry(&*attempt.name).or_insert(attempt);
            if attempt.id > newest.id {
                *newest = attempt;
            }
        }
        let lasts = |attempt: &&Attempt| match attempt.phase {
            JobPhase::Active => true,
            JobPhase::Created => !blocked_or_ended,
            _ => false,
        };
        if latest.values().any(lasts) {
            return None;
        }
        let counts = |attempt: &&&Attempt| attempt.junit != Junit::None || held.build_ids.contains(&attempt.id);
        let sorted = |mut ids: Vec<JobId>| {
            ids.sort_unstable();
            ids
        };
        Some(Self {
            build_ids: sorted(latest.values().filter(counts).map(|attempt| attempt.id).collect()),
            listed: sorted(latest.values().filter(|attempt| attempt.listed).map(|attempt| attempt.id).collect()),
        })
    }

    /// Returns what has to be asked, given what is held. Of files that GitLab no longer lists it makes no report: only the summary
    /// tells what they held.
    pub fn needs(&self, held: &ReportRecord, eagerness: Eagerness) -> ReportNeeds {
        if self.build_ids.is_empty() {
            return ReportNeeds::default();
        }
        let others = held.build_ids != self.build_ids;
        let wanted = |piece: Piece| match piece {
            Piece::Missing | Piece::Partial => true,
            Piece::Live => eagerness == Eagerness::Unsettled,
            Piece::Absent(Reason::Failed | Reason::NotFinished) => eagerness != Eagerness::Missing,
            Piece::Whole | Piece::Absent(_) => false,
        };
        let (report, summary) = (others || wanted(held.piece), others || wanted(held.summary_piece));
        let unlisted = self.listed.is_empty();
        ReportNeeds { report: report && !unlisted, summary: summary || (report && unlisted) }
    }

    /// Returns what GitLab refused to the token: it is asked only where that is done again on purpose.
    pub fn refused(&self, held: &ReportRecord) -> ReportNeeds {
        if self.build_ids.is_empty() {
            return ReportNeeds::default();
        }
        let (report, unlisted) = (held.piece.is_refused(), self.listed.is_empty());
        ReportNeeds { report: report && !unlisted, summary: held.summary_piece.is_refused() || (report && unlisted) }
    }
}

/// The counts of a report: GitLab's answer without its test cases.
#[derive(Debug, Clone, Deserialize)]
pub struct Counted {
    /// How many test cases it holds.
    pub total_count: u64,
    #[serde(default)]
    test_suites: Vec<CountedSuite>,
}

#[derive(Debug, Clone, Deserialize)]
struct CountedSuite {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    total_count: u64,
}

/// A summary, as far as a report is held against it.
#[derive(Debug, Clone, Deserialize)]
pub struct Summarized {
    total: Total,
    #[serde(default)]
    test_suites: Vec<SummarizedSuite>,
}

#[derive(Debug, Clone, Deserialize)]
struct Total {
    count: u64,
}

#[derive(Debug, Clone, Deserialize)]
struct SummarizedSuite {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    total_count: u64,
    #[serde(default)]
    build_ids: Vec<JobId>,
}

impl Counted {
    /// Returns whether no job delivered anything that GitLab still has.
    pub fn names_nothing(&self) -> bool {
        self.total_count == 0 && self.test_suites.is_empty()
    }
}

impl Summarized {
    /// Returns how many test cases there were.
    pub fn count(&self) -> u64 {
        self.total.count
    }

    /// Returns whether no job delivered anything.
    pub fn names_nothing(&self) -> bool {
        self.total.count == 0 && self.test_suites.is_empty()
    }

    /// Returns whether a report is what GitLab can still make of it: a suite whose files are all `listed` has all of its cases, the
    /// others have no more than that.
    pub fn explains(&self, report: &Counted, listed: &[JobId]) -> bool {
        let mut expected: BTreeMap<Option<&str>, (u64, bool)> = BTreeMap::new();
        for suite in &self.test_suites {
            let whole = suite.build_ids.iter().all(|id| listed.contains(id));
            let (count, all_whole) = expected.entry(suite.name.as_deref()).or_insert((0, true));
            *count += suite.total_count;
            *all_whole &= whole;
        }
        let mut found: BTreeMap<Option<&str>, u64> = BTreeMap::new();
        for suite in &report.test_suites {
            *found.entry(suite.name.as_deref()).or_default() += suite.total_count;
        }
        let known = found.keys().all(|name| expected.contains_key(name));
        let right = expected.iter().all(|(name, (count, whole))| {
            let found = found.get(name).copied().unwrap_or(0);
            if *whole { found == *count } else { found <= *count }
        });
        known && right
    }
}

/// Returns whether an answer that GitLab gave `at` this time is final, whatever it counts: the end of the last job was so long ago
/// that GitLab neither answers from its cache of before nor has results to write.
pub fn report_is_settled(at: Timestamp, last_end: Timestamp, schedule: &Schedule) -> bool {
    at.since(last_end) >= schedule.report_settles_after
}

/// Returns the wait before a report is asked for again that GitLab failed to make so many times: it is GitLab's most expensive
/// question.
pub fn report_retry(failures: u32, schedule: &Schedule) -> std::time::Duration {
    let grown = schedule.report_again.saturating_mul(4_u32.saturating_pow(failures.saturating_sub(1)));
    grown.min(schedule.report_daily)
}
