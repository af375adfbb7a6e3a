//! Random lives of a small GitLab, with what went wrong and what a person did meanwhile.

use std::time::Duration;

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, HiddenLog, JobSpec, Junit, Log, PipelineSpec, World};
use cistern::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Subject};
use proptest::prelude::*;

/// One step of a life.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Something happens at GitLab.
    World(Verb, u8),
    /// GitLab will refuse or spoil some answers of the next pass.
    Fault(Fault),
    /// A person has something forgotten.
    Forget(What, u8),
    /// What is too old goes.
    Prune,
    /// An incremental pass runs, with the faults.
    Pass,
    /// It is told what a backfill would do, and then it does.
    Backfill,
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
    Retry,
    Archive,
    Erase,
    Expire,
    /// Past their expiry GitLab keeps the artifacts, and lists them elsewhere.
    Keep,
    /// GitLab lists the log and does not deliver it, or delivers it again.
    Hide,
    Show,
    DeletePipeline,
    Touch,
    Wait,
}

/// What is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Job,
    Pipeline,
    Project,
}

/// What the test remembers of the world.
#[derive(Debug)]
pub(super) struct Life {
    projects: Vec<ProjectId>,
    jobs: Vec<JobId>,
    erased: Vec<JobId>,
    retried: Vec<JobId>,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Verb::*;
    let verbs = [
        (3, NewPipeline),
        (1, NewChild),
        (7, NewJob),
        (1, NewManualJob),
        (6, Start),
        (9, Succeed),
        (3, Fail),
        (1, Cancel),
        (1, Skip),
        (2, Retry),
        (6, Archive),
        (1, Erase),
        (2, Expire),
        (1, Keep),
        (1, Hide),
        (1, Show),
        (1, DeletePipeline),
        (1, Touch),
        (3, Wait),
    ];
    let verb = proptest::strategy::Union::new_weighted(verbs.map(|(weight, verb)| (weight, Just(verb))).to_vec());
    let what = prop_oneof![4 => Just(What::Job), 2 => Just(What::Pipeline), 1 => Just(What::Project)];
    let step = prop_oneof![
        24 => (verb, any::<u8>()).prop_map(|(verb, which)| Step::World(verb, which)),
        3 => fault().prop_map(Step::Fault),
        1 => (what, any::<u8>()).prop_map(|(what, which)| Step::Forget(what, which)),
        1 => Just(Step::Prune),
        3 => Just(Step::Pass),
        1 => Just(Step::Backfill),
    ];
    proptest::collection::vec(step, 15..70)
}

/// Verdicts on single things: they fail for good at the first try, or are believed.
fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![4 => Just(FaultKind::HtmlStatus(406)), 1 => Just(FaultKind::MalformedRow)];
    let endpoint = prop_oneof![
        Just(Endpoint::Pipeline),
        Just(Endpoint::PipelineJobs),
        Just(Endpoint::Job),
        Just(Endpoint::Trace),
        Just(Endpoint::Artifacts),
        Just(Endpoint::TestReport),
        Just(Endpoint::TestReportSummary),
    ];
    (kind, endpoint, 0..2_u32, 1..4_u32)
        .prop_map(|(kind, endpoint, skip, times)| Fault::new(kind).on(endpoint).skip(skip).times(times))
}

impl Life {
    /// Fills an empty world with two projects.
    pub(super) fn new(world: &mut World) -> Self {
        let projects = vec![world.add_project("group/app"), world.add_project("group/lib")];
        Self { projects, jobs: Vec::new(), erased: Vec::new(), retried: Vec::new() }
    }

