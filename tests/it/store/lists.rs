//! Lists: what they are chosen and sorted by, and how far they are counted.

use cistern::domain::{Document, PipelineSource, ProjectFacts, Status};
use cistern::store::{COUNTED, ListOf, Listing, PipelineOrder, PipelineScope, ProjectJobFilter, Span};

use super::*;

async fn pipelines_are_chosen_and_sorted_by_all_that_gitlab_knows(engine: Engine) {
    let rig = Rig::new(engine).await;
    let statuses = ["success", "failed", "canceled", "skipped", "running", "pending"];
    let mut changes = Vec::new();
    // The even ones are of `main`, the odd ones of `topic`; the later the id, the earlier the update.
    for (id, status) in (80..86).zip(statuses) {
        let json =
            with(pipeline_json(id, status, 200 - i64::try_from(id).expect("small")), "name", format!("n{}", id % 3));
        let json = with(json, "created_at", at(i64::try_from(id).expect("small")).to_string());
        let json = if id == 85 { with(json, "source", "push") } else { json };
        changes.push(Change::Pipeline(Pipeline::parse(PROJECT, &raw(&json), at(1)).expect("a pipeline")));
    }
    rig.store.apply(changes).await.expect("stored");
    let ids = async |filter: PipelineFilter| {
        let page = rig.store.pipelines(PROJECT, filter, ALL).await.expect("listed");
        let ids: Vec<u64> = page.rows.iter().map(id_of).collect();
        assert_eq!(page.total, ids.len() as u64);
        ids
    };
    let any = PipelineFilter::default;
    for (scope, expected) in [
        (PipelineScope::Running, vec![84]),
        (PipelineScope::Pending, vec![85]),
        (PipelineScope::Finished, vec![82, 81, 80]),
        (PipelineScope::Branches, vec![85, 84]),
        (PipelineScope::Tags, vec![]),
    ] {
        assert_eq!(ids(PipelineFilter { scope: Some(scope), ..any() }).await, expected, "{scope:?}");
    }
    assert_eq!(ids(PipelineFilter { name: Some("n2".into()), ..any() }).await, [83, 80]);
    let both = PipelineFilter { scope: Some(PipelineScope::Finished), status: Some("failed".into()), ..any() };
    assert_eq!(ids(both).await, [81]);
    let span = |after, before| Span { after: Some(at(after)), before: Some(at(before)) };
    assert_eq!(ids(PipelineFilter { created: span(82, 83), ..any() }).await, [83, 82]);
    assert_eq!(ids(PipelineFilter { updated: span(116, 118), ..any() }).await, [84, 83, 82]);
    for (order, ascending, expected) in [
        (PipelineOrder::UpdatedAt, true, [85, 84, 83, 82, 81, 80]),
        (PipelineOrder::UpdatedAt, false, [80, 81, 82, 83, 84, 85]),
        (PipelineOrder::Status, true, [82, 81, 85, 84, 83, 80]),
        (PipelineOrder::Ref, false, [85, 83, 81, 84, 82, 80]),
    ] {
        assert_eq!(ids(PipelineFilter { order, ascending, ..any() }).await, expected, "{order:?}");
    }
    // A job tells that its pipeline ran for a tag; a later listing does not, and does not take it back.
    let json = with(with(job_json(1, "build", "success"), "tag", true), "pipeline", pipeline_json(84, "running", 300));
    rig.store.apply(vec![Change::Pipeline(parse_job(json, 1).pipeline)]).await.expect("stored");
    rig.store.apply(vec![Change::Pipeline(pipeline(84, "running", 301))]).await.expect("stored");
    assert_eq!(ids(PipelineFilter { scope: Some(PipelineScope::Tags), ..any() }).await, [84]);
    assert_eq!(ids(PipelineFilter { scope: Some(PipelineScope::Branches), ..any() }).await, [85, 82]);
}

async fn long_lists_are_not_counted_to_their_end(engine: Engine) {
    let rig = Rig::new(engine).await;
    let last = 10 * (COUNTED + 20);
    for ids in (1..=COUNTED + 20).collect::<Vec<_>>().chunks(1000) {
        let changes = ids.iter().map(|id| Change::Pipeline(pipeline(id * 10, "success", 1)));
        rig.store.apply(changes.collect()).await.expect("stored");
    }
    let page = async |offset, limit| {
        let page = rig.store.pipelines(PROJECT, PipelineFilter::default(), Slice { offset, limit }).await;
        let page = page.expect("listed");
        (page.rows.first().map(id_of), page.rows.len(), page.total)
    };
    assert_eq!(page(0, 10).await, (Some(last), 10, COUNTED + 1));
    assert_eq!(page(COUNTED, 10).await, (Some(200), 10, COUNTED + 11), "there are more");
    assert_eq!(page(COUNTED + 10, 10).await, (Some(100), 10, COUNTED + 20), "there are no more");
    let exact = PipelineFilter { created: Span { after: Some(at(1)), before: None }, ..PipelineFilter::default() };
    assert_eq!(rig.store.pipelines(PROJECT, exact, ALL).await.expect("listed").total, 0);
}

