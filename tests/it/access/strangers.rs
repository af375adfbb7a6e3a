//! Readers to whose questions GitLab, or what is before it, has no answer: what that is to everybody else.

use cistern::demo::fake::{Endpoint, Fault, FaultKind};
use serde_json::Value;

use super::*;
use crate::rig::{eventually, eventually_by};

/// How soon an event is cached while nobody asks.
const AS_EVER: std::time::Duration = std::time::Duration::from_secs(5);

async fn what_fails_for_readers_is_no_outage_for_events(engine: Engine) {
    let Instance { rig, places } = instance(engine).await;
    let rig = rig.set("access.positive_ttl", "0").set("access.negative_ttl", "0").set("reconcile.interval", "1h");
    let public = &places[0];
    for fault in [FaultKind::HtmlStatus(403), FaultKind::ServerError, FaultKind::CloseBeforeHead] {
        let serving = rig.serve("cistern.db").await;
        serving.idle().await;
        rig.fake.inject(Fault::new(fault.clone()).on(Endpoint::Project));
        rig.fake.reset_counters();
        for _ in 0..10 {
            for token in ["", OWNER, REPORTER, GUEST, OUTSIDER] {
                let unanswered = if token.is_empty() { 401 } else { 503 };
                let status = ours(&serving, &public.trace(), token).await.status;
                assert!(status == unanswered || status == 200, "{fault:?}: {status}");
            }
        }
        let asked = rig.fake.requests().of(Endpoint::Project);
        assert!((12..=30).contains(&asked), "{asked} questions: ever more rarely for each");
        let status: Value = serde_json::from_str(&serving.admin("/status").await).expect("JSON");
        let gitlab = &status["gitlab"];
        assert_eq!((&gitlab["circuit"], &gitlab["window"]), (&"closed".into(), &20.into()), "{fault:?}: {gitlab}");
        let job = rig.fake.with(|world| {
            let job = world.add_job(public.pipeline, JobSpec::new("later").log(Log::bytes("printed later")));
            world.start_job(job);
            world.finish_job(job, "success");
            world.archive_trace(job);
            job
        });
        assert_eq!(serving.deliver(&rig.fake.job_event(job).expect("an event")).await.status, 202);
        let key = cistern::domain::JobKey { project: public.project, job };
        eventually_by(tokio::time::Instant::now() + AS_EVER, async || {
            serving.store.job(key).await.expect("an answer").is_some_and(|row| row.log.piece.is_held())
        })
        .await;
        rig.fake.clear_faults();
        eventually(async || ours(&serving, &public.trace(), OWNER).await.status == 200).await;
        serving.stop().await;
    }
}

on_both! {
    what_fails_for_readers_is_no_outage_for_events;
}
