//! What should be there and is not.

use super::*;

async fn a_pipeline_is_unfinished_until_everything_expected_is_there(engine: Engine) {
    let rig = Rig::new(engine).await;
    let junit =
        with(job_json(700, "build", "success"), "artifacts", serde_json::json!([{"file_type": "junit", "size": 3}]));
    let state = async || {
        let states = rig.store.pipeline_states(PROJECT, vec![PIPELINE.pipeline, PipelineId(1)]).await.expect("read");
        assert_eq!(states.len(), 1);
        (states[&PIPELINE.pipeline].missing, states[&PIPELINE.pipeline].live)
    };
    let unfinished = async |live| rig.store.unfinished(PROJECT, live, None, 10).await.expect("read").len();
    let kinds = async || {
        let gaps = rig.store.gaps(Some(PROJECT), 100).await.expect("read");
        gaps.iter().map(|gap| gap.kind).collect::<Vec<_>>()
    };
    rig.store.apply(vec![Change::Pipeline(pipeline(70, "success", 100))]).await.expect("stored");
    assert_eq!((state().await, kinds().await), ((true, false), vec!["jobs"]));
    let changes = vec![Change::Job(parse_job(junit, 100)), Change::JobsListed(PIPELINE, at(100))];
    rig.store.apply(changes).await.expect("stored");
    assert_eq!((state().await, kinds().await), ((true, false), vec!["report", "log", "archive"]));

    let archive = ArchiveRecord { piece: Piece::Absent(Reason::TooLarge), ..ArchiveRecord::missing() };
    let report = ReportRecord::none(Piece::Whole, vec![JobId(700)]);
    let changes = vec![
        Change::Archive { key: JOB, record: archive, bytes: None },
        Change::Report { key: PIPELINE, record: report, bytes: Some(Bytes::from_static(b"{}")) },
        publish(Piece::Live, 9),
    ];
    rig.store.apply(changes).await.expect("stored");
    assert_eq!((state().await, kinds().await), ((false, true), vec![]));
    assert_eq!((unfinished(false).await, unfinished(true).await), (0, 1));

    rig.store.apply(vec![publish(Piece::Whole, 9)]).await.expect("stored");
    assert_eq!((state().await, unfinished(true).await), ((false, false), 0));

    rig.store.apply(vec![Change::Pipeline(pipeline(70, "running", 200))]).await.expect("stored");
    assert_eq!((state().await, unfinished(false).await), ((false, false), 1));
}

async fn a_failure_is_a_gap_with_its_problem_until_it_is_finished(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let unknown = Target::Job(JobKey { project: PROJECT, job: JobId(1) });
    let work = Entry::new(Target::Job(JOB), Lane::Live, Cause::Ended, at(0));
    let fail = |target, entries| Change::Fail { target, entries, problem: "404 thrice".into(), attempts: 4 };
    rig.store.apply(vec![Change::Append(vec![work.clone()])]).await.expect("stored");
    rig.store.apply(vec![fail(work.target, vec![work.id]), fail(unknown, vec![])]).await.expect("stored");
    assert_eq!(rig.store.journal_len().await.expect("read"), 0);
    let gaps = rig.store.gaps(Some(PROJECT), 100).await.expect("read");
    let seen: Vec<_> =
        gaps.iter().map(|gap| (gap.pipeline.0, gap.kind, gap.state.as_str(), gap.problem.is_some())).collect();
    assert_eq!(
        seen,
        [
            (0, "job", "failed", true),
            (70, "jobs", "missing", false),
            (70, "log", "failed", true),
            (70, "archive", "failed", true)
        ]
    );
    assert_eq!(rig.store.gaps(Some(ProjectId(8)), 100).await.expect("read"), []);
    assert_eq!(rig.store.gaps(None, 2).await.expect("read").len(), 2);
    rig.store.apply(vec![Change::Finish(unknown, vec![])]).await.expect("stored");
    assert_eq!(rig.store.gaps(None, 100).await.expect("read").len(), 3);
}