async fn jobs_of_a_project_are_listed_newest_first_whatever_their_pipeline(engine: Engine) {
    let rig = Rig::new(engine).await;
    let statuses = ["success", "failed", "running"].into_iter().cycle();
    let changes = (1..=9).zip(statuses).map(|(id, status)| {
        let json = with(job_json(id, "build", status), "pipeline", pipeline_json(70 + id % 2, "running", 1));
        Change::Job(parse_job(json, 1))
    });
    rig.store.apply(changes.collect()).await.expect("stored");
    let ids = async |scope: &[&str], below: Option<u64>, offset, limit| {
        let scope = scope.iter().map(|status| (*status).to_owned()).collect();
        let filter = ProjectJobFilter { scope, below: below.map(JobId) };
        let page = rig.store.project_jobs(PROJECT, filter, Slice { offset, limit }).await.expect("listed");
        (page.rows.iter().map(id_of).collect::<Vec<_>>(), page.total)
    };
    assert_eq!(ids(&[], None, 0, 4).await, (vec![9, 8, 7, 6], 5));
    assert_eq!(ids(&[], None, 8, 4).await, (vec![1], 9));
    assert_eq!(ids(&[], Some(3), 0, 4).await, (vec![2, 1], 2));
    assert_eq!(ids(&["failed", "running"], None, 0, 3).await, (vec![9, 8, 6], 4));
    assert_eq!(ids(&["failed", "running"], None, 3, 3).await, (vec![5, 3, 2], 6));
    assert_eq!(ids(&["failed"], Some(8), 0, 3).await, (vec![5, 2], 2));
    assert_eq!(ids(&["manual"], None, 0, 3).await, (vec![], 0));
    let other = rig.store.project_jobs(ProjectId(8), ProjectJobFilter::default(), ALL).await.expect("listed");
    assert!(other.rows.is_empty());
}

async fn trigger_jobs_are_a_list_of_their_own(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    assert_eq!(rig.store.bridges(PIPELINE).await.expect("read"), None);
    let list = |text: &str, as_of| Document { text: text.into(), as_of: at(as_of) };
    for (text, as_of, expected) in [("[1]", 5, "[1]"), ("[2]", 4, "[1]"), ("[]", 6, "[]")] {
        rig.store.apply(vec![Change::Bridges(PIPELINE, list(text, as_of))]).await.expect("stored");
        let held = rig.store.bridges(PIPELINE).await.expect("read").expect("stored");
        assert_eq!(&*held.text, expected);
    }
    let elsewhere = PipelineKey { project: ProjectId(8), ..PIPELINE };
    assert_eq!(rig.store.bridges(elsewhere).await.expect("read"), None);
    // Work on them is an entry like any other; that it failed is no gap.
    let target = Target::Bridges(PIPELINE);
    let entry = Entry::new(target, Lane::Live, Cause::Planned, at(0));
    rig.store.apply(vec![Change::Append(vec![entry.clone()])]).await.expect("stored");
    assert_eq!(rig.store.entries(10).await.expect("read"), std::slice::from_ref(&entry));
    assert_eq!(rig.store.entries_of(PROJECT, 10).await.expect("read"), std::slice::from_ref(&entry));
    assert_eq!(rig.store.entries_of(ProjectId(8), 10).await.expect("read"), []);
    let gaps = rig.store.gaps(None, 100).await.expect("read");
    let fail = Change::Fail { target, entries: vec![entry.id], problem: "forbidden".to_owned(), attempts: 1 };
    rig.store.apply(vec![fail]).await.expect("stored");
    assert_eq!(rig.store.failures(Some(PROJECT)).await.expect("read")[0].target, target);
    assert_eq!(rig.store.gaps(None, 100).await.expect("read"), gaps);
}