    /// Lets something happen, if there is something it can happen to.
    pub(super) fn go_on(&mut self, world: &mut World, verb: Verb, which: u8) {
        let which = usize::from(which);
        world.advance(Duration::from_secs(2));
        let pipelines: Vec<PipelineId> = self.projects.iter().flat_map(|id| world.pipelines_of(*id)).collect();
        match verb {
            Verb::Wait => world.advance(Duration::from_secs(3600 * (which as u64 % 5))),
            Verb::NewPipeline => {
                world.add_pipeline(self.projects[which % self.projects.len()], PipelineSpec::default());
            }
            Verb::NewChild | Verb::NewJob | Verb::NewManualJob | Verb::DeletePipeline | Verb::Touch => {
                if let Some(pipeline) = pick(&pipelines, which) {
                    self.in_pipeline(world, verb, which, *pipeline);
                }
            }
            _ => {
                let able: Vec<JobId> = self.jobs.iter().copied().filter(|job| self.can(world, verb, *job)).collect();
                if let Some(job) = pick(&able, which) {
                    self.of_job(world, verb, *job);
                }
            }
        }
    }

    fn in_pipeline(&mut self, world: &mut World, verb: Verb, which: usize, pipeline: PipelineId) {
        match verb {
            Verb::NewChild => {
                world.add_child_pipeline(pipeline, "child", PipelineSpec::default());
            }
            Verb::DeletePipeline => {
                let gone = world.jobs_of(pipeline);
                self.jobs.retain(|job| !gone.contains(job));
                world.delete_pipeline(pipeline);
            }
            Verb::Touch => world.touch(pipeline),
            _ => self.jobs.push(world.add_job(pipeline, spec(which, verb == Verb::NewManualJob))),
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
            Verb::Retry => ended && !self.retried.contains(&job),
            Verb::Archive | Verb::Erase | Verb::Expire | Verb::Keep | Verb::Hide | Verb::Show => {
                ended && !self.erased.contains(&job)
            }
            _ => false,
        }
    }

    fn of_job(&mut self, world: &mut World, verb: Verb, job: JobId) {
        match verb {
            Verb::Start => world.start_job(job),
            Verb::Succeed => world.finish_job(job, "success"),
            Verb::Fail => world.finish_job(job, "failed"),
            Verb::Cancel => world.finish_job(job, "canceled"),
            Verb::Skip => world.set_job_status(job, "skipped"),
            Verb::Archive => world.archive_trace(job),
            Verb::Expire => world.expire_artifacts(job),
            Verb::Keep => world.keep_artifacts_past_expiry(job),
            Verb::Hide => {
                world.hide_log(job, if job.0.is_multiple_of(2) { HiddenLog::Empty } else { HiddenLog::NotFound })
            }
            Verb::Show => world.show_log(job),
            Verb::Erase => {
                self.erased.push(job);
                world.erase_job(job);
            }
            _ => {
                self.retried.push(job);
                let again = world.retry_job(job);
                self.jobs.push(again);
            }
        }
    }

    /// Returns something that can be forgotten.
    pub(super) fn subject(&self, world: &World, what: What, which: u8) -> Option<Subject> {
        let which = usize::from(which);
        match what {
            What::Project => Some(Subject::Project { project: *pick(&self.projects, which)? }),
            What::Pipeline => {
                let of = |project: &ProjectId| {
                    let pipelines = world.pipelines_of(*project).into_iter();
                    pipelines.map(|pipeline| PipelineKey { project: *project, pipeline }).collect::<Vec<_>>()
                };
                let all: Vec<PipelineKey> = self.projects.iter().flat_map(of).collect();
                Some(Subject::Pipeline(*pick(&all, which)?))
            }
            What::Job => {
                let job = *pick(&self.jobs, which)?;
                Some(Subject::Job(JobKey { project: world.project_of_job(job)?, job }))
            }
        }
    }
}

/// Jobs of few names, so that attempts share them; some deliver archives and JUnit, some write nothing.
fn spec(which: usize, manual: bool) -> JobSpec {
    let mut spec = JobSpec::new(["build", "unit", "rspec 1/2", "rspec 2/2"][which % 4]);
    if which.is_multiple_of(2) {
        let content = format!("made by {which}\n").repeat(which);
        spec = spec.archive(Archive::zip([("out.txt", content.as_bytes())]).expect("a zip"));
    }
    if which % 3 == 1 {
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
