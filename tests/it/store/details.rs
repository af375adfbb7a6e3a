//! A pipeline's own document: a slot of its own beside the row of the listing.

use super::*;
use cistern::domain::{DetailRecord, Status};

fn listed(status: &str, updated: i64) -> Change {
    let row = Pipeline::parse(PROJECT, &raw(&pipeline_json(70, status, updated)), at(updated));
    Change::Pipeline(row.expect("a pipeline"))
}

fn asked(status: &str, updated: i64, as_of: i64, user: &str) -> Change {
    let json = with(pipeline_json(70, status, updated), "user", user);
    Change::Pipeline(Pipeline::parse_detail(PROJECT, &raw(&json), at(as_of)).expect("a pipeline"))
}

async fn held(rig: &Rig) -> DetailRecord {
    rig.store.pipeline(PIPELINE).await.expect("read").expect("stored").detail
}

/// The piece, and whose document it is.
async fn seen(rig: &Rig) -> (Piece, Option<String>) {
    let DetailRecord { piece, document } = held(rig).await;
    let user = document.map(|document| {
        let json: serde_json::Value = serde_json::from_str(&document.text).expect("JSON");
        json["user"].as_str().expect("a user").to_owned()
    });
    (piece, user)
}

async fn gaps(rig: &Rig) -> Vec<(&'static str, &'static str)> {
    let gaps = rig.store.gaps(Some(PROJECT), 10).await.expect("read");
    gaps.iter().map(|gap| (gap.kind, gap.state.as_str())).collect()
}

async fn whichever_comes_last_the_newest_document_stays_and_is_whole_with_its_row(engine: Engine) {
    let changes = [
        listed("running", 100),
        asked("running", 100, 100, "a"),
        asked("success", 200, 200, "b"),
        listed("success", 200),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [3, 0, 1, 2]] {
        let rig = Rig::new(engine).await;
        for number in order {
            rig.store.apply(vec![changes[number].clone()]).await.expect("stored");
        }
        assert_eq!(seen(&rig).await, (Piece::Whole, Some("b".to_owned())), "{order:?}");
    }
}

async fn one_of_an_older_state_is_held_and_a_gap(engine: Engine) {
    let rig = Rig::new(engine).await;
    let states = async || {
        let state = rig.store.pipeline_states(PROJECT, vec![PIPELINE.pipeline]).await.expect("read");
        let unfinished = async |live| rig.store.unfinished(PROJECT, live, None, 10).await.expect("read").len();
        (state[&PIPELINE.pipeline].undetailed, unfinished(false).await, unfinished(true).await)
    };
    rig.store.apply(vec![listed("success", 100), Change::JobsListed(PIPELINE, at(100))]).await.expect("stored");
    assert_eq!((seen(&rig).await, gaps(&rig).await), ((Piece::Missing, None), vec![("detail", "missing")]));
    assert_eq!(states().await, (true, 0, 1), "work for full passes");
    rig.store.apply(vec![asked("success", 100, 110, "a")]).await.expect("stored");
    assert_eq!((seen(&rig).await, gaps(&rig).await), ((Piece::Whole, Some("a".to_owned())), vec![]));
    assert_eq!(states().await, (false, 0, 0));
    // A later look at the listing that shows the same changes nothing, another status does.
    rig.store.apply(vec![listed("success", 100)]).await.expect("stored");
    assert_eq!(seen(&rig).await.0, Piece::Whole);
    rig.store.apply(vec![listed("failed", 120)]).await.expect("stored");
    assert_eq!(
        (seen(&rig).await, gaps(&rig).await),
        ((Piece::Partial, Some("a".to_owned())), vec![("detail", "missing")])
    );
    assert!(!held(&rig).await.is_of(at(120), &Status::from("failed")));
    rig.store.apply(vec![Change::Gone(PIPELINE)]).await.expect("stored");
    assert_eq!((gaps(&rig).await, states().await), (vec![], (false, 0, 0)), "nothing is missed of what is gone");
}

async fn what_is_refused_or_fails_is_told_and_takes_nothing_away(engine: Engine) {
    let rig = Rig::new(engine).await;
    let target = Target::Detail(PIPELINE);
    let refused = || vec![Change::NoDetail(PIPELINE, Reason::Forbidden), Change::Refused(target, at(30))];
    let fail = || Change::Fail { target, entries: vec![], problem: "no JSON".to_owned(), attempts: 1 };
    let asked_again = async |before| rig.store.refused(PROJECT, at(before), 10).await.expect("read");
    rig.store.apply(refused()).await.expect("nothing happens");
    rig.store.apply(vec![listed("success", 100), Change::JobsListed(PIPELINE, at(100))]).await.expect("stored");
    rig.store.apply(refused()).await.expect("stored");
    assert_eq!((seen(&rig).await.0, gaps(&rig).await), (Piece::Absent(Reason::Forbidden), vec![]));
    assert_eq!((asked_again(31).await, asked_again(30).await), (vec![target], vec![]));
    let (_, pipelines) = rig.store.tallies(PROJECT).await.expect("counted");
    assert_eq!(
        pipelines.iter().map(|found| (found.detail, found.count)).collect::<Vec<_>>(),
        [(seen(&rig).await.0, 1)]
    );

    rig.store.apply(vec![fail()]).await.expect("stored");
    assert_eq!((seen(&rig).await.0, gaps(&rig).await), (Piece::Absent(Reason::Failed), vec![("detail", "failed")]));
    let told = rig.store.gaps(None, 10).await.expect("read").remove(0).problem;
    assert_eq!(told.as_deref(), Some("no JSON"));
    rig.store.apply(vec![asked("success", 100, 120, "a"), Change::Finish(target, vec![])]).await.expect("stored");
    assert_eq!((seen(&rig).await.0, gaps(&rig).await), (Piece::Whole, vec![]));
    rig.store.apply(refused()).await.expect("answered");
    rig.store.apply(vec![fail()]).await.expect("answered");
    assert_eq!((seen(&rig).await, asked_again(100).await), ((Piece::Whole, Some("a".to_owned())), vec![]));

    assert!(rig.store.forget(cistern::domain::Subject::Pipeline(PIPELINE)).await.expect("forgotten"));
    rig.store.remove(cistern::domain::Subject::Pipeline(PIPELINE)).await.expect("removed");
    rig.store.apply(vec![fail(), Change::NoDetail(PIPELINE, Reason::Failed)]).await.expect("answered");
    assert_eq!(rig.store.failures(None).await.expect("read"), []);
}

async fn many_come_in_the_order_that_is_asked_for(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store
        .apply(vec![asked("success", 200, 200, "a"), Change::Pipeline(pipeline(84, "running", 1))])
        .await
        .expect("stored");
    let ids = [PipelineId(84), PipelineId(1), PIPELINE.pipeline].to_vec();
    let details = async |project| rig.store.pipeline_details(project, ids.clone()).await.expect("read");
    let found = details(PROJECT).await;
    assert_eq!(found.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [84, 70]);
    assert_eq!(found.get(1).map(|(_, document)| document), held(&rig).await.document.as_ref());
    assert_eq!(details(ProjectId(8)).await, []);
}

on_both! {
    many_come_in_the_order_that_is_asked_for;
    whichever_comes_last_the_newest_document_stays_and_is_whole_with_its_row;
    one_of_an_older_state_is_held_and_a_gap;
    what_is_refused_or_fails_is_told_and_takes_nothing_away;
}
