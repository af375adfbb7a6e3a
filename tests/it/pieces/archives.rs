//! Archives past their expiry, which GitLab may keep.

use cistern::demo::fake::{Archive, Endpoint, Fault, FaultKind, JobSpec};
use cistern::domain::{Piece, Reason};

use super::{STORE, look, one_job, pieces, row, settled};
use crate::rig::{Engine, on_both};

fn unit() -> JobSpec {
    JobSpec::new("unit").archive(Archive::zip([("out.txt", &b"kept"[..])]).expect("a zip"))
}

async fn an_archive_that_gitlab_keeps_past_its_expiry_is_cached(engine: Engine) {
    let (rig, project, job) = one_job(engine, unit());
    rig.fake.with(|world| world.keep_artifacts_past_expiry(job));
    let document = rig.ask_gitlab(&format!("/api/v4/projects/{project}/jobs/{job}")).await;
    assert_eq!(document.get("artifacts_file"), None, "as GitLab writes it");
    assert_eq!(pieces(&look(&rig, project, job).await), (Piece::Whole, Piece::Whole));
    let view = rig.view(STORE).await;
    assert_eq!(view.archive(project, job).await, rig.fake.with(|world| world.archive(job)).map(Vec::from));
    view.close().await;
    settled(&rig).await;
}

async fn what_is_no_longer_listed_after_its_expiry_is_expired_without_a_call(engine: Engine) {
    let (rig, project, job) = one_job(engine, unit());
    rig.fake.with(|world| world.expire_artifacts(job));
    assert_eq!(look(&rig, project, job).await.archive.piece, Piece::Absent(Reason::Expired));
    assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 0);
    settled(&rig).await;
}

async fn a_404_for_what_is_listed_past_its_expiry_is_final_only_when_it_is_listed_no_more(engine: Engine) {
    for comes_back in [true, false] {
        let (rig, project, job) = one_job(engine, unit());
        rig.fake.with(|world| world.keep_artifacts_past_expiry(job));
        rig.fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Artifacts));
        for _ in 0..2 {
            rig.fake.reset_counters();
            assert_eq!(look(&rig, project, job).await.archive.piece, Piece::Absent(Reason::Expired));
            assert_eq!(rig.fake.requests().of(Endpoint::Artifacts), 1, "each full pass asks as long as it is listed");
            assert_eq!(rig.gaps(STORE).await, Vec::new());
        }
        rig.fake.clear_faults();
        let expected = if comes_back { Piece::Whole } else { Piece::Absent(Reason::Expired) };
        if !comes_back {
            rig.fake.with(|world| world.expire_artifacts(job));
        }
        assert_eq!(look(&rig, project, job).await.archive.piece, expected);
        settled(&rig).await;
    }
}

async fn an_archive_that_an_earlier_version_took_for_expired_is_asked_for_again(engine: Engine) {
    let (rig, project, job) = one_job(engine, unit());
    rig.fake.with(|world| world.keep_artifacts_past_expiry(job));
    look(&rig, project, job).await;
    let behind = rig.behind(STORE).await;
    behind.take_archive_for_expired(job).await;
    behind.make_older().await;
    assert_eq!(row(&rig, project, job).await.archive.piece, Piece::Absent(Reason::Expired));
    assert_eq!(look(&rig, project, job).await.archive.piece, Piece::Whole);
    settled(&rig).await;
}

on_both! {
    an_archive_that_gitlab_keeps_past_its_expiry_is_cached;
    what_is_no_longer_listed_after_its_expiry_is_expired_without_a_call;
    a_404_for_what_is_listed_past_its_expiry_is_final_only_when_it_is_listed_no_more;
    an_archive_that_an_earlier_version_took_for_expired_is_asked_for_again;
}
