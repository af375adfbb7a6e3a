//! A job: its document, then its log and archive side by side.

use super::log::Look;
use super::{Found, Ingest, Task, Trouble, Unit, UnitOutcome};
use crate::domain::{
    ArchiveRecord, Eagerness, Job, JobKey, Junit, LogRecord, Needs, Piece, PipelineKey, PipelinePhase, Reason, Subject,
    Timestamp, needs, next_look, refused,
};
use crate::gitlab::Kind;
use crate::store::{Change, JobRow};
use crate::work::{Cause, Lane, Target, Work};

/// An archive above this size, or of one that is not known, is worth publishing the log before it has arrived.
const SLOW_ARCHIVE_BYTES: u64 = 1024 * 1024;

impl Ingest {
    /// Caches what is still needed of a job.
    pub(super) async fn job(&self, task: &Task<'_>, key: JobKey, found: &mut Found) -> Result<(), Trouble> {
        let row = self.store.job(key).await?;
        if let Some(row) = &row
            && self.holds_everything(task, row).await?
        {
            return Ok(());
        }
        // What is stored is not forgotten.
        let is_new = row.is_none();
        if is_new && self.any_forgotten(task.target.subjects()).await? {
            return Ok(());
        }
        let (job, fetched) = match self.job_facts(task, key, row.as_ref()).await {
            Err(Trouble::Gone) => {
                // Its pipeline may be gone with it: then nothing of either is missed.
                let whole =
                    row.filter(|row| !row.gone).map(|row| PipelineKey { project: key.project, pipeline: row.pipeline });
                found.follow.extend(whole.map(|key| Work::now(Target::Pipeline(key), task.lane, task.follow_cause())));
                found.trouble = Some(Trouble::Gone);
                return Ok(());
            }
            read => read?,
        };
        if is_new
            && (self.is_over(&job.pipeline) || self.any_forgotten(vec![Subject::Pipeline(job.pipeline_key())]).await?)
        {
            return Ok(());
        }
        if fetched {
            if self.store.pipeline(job.pipeline_key()).await?.is_none() {
                found.facts.push(Change::Sketch(job.pipeline.clone()));
            }
            found.facts.push(Change::Job(Box::new(job.clone())));
            self.offer_report(task, &job, row.as_ref(), found);
        }
        tracing::Span::current().record("pipeline.id", job.pipeline_key().pipeline.0);
        let again = row.as_ref().is_some_and(|row| self.asks_again(task, row));
        let held = row.as_ref().map_or_else(LogRecord::missing, |row| row.log.clone());
        if !job.ended() {
            found.trouble = (task.cause == Cause::Ended).then_some(Trouble::NotYet);
            if task.cause == Cause::Fetch && job.started_at.is_some() {
                let read = self.partial_log(task.class(), &job, &held).await?;
                let (change, streamed) = read.unzip();
                found.facts.extend(change);
                found.in_hand.extend(streamed.flatten());
            }
            return Ok(());
        }
        if job.erased {
            for kind in ["log", "archive"] {
                found.units.push(self.unit(task.target, kind, &job, UnitOutcome::Absent(Reason::Erased)));
            }
            return Ok(());
        }
        let archive = row.map_or_else(ArchiveRecord::missing, |row| row.archive);
        if task.cause == Cause::Read {
            // Whoever reads the document does not wait for what belongs to it.
            if needs(&job, &held, &archive, Eagerness::Missing).any() {
                found.follow.push(Work::now(task.target, task.follow_lane(), Cause::Planned));
            }
            return Ok(());
        }
        self.pieces(task, &job, (&held, &archive), again, found).await
    }

