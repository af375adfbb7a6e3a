//! Random lives of a small GitLab, and the fates of the events that tell of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cistern::demo::fake::{
    Archive, Delivery, Endpoint, FakeGitlab, Fault, FaultKind, HiddenLog, JobSpec, Junit, Log, PipelineSpec, World,
};
use cistern::domain::{JobId, PipelineId, ProjectId};
use proptest::prelude::*;

use crate::rig::Serving;

/// One step of a history.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Something happens to one of the things it can happen to, and this becomes of its events.
    World(Verb, u8, Fate),
    /// GitLab or the network will misbehave.
    Fault(Fault),
    /// An incremental pass runs.
    Pass,
    /// Nothing happens until all that is due was worked on.
    Settle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    NewPipeline,
    NewChild,
    NewJob,
    NewManualJob,
    Start,
    Succeed,
    Fail,
    Cancel,
    Skip,
    Play,
    Retry,
    WriteLog,
    Archive,
    Erase,
    Expire,
    /// The artifacts' time is over, and GitLab keeps them.
    KeepPastExpiry,
    /// The log is listed, and answered empty or 404 for a while.
    HideLog,
    ShowLog,
    Move,
    DeletePipeline,
    Wait,
}

/// What becomes of the events of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lost,
    Delivered,
    Doubled,
    /// Delivered at the end, the latest first.
    Late,
}

/// What GitLab last served of a job that it deleted, before it was erased if it was.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) log: Vec<u8>,
    pub(super) archive: Option<Vec<u8>>,
}

/// What the test remembers of the world.
#[derive(Debug)]
pub(super) struct History {
    projects: Vec<ProjectId>,
    jobs: Vec<JobId>,
    retried: BTreeSet<JobId>,
    /// Erased jobs, and the log that each had before.
    erased: BTreeMap<JobId, Vec<u8>>,
    /// Jobs whose log GitLab lists and does not find.
    hidden: BTreeSet<JobId>,
    late: Vec<Delivery>,
    pub(super) deleted: BTreeMap<JobId, Last>,
    moves: u32,
}

/// Histories; `quiet` ones have changes that raise no `updated_at`.
pub(super) fn steps(quiet: bool) -> impl Strategy<Value = Vec<Step>> {
    use Verb::*;
    let loud = [
        (3, NewPipeline),
        (1, NewChild),
        (6, NewJob),
        (1, NewManualJob),
        (5, Start),
        (8, Succeed),
        (3, Fail),
        (2, Cancel),
        (1, Skip),
        (1, Play),
        (3, Retry),
        (3, WriteLog),
        (1, Wait),
    ];
    let silent = [
        (4, Archive),
        (1, Erase),
        (2, Expire),
        (2, KeepPastExpiry),
        (2, HideLog),
        (1, ShowLog),
        (1, Move),
        (1, DeletePipeline),
    ];
    let verbs: Vec<(u32, Just<Verb>)> = loud
        .into_iter()
        .chain(if quiet { silent.to_vec() } else { vec![(2, DeletePipeline)] })
        .map(|(weight, verb)| (weight, Just(verb)))
        .collect();
    let verb = proptest::strategy::Union::new_weighted(verbs);
    let fate = prop_oneof![
        3 => Just(Fate::Lost), 4 => Just(Fate::Delivered), 1 => Just(Fate::Doubled), 2 => Just(Fate::Late)
    ];
    let step = prop_oneof![
        16 => (verb, any::<u8>(), fate).prop_map(|(verb, which, fate)| Step::World(verb, which, fate)),
        2 => fault().prop_map(Step::Fault),
        1 => Just(Step::Pass),
        2 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 10..70)
}

/// Faults that are no verdicts for good: a missing log is one, as is an answer that looks like a log. A refusal is believed, and asked
/// again by each full pass.
fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(FaultKind::HtmlStatus(502)),
        Just(FaultKind::ServerError),
        Just(FaultKind::NotFound),
        Just(FaultKind::Forbidden),
        Just(FaultKind::CloseBeforeHead),
        (0..100_u8).prop_map(|percent| FaultKind::Truncated { percent }),
        Just(FaultKind::LoginPage),
        Just(FaultKind::MalformedRow),
        Just(FaultKind::BrokenJson),
    ];
    let endpoint = prop_oneof![
        Just(Endpoint::Pipelines),
        Just(Endpoint::Pipeline),
        Just(Endpoint::PipelineJobs),
        Just(Endpoint::Job),
        Just(Endpoint::Trace),
        Just(Endpoint::Artifacts),
        Just(Endpoint::Storage),
        Just(Endpoint::TestReport),
        Just(Endpoint::TestReportSummary),
    ];
    let believed = |kind: &FaultKind| matches!(kind, FaultKind::NotFound | FaultKind::MalformedRow);
    (kind, endpoint, 1..4_u32)
        .prop_filter("no verdict", move |(kind, endpoint, _)| *endpoint != Endpoint::Trace || !believed(kind))
        .prop_map(|(kind, endpoint, times)| Fault::new(kind).on(endpoint).times(times))
}

