//! Which publication of a log, archive or report stays.

use super::*;

async fn what_a_document_alone_decides_is_no_gap(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let key = |id| JobKey { project: PROJECT, job: JobId(id) };
    let never_started = with(
        with(job_json(1, "a", "canceled"), "started_at", serde_json::Value::Null),
        "artifacts_file",
        serde_json::Value::Null,
    );
    let expired = with(
        with(job_json(2, "b", "success"), "artifacts_file", serde_json::Value::Null),
        "artifacts_expire_at",
        at(50).to_string(),
    );
    let changes = vec![Change::Job(parse_job(never_started, 100)), Change::Job(parse_job(expired, 100))];
    rig.store.apply(changes).await.expect("stored");
    let first = rig.store.job(key(1)).await.expect("read").expect("stored");
    assert_eq!((first.log.piece, first.archive.piece), (Piece::Absent(Reason::NoLog), Piece::Missing));
    let second = rig.store.job(key(2)).await.expect("read").expect("stored");
    assert_eq!((second.log.piece, second.archive.piece), (Piece::Missing, Piece::Absent(Reason::Expired)));
    let gaps = rig.store.gaps(None, 100).await.expect("read");
    let of_jobs: Vec<_> = gaps.iter().filter_map(|gap| gap.job.map(|job| (job.0, gap.kind))).collect();
    assert_eq!(of_jobs, [(2, "log"), (700, "log"), (700, "archive")]);
}

async fn an_erased_job_loses_what_was_held_whatever_comes_later(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let archive =
        ArchiveRecord { piece: Piece::Whole, size: 3, sha256: Some([9; 32]), blob: None, index: [7; 24].into() };
    let zip = Change::Archive { key: JOB, record: archive.clone(), bytes: Some(Bytes::from_static(b"zip")) };
    rig.store.apply(vec![publish(Piece::Whole, 10), zip.clone()]).await.expect("stored");
    let held = rig.store.job(JOB).await.expect("read").expect("stored");
    assert_eq!(ArchiveRecord { blob: None, ..held.archive.clone() }, archive);
    let blob = held.archive.blob.expect("a blob");
    assert_eq!(rig.store.chunk(blob, 0).await.expect("read"), Some(Bytes::from_static(b"zip")));

    // Even an older document tells of an erasure.
    let erased = with(job_json(700, "build", "success"), "erased_at", at(50).to_string());
    rig.store.apply(vec![Change::Job(parse_job(erased, 60))]).await.expect("stored");
    rig.store.apply(vec![publish(Piece::Whole, 20), zip]).await.expect("answered");
    let row = rig.store.job(JOB).await.expect("read").expect("stored");
    assert_eq!((row.log.piece, row.archive.piece), (Piece::Absent(Reason::Erased), Piece::Absent(Reason::Erased)));
    assert_eq!((row.log.blob, row.log.size, row.archive.blob), (None, 0, None));
    assert!(row.log.index.is_empty() && row.archive.index.is_empty(), "it would tell what was erased");
    rig.behind.age_replaced_blobs().await;
    assert_eq!(rig.store.sweep_blobs().await.expect("swept"), 2);
    assert_eq!((rig.behind.blobs().await, rig.behind.chunks().await), (0, 0));
}

async fn another_look_at_the_same_log_only_changes_the_bookkeeping(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Live, 10)]).await.expect("stored");
    let held = rig.log().await;
    let look = LogRecord { looks: 2, first_look: Some(at(1)), last_look: Some(at(9)), ..held.clone() };
    rig.store.apply(vec![Change::Log { key: JOB, record: look.clone(), bytes: None }]).await.expect("stored");
    assert_eq!(rig.log().await, look);
    let settled = LogRecord { piece: Piece::Whole, frames: Vec::new(), index: Box::default(), ..look.clone() };
    rig.store.apply(vec![Change::Log { key: JOB, record: settled, bytes: None }]).await.expect("stored");
    assert_eq!(rig.log().await, LogRecord { piece: Piece::Whole, ..look });
    assert_eq!(rig.behind.blobs().await, 1);
}