    /// Returns whether the job ended and nothing of it is missing or unsettled, its part of the report included: then an event
    /// about it, late or doubled, costs no call (law 5).
    async fn holds_everything(&self, task: &Task<'_>, row: &JobRow) -> Result<bool, Trouble> {
        if task.thorough {
            return Ok(false);
        }
        let Ok(job) = Job::from_document(row.key.project, row.document.clone()) else { return Ok(false) };
        if !job.ended() || needs(&job, &row.log, &row.archive, Eagerness::Unsettled).any() {
            return Ok(false);
        }
        if self.asks_again(task, row) && refused(&job, &row.log, &row.archive).any() {
            return Ok(false);
        }
        if row.junit == Junit::None {
            return Ok(true);
        }
        let held = self.store.pipeline(job.pipeline_key()).await?;
        Ok(held.is_some_and(|pipeline| pipeline.report.build_ids.contains(&job.key.job)))
    }

    /// Returns whether GitLab is asked again for what it refused to the token: by a full pass or a person, or because an event
    /// tells of it; events come in twos and threes.
    fn asks_again(&self, task: &Task<'_>, row: &JobRow) -> bool {
        let long_ago = |at: Timestamp| Timestamp::now().since(at) >= self.config.schedule.refused_again;
        task.cause == Cause::Recheck || (task.cause == Cause::Ended && row.refused_at.is_none_or(long_ago))
    }

