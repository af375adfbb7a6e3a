//! What GitLab refuses: it is no fact before GitLab allows what it must, it is asked for again, and readers see that it is.

mod again;
mod outage;
mod readers;

use cistern::demo::fake::{Archive, JobSpec, Junit, Log, PipelineSpec, World};
use cistern::domain::{JobId, Piece, PipelineId, ProjectId, Reason};

use crate::rig::Rig;

const STORE: &str = "cistern.db";
const FORBIDDEN: Piece = Piece::Absent(Reason::Forbidden);

/// Adds ended jobs with logs, archives and JUnit, in pipelines of four.
fn add_jobs(world: &mut World, project: ProjectId, count: usize) -> (Vec<PipelineId>, Vec<JobId>) {
    let (mut pipelines, mut jobs) = (Vec::new(), Vec::new());
    for number in 0..count {
        if number % 4 == 0 {
            pipelines.push(world.add_pipeline(project, PipelineSpec::default()));
        }
        let archive = Archive::zip([("out.txt", format!("output of {number}").as_bytes())]).expect("a zip");
        let log = Log::bytes(format!("log of {number}\n").into_bytes());
        let spec = JobSpec::new(&format!("job {number}")).log(log).archive(archive).junit(Junit::generated(3, 1, 7));
        let job = world.add_job(*pipelines.last().expect("a pipeline"), spec);
        world.start_job(job);
        world.finish_job(job, "success");
        world.archive_trace(job);
        jobs.push(job);
    }
    (pipelines, jobs)
}

/// Returns the states of everything that a store holds.
async fn pieces(rig: &Rig) -> Vec<Piece> {
    let cache = rig.cache(STORE).await;
    let jobs = cache.jobs.values().flat_map(|job| [job.log_piece, job.archive_piece]);
    jobs.chain(cache.pipelines.values().map(|pipeline| pipeline.piece)).collect()
}