async fn a_shorter_log_is_refused_but_counts_as_a_look(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Live, 10)]).await.expect("stored");
    let (mut record, bytes) = log_of(Piece::Live, 5);
    (record.looks, record.last_look) = (2, Some(at(9)));
    rig.store.apply(vec![Change::Log { key: JOB, record, bytes }]).await.expect("answered");
    let held = rig.log().await;
    assert_eq!((held.size, held.looks, held.last_look), (10, 2, Some(at(9))));
    assert_eq!(rig.behind.blobs().await, 1);
}

async fn a_report_of_the_same_attempts_never_shrinks(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let report = |total_count, builds: &[u64], piece| Change::Report {
        key: PIPELINE,
        record: ReportRecord {
            piece,
            total_count,
            build_ids: builds.iter().copied().map(JobId).collect(),
            summary: Some("{}".into()),
            summary_piece: piece,
            ..ReportRecord::missing()
        },
        bytes: Some(Bytes::from_static(b"report")),
    };
    let steps = [
        (report(10, &[1, 2], Piece::Live), 10),
        (report(8, &[1, 2], Piece::Whole), 10),
        (report(10, &[1, 2], Piece::Whole), 10),
        (report(3, &[1, 3], Piece::Whole), 3),
    ];
    for (change, expected) in steps {
        rig.store.apply(vec![change]).await.expect("stored");
        let row = rig.store.pipeline(PIPELINE).await.expect("read").expect("stored");
        assert_eq!(row.report.total_count, expected);
    }
    let row = rig.store.pipeline(PIPELINE).await.expect("read").expect("stored");
    assert_eq!((row.report.piece, row.report.build_ids), (Piece::Whole, vec![JobId(1), JobId(3)]));
}

fn any_piece() -> impl Strategy<Value = Piece> {
    let absent = proptest::sample::select(&Reason::ALL[..]).prop_map(Piece::Absent);
    prop_oneof![3 => Just(Piece::Live), 2 => Just(Piece::Whole), 1 => Just(Piece::Missing), 3 => absent]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn publications_end_the_same_in_any_order_on_either_store(
        engine in proptest::sample::select(&[Engine::Sqlite, Engine::Mongo][..]),
        (first, second) in proptest::collection::vec((any_piece(), 0..5_usize), 1..6)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut ends = Vec::new();
            for order in [first, second] {
                let rig = Rig::with_job(engine).await;
                for (piece, size) in order {
                    let piece_of_archive = if piece == Piece::Live { Piece::Whole } else { piece };
                    let record = ArchiveRecord { piece: piece_of_archive, ..ArchiveRecord::missing() };
                    let archive = Change::Archive { key: JOB, record, bytes: None };
                    rig.store.apply(vec![publish(piece, size), archive]).await.expect("answered");
                }
                let archive = rig.store.job(JOB).await.expect("read").expect("stored").archive;
                let log = rig.log().await;
                let stored = match log.blob {
                    Some(blob) => rig.store.chunk(blob, 0).await.expect("read").map_or(0, |chunk| chunk.len()),
                    None => 0,
                };
                assert_eq!(stored as u64, log.size, "what is pointed to is whole");
                let states = rig.store.pipeline_states(PROJECT, vec![PIPELINE.pipeline]).await.expect("read");
                ends.push((log.piece, log.size, log.frames, archive.piece, states));
                // Only what is pointed to stays.
                rig.behind.age_replaced_blobs().await;
                rig.store.sweep_blobs().await.expect("swept");
                assert_eq!(rig.behind.blobs().await, u64::from(log.blob.is_some()));
                rig.store.close().await.expect("closed");
            }
            assert_eq!(ends[0], ends[1]);
        });
    }
}

on_both! {
    what_a_document_alone_decides_is_no_gap;
    an_erased_job_loses_what_was_held_whatever_comes_later;
    another_look_at_the_same_log_only_changes_the_bookkeeping;
    a_shorter_log_is_refused_but_counts_as_a_look;
    a_report_of_the_same_attempts_never_shrinks;
}
