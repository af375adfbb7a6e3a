//! `retention.*`: how old cached things may become, and how much room they may take.

use std::time::Duration;

use super::keys::{
    RETENTION_ARTIFACTS, RETENTION_DOCUMENTS, RETENTION_LOGS, RETENTION_PROJECTS, RETENTION_REPORTS, RETENTION_SIZE,
};
use super::projects::Selection;
use super::reader::Reader;
use super::units::{Unfit, parse_duration, parse_size};
use crate::domain::{Ages, ProjectId};

/// How old cached things may become, and how much room they may take.
#[derive(Debug, Clone, Default)]
pub struct Retention {
    ages: Ages,
    /// `retention.size`: bytes of logs, archives and reports as they are stored, together.
    pub size: Option<u64>,
    /// `retention.projects`.
    rules: Vec<Rule>,
}

/// What holds for some projects instead.
#[derive(Debug, Clone)]
struct Rule {
    projects: Selection,
    kind: Kind,
    /// `None` is for ever.
    age: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Logs,
    Artifacts,
    Reports,
    Documents,
}

impl Retention {
    /// Returns the ages of a project's things: of each kind the first rule that fits, or what holds for all.
    pub fn ages(&self, id: ProjectId, path: &str) -> Ages {
        let mut ages = self.ages;
        // The first rule wins, so it is written last.
        for rule in self.rules.iter().rev().filter(|rule| rule.projects.matches(id, path)) {
            rule.write(&mut ages);
        }
        ages
    }

    /// Returns of each kind the shortest age that any project has.
    pub fn shortest(&self) -> Ages {
        self.rules.iter().fold(self.ages, |shortest, rule| {
            let mut ages = Ages::default();
            rule.write(&mut ages);
            shortest.shorter(ages)
        })
    }

    pub(super) fn read(reader: &mut Reader, since: Option<Duration>) -> Option<Self> {
        let logs = reader.optional(&RETENTION_LOGS, parse_age);
        let artifacts = reader.optional(&RETENTION_ARTIFACTS, parse_age);
        let reports = reader.optional(&RETENTION_REPORTS, parse_age);
        let documents = reader.optional(&RETENTION_DOCUMENTS, parse_age);
        let size = reader.optional(&RETENTION_SIZE, |text| match parse_size(text)? {
            0 => Err(Unfit::new("nothing would be kept", "write at least 1")),
            bytes => Ok(bytes),
        });
        let rules = reader.list(&RETENTION_PROJECTS, parse_rule);
        let ages = Ages { logs: logs?, artifacts: artifacts?, reports: reports?, documents: documents? };
        let retention = Self { ages, size: size?, rules: rules? };
        if let (Some(documents), Some(since)) = (retention.shortest().documents, since)
            && documents < since
        {
            let fix = "write at least as long a time, or set reconcile.since to less";
            let unfit = Unfit::new("pipelines this old would be removed and fetched again by each full pass", fix);
            reader.wrong(
                if ages.documents == Some(documents) { &RETENTION_DOCUMENTS } else { &RETENTION_PROJECTS },
                unfit,
            );
            return None;
        }
        Some(retention)
    }
}

impl Rule {
    fn write(&self, ages: &mut Ages) {
        match self.kind {
            Kind::Logs => ages.logs = self.age,
            Kind::Artifacts => ages.artifacts = self.age,
            Kind::Reports => ages.reports = self.age,
            Kind::Documents => ages.documents = self.age,
        }
    }
}

fn parse_age(text: &str) -> Result<Duration, Unfit> {
    match parse_duration(text)? {
        Duration::ZERO => Err(Unfit::new("nothing would be kept", "write a longer time, such as 90d")),
        age => Ok(age),
    }
}

fn parse_rule(text: &str) -> Result<Rule, Unfit> {
    const FIX: &str = "write PROJECT:KIND=AGE, such as group/**:logs=90d; kinds are logs, artifacts, reports, documents, and \
                       an age may be forever";
    let unfit = |problem: &str| Unfit::new(problem, FIX);
    let (projects, rest) = text.rsplit_once(':').ok_or_else(|| unfit("not a rule of retention"))?;
    let (kind, age) = rest.split_once('=').ok_or_else(|| unfit("a rule without an age"))?;
    let kind = match kind.trim() {
        "logs" => Kind::Logs,
        "artifacts" => Kind::Artifacts,
        "reports" => Kind::Reports,
        "documents" => Kind::Documents,
        _ => return Err(unfit("a rule of an unknown kind")),
    };
    let age = match age.trim() {
        "forever" => None,
        age => Some(parse_age(age)?),
    };
    Ok(Rule { projects: Selection::of_pattern(projects.trim())?, kind, age })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_first_rule_that_fits_wins_and_the_shortest_age_is_known() {
        let rules = ["7:logs=1d", "group/release/**:logs=forever", "group/**:logs=30d", "group/**:artifacts=2d"];
        let rules: Vec<Rule> = rules.iter().map(|rule| parse_rule(rule).expect("a rule")).collect();
        let ages = Ages { logs: Some(DAY * 90), ..Ages::default() };
        let retention = Retention { ages, size: None, rules };
        let logs = |id, path| retention.ages(ProjectId(id), path).logs;
        assert_eq!(logs(7, "group/release/x"), Some(DAY));
        assert_eq!(logs(8, "group/release/x"), None);
        assert_eq!(logs(8, "group/x"), Some(DAY * 30));
        assert_eq!(logs(8, "other/x"), Some(DAY * 90));
        assert_eq!(retention.ages(ProjectId(8), "group/x").artifacts, Some(DAY * 2));
        let shortest = Ages { logs: Some(DAY), artifacts: Some(DAY * 2), ..Ages::default() };
        assert_eq!(retention.shortest(), shortest);
    }

    #[test]
    fn a_rule_that_is_none_is_told() {
        for text in ["", "group/**", "group/**:logs", "group/**:log=3d", "group/**:logs=0", "group:logs=3d", ":logs=3d"]
        {
            assert!(parse_rule(text).is_err(), "{text}");
        }
    }
}
