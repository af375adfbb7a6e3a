//! Paging, filters, redirects, logs, caches, limits and faults.

use std::time::Duration;

use cistern::demo::fake::{
    Endpoint, FakeGitlab, Fault, FaultKind, JobSpec, Junit, Log, Options, PipelineSpec, RateLimit, World,
};
use cistern::domain::{ProjectId, Timestamp};
use serde_json::Value;

use super::edge::{Reply, Small, get, send, small};

#[tokio::test]
async fn pages_by_number_end_with_an_empty_next_page_and_totals_vanish_above_the_limit() {
    let Small { fake, project, .. } = small(Options { count_limit: 4, ..Options::default() });
    for _ in 0..3 {
        fake.with(|world| world.add_pipeline(project, PipelineSpec::default()));
    }
    let first = get(&fake, &format!("/projects/{project}/pipelines?per_page=3")).await;
    assert_eq!((first.header("x-page"), first.header("x-per-page"), first.header("x-next-page")), ("1", "3", "2"));
    assert_eq!((first.header("x-total"), first.header("x-total-pages")), ("4", "2"));
    assert!(first.header("link").contains("page=2&per_page=3>; rel=\"next\""), "{}", first.header("link"));
    assert!(first.header("link").contains("rel=\"last\""));
    let second = get(&fake, &format!("/projects/{project}/pipelines?per_page=3&page=2")).await;
    assert_eq!((second.json().as_array().map(Vec::len), second.header("x-next-page")), (Some(1), ""));
    assert_eq!(second.header("x-prev-page"), "1");
    fake.with(|world| world.add_pipeline(project, PipelineSpec::default()));
    let more = get(&fake, &format!("/projects/{project}/pipelines?per_page=3")).await;
    assert!(!more.headers.contains_key("x-total") && !more.header("link").contains("last"));
    assert_eq!(more.header("x-next-page"), "2");
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn projects_page_by_key_and_the_last_page_has_no_link() {
    let mut world = World::new();
    let ids: Vec<_> = (0..5).map(|number| world.add_project(&format!("group/p{number}"))).collect();
    let fake = FakeGitlab::start(world, Options::default()).expect("a fake GitLab");
    let mut path = "/projects?pagination=keyset&order_by=id&sort=asc&per_page=2&simple=true".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = get(&fake, &path).await;
        seen.extend(page.json().as_array().expect("rows").iter().filter_map(|row| row["id"].as_u64()).map(ProjectId));
        let Some(next) = page.header("link").strip_suffix(">; rel=\"next\"") else { break };
        path = next.split("/api/v4").nth(1).expect("an API address").to_owned();
    }
    assert_eq!(seen, ids);
    assert_eq!(fake.requests().of(Endpoint::Projects), 3);
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn child_pipelines_are_listed_only_when_asked_for() {
    let Small { fake, project, pipeline, child, .. } = small(Options::default());
    let ids = |reply: &Reply| -> Vec<u64> {
        reply.json().as_array().expect("rows").iter().filter_map(|row| row["id"].as_u64()).collect()
    };
    let plain = get(&fake, &format!("/projects/{project}/pipelines")).await;
    assert_eq!(ids(&plain), [pipeline.0]);
    let children = get(&fake, &format!("/projects/{project}/pipelines?source=parent_pipeline")).await;
    assert_eq!(ids(&children), [child.0]);
    let bridges = get(&fake, &format!("/projects/{project}/pipelines/{pipeline}/bridges")).await;
    let bridge = ids(&bridges)[0];
    assert_eq!(bridges.json()[0]["downstream_pipeline"]["id"], child.0);
    assert_eq!(get(&fake, &format!("/projects/{project}/jobs/{bridge}")).await.status, 404);
    assert_eq!(get(&fake, &format!("/projects/{project}/jobs/{bridge}/trace")).await.status, 404);
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn retried_attempts_are_listed_only_when_asked_for_and_every_change_raises_updated_at() {
    let Small { fake, project, pipeline, job, .. } = small(Options::default());
    let updated = |reply: &Reply| Timestamp::parse(reply.json()["updated_at"].as_str().expect("a date"));
    let path = format!("/projects/{project}/pipelines/{pipeline}");
    let before = get(&fake, &path).await;
    let again = fake.with(|world| world.retry_job(job));
    let after = get(&fake, &path).await;
    assert!(updated(&after) > updated(&before));
    assert_eq!((&after.json()["status"], &after.json()["finished_at"]), (&"running".into(), &Value::Null));
    let ids = async |query: &str| -> Vec<u64> {
        let page = get(&fake, &format!("{path}/jobs{query}")).await.json();
        page.as_array().expect("rows").iter().filter_map(|row| row["id"].as_u64()).collect()
    };
    let (latest, all) = (ids("").await, ids("?include_retried=true").await);
    assert!(latest.contains(&again.0) && !latest.contains(&job.0));
    assert!(all.contains(&again.0) && all.contains(&job.0) && all.is_sorted_by(|left, right| left > right));
    assert_eq!(ids("?scope[]=pending").await, [again.0]);
    assert_eq!(get(&fake, &format!("{path}/jobs?scope[]=nonsense")).await.status, 400);
    // Inclusive to the millisecond.
    let at = after.json()["updated_at"].as_str().expect("a date").to_owned();
    let listed = get(&fake, &format!("/projects/{project}/pipelines?updated_after={at}&order_by=updated_at")).await;
    assert_eq!(listed.json().as_array().map(Vec::len), Some(1));
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn artifacts_redirect_to_a_signed_address_on_another_host_that_records_leaks() {
    let Small { fake, project, job, .. } = small(Options::default());
    let redirect = get(&fake, &format!("/projects/{project}/jobs/{job}/artifacts")).await;
    assert_eq!(redirect.status, 302);
    let location = redirect.header("location").to_owned();
    let target = location.strip_prefix(fake.storage_url()).expect("the storage host").to_owned();
    assert!(location.starts_with("http://localhost:"));
    let storage = fake.storage_url().replace("localhost", "127.0.0.1");
    let archive = send(&storage, &target, "").await;
    assert_eq!((archive.status, fake.leaked_credentials().len()), (200, 0));
    assert_eq!(Some(archive.body.len()), fake.with(|world| world.archive(job)).map(|archive| archive.len()));
    assert_eq!(send(&storage, &target, "PRIVATE-TOKEN: x\r\nReferer: y\r\n").await.status, 200);
    assert_eq!(fake.leaked_credentials(), ["private-token", "referer"]);
    assert_eq!(send(&storage, &target.replace("Signature=", "Signature=0"), "").await.status, 403);
    assert_eq!(fake.requests().storage, 3);
    let file = get(&fake, &format!("/projects/{project}/jobs/{job}/artifacts/a.txt")).await;
    assert_eq!(file.body, b"hello");
    let tree = get(&fake, &format!("/projects/{project}/jobs/{job}/artifacts/tree")).await.json();
    assert_eq!((&tree[0]["path"], &tree[1]["path"]), (&"reports/".into(), &"a.txt".into()));
    fake.with(|world| world.expire_artifacts(job));
    assert_eq!(get(&fake, &format!("/projects/{project}/jobs/{job}/artifacts")).await.status, 404);
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn logs_are_partial_while_running_whole_when_archived_and_empty_when_erased() {
    let Small { fake, project, pipeline, .. } = small(Options::default());
    let job = fake.with(|world| world.add_job(pipeline, JobSpec::new("slow").log(Log::generated(9_000, 1, true))));
    let trace = format!("/projects/{project}/jobs/{job}/trace");
    assert_eq!((get(&fake, &trace).await.status, get(&fake, &trace).await.body.len()), (200, 0));
    fake.with(|world| world.start_job(job));
    assert_eq!(get(&fake, &trace).await.body.len(), 3_000);
    fake.with(|world| {
        world.delay_log_tail(job, 100);
        world.finish_job(job, "success");
    });
    assert_eq!(get(&fake, &trace).await.body.len(), 8_900);
    fake.with(|world| world.archive_trace(job));
    let whole = get(&fake, &trace).await;
    assert_eq!((whole.body.len(), whole.header("content-type")), (9_000, "text/plain"));
    let listed = get(&fake, &format!("/projects/{project}/jobs/{job}")).await.json();
    assert_eq!(
        (&listed["artifacts"][0]["file_type"], &listed["artifacts"][0]["size"]),
        (&"trace".into(), &9_000.into())
    );
    fake.with(|world| world.erase_job(job));
    assert_eq!((get(&fake, &trace).await.status, get(&fake, &trace).await.body.len()), (200, 0));
    assert!(get(&fake, &format!("/projects/{project}/jobs/{job}")).await.json()["erased_at"].is_string());
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn a_report_asked_for_early_stays_stale_until_the_cache_is_old() {
    let Small { fake, project, pipeline, job, .. } = small(Options::default());
    let path = format!("/projects/{project}/pipelines/{pipeline}/test_report");
    assert_eq!(get(&fake, &path).await.json()["total_count"], 2);
    let more = fake.with(|world| {
        let more = world.add_job(pipeline, JobSpec::new("unit").junit(Junit::generated(5, 0, 1)));
        world.finish_job(more, "success");
        more
    });
    assert_eq!(get(&fake, &path).await.json()["total_count"], 2);
    assert_eq!(get(&fake, &format!("{path}_summary")).await.json()["total"]["count"], 7);
    fake.with(|world| world.advance(Duration::from_secs(121)));
    assert_eq!(get(&fake, &path).await.json()["total_count"], 7);
    fake.with(|world| {
        world.expire_artifacts(job);
        world.expire_artifacts(more);
        world.advance(Duration::from_secs(121));
    });
    let empty = get(&fake, &path).await.json();
    assert_eq!((&empty["total_count"], &empty["test_suites"]), (&0.into(), &Value::Array(Vec::new())));
    assert_eq!(get(&fake, &format!("{path}_summary")).await.json()["total"]["count"], 7);
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn the_rate_limit_speaks_in_headers_and_then_refuses_in_plain_text() {
    let limit = Some(RateLimit { requests: 1, period: Duration::from_secs(30) });
    let Small { fake, project, .. } = small(Options { rate_limit: limit, ..Options::default() });
    let allowed = get(&fake, &format!("/projects/{project}")).await;
    assert_eq!((allowed.status, allowed.header("ratelimit-remaining")), (200, "0"));
    let refused = get(&fake, &format!("/projects/{project}")).await;
    assert_eq!((refused.status, refused.body.as_slice()), (429, b"Retry later\n".as_slice()));
    for name in ["retry-after", "ratelimit-limit", "ratelimit-observed", "ratelimit-reset", "ratelimit-resettime"] {
        assert!(!refused.header(name).is_empty(), "{name}");
    }
    fake.stop().await.expect("a clean stop");
}

#[tokio::test]
async fn faults_hit_what_they_are_ordered_for_and_as_often() {
    let Small { fake, project, job, .. } = small(Options::default());
    let trace = format!("/projects/{project}/jobs/{job}/trace");
    fake.inject(Fault::new(FaultKind::NotFound).on(Endpoint::Trace).subject(job.0).times(2));
    assert_eq!(get(&fake, &format!("/projects/{project}/jobs/{job}")).await.status, 200);
    assert_eq!((get(&fake, &trace).await.status, get(&fake, &trace).await.status), (404, 404));
    assert_eq!(get(&fake, &trace).await.status, 200);

    fake.inject(Fault::new(FaultKind::CloseBeforeHead).times(1));
    assert_eq!(get(&fake, &trace).await.status, 0);
    fake.inject(Fault::new(FaultKind::Truncated { percent: 50 }).times(1));
    let cut = get(&fake, &trace).await;
    assert_eq!((cut.header("content-length"), cut.body.len()), ("18", 9));
    fake.inject(Fault::new(FaultKind::Drip { piece_bytes: 5, pause: Duration::from_millis(1) }).times(1));
    assert_eq!(get(&fake, &trace).await.body.len(), 18);
    fake.inject(Fault::new(FaultKind::LoginPage).times(1));
    let page = get(&fake, &trace).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    fake.inject(Fault::new(FaultKind::MalformedRow).times(1));
    let rows = get(&fake, &format!("/projects/{project}/pipelines")).await.json();
    assert_eq!((rows.as_array().map(Vec::len), &rows[0]["status"]), (Some(2), &17.into()));
    fake.inject(Fault::new(FaultKind::Stall));
    let stalled = tokio::time::timeout(Duration::from_millis(50), get(&fake, &trace)).await;
    assert!(stalled.is_err());
    fake.stop().await.expect("a stop that does not wait for stalled answers");
}
