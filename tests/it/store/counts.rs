//! Counts: they are what is stored, whatever was written and removed before.

use std::collections::BTreeMap;

use cistern::domain::Subject;
use cistern::store::PipelineScope;
use serde_json::Value;

use super::*;

const PIPELINES: std::ops::Range<u64> = 70..78;

async fn counts_are_those_of_what_is_stored_whatever_was_written(engine: Engine) {
    let rig = Rig::new(engine).await;
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..12 {
        for step in 0..25 {
            write(&rig, &mut random, round * 25 + step).await;
        }
        let (jobs, pipelines) = tallies(&rig, PIPELINES).await;
        let children = list(&rig, PipelineFilter { source: Some("parent_pipeline".into()), ..any() }).await;
        let plain = list(&rig, any()).await;
        assert_eq!(pipelines, children + plain, "round {round}");
        for ref_ in [None, Some("main".to_owned()), Some("topic".to_owned()), Some("none".to_owned())] {
            for status in [None, Some("failed".to_owned()), Some("running".to_owned())] {
                for scope in [None, Some(PipelineScope::Finished), Some(PipelineScope::Running)] {
                    for source in [None, Some("push".to_owned()), Some("parent_pipeline".to_owned())] {
                        let (ref_, status) = (ref_.clone(), status.clone());
                        list(&rig, PipelineFilter { ref_, status, scope, source, ..any() }).await;
                    }
                }
            }
        }
        latest_of_each_ref(&rig).await;
        let documents = rig.store.documents().await.expect("counted").remove(&PROJECT).unwrap_or_default();
        assert_eq!((documents.pipelines, documents.jobs), (children + plain, jobs));
    }
}

/// Holds the counts against every job of all pipelines; returns how many jobs and pipelines there are.
async fn tallies(rig: &Rig, pipelines: std::ops::Range<u64>) -> (u64, u64) {
    let mut expected: BTreeMap<_, u64> = BTreeMap::new();
    for pipeline in pipelines {
        let key = PipelineKey { project: PROJECT, pipeline: PipelineId(pipeline) };
        for job in rig.store.jobs_of(key).await.expect("read") {
            let state = (job.status.as_str().to_owned(), job.log.piece.as_str(), job.archive.piece.as_str());
            *expected.entry(state).or_default() += 1;
        }
    }
    let (jobs, pipelines) = rig.store.tallies(PROJECT).await.expect("counted");
    let mut counted = BTreeMap::new();
    for tally in jobs {
        let state = (tally.status.as_str().to_owned(), tally.log.as_str(), tally.archive.as_str());
        *counted.entry(state).or_default() += tally.count;
    }
    assert_eq!(counted, expected);
    (expected.values().sum(), pipelines.iter().map(|tally| tally.count).sum())
}

async fn many_jobs_are_counted_like_few(engine: Engine) {
    let rig = Rig::new(engine).await;
    let statuses = ["success", "failed", "canceled", "running", "skipped"];
    for pipeline in 70..100 {
        let mut changes = vec![Change::Pipeline(super::pipeline(pipeline, "success", 100))];
        for id in pipeline * 100..pipeline * 100 + 100 {
            let json = job_json(id, "build", statuses[id as usize % statuses.len()]);
            let job = parse_job(with(json, "pipeline", pipeline_json(pipeline, "success", 100)), 1);
            let key = job.key;
            changes.push(Change::Job(job));
            if id % 7 < 3 {
                let (record, bytes) =
                    log_of([Piece::Live, Piece::Whole, Piece::Absent(Reason::TooLarge)][id as usize % 7], 5);
                changes.push(Change::Log { key, record, bytes });
            }
        }
        rig.store.apply(changes).await.expect("stored");
    }
    assert_eq!(tallies(&rig, 70..100).await, (3000, 30));
    let (jobs, _) = rig.store.tallies(PROJECT).await.expect("counted");
    for tally in &jobs {
        let ended = !matches!(tally.status.as_str(), "running" | "skipped");
        assert_eq!((tally.log_expected, tally.archive_expected), (ended, ended), "{tally:?}");
    }
    assert!(jobs.len() > 10, "{jobs:?}");
    // What other projects have is not counted.
    assert_eq!(rig.store.tallies(ProjectId(6)).await.expect("counted"), (vec![], vec![]));
    assert_eq!(rig.store.tallies(ProjectId(8)).await.expect("counted"), (vec![], vec![]));
}

