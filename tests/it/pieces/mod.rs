//! Pieces that GitLab lists and does not deliver, delivers and does not list, or lets expire before anybody looked: none is lost
//! without a word, and none is called final that is not.

mod archives;
mod logs;
mod reports;

use std::time::Duration;

use cistern::demo::fake::{JobSpec, Options, PipelineSpec, World};
use cistern::domain::{JobId, Piece, ProjectId, Timestamp};
use cistern::store::JobRow;

use crate::rig::{Engine, Rig};

const STORE: &str = "cistern.db";

/// A GitLab whose clock stands, with one job that succeeded 10 min ago and whose log is archived. What GitLab answers about its
/// report is final by then; about a job that has just ended it would be asked again.
fn one_job(engine: Engine, spec: JobSpec) -> (Rig, ProjectId, JobId) {
    let mut world = World::at(Timestamp::from_millis(Timestamp::now().as_millis() / 1000 * 1000));
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    let job = world.add_job(pipeline, spec);
    world.start_job(job);
    world.finish_job(job, "success");
    world.archive_trace(job);
    world.advance(Duration::from_secs(600));
    let rig = Rig::with(world, Options::default()).on(engine).set("schedule.scale", "0.001");
    (rig, project, job)
}

/// Has a full pass look at everything and returns the job's row.
async fn look(rig: &Rig, project: ProjectId, job: JobId) -> JobRow {
    let report = rig.backfill(STORE).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    row(rig, project, job).await
}

async fn row(rig: &Rig, project: ProjectId, job: JobId) -> JobRow {
    let view = rig.view(STORE).await;
    let row = view.job(project, job).await;
    view.close().await;
    row
}

/// Asserts that nothing is missed and that the next full pass makes list calls only.
async fn settled(rig: &Rig) {
    assert_eq!(rig.gaps(STORE).await, Vec::new());
    rig.fake.reset_counters();
    assert!(rig.backfill(STORE).await.is_clean());
    let requests = rig.fake.requests();
    assert_eq!((requests.total, requests.storage), (3, 0), "the projects and two lists of pipelines: {requests:?}");
}

fn pieces(row: &JobRow) -> (Piece, Piece) {
    (row.log.piece, row.archive.piece)
}
