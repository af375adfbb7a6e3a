//! The standard data set of demo and benchmarks: repeatable, with everything a real instance shows.

use std::time::Duration;

use super::content::{Archive, Junit, Log};
use super::world::{JobSpec, PipelineSpec, World};
use crate::domain::{JobId, PipelineId, ProjectId, Timestamp};

/// How many archives the jobs share.
const ARCHIVE_POOL: u64 = 16;

/// How much there is to fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Projects.
    pub projects: u64,
    /// Pipelines, children included.
    pub pipelines: u64,
    /// Jobs, retried attempts included, trigger jobs not.
    pub jobs: u64,
    /// Jobs that ended.
    pub ended: u64,
    /// Jobs with a log that is not empty.
    pub logs: u64,
    /// Bytes of those logs.
    pub log_bytes: u64,
    /// Jobs with an archive.
    pub archives: u64,
    /// Bytes of those archives.
    pub archive_bytes: u64,
    /// Pipelines with a JUnit report.
    pub reports: u64,
}

/// A job of the standard pipeline.
struct Template {
    name: &'static str,
    stage: &'static str,
    has_archive: bool,
    tests: u32,
}

const fn template(name: &'static str, stage: &'static str, has_archive: bool, tests: u32) -> Template {
    Template { name, stage, has_archive, tests }
}

const TEMPLATES: [Template; 20] = [
    template("compile", "build", true, 0),
    template("docs", "build", true, 0),
    template("lint", "build", false, 0),
    template("rspec 1/4", "test", true, 40),
    template("rspec 2/4", "test", false, 38),
    template("rspec 3/4", "test", false, 41),
    template("rspec 4/4", "test", false, 36),
    template("unit", "test", true, 0),
    template("e2e: [chrome, de]", "test", true, 24),
    template("e2e: [firefox, en]", "test", true, 0),
    template("größe & maße", "test", false, 0),
    template("integration", "test", false, 0),
    template("bench", "test", true, 0),
    template("audit", "test", false, 0),
    template("package", "package", true, 0),
    template("image", "package", false, 0),
    template("review-app", "deploy", false, 0),
    template("staging", "deploy", false, 0),
    template("smoke", "deploy", false, 0),
    template("publish", "deploy", false, 0),
];

const PATHS: [&str; 5] = [
    "harbour/core/tide-ledger",
    "harbour/core/buoy",
    "harbour/web/lighthouse",
    "harbour/tools/sextant",
    "pilots/charts",
];

/// How a pipeline of the data set went.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Passed,
    /// A test job failed; later stages were skipped.
    Failed,
    /// Cancelled during the tests; what had not started never ran.
    Canceled,
    /// Passed after one job was retried.
    Retried,
}

impl World {
    /// Makes the standard data set, whose clock then follows the machine's: `projects` × `pipelines` × `jobs`
    /// exactly, retried attempts and child pipelines counted in, trigger jobs not. The same numbers give the same
    /// ids, names, statuses and contents; dates lie between hours and days before now. Every log is archived.
    pub fn demo(projects: u64, pipelines: u64, jobs: u64, seed: u64) -> Self {
        let mut builder = Builder {
            world: Self::at(Timestamp::now().minus(Duration::from_secs(7 * 24 * 3600))),
            random: fastrand::Rng::with_seed(seed),
            // In-memory zips of plain names cannot fail; without them the jobs have no archives.
            archives: Archive::pool(ARCHIVE_POOL, seed).unwrap_or_default(),
            jobs,
            longest_run_ms: (12 * 3_600_000 / (projects * pipelines * jobs).max(1)).clamp(2, 40_000),
        };
        let step = Duration::from_secs(6 * 24 * 3600) / u32::try_from((projects * pipelines).max(1)).unwrap_or(1);
        let ids: Vec<ProjectId> = (0..projects).map(|number| builder.world.add_project(&path(number))).collect();
        for number in 0..pipelines {
            for (&project, index) in ids.iter().zip(0_u64..) {
                builder.pipeline(project, number, index);
                builder.world.advance(step);
            }
        }
        builder.world.follow_machine();
        builder.world
    }

    /// Counts what there is to fetch now.
    pub fn census(&self) -> Census {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut census = Census {
            projects: count(self.projects.len()),
            pipelines: count(self.pipelines.len()),
            jobs: count(self.jobs.len()),
            ..Census::default()
        };
        for job in self.jobs.values() {
            census.ended += u64::from(job.is_ended());
            let log_bytes = match (job.started_at, job.erased_at) {
                (Some(_), None) => count(job.log.size_bytes()),
                _ => 0,
            };
            census.logs += u64::from(log_bytes > 0);
            census.log_bytes += log_bytes;
            if let Some(archive) = job.archive.as_ref().filter(|_| job.has_archive()) {
                census.archives += 1;
                census.archive_bytes += count(archive.size_bytes());
            }
        }
        let has_report = |jobs: &[JobId]| jobs.iter().filter_map(|id| self.jobs.get(id)).any(|job| job.has_junit());
        census.reports = count(self.pipelines.values().filter(|pipeline| has_report(&pipeline.jobs)).count());
        census
    }
}

