//! Finding out what a 403 is about: one question at a time, about what GitLab must allow to a token that is good.
//!
//! Guarantees that a [`Kind::Forbidden`] that leaves here is about what was asked for, and that while everything is refused only
//! this question is sent, after ever longer pauses.

use reqwest::Response;
use tokio::time::Instant;

use super::http::{Asker, Http};
use super::permits::Permit;
use super::question::Question;
use super::refusals::{Belief, Place};
use super::{Class, Kind};
use crate::domain::Timestamp;

impl Http {
    /// Answers a question; of a refusal of ours it is found out first whether it is about the question.
    pub(super) async fn answer_or_confirm(
        &self,
        class: Class,
        question: &Question,
        asker: Asker<'_>,
    ) -> Result<(Response, Permit, Timestamp), Kind> {
        let ours = matches!(asker, Asker::Reading);
        if ours {
            self.pass_refusals(class, question).await?;
        }
        match self.answer(class, question, asker).await {
            Err(Kind::Forbidden) if ours => Err(self.confirm(class, question, Instant::now()).await),
            answer => answer,
        }
    }

    /// Lets a question pass, unless everything of it is refused; where it is time to find out whether that is over, does so.
    async fn pass_refusals(&self, class: Class, question: &Question) -> Result<(), Kind> {
        let Some(place) = Place::of(question) else { return Ok(()) };
        let barred = |now: Instant| {
            let barred = self.limits().refusals.barred(place);
            barred.map(|(place, until, reason)| (place, until <= now, reason))
        };
        match barred(Instant::now()) {
            None => return Ok(()),
            Some((place, false, reason)) => return Err(place.withheld(reason)),
            Some((_, true, _)) => {}
        }
        let _turn = self.confirming.lock().await;
        // Whoever was faster may know by now.
        match barred(Instant::now()) {
            None => Ok(()),
            Some((place, false, reason)) => Err(place.withheld(reason)),
            Some((place, true, _)) => self.find_out(class, place).await,
        }
    }

    /// As [`admit`](Self::admit), but nothing is sent that would only be refused as well: neither in an outage that began while
    /// the question waited for its turn, nor while it is found out whether one began.
    pub(super) async fn admit_unless_withheld(
        &self,
        class: Class,
        question: &Question,
        asker: Asker<'_>,
    ) -> Result<Permit, Kind> {
        let mut waited = false;
        loop {
            let permit = self.admit(class, question.endpoint(), asker).await?;
            let ours = matches!(asker, Asker::Reading);
            // These may be the ones that find out.
            let finds_out = matches!(question, Question::User | Question::Project(_));
            let Some(place) = Place::of(question).filter(|_| ours && !finds_out) else { return Ok(permit) };
            let (barred, suspected) = {
                let refusals = &self.limits().refusals;
                (refusals.barred(place), refusals.is_suspected(place))
            };
            if let Some((place, _, reason)) = barred {
                return Err(place.withheld(reason));
            }
            if waited || !suspected || self.confirming.try_lock().is_ok() {
                return Ok(permit);
            }
            // Whoever finds out needs it. Once is enough: those who wait hold each other up as well.
            drop(permit);
            drop(self.confirming.lock().await);
            waited = true;
        }
    }

    /// Returns what came instead of an answer to a question that was refused at this time.
    async fn confirm(&self, class: Class, question: &Question, refused: Instant) -> Kind {
        let Some(place) = Place::of(question) else { return Kind::Forbidden };
        if matches!(question, Question::Pipelines { .. }) {
            // Whoever lists asks for the project next, to learn whether its CI is off: that tells.
            return Kind::Forbidden;
        }
        let _turn = self.confirming.lock().await;
        let belief = {
            let refusals = &mut self.limits().refusals;
            refusals.suspect(place);
            refusals.judge(place, refused, Instant::now())
        };
        match belief {
            Belief::Thing => Kind::Forbidden,
            Belief::More(place, reason) => place.withheld(reason),
            Belief::Unknown => match self.find_out(class, place).await {
                Ok(()) => Kind::Forbidden,
                Err(kind) => kind,
            },
        }
    }

    /// Asks for what GitLab must allow: succeeds when it does.
    async fn find_out(&self, class: Class, place: Place) -> Result<(), Kind> {
        let sent = Instant::now();
        let mut refused = place;
        loop {
            match self.is_allowed(class, refused).await {
                Ok(true) => break,
                // Where the user may see nothing either, it is not the project.
                Ok(false) if refused != Place::User => refused = Place::User,
                Ok(false) => return Err(self.outage_of(Place::User)),
                Err(kind) => return Err(kind),
            }
        }
        if refused != place {
            return Err(self.outage_of(place));
        }
        let ended = self.limits().refusals.allowed(place, sent, Instant::now());
        if ended {
            self.show_refusal();
            tracing::info!(place = %place, "GitLab allows to the token again what it must");
        }
        Ok(())
    }

    /// Asks one question; what says nothing about the token's rights is an error of its own.
    async fn is_allowed(&self, class: Class, place: Place) -> Result<bool, Kind> {
        let question = place.question();
        match self.answer(class, &question, Asker::Reading).await {
            // Who is told that it is not there was let in.
            Ok(_) | Err(Kind::NotFound) => Ok(true),
            Err(Kind::Forbidden) => Ok(false),
            Err(kind) => Err(kind),
        }
    }

    fn outage_of(&self, place: Place) -> Kind {
        let (begins, reason) = {
            let mut limits = self.limits();
            let begins = limits.refusals.refused(place, Instant::now(), fastrand::f64());
            (begins, limits.refusals.barred(place).map_or("", |(_, _, reason)| reason))
        };
        self.show_refusal();
        match place {
            Place::User if begins => tracing::error!(
                reason,
                "GitLab refuses everything to the token (403): what it refuses now is asked for again once it allows the \
                 token's own user, which is asked for by itself; sign in to GitLab as that user to see what it wants"
            ),
            Place::Project(project) if begins => tracing::warn!(
                project.id = project.0,
                "GitLab refuses a whole project to the token (403): its things are asked for again once it shows the project"
            ),
            _ => {}
        }
        place.withheld(reason)
    }

    /// Shows in the metrics whether the token is refused.
    pub(super) fn show_refusal(&self) {
        let refused = self.refusal().is_some();
        self.metrics.refused.set(i64::from(refused));
    }
}