    /// Returns the job's facts and whether GitLab had to be asked: the stored document of an ended job is good for a first
    /// look at its log, and for its archive; a later look needs one that is newer than the look before.
    async fn job_facts(&self, task: &Task<'_>, key: JobKey, row: Option<&JobRow>) -> Result<(Job, bool), Trouble> {
        let settled = |row: &JobRow| task.cause == Cause::Recheck && row.log.piece.is_final();
        if let Some(row) = row
            && (settled(row) || row.log.may_be_looked_at(row.document.as_of))
            && let Ok(job) = Job::from_document(key.project, row.document.clone())
            && job.ended()
        {
            return Ok((job, false));
        }
        match self.gitlab.job(task.class(), key).await {
            Ok(mut job) => {
                self.mask_job(&mut job);
                Ok((job, true))
            }
            Err(error) if matches!(error.kind, Kind::NotFound) => {
                Err(if task.cause == Cause::Ended { Trouble::NotYet } else { Trouble::Gone })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches the log and the archive side by side; each is published as soon as it is whole.
    async fn pieces(
        &self,
        task: &Task<'_>,
        job: &Job,
        (log, archive): (&LogRecord, &ArchiveRecord),
        again: bool,
        found: &mut Found,
    ) -> Result<(), Trouble> {
        let eagerness = match task.eagerness() {
            Eagerness::Missing if task.cause == Cause::Ended => Eagerness::Failed,
            Eagerness::Missing if task.cause == Cause::Fetch => Eagerness::Unsettled,
            eagerness => eagerness,
        };
        let mut needs = needs(job, log, archive, eagerness);
        if again {
            needs = needs.and(refused(job, log, archive));
        }
        self.leave_old_ones(job, &mut needs, found);
        let listed = job.archive.as_ref().filter(|_| needs.archive);
        let slow = listed.is_some_and(|archive| archive.size.is_none_or(|size| size > SLOW_ARCHIVE_BYTES));
        let facts = std::mem::take(&mut found.facts);
        if !needs.log {
            // An event may have met the entry of a later look and taken its place.
            found.follow.extend(self.later_look(job, log));
        }
        let log = async {
            if !needs.log {
                return Ok((None, facts));
            }
            let look = match self.log(task, job, log).await {
                Ok(look) => look,
                Err(trouble) => return Err((trouble, facts)),
            };
            let mut facts = facts;
            let Look { change, record, unit, streamed } = look;
            facts.push(change);
            if (slow || streamed.is_some())
                && let Err(error) = self.store.apply(std::mem::take(&mut facts)).await
            {
                return Err((error.into(), facts));
            }
            drop(streamed);
            Ok((Some((record, unit)), facts))
        };
        let archive = async {
            match listed {
                Some(listed) => self.archive(task.class(), job, listed).await.map(Some),
                None => Ok(None),
            }
        };
        let (log, archive) = tokio::join!(log, archive);
        match log {
            Ok((looked, facts)) => {
                found.facts = facts;
                if let Some((record, unit)) = looked {
                    found.units.push(unit);
                    found.follow.extend(self.later_look(job, &record));
                }
            }
            Err((trouble, facts)) => {
                found.facts = facts;
                found.units.push(self.unit(task.target, "log", job, UnitOutcome::Failed(trouble.to_string())));
                found.trouble = Some(trouble);
            }
        }
        match archive {
            Ok(None) => {}
            Ok(Some((changes, unit, streamed))) => {
                found.facts.extend(changes);
                found.in_hand.extend(streamed);
                found.units.push(unit);
            }
            Err(trouble) => {
                found.units.push(self.unit(task.target, "archive", job, UnitOutcome::Failed(trouble.to_string())));
                found.trouble = Some(trouble.or(found.trouble.take()));
            }
        }
        let is_refused = |unit: &Unit| matches!(unit.outcome, UnitOutcome::Absent(Reason::Forbidden));
        if found.units.iter().any(is_refused) {
            found.facts.push(Change::Refused(Target::Job(job.key), Timestamp::now()));
        }
        Ok(())
    }

    /// What retention would remove at once is not fetched.
    fn leave_old_ones(&self, job: &Job, needs: &mut Needs, found: &mut Found) {
        let old = needs.too_old(job, &self.treatment(job.key.project).ages, Timestamp::now());
        *needs = needs.without(old);
        let (key, piece) = (job.key, Piece::Absent(Reason::Pruned));
        if old.log {
            let record = LogRecord { piece, ..LogRecord::missing() };
            found.facts.push(Change::Log { key, record, bytes: None });
            found.units.push(self.unit(Target::Job(key), "log", job, UnitOutcome::Absent(Reason::Pruned)));
        }
        if old.archive {
            let record = ArchiveRecord { piece, ..ArchiveRecord::missing() };
            found.facts.push(Change::Archive { key, record, bytes: None });
            found.units.push(self.unit(Target::Job(key), "archive", job, UnitOutcome::Absent(Reason::Pruned)));
        }
    }

    /// Returns the next look at a log that is not settled.
    fn later_look(&self, job: &Job, log: &LogRecord) -> Option<Work> {
        let due = next_look(log, &self.config.schedule)?;
        Some(Work {
            target: Target::Job(job.key),
            lane: Lane::Backfill,
            cause: Cause::Look,
            due,
            listed: None,
            path: None,
        })
    }

    /// The last job of a pipeline may be the only event of its end: its report is offered then.
    fn offer_report(&self, task: &Task<'_>, job: &Job, row: Option<&JobRow>, found: &mut Found) {
        let delivered = Junit::of(job, row.map(JobRow::told_of_junit)) != Junit::None;
        if delivered && job.ended() && job.pipeline.phase() != PipelinePhase::Active {
            let target = Target::Report(job.pipeline_key());
            found.follow.push(Work::now(target, task.follow_lane(), Cause::Planned));
        }
    }

    pub(super) fn unit(&self, target: Target, kind: &'static str, job: &Job, outcome: UnitOutcome) -> Unit {
        Unit { target, kind, name: job.name.clone(), pipeline: job.pipeline_key(), outcome }
    }

    pub(super) fn pipeline_unit(&self, key: PipelineKey, kind: &'static str, outcome: UnitOutcome) -> Unit {
        Unit { target: Target::Pipeline(key), kind, name: "".into(), pipeline: key, outcome }
    }

    /// Counts units and tells whoever watches, once what they say is committed.
    pub fn tell(&self, units: &[Unit]) {
        for unit in units {
            self.metrics.count(unit);
            (self.observer)(unit);
        }
    }
}
