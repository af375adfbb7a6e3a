//! Projects that `projects.include` names one by one: public ones of which the token is no member, and moved ones.

use cistern::demo::fake::{Endpoint, JobSpec, PipelineSpec};
use cistern::domain::JobKey;
use cistern::reconcile::Extent;

use super::{FULL, done, run, world};
use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_public_project_that_is_named_is_swept_although_the_token_is_no_member() {
    let mut world = world();
    let [named, by_id, left_out] = ["else/where", "else/by-id", "else/unnamed"].map(|path| {
        let project = world.add_project(path);
        world.set_member(project, false);
        project
    });
    let jobs = [named, by_id].map(|project| (project, done(&mut world, project).1));
    done(&mut world, left_out);
    let member = world.add_project("group/app");
    done(&mut world, member);
    let rig = Rig::new(world).set("projects.include", &format!("Else/Where,{by_id},group/**"));
    let forecast = rig.forecast("cistern.db").await;
    let report = rig.pass("cistern.db", FULL).await;
    assert!(report.is_clean(), "{:?}", report.failures);
    assert_eq!((forecast.projects, forecast.gitlab_calls), (report.projects, report.gitlab_calls));
    let cache = rig.cache("cistern.db").await;
    assert_eq!(cache.projects.keys().copied().collect::<Vec<_>>(), [named, by_id, member]);
    for (project, job) in jobs {
        assert!(cache.jobs.contains_key(&JobKey { project, job }));
    }
    assert_eq!(rig.gaps("cistern.db").await, []);
    rig.fake.with(|world| done(world, named));
    assert!(!rig.gaps("cistern.db").await.is_empty(), "verify looks at it too");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_has_moved_leads_to_the_project_and_its_events_are_taken() {
    let mut world = world();
    let (listed, public) = (world.add_project("old/listed"), world.add_project("old/public"));
    world.set_member(public, false);
    let jobs = [listed, public].map(|project| (project, done(&mut world, project).1));
    for (project, path) in [(listed, "new/listed"), (public, "new/public")] {
        world.move_project(project, path);
    }
    let excluded = world.add_project("old/secret");
    world.move_project(excluded, "new/secret");
    let rig = Rig::new(world)
        .set("projects.include", "old/listed,old/public,old/secret")
        .set("projects.exclude", "new/secret");
    let serving = rig.serve("cistern.db").await;
    let fresh = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(public, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("later"));
        run(world, job);
        job
    });
    let answer = serving.deliver(&rig.fake.job_event(fresh).expect("an event")).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
    serving.idle().await;
    serving.stop().await;
    let cache = rig.cache("cistern.db").await;
    for (project, job) in jobs.into_iter().chain([(public, fresh)]) {
        assert!(cache.jobs.contains_key(&JobKey { project, job }));
    }
    assert_eq!(cache.projects[&public]["path_with_namespace"], "new/public");
    assert!(!cache.projects.contains_key(&excluded));
    assert!(rig.fake.leaked_credentials().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_leads_nowhere_is_reported_with_its_setting_and_stops_nothing() {
    let mut world = world();
    let project = world.add_project("group/app");
    done(&mut world, project);
    let rig = Rig::new(world).set("projects.include", "group/app,group/gone");
    let report = rig.pass("cistern.db", Extent::Due).await;
    assert_eq!((report.projects, report.projects_failed, report.is_clean()), (1, 1, false));
    let failed = &report.failures[0];
    assert_eq!(failed.what, "project group/gone");
    assert!(failed.problem.contains("projects.include"), "{}", failed.problem);
    assert_eq!(rig.fake.requests().of(Endpoint::Trace), 1);
}
