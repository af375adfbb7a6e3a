//! What people do to a store: tombstones against late writers, whose an entry is, what is stored.

use std::collections::HashSet;

use cistern::domain::{Document, Subject};
use cistern::store::{BlobKind, KeptBlob, Removed, WorkFilter, WorkOwner};

use super::*;

const SUBJECTS: [Subject; 3] = [Subject::Project { project: PROJECT }, Subject::Pipeline(PIPELINE), Subject::Job(JOB)];

async fn nothing_of_a_forgotten_subject_is_stored_and_the_rest_of_a_list_is(engine: Engine) {
    for subject in SUBJECTS {
        let rig = Rig::with_job(engine).await;
        let bridges = || Change::Bridges(PIPELINE, Document { text: "[]".into(), as_of: at(100) });
        rig.store.apply(vec![publish(Piece::Whole, 3), bridges()]).await.expect("stored");
        assert!(rig.store.forget(subject).await.expect("forgotten"));
        assert!(!rig.store.forget(subject).await.expect("forgotten"), "once is enough");
        let removed = rig.store.remove(subject).await.expect("removed");
        let pipelines = u64::from(!matches!(subject, Subject::Job(_)));
        assert_eq!(removed, Removed { pipelines, jobs: 1, blobs: 1, bytes: 3 }, "{subject}");
        assert_eq!((rig.behind.blobs().await, rig.behind.chunks().await), (0, 0), "at once");

        // A fetch that was under way ends: its facts, its small log and its streamed archive.
        let blob = rig.store.new_blob().await.expect("a blob");
        rig.store.put_chunk(blob, 0, Bytes::from_static(b"late")).await.expect("stored");
        let archive = ArchiveRecord { piece: Piece::Whole, blob: Some(blob), size: 4, ..ArchiveRecord::missing() };
        let late = entry(700, 0);
        let failed =
            Change::Fail { target: Target::Job(JOB), entries: vec![], problem: "late".to_owned(), attempts: 1 };
        let changes = vec![
            Change::Append(vec![late]),
            Change::Pipeline(pipeline(70, "success", 100)),
            Change::Job(job(JOB, "success", 100)),
            Change::JobsListed(PIPELINE, at(100)),
            bridges(),
            publish(Piece::Whole, 3),
            Change::Archive { key: JOB, record: archive, bytes: None },
            failed,
            Change::Mark(ProjectId(8)),
        ];
        rig.store.apply(changes).await.expect("stored");
        assert!(rig.store.job(JOB).await.expect("read").is_none(), "{subject}");
        let whole = rig.store.pipeline(PIPELINE).await.expect("read");
        assert_eq!(whole.is_some(), matches!(subject, Subject::Job(_)), "{subject}");
        assert_eq!(rig.store.bridges(PIPELINE).await.expect("read").is_some(), whole.is_some(), "{subject}");
        assert_eq!(rig.store.failures(None).await.expect("read"), []);
        assert_eq!(rig.store.marks().await.expect("read").len(), 1);
        rig.store.sweep_blobs().await.expect("swept");
        rig.behind.age_replaced_blobs().await;
        rig.store.sweep_blobs().await.expect("swept");
        assert_eq!(rig.behind.blobs().await, 0, "{subject}: the streamed blob went, too");

        assert_eq!(rig.store.forgotten(SUBJECTS.to_vec()).await.expect("read"), HashSet::from([subject]));
        assert_eq!(rig.store.all_forgotten().await.expect("read").len(), 1);
        assert!(rig.store.remember(subject).await.expect("remembered"));
        assert!(!rig.store.remember(subject).await.expect("remembered"));
        let again = vec![Change::Pipeline(pipeline(70, "success", 100)), Change::Job(job(JOB, "success", 100))];
        rig.store.apply(again).await.expect("stored");
        assert!(rig.store.job(JOB).await.expect("read").is_some());
        rig.store.close().await.expect("closed");
    }
}

async fn a_replaced_blob_goes_with_its_job(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Live, 5)]).await.expect("stored");
    rig.store.apply(vec![publish(Piece::Live, 6)]).await.expect("stored");
    assert_eq!(rig.behind.blobs().await, 2, "its readers have 10 min");
    rig.store.remove(Subject::Job(JOB)).await.expect("removed");
    assert_eq!((rig.behind.blobs().await, rig.behind.chunks().await), (0, 0));
    assert_eq!(rig.store.gaps(None, 9).await.expect("read").iter().filter(|gap| gap.job.is_some()).count(), 0);
}

