//! What GitLab refused to the token, the one first that was asked for least recently.

use super::*;

fn refused(job: u64) -> Change {
    let record = LogRecord { piece: Piece::Absent(Reason::Forbidden), ..LogRecord::missing() };
    Change::Log { key: JobKey { project: PROJECT, job: JobId(job) }, record, bytes: None }
}

async fn what_waits_longest_is_first_and_what_is_given_is_no_longer_there(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let target = |job| Target::Job(JobKey { project: PROJECT, job: JobId(job) });
    let report = Target::Report(PIPELINE);
    for job in 1..=4 {
        let name = format!("job {job}");
        rig.store
            .apply(vec![Change::Job(parse_job(job_json(job, &name, "success"), 100)), refused(job)])
            .await
            .expect("stored");
    }
    let archive = ArchiveRecord { piece: Piece::Absent(Reason::Forbidden), ..ArchiveRecord::missing() };
    let of_report = ReportRecord { piece: Piece::Absent(Reason::Forbidden), ..ReportRecord::missing() };
    let key = JobKey { project: PROJECT, job: JobId(3) };
    let changes = vec![
        Change::Archive { key, record: archive, bytes: None },
        Change::Report { key: PIPELINE, record: of_report, bytes: None },
        Change::Refused(target(1), at(30)),
        Change::Refused(target(2), at(10)),
        Change::Refused(target(3), at(20)),
        Change::Refused(report, at(15)),
        // Never back, and of nothing that is not stored.
        Change::Refused(target(1), at(1)),
        Change::Refused(target(99), at(1)),
    ];
    rig.store.apply(changes).await.expect("stored");
    let list = async |before, limit| rig.store.refused(PROJECT, before, limit).await.expect("read");
    // One that was refused before that was noted waits longest.
    assert_eq!(list(at(100), 10).await, [target(4), target(2), report, target(3), target(1)]);
    assert_eq!(list(at(20), 10).await, [target(4), target(2), report]);
    assert_eq!(list(at(100), 2).await, [target(4), target(2)]);
    assert_eq!(rig.store.refused(ProjectId(8), at(100), 10).await.expect("read"), []);
    let row = rig.store.job(JobKey { project: PROJECT, job: JobId(2) }).await.expect("read").expect("stored");
    assert_eq!((row.refused_at, row.log.piece.is_refused()), (Some(at(10)), true));

    // Whatever is learned of it goes before: also that it is not settled yet, or expired.
    let (record, bytes) = log_of(Piece::Live, 10);
    let key = |job| JobKey { project: PROJECT, job: JobId(job) };
    let expired = LogRecord { piece: Piece::Absent(Reason::Expired), ..LogRecord::missing() };
    let changes = vec![
        Change::Log { key: key(2), record, bytes },
        Change::Log { key: key(4), record: expired, bytes: None },
        Change::Refused(target(3), at(40)),
    ];
    rig.store.apply(changes).await.expect("stored");
    assert_eq!(list(at(100), 10).await, [report, target(1), target(3)]);
    // And a refusal takes nothing away that is held.
    rig.store.apply(vec![refused(2)]).await.expect("answered");
    let row = rig.store.job(key(2)).await.expect("read").expect("stored");
    assert_eq!((row.log.piece, row.log.size), (Piece::Live, 10));
}

on_both! {
    what_waits_longest_is_first_and_what_is_given_is_no_longer_there;
}
