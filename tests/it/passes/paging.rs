//! Listings behind proxies that leave out how they go on, and GitLabs whose links lead to another address than theirs.

use cistern::demo::fake::{Endpoint, JobSpec, Links, Options, PipelineSpec, World};
use cistern::domain::{PipelineId, ProjectId};
use serde_json::Value;

use super::{done, run, world};
use crate::rig::{Rig, ask};

/// A project whose one pipeline has so many jobs and trigger jobs.
fn with_jobs(jobs: usize) -> (World, ProjectId, PipelineId) {
    let mut world = world();
    let project = world.add_project("group/app");
    let pipeline = world.add_pipeline(project, PipelineSpec::default());
    for number in 0..jobs {
        let job = world.add_job(pipeline, JobSpec::new(&format!("job {number}")));
        run(&mut world, job);
        world.add_child_pipeline(pipeline, &format!("child {number}"), PipelineSpec::default());
    }
    (world, project, pipeline)
}

fn leading(links: Links) -> Options {
    Options { links, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_page_of_jobs_without_paging_headers_is_followed_by_the_next() {
    let (world, project, pipeline) = with_jobs(130);
    let rig = Rig::with(world, leading(Links::Stripped)).set("api.read_through", "true");
    let report = rig.backfill("cistern.db").await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!((report.jobs, rig.fake.requests().of(Endpoint::Trace)), (130, 130));
    assert_eq!(rig.gaps("cistern.db").await, Vec::new());

    let serving = rig.serve("cistern.db").await;
    for (kind, complete) in [("jobs", "true"), ("bridges", "true")] {
        let mut names = Vec::new();
        for page in 1..=2 {
            let path = format!("/api/v4/projects/{project}/pipelines/{pipeline}/{kind}?per_page=100&page={page}");
            let answer = ask(serving.address(), "GET", &path, &[]).await;
            assert_eq!((answer.status, answer.header("x-cistern-complete")), (200, complete), "{kind}");
            let rows: Vec<Value> = serde_json::from_slice(&answer.body).expect("a list");
            names.extend(rows.iter().map(|row| row["name"].to_string()));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 130, "{kind}");
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_full_pages_cost_one_more_call_only_where_headers_are_missing() {
    for (links, pages) in [(Links::Home, 1), (Links::Stripped, 2)] {
        let (world, ..) = with_jobs(100);
        let rig = Rig::with(world, leading(links.clone()));
        let report = rig.backfill("cistern.db").await;
        assert!(report.is_clean(), "{links:?}: {:?}", report.failures);
        // Each of the hundred children has one page without a job.
        assert_eq!(rig.fake.requests().of(Endpoint::PipelineJobs), pages + 100, "{links:?}");
        assert_eq!(rig.fake.requests().of(Endpoint::Projects), 1, "{links:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_are_listed_to_the_end_wherever_links_lead_and_without_any() {
    for links in [
        Links::Home,
        Links::Stripped,
        Links::Relative,
        // Nobody is there: whoever follows the link fails.
        Links::At("http://127.0.0.1:1".to_owned()),
        Links::At("https://gitlab.example".to_owned()),
    ] {
        let mut world = world();
        for number in 0..230 {
            let project = world.add_project(&format!("group/app{number}"));
            if number % 100 == 99 {
                done(&mut world, project);
            }
        }
        let rig = Rig::with(world, leading(links.clone()));
        let report = rig.backfill("cistern.db").await;
        assert!(report.is_clean(), "{links:?}: {:?}", report.failures);
        assert_eq!((report.projects, report.jobs), (230, 2), "{links:?}");
        assert_eq!(rig.fake.requests().of(Endpoint::Projects), 3, "{links:?}");
    }
}