async fn work_is_told_with_its_owner(engine: Engine) {
    let rig = Rig::new(engine).await;
    let other = rig.open(Duration::from_secs(30)).await;
    let (own, others) = (entry(1, 0), Entry::new(Target::Report(PIPELINE), Lane::Backfill, Cause::Look, at(9)));
    rig.store.apply(vec![Change::Append(vec![own.clone()])]).await.expect("stored");
    other.apply(vec![Change::Append(vec![others.clone()])]).await.expect("stored");
    other.apply(vec![Change::Start(vec![others.id])]).await.expect("stored");
    let all = rig.store.work(WorkFilter::default(), 9).await.expect("read");
    let told: Vec<_> = all.iter().map(|found| (found.entry.id, found.running, found.owner)).collect();
    assert_eq!(told, [(own.id, false, WorkOwner::Process), (others.id, true, WorkOwner::Process)]);
    let only = async |filter| {
        let found = rig.store.work(filter, 9).await.expect("read");
        found.iter().map(|found| found.entry.id).collect::<Vec<_>>()
    };
    assert_eq!(only(WorkFilter { kind: Some("report"), ..WorkFilter::default() }).await, [others.id]);
    assert_eq!(only(WorkFilter { cause: Some(Cause::Ended), ..WorkFilter::default() }).await, [own.id]);
    assert_eq!(only(WorkFilter { projects: vec![PROJECT, ProjectId(9)], ..WorkFilter::default() }).await.len(), 2);
    assert!(only(WorkFilter { projects: vec![ProjectId(9)], ..WorkFilter::default() }).await.is_empty());
    assert_eq!(only(WorkFilter { after: Some(own.id), ..WorkFilter::default() }).await, [others.id]);

    assert_eq!(rig.store.drop_entries(vec![own.id, others.id]).await.expect("asked"), 0, "they live");
    other.close().await.expect("closed");
    let found = rig.store.work(WorkFilter::default(), 9).await.expect("read");
    assert_eq!((found[1].running, found[1].owner), (false, WorkOwner::Nobody));
    assert_eq!(rig.store.drop_entries(vec![own.id, others.id]).await.expect("dropped"), 1);
    assert_eq!(rig.store.journal_len().await.expect("read"), 1);
}

async fn what_is_stored_is_added_up_and_the_oldest_comes_first(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let second = JobKey { job: JobId(600), ..JOB };
    let older = parse_job(job_json(600, "older", "success"), 100);
    let (record, bytes) = log_of(Piece::Whole, 7);
    rig.store.apply(vec![publish(Piece::Whole, 5), Change::Job(older)]).await.expect("stored");
    rig.store.apply(vec![Change::Log { key: second, record, bytes }]).await.expect("stored");
    let blob = |target, stored| KeptBlob { target, project: PROJECT, stored };
    let oldest = async |after, limit| rig.store.oldest_blobs(BlobKind::Log, after, limit).await.expect("read");
    assert_eq!(oldest(None, 9).await, [blob(600, 7), blob(700, 5)]);
    assert_eq!((oldest(None, 1).await, oldest(Some(600), 9).await), (vec![blob(600, 7)], vec![blob(700, 5)]));
    assert!(rig.store.oldest_blobs(BlobKind::Archive, None, 9).await.expect("read").is_empty());

    let today = rig.store.usage(Timestamp::from_millis(0)).await.expect("read");
    assert_eq!(
        today.iter().map(|usage| (usage.kind, usage.count, usage.raw)).collect::<Vec<_>>(),
        [(BlobKind::Log, 2, 12)]
    );
    assert_eq!(today[0].day, Some(Timestamp::now().day()));
    let before = rig.store.usage(Timestamp::now().plus(Duration::from_secs(3600))).await.expect("read");
    assert_eq!((before[0].day, before[0].stored), (None, 12));
    let documents = rig.store.documents().await.expect("read");
    assert_eq!((documents[&PROJECT].pipelines, documents[&PROJECT].jobs), (1, 2));
    let mut picked = rig.store.random_jobs(Some(PROJECT), 50).await.expect("read");
    picked.sort_unstable();
    assert_eq!(picked, [second, JOB]);
    assert!(rig.store.random_jobs(Some(ProjectId(9)), 5).await.expect("read").is_empty());

    let pruned = LogRecord { piece: Piece::Absent(Reason::Pruned), ..LogRecord::missing() };
    rig.store.apply(vec![Change::Log { key: second, record: pruned, bytes: None }]).await.expect("stored");
    assert_eq!(oldest(None, 9).await, [blob(700, 5)]);
    let ages = rig.store.pipeline_ages(PROJECT, None, 9).await.expect("read");
    assert_eq!(
        ages.iter().map(|age| (age.id, age.created_at, age.updated_at)).collect::<Vec<_>>(),
        [(PIPELINE.pipeline, at(0), at(100))]
    );
}

on_both! {
    nothing_of_a_forgotten_subject_is_stored_and_the_rest_of_a_list_is;
    a_replaced_blob_goes_with_its_job;
    work_is_told_with_its_owner;
    what_is_stored_is_added_up_and_the_oldest_comes_first;
}