impl History {
    /// Fills an empty world with two projects.
    pub(super) fn new(world: &mut World) -> Self {
        let projects = vec![world.add_project("group/app"), world.add_project("group/lib")];
        let (retried, erased, deleted, hidden) = Default::default();
        Self { projects, jobs: Vec::new(), retried, erased, hidden, late: Vec::new(), deleted, moves: 0 }
    }

    /// Lets something happen, if there is something it can happen to, and returns the events that tell of it.
    pub(super) fn change(&mut self, fake: &FakeGitlab, verb: Verb, which: u8) -> Vec<Delivery> {
        let (job, pipeline) = fake.with(|world| self.apply(world, verb, usize::from(which)));
        let pipeline = pipeline.and_then(|id| fake.pipeline_event(id));
        job.and_then(|id| fake.job_event(id)).into_iter().chain(pipeline).collect()
    }

    fn apply(&mut self, world: &mut World, verb: Verb, which: usize) -> (Option<JobId>, Option<PipelineId>) {
        world.advance(Duration::from_secs(2));
        match verb {
            Verb::NewPipeline => {
                let project = self.projects[which % self.projects.len()];
                let spec = PipelineSpec { ref_name: format!("work/{}&co", which % 3), ..PipelineSpec::default() };
                return (None, Some(world.add_pipeline(project, spec)));
            }
            Verb::Move => {
                self.moves += 1;
                let project = self.projects[which % self.projects.len()];
                world.move_project(project, &format!("group/moved-{}", self.moves));
                return (None, None);
            }
            Verb::Wait => world.advance(Duration::from_secs(60 * which as u64)),
            Verb::NewChild | Verb::NewJob | Verb::NewManualJob | Verb::DeletePipeline => {
                let pipelines: Vec<PipelineId> =
                    self.projects.iter().flat_map(|project| world.pipelines_of(*project)).collect();
                let Some(&pipeline) = pick(&pipelines, which) else { return (None, None) };
                return self.in_pipeline(world, verb, which, pipeline);
            }
            _ => {
                let able: Vec<JobId> = self.jobs.iter().copied().filter(|job| self.can(world, verb, *job)).collect();
                if let Some(&job) = pick(&able, which) {
                    self.live_on(world, verb, job);
                    return (Some(job), self.pipeline_of(world, job));
                }
            }
        }
        (None, None)
    }

    fn in_pipeline(
        &mut self,
        world: &mut World,
        verb: Verb,
        which: usize,
        pipeline: PipelineId,
    ) -> (Option<JobId>, Option<PipelineId>) {
        match verb {
            Verb::NewChild => (None, Some(world.add_child_pipeline(pipeline, "child", PipelineSpec::default()))),
            Verb::DeletePipeline => {
                for job in world.jobs_of(pipeline) {
                    world.show_log(job);
                    // Where nobody learned of an erasure before the pipeline was deleted, nobody ever will.
                    let erased = self.erased.get(&job).cloned();
                    let log = erased.or_else(|| world.trace(job).map(Vec::from)).unwrap_or_default();
                    self.deleted.insert(job, Last { log, archive: world.archive(job).map(Vec::from) });
                }
                self.jobs.retain(|job| !self.deleted.contains_key(job));
                world.delete_pipeline(pipeline);
                (None, None)
            }
            _ => {
                let job = world.add_job(pipeline, spec(which, verb == Verb::NewManualJob));
                self.jobs.push(job);
                (Some(job), Some(pipeline))
            }
        }
    }