async fn nothing_is_missed_of_a_pipeline_that_is_gone_until_gitlab_shows_it_again(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let junit =
        with(job_json(701, "test", "success"), "artifacts", serde_json::json!([{"file_type": "junit", "size": 3}]));
    let running = JobKey { project: PROJECT, job: JobId(702) };
    let fail = |target| Change::Fail { target, entries: vec![], problem: "malformed".into(), attempts: 1 };
    let other = PipelineKey { project: PROJECT, pipeline: PipelineId(71) };
    let failed = JobKey { project: PROJECT, job: JobId(701) };
    let changes = vec![
        Change::Job(parse_job(junit, 100)),
        Change::Job(job(running, "running", 100)),
        Change::JobsListed(PIPELINE, at(100)),
        fail(Target::Job(failed)),
        fail(Target::Job(running)),
        fail(Target::Report(PIPELINE)),
        fail(Target::Pipeline(PIPELINE)),
        Change::Pipeline(pipeline(71, "success", 100)),
    ];
    rig.store.apply(changes).await.expect("stored");
    let gaps = async |limit| rig.store.gaps(None, limit).await.expect("read");
    let unfinished = async || {
        let states = rig.store.unfinished(PROJECT, true, None, 10).await.expect("read");
        states.iter().map(|state| state.id.0).collect::<Vec<_>>()
    };
    let gone = async || {
        let states = rig.store.pipeline_states(PROJECT, vec![PIPELINE.pipeline]).await.expect("read");
        let row = rig.store.pipeline(PIPELINE).await.expect("read").expect("stored");
        let lacking = rig.store.job(JOB).await.expect("read").expect("stored");
        let of_it = rig.store.jobs_of(PIPELINE).await.expect("read");
        assert!(of_it.iter().all(|job| job.gone == row.gone));
        assert_eq!((lacking.gone, states[&PIPELINE.pipeline].gone), (row.gone, row.gone));
        row.gone
    };
    let before = gaps(100).await;
    let kinds: Vec<_> = before.iter().map(|gap| (gap.pipeline.0, gap.job.map(|job| job.0), gap.kind)).collect();
    let expected = [
        (70, None, "report"),
        (70, Some(700), "log"),
        (70, Some(700), "archive"),
        (70, Some(701), "log"),
        (70, Some(701), "archive"),
        (70, Some(702), "job"),
        (71, None, "jobs"),
    ];
    assert_eq!(kinds, expected);
    assert_eq!((unfinished().await, gone().await), (vec![70, 71], false));

    let unknown = PipelineKey { project: PROJECT, pipeline: PipelineId(1) };
    rig.store.apply(vec![Change::Gone(PIPELINE), Change::Gone(unknown)]).await.expect("stored");
    let left = gaps(100).await;
    assert_eq!(left.iter().map(|gap| (gap.pipeline, gap.kind)).collect::<Vec<_>>(), [(other.pipeline, "jobs")]);
    assert_eq!(gaps(1).await, left, "those that are not missed take no place");
    assert_eq!((unfinished().await, gone().await), (vec![71], true));
    // What comes late changes nothing of it.
    rig.store.apply(vec![Change::JobsListed(PIPELINE, at(150)), publish(Piece::Live, 3)]).await.expect("stored");
    assert_eq!((gaps(100).await, unfinished().await), (left, vec![71]));

    rig.store.apply(vec![Change::Pipeline(pipeline(70, "success", 100))]).await.expect("stored");
    assert_eq!((unfinished().await, gone().await), (vec![70, 71], false));
    assert_eq!(gaps(100).await.len(), expected.len() - 1, "all but the log that came late");
}

on_both! {
    nothing_is_missed_of_a_pipeline_that_is_gone_until_gitlab_shows_it_again;
    a_pipeline_is_unfinished_until_everything_expected_is_there;
    a_failure_is_a_gap_with_its_problem_until_it_is_finished;
}
