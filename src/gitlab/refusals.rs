//! Whether a 403 is about what was asked for, or about the token: GitLab refuses everything with 403 and JSON to a user who is
//! blocked, or has terms to accept (docs/gitlab.md).
//!
//! Guarantees that a refusal counts as one of the thing only after GitLab allowed, later than that, what it must allow to a token
//! that is good; that a project of which it refuses everything does not stop the others; and that where much is refused for good
//! ever fewer questions find that out. Pure: time is passed in. It decides and remembers; [`super::confirm`] asks.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::Kind;
use super::question::{OwnToken, Question};
use crate::domain::ProjectId;

/// The first pause when everything is refused; each further refusal doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause, as after a 401.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The most refusals of one project's things that are believed after one question: so many may be taken for what they are not
/// when the token is refused just then, until a full pass asks for them again.
const MOST_BELIEVED: u32 = 32;

/// How long they are.
const BELIEVED_FOR: Duration = Duration::from_secs(60);

/// How many projects are remembered. Forgetting one costs a question at most.
const MOST_PLACES: usize = 1000;

/// Why everything may be refused, where GitLab does not say.
const UNSAID: &str = "its user may be blocked or have terms to accept, or the licence may have ended";

/// What GitLab must allow to a token that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// To see a project that it has listed.
    Project(ProjectId),
    /// To see its own user.
    User,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// The thing.
    Thing,
    /// More than the thing, for this reason.
    More(Place, &'static str),
    /// Nobody knows yet.
    Unknown,
}

/// What is known of a token's refusals.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// Where everything is refused.
    outages: HashMap<Place, Outage>,
    /// When the last outage of a place ended: what was refused before tells nothing.
    over: HashMap<Place, Instant>,
    trust: HashMap<Place, Trust>,
    /// Of what a refusal is being looked into, as long as somebody does.
    suspected: Option<Place>,
    /// What GitLab last said about the token's user.
    words: Option<&'static str>,
}

#[derive(Debug, Clone, Copy)]
struct Outage {
    until: Instant,
    length: Duration,
    reason: &'static str,
}

/// Refusals that are believed because GitLab allowed what it must.
#[derive(Debug, Clone, Copy)]
struct Trust {
    /// When it was asked; what was refused before is believed whatever is left.
    asked: Instant,
    until: Instant,
    left: u32,
    size: u32,
}

impl Place {
    /// Returns what must be allowed to whom a question is; `None` when its refusal is judged by who asks.
    pub(super) fn of(question: &Question) -> Option<Self> {
        match question {
            Question::Projects(_) | Question::NewestProjects | Question::Project(_) | Question::ProjectByPath(_) => {
                Some(Self::User)
            }
            Question::AnyPipeline(project) | Question::LatestJobs(project) => Some(Self::Project(*project)),
            Question::Pipelines { project, .. } | Question::Latest { project, .. } => Some(Self::Project(*project)),
            Question::Pipeline(key) | Question::TestReport(key) | Question::TestReportSummary(key) => {
                Some(Self::Project(key.project))
            }
            Question::Jobs { key, .. } | Question::Bridges { key, .. } => Some(Self::Project(key.project)),
            Question::Job(key) | Question::Trace(key) | Question::Archive(key) => Some(Self::Project(key.project)),
            Question::About(_, OwnToken::Reading) => Some(Self::User),
            Question::User | Question::Passed | Question::About(_, OwnToken::Managing) | Question::Hook(_) => None,
        }
    }

    /// Returns the question whose answer tells.
    pub(super) fn question(self) -> Question {
        match self {
            Self::Project(project) => Question::Project(project),
            Self::User => Question::User,
        }
    }

    /// Returns what a question meets while everything of it is refused.
    pub(super) fn withheld(self, reason: &'static str) -> Kind {
        Kind::Withheld { everything: self == Self::User, reason }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Project(project) => write!(f, "project {project}"),
            Self::User => f.write_str("user"),
        }
    }
}

impl Refusals {
    /// Returns where a question's way is barred, and until when: everything is refused to the user, or of the project.
    pub(super) fn barred(&self, place: Place) -> Option<(Place, Instant, &'static str)> {
        let bar = |place: Place| self.outages.get(&place).map(|outage| (place, outage.until, outage.reason));
        bar(Place::User).or_else(|| bar(place))
    }

    /// Notes that it is being found out whether everything of a place is refused.
    pub(super) fn suspect(&mut self, place: Place) {
        self.suspected = Some(place);
    }

    /// Returns whether the refusal that was looked into last is one of this place, or of the user.
    pub(super) fn is_suspected(&self, place: Place) -> bool {
        self.suspected.is_some_and(|suspected| suspected == place || suspected == Place::User)
    }

    /// Judges a 403 that came at `refused`.
    pub(super) fn judge(&mut self, place: Place, refused: Instant, now: Instant) -> Belief {
        if let Some((place, _, reason)) = self.barred(place) {
            return Belief::More(place, reason);
        }
        if let Some(place) = [Place::User, place].into_iter().find(|place| self.over.get(place) >= Some(&refused)) {
            return Belief::More(place, self.reason(place));
        }
        match self.trust.get_mut(&place) {
            Some(trust) if refused <= trust.asked => Belief::Thing,
            Some(trust) if trust.left > 0 && now < trust.until => {
                trust.left -= 1;
                Belief::Thing
            }
            _ => Belief::Unknown,
        }
    }