    fn can(&self, world: &World, verb: Verb, job: JobId) -> bool {
        let status = world.job_status(job).unwrap_or_default();
        let ended = matches!(status, "success" | "failed" | "canceled");
        match verb {
            Verb::Start => matches!(status, "created" | "pending"),
            Verb::Succeed | Verb::Fail => status == "running",
            Verb::Cancel => matches!(status, "created" | "pending" | "running"),
            Verb::Skip => status == "created",
            Verb::Play => matches!(status, "manual" | "skipped"),
            Verb::Retry => ended && !self.retried.contains(&job),
            Verb::WriteLog => status == "running",
            Verb::Archive | Verb::Erase | Verb::Expire | Verb::KeepPastExpiry => {
                ended && !self.erased.contains_key(&job)
            }
            Verb::HideLog => ended && !self.erased.contains_key(&job) && !self.hidden.contains(&job),
            Verb::ShowLog => self.hidden.contains(&job),
            _ => false,
        }
    }

    fn live_on(&mut self, world: &mut World, verb: Verb, job: JobId) {
        match verb {
            Verb::Start => world.start_job(job),
            Verb::Succeed => world.finish_job(job, "success"),
            Verb::Fail => world.finish_job(job, "failed"),
            Verb::Cancel => world.finish_job(job, "canceled"),
            Verb::Skip => world.set_job_status(job, "skipped"),
            Verb::Play => world.play_manual(job),
            Verb::WriteLog => world.append_log(job, b"one more line\n"),
            Verb::Archive => world.archive_trace(job),
            Verb::Expire => world.expire_artifacts(job),
            Verb::KeepPastExpiry => world.keep_artifacts_past_expiry(job),
            Verb::HideLog => {
                self.hidden.insert(job);
                world.archive_trace(job);
                world.hide_log(job, if job.0.is_multiple_of(2) { HiddenLog::Empty } else { HiddenLog::NotFound });
            }
            Verb::ShowLog => {
                self.hidden.remove(&job);
                world.show_log(job);
            }
            Verb::Erase => {
                // What was held before it was hidden is the last that was served; an erased one is not hidden.
                self.hidden.remove(&job);
                world.show_log(job);
                self.erased.insert(job, world.trace(job).map(Vec::from).unwrap_or_default());
                world.erase_job(job);
            }
            Verb::Retry => {
                self.retried.insert(job);
                let again = world.retry_job(job);
                self.jobs.push(again);
            }
            _ => {}
        }
    }

    /// GitLab finds every log again that it lists.
    pub(super) fn show_all_logs(&mut self, world: &mut World) {
        std::mem::take(&mut self.hidden).into_iter().for_each(|job| world.show_log(job));
    }

    fn pipeline_of(&self, world: &World, job: JobId) -> Option<PipelineId> {
        let pipelines = self.projects.iter().flat_map(|project| world.pipelines_of(*project));
        pipelines.into_iter().find(|pipeline| world.jobs_of(*pipeline).contains(&job))
    }

    /// Delivers events, or not.
    pub(super) async fn deliver(&mut self, serving: &Serving, events: Vec<Delivery>, fate: Fate) {
        for event in events {
            match fate {
                Fate::Lost => {}
                Fate::Late => self.late.push(event),
                Fate::Delivered => send(serving, &event).await,
                Fate::Doubled => {
                    send(serving, &event).await;
                    send(serving, &event).await;
                }
            }
        }
    }

    /// Delivers what is late, the latest first.
    pub(super) async fn deliver_the_late(&mut self, serving: &Serving) {
        while let Some(event) = self.late.pop() {
            send(serving, &event).await;
        }
    }
}

async fn send(serving: &Serving, event: &Delivery) {
    let answer = serving.deliver(event).await;
    assert!(matches!(answer.status, 200 | 202), "{}", String::from_utf8_lossy(&answer.body));
}

/// Jobs of few names, so that attempts share them; some deliver archives and JUnit, some write nothing.
fn spec(which: usize, manual: bool) -> JobSpec {
    let mut spec = JobSpec::new(["build", "unit", "rspec 1/2", "rspec 2/2", "größe"][which % 5]);
    if which.is_multiple_of(3) {
        let content = format!("made by {which}\n").repeat(which);
        spec = spec.archive(Archive::zip([("out.txt", content.as_bytes())]).expect("a zip"));
    }
    if which % 4 == 1 {
        spec = spec.junit(Junit::generated(which as u32 % 9 + 1, which as u32 % 2, which as u64));
    }
    if which % 7 == 6 {
        spec = spec.log(Log::none());
    }
    if manual {
        spec = spec.status("manual").allow_failure();
    }
    spec
}

fn pick<T>(of: &[T], which: usize) -> Option<&T> {
    of.get(which.checked_rem(of.len())?)
}