fn path(number: u64) -> String {
    let known = usize::try_from(number).ok().and_then(|index| PATHS.get(index));
    known.map_or_else(|| format!("harbour/more/service-{number}"), |path| (*path).to_owned())
}

struct Builder {
    world: World,
    random: fastrand::Rng,
    archives: Vec<Archive>,
    jobs: u64,
    /// Bounded so that even a large data set lies in the past.
    longest_run_ms: u64,
}

impl Builder {
    fn pipeline(&mut self, project: ProjectId, number: u64, project_index: u64) {
        let fate = match (number + project_index) % 10 {
            3 | 7 => Fate::Failed,
            5 => Fate::Canceled,
            4 | 8 => Fate::Retried,
            _ => Fate::Passed,
        };
        let spec = PipelineSpec {
            source: ["push", "schedule", "web", "merge_request_event"][self.random.usize(..4)].to_owned(),
            name: number.is_multiple_of(3).then(|| format!("Nightly {number}")),
            ..PipelineSpec::default()
        };
        // In every second project the second pipeline is the first one's child.
        let parent = self.world.pipelines_of(project).first().copied();
        let id = match parent {
            Some(parent) if number == 1 && project_index.is_multiple_of(2) => {
                self.world.add_child_pipeline(parent, "child: contracts", spec)
            }
            _ => self.world.add_pipeline(project, spec),
        };
        let ids = self.add_jobs(id, fate);
        self.play(&ids, fate);
    }

    /// Adds the jobs; a pipeline with a retry gets one name less, because the retry is a job too.
    fn add_jobs(&mut self, pipeline: PipelineId, fate: Fate) -> Vec<JobId> {
        let names = if fate == Fate::Retried { self.jobs.saturating_sub(1) } else { self.jobs };
        let specs: Vec<JobSpec> = TEMPLATES.iter().cycle().zip(0..names).map(|(t, n)| self.spec(t, n, fate)).collect();
        specs.into_iter().map(|spec| self.world.add_job(pipeline, spec)).collect()
    }

    fn spec(&mut self, template: &Template, number: u64, fate: Fate) -> JobSpec {
        let round = number / 20;
        let name = if round == 0 { template.name.to_owned() } else { format!("{} #{round}", template.name) };
        let mut spec = JobSpec::new(&name).stage(template.stage);
        let size_bytes = match self.random.u32(..40) {
            0 => self.random.usize(200_000..320_000),
            1..6 => self.random.usize(30_000..60_000),
            _ => self.random.usize(2_048..24_000),
        };
        spec.log = Log::generated(size_bytes, self.random.u64(..), self.random.u8(..3) == 0);
        if template.has_archive {
            spec.archive = self.random.choice(&self.archives).cloned();
        }
        if template.tests > 0 {
            let failed = if fate == Fate::Failed && template.name == "rspec 3/4" { 3 } else { 0 };
            spec.junit = Some(Junit::generated(template.tests, failed, self.random.u64(..)));
            spec.coverage = Some(f64::from(self.random.u32(7_000..9_900)) / 100.0);
        }
        if template.name == "review-app" {
            spec = spec.status("manual").allow_failure();
        }
        spec
    }

    /// Lets the jobs run as the pipeline's fate says, and archives their logs.
    fn play(&mut self, ids: &[JobId], fate: Fate) {
        for (&job, number) in ids.iter().zip(0_u64..) {
            let stage = TEMPLATES.iter().cycle().nth(usize::try_from(number % 20).unwrap_or(0)).map(|t| t.stage);
            let later = matches!(stage, Some("package" | "deploy"));
            match fate {
                _ if self.world.job_status(job) == Some("manual") && fate != Fate::Failed => {}
                Fate::Failed if later => self.world.set_job_status(job, "skipped"),
                Fate::Failed if number % 20 == 5 => self.run(job, "failed"),
                Fate::Canceled if later => self.world.finish_job(job, "canceled"),
                Fate::Canceled if number % 20 > 9 => self.run(job, "canceled"),
                Fate::Retried if number == 5 => {
                    self.run(job, "failed");
                    let again = self.world.retry_job(job);
                    self.run(again, "success");
                }
                _ => self.run(job, "success"),
            }
        }
    }

    fn run(&mut self, job: JobId, status: &str) {
        self.world.start_job(job);
        let millis = self.random.u64(1..self.longest_run_ms);
        self.world.advance(Duration::from_millis(millis));
        self.world.finish_job(job, status);
        self.world.archive_trace(job);
    }
}