fn any() -> PipelineFilter {
    PipelineFilter::default()
}

/// Returns how many pipelines there are, of which all are listed.
async fn list(rig: &Rig, filter: PipelineFilter) -> u64 {
    let page = rig.store.pipelines(PROJECT, filter.clone(), ALL).await.expect("listed");
    assert_eq!(page.total, page.rows.len() as u64, "{filter:?}");
    page.total
}

/// Lists the latest of each branch and of each tag, and holds them against all pipelines. What ran for a tag is named by it.
async fn latest_of_each_ref(rig: &Rig) {
    let all = rig.store.pipelines(PROJECT, any(), ALL).await.expect("listed");
    let (mut branches, mut tags) = (BTreeMap::new(), BTreeMap::new());
    for document in all.rows.iter().rev() {
        let json: Value = serde_json::from_str(&document.text).expect("JSON");
        let ref_ = json["ref"].as_str().expect("a ref").to_owned();
        match (json["name"] == "tag", ref_.starts_with("refs/")) {
            (true, _) => drop(tags.insert(ref_, json["id"].clone())),
            (false, false) => drop(branches.insert(ref_, json["id"].clone())),
            (false, true) => {}
        }
    }
    for (scope, latest) in [(PipelineScope::Branches, branches), (PipelineScope::Tags, tags)] {
        let page = rig.store.pipelines(PROJECT, PipelineFilter { scope: Some(scope), ..any() }, ALL).await;
        let page = page.expect("listed");
        let ids = page.rows.iter().map(|document| {
            let json: Value = serde_json::from_str(&document.text).expect("JSON");
            (json["ref"].as_str().expect("a ref").to_owned(), json["id"].clone())
        });
        assert_eq!(ids.collect::<BTreeMap<_, _>>(), latest, "{scope:?}");
        assert_eq!(page.total, latest.len() as u64, "{scope:?}");
    }
}

/// Writes or removes something.
async fn write(rig: &Rig, random: &mut fastrand::Rng, step: i64) {
    let status = *random.choice(&["success", "failed", "running"]).expect("some");
    let pipeline = random.u64(PIPELINES);
    let job = JobKey { project: PROJECT, job: JobId(random.u64(700..740)) };
    let mut document = pipeline_json(pipeline, status, 100 + step);
    document["ref"] = (*random.choice(&["main", "topic", "v1", "refs/merge-requests/1/head"]).expect("some")).into();
    // Of the even ones nothing tells, as in GitLab's lists.
    let tag = !pipeline.is_multiple_of(2) && random.bool();
    document["name"] = if tag { "tag" } else { "branch" }.into();
    document["source"] = (*random.choice(&["push", "parent_pipeline"]).expect("some")).into();
    match random.u8(0..10) {
        0..4 => {
            let change = if pipeline.is_multiple_of(2) {
                Pipeline::parse(PROJECT, &raw(&document), at(step))
            } else {
                document["tag"] = tag.into();
                Pipeline::parse_detail(PROJECT, &raw(&document), at(step))
            };
            rig.store.apply(vec![Change::Pipeline(change.expect("a pipeline"))]).await.expect("stored");
        }
        4..7 => {
            let mut json = job_json(job.job.0, "build", status);
            json["pipeline"] = document;
            rig.store.apply(vec![Change::Job(parse_job(json, step))]).await.expect("stored");
        }
        7..9 if rig.store.job(job).await.expect("read").is_some() => {
            let record = LogRecord { piece: Piece::Whole, size: 10, frames: vec![10], ..LogRecord::missing() };
            let bytes = Some(Bytes::from_static(b"0123456789"));
            rig.store.apply(vec![Change::Log { key: job, record, bytes }]).await.expect("stored");
        }
        9 if step % 3 == 0 => {
            let key = PipelineKey { project: PROJECT, pipeline: PipelineId(pipeline) };
            rig.store.remove(Subject::Pipeline(key)).await.expect("removed");
        }
        _ => drop(rig.store.remove(Subject::Job(job)).await.expect("removed")),
    }
}

on_both! {
    counts_are_those_of_what_is_stored_whatever_was_written;
    many_jobs_are_counted_like_few;
}