    /// GitLab allowed what it must to a question that was sent at this time. Returns whether that ends an outage.
    pub(super) fn allowed(&mut self, place: Place, sent: Instant, now: Instant) -> bool {
        if self.outages.remove(&place).is_some() {
            if self.over.len() >= MOST_PLACES {
                self.over.clear();
            }
            self.over.insert(place, now);
            return true;
        }
        if self.trust.len() >= MOST_PLACES {
            self.trust.retain(|_, trust| now < trust.until);
            if self.trust.len() >= MOST_PLACES {
                self.trust.clear();
            }
        }
        let before = self.trust.get(&place).filter(|trust| now < trust.until).map_or(0, |trust| trust.size);
        let size = (before * 2).clamp(1, MOST_BELIEVED);
        self.trust.insert(place, Trust { asked: sent, until: now + BELIEVED_FOR, left: size, size });
        false
    }

    /// GitLab refused what it must allow. Returns whether that begins an outage. `spread` is from 0 to 1: replicas that see the
    /// same outage do not all ask again at the same time.
    pub(super) fn refused(&mut self, place: Place, now: Instant, spread: f64) -> bool {
        let known = self.outages.get(&place).map(|outage| outage.length);
        let length = known.map_or(FIRST_PAUSE, |length| (length * 2).min(LONGEST_PAUSE));
        let (until, reason) = (now + length.mul_f64(0.5 + spread / 2.0), self.reason(place));
        self.outages.insert(place, Outage { until, length, reason });
        self.trust.remove(&place);
        known.is_none()
    }

    /// Notes what GitLab says about the token's user beside a refusal, if it does.
    pub(super) fn heard(&mut self, words: Option<&'static str>) {
        self.words = words;
    }

    fn reason(&self, place: Place) -> &'static str {
        match place {
            Place::User => self.words.unwrap_or(UNSAID),
            Place::Project(_) => "also to see the project itself",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const A: Place = Place::Project(ProjectId(7));
    const B: Place = Place::Project(ProjectId(8));

    #[test]
    fn a_refusal_is_believed_only_after_what_must_be_allowed_was() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.judge(A, now, now), Belief::Unknown);
        assert!(!refusals.allowed(A, now + SECOND, now + SECOND));
        assert_eq!(refusals.judge(A, now, now + SECOND), Belief::Thing, "and all that were refused before");
        assert_eq!(refusals.judge(A, now + SECOND, now + SECOND), Belief::Thing);
        assert_eq!(refusals.judge(B, now, now + SECOND), Belief::Unknown, "another project tells nothing");
    }

    #[test]
    fn where_much_is_refused_for_good_ever_fewer_questions_find_out() {
        let (mut refusals, mut now) = (Refusals::default(), Instant::now());
        let mut asked = 0;
        for _ in 0..1000 {
            now += Duration::from_millis(10);
            if refusals.judge(A, now, now) == Belief::Unknown {
                asked += 1;
                refusals.allowed(A, now, now);
                assert_eq!(refusals.judge(A, now, now), Belief::Thing);
            }
        }
        assert_eq!(asked, 35, "1, 1, 2, 4, 8, 16 and then 32 at a time");
        assert_eq!(refusals.judge(A, now + BELIEVED_FOR, now + BELIEVED_FOR), Belief::Unknown, "not for ever");
    }

    #[test]
    fn in_an_outage_nothing_is_a_fact_nor_what_was_refused_before_its_end() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        refusals.heard(Some("its user is blocked"));
        assert!(refusals.refused(Place::User, now, 1.0) && !refusals.refused(Place::User, now + SECOND, 1.0));
        let more = Belief::More(Place::User, "its user is blocked");
        assert_eq!(refusals.judge(A, now, now), more);
        assert_eq!(refusals.barred(B), Some((Place::User, now + 3 * SECOND, "its user is blocked")));
        assert!(refusals.allowed(Place::User, now + 2 * SECOND, now + 3 * SECOND));
        assert_eq!(refusals.judge(A, now + 3 * SECOND, now + 4 * SECOND), more, "it was refused before the end");
        assert_eq!(refusals.judge(A, now + 5 * SECOND, now + 5 * SECOND), Belief::Unknown);
        assert_eq!(refusals.barred(A), None);
    }

    #[test]
    fn pauses_double_and_a_refused_project_stops_no_other() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600] {
            refusals.refused(A, now, 1.0);
            assert_eq!(refusals.barred(A).map(|(_, until, _)| until), Some(now + seconds * SECOND));
        }
        assert_eq!((refusals.barred(B), refusals.barred(Place::User)), (None, None));
        assert!(refusals.allowed(A, now, now));
        assert_eq!(refusals.barred(A), None);
    }

    #[test]
    fn no_more_is_remembered_than_fits() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for id in 0..3 * MOST_PLACES as u64 {
            let place = Place::Project(ProjectId(id));
            refusals.refused(place, now, 1.0);
            refusals.allowed(place, now, now);
            refusals.allowed(place, now, now);
            assert!(refusals.trust.len() <= MOST_PLACES && refusals.over.len() <= MOST_PLACES);
        }
    }
}