async fn the_last_look_at_each_listing_is_kept(engine: Engine) {
    let rig = Rig::new(engine).await;
    let (plain, child) = (PipelineSource::Plain, PipelineSource::Child);
    let looked = |as_of, since| Listing { as_of: at(as_of), since: at(since) };
    let of = |source| ListOf::Pipelines(PROJECT, source);
    for (list, target, listing) in [
        (of(plain), Target::Pipelines(PROJECT, plain), looked(5, 1)),
        (of(plain), Target::Pipelines(PROJECT, plain), looked(4, 0)),
        (of(child), Target::Pipelines(PROJECT, child), looked(2, 2)),
        (of(plain), Target::Pipelines(PROJECT, plain), looked(6, 3)),
        (ListOf::Projects, Target::Projects, looked(8, 7)),
        (ListOf::Projects, Target::Projects, Listing::whole(at(9))),
        (ListOf::Projects, Target::Projects, looked(8, 7)),
    ] {
        let note = Change::Listed(list, listing);
        // Facts or not, alone or with the end of work.
        let end = Change::Finish(target, Vec::new());
        rig.store.apply(vec![note, end]).await.expect("noted");
    }
    for (list, listing) in [
        (of(plain), Some(looked(6, 3))),
        (of(child), Some(looked(2, 2))),
        (ListOf::Pipelines(ProjectId(8), plain), None),
        (ListOf::Projects, Some(Listing::whole(at(9)))),
    ] {
        assert_eq!(rig.store.listing(list).await.expect("read"), listing, "{list:?}");
    }
    for source in [plain, child] {
        let entry = Entry::new(Target::Pipelines(PROJECT, source), Lane::Live, Cause::Planned, at(0));
        rig.store.apply(vec![Change::Append(vec![entry.clone()])]).await.expect("stored");
        assert!(rig.store.entries(10).await.expect("read").contains(&entry));
    }
}

async fn facts_of_projects_come_without_their_documents(engine: Engine) {
    let rig = Rig::new(engine).await;
    let json = serde_json::json!({
        "id": 3, "path_with_namespace": "group/sub/app", "name": "App", "description": null, "visibility": "internal",
        "archived": true, "created_at": at(1).to_string(), "namespace": {"id": 5, "parent_id": 4, "full_path": "group/sub"},
    });
    let project = Project::parse(&raw(&json), at(1)).expect("a project");
    let bare = serde_json::json!({"id": 2, "path_with_namespace": "group/bare"});
    let bare = Project::parse(&raw(&bare), at(1)).expect("a project");
    assert_eq!((&*project.facts.name, project.facts.archived, project.facts.created_at), ("App", true, Some(at(1))));
    rig.store.apply(vec![Change::Project(project.clone()), Change::Project(bare.clone())]).await.expect("stored");
    let facts: Vec<(ProjectId, ProjectFacts)> = rig.store.project_facts().await.expect("read");
    assert_eq!(facts, [(ProjectId(2), bare.facts), (ProjectId(3), project.facts)]);
    let documents = rig.store.project_documents(vec![ProjectId(3), ProjectId(9), ProjectId(2)]).await.expect("read");
    assert_eq!(documents, [project.document, bare.document]);
}

async fn pieces_are_counted_by_their_state(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    rig.store.apply(vec![publish(Piece::Whole, 10)]).await.expect("stored");
    rig.store.apply(vec![Change::Job(parse_job(job_json(701, "later", "running"), 1))]).await.expect("stored");
    let (mut jobs, pipelines) = rig.store.tallies(PROJECT).await.expect("counted");
    jobs.sort_by_key(|tally| tally.status.as_str().to_owned());
    let states: Vec<_> =
        jobs.iter().map(|tally| (tally.status.as_str(), tally.log, tally.log_expected, tally.count)).collect();
    assert_eq!(states, [("running", Piece::Missing, false, 1), ("success", Piece::Whole, true, 1)]);
    assert_eq!((jobs[1].archive, jobs[1].archive_expected), (Piece::Missing, true));
    assert_eq!(pipelines.len(), 1);
    assert_eq!(
        (&pipelines[0].status, pipelines[0].report, pipelines[0].count),
        (&Status::from("success"), Piece::Missing, 1)
    );
    assert_eq!(rig.store.tallies(ProjectId(8)).await.expect("counted"), (vec![], vec![]));
}

fn id_of(document: &Document) -> u64 {
    serde_json::from_str::<serde_json::Value>(&document.text).expect("JSON")["id"].as_u64().expect("an id")
}

on_both! {
    pipelines_are_chosen_and_sorted_by_all_that_gitlab_knows;
    long_lists_are_not_counted_to_their_end;
    jobs_of_a_project_are_listed_newest_first_whatever_their_pipeline;
    trigger_jobs_are_a_list_of_their_own;
    the_last_look_at_each_listing_is_kept;
    facts_of_projects_come_without_their_documents;
    pieces_are_counted_by_their_state;
}
