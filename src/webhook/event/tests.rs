//! The recorded payloads of the contract and what can go wrong with a body.

use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Event, Hint, Kind, NotAnObject, parse};
use crate::domain::{JobId, JobKey, PipelineId, PipelineKey, ProjectId, Timestamp};
use crate::webhook::Config;
use crate::webhook::verify::{Verified, Verifier};
use crate::work::{Cause, Lane, Target};

/// Vouches for a body the only way there is: with a secret.
fn verified(body: &[u8]) -> Verified<'_> {
    let config = Config { tokens: vec!["secret".into()], ..Config::default() };
    let verifier = Verifier::build(&config).expect("a usable secret");
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-gitlab-token"), HeaderValue::from_static("secret"));
    let pending = verifier.headers(&headers, Timestamp::now()).expect("the right token");
    pending.body(body).expect("the token vouches for any body")
}

fn read(body: &str) -> Event<'_> {
    parse(verified(body.as_bytes()), None).expect("a JSON object")
}

fn hint(body: &str) -> Hint<'_> {
    match read(body) {
        Event::Hint(hint) => hint,
        other => panic!("not a hint: {other:?}"),
    }
}

fn pipeline(pipeline: u64) -> Target {
    Target::Pipeline(PipelineKey { project: ProjectId(2718), pipeline: PipelineId(pipeline) })
}

fn job(job: u64) -> Target {
    Target::Job(JobKey { project: ProjectId(2718), job: JobId(job) })
}

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/webhooks/", $name))
    };
}

#[test]
fn every_recorded_event_is_the_hint_it_should_be() {
    let (ended, changed) = (Cause::Ended, Cause::Changed);
    let cases = [
        (sample!("01-webhook-pipeline-success.json"), Kind::Pipeline, pipeline(90210), ended),
        (sample!("02-webhook-pipeline-failed-12-builds.json"), Kind::Pipeline, pipeline(90233), ended),
        (sample!("03-webhook-pipeline-running-legacy-dates.json"), Kind::Pipeline, pipeline(90240), changed),
        (sample!("05-webhook-job-created.json"), Kind::Job, pipeline(90210), changed),
        (sample!("06-webhook-job-running.json"), Kind::Job, pipeline(90210), changed),
        (sample!("07-webhook-job-success.json"), Kind::Job, job(810_003), ended),
        (sample!("08-webhook-job-failed.json"), Kind::Job, job(810_108), ended),
        (sample!("11-webhook-job-failed-legacy-dates.json"), Kind::Job, job(810_108), ended),
    ];
    for (body, kind, target, cause) in cases {
        let hint = hint(body);
        assert_eq!((hint.kind, hint.target, hint.cause), (kind, target, cause));
        assert_eq!(hint.path.as_deref(), Some("harbour/core/tide-ledger"));
    }
    for body in [
        sample!("04-webhook-pipeline-child-success.json"),
        sample!("09-webhook-job-canceled.json"),
        sample!("12-signed-delivery.body"),
    ] {
        assert_eq!(hint(body).cause, Cause::Ended);
    }
    assert_eq!(hint(sample!("10-webhook-job-retry-pending.json")).cause, Cause::Changed);
}

#[test]
fn the_end_is_read_from_new_and_old_dates() {
    let new = hint(sample!("07-webhook-job-success.json")).finished_at;
    assert_eq!(new, Timestamp::parse("2026-11-20T09:16:15.662Z"));
    let old = hint(sample!("11-webhook-job-failed-legacy-dates.json")).finished_at;
    assert_eq!(old, Timestamp::parse("2026-11-20T09:17:27Z"));
    assert_eq!(hint(sample!("03-webhook-pipeline-running-legacy-dates.json")).finished_at, None);
    let odd =
        r#"{"object_kind":"build","build_id":1,"build_status":"failed","project_id":2,"build_finished_at":"soon"}"#;
    assert_eq!(hint(odd).finished_at, None, "an unknown date form is no reason to lose the hint");
}

#[test]
fn statuses_decide_when_the_work_is_due() {
    let now = Timestamp::from_millis(1_000_000);
    let refresh = Duration::from_secs(15);
    for (status, cause) in [
        ("success", Cause::Ended),
        ("failed", Cause::Ended),
        ("canceled", Cause::Ended),
        ("skipped", Cause::Ended),
        ("manual", Cause::Ended),
        ("scheduled", Cause::Changed),
        ("running", Cause::Changed),
        ("invented_in_gitlab_20", Cause::Changed),
    ] {
        let body = format!(
            r#"{{"object_kind":"pipeline","object_attributes":{{"id":5,"status":"{status}"}},"project":{{"id":2718}}}}"#
        );
        let hint = hint(&body);
        assert_eq!(hint.cause, cause, "{status}");
        let work = hint.work(now, refresh).expect("refresh is not zero");
        assert_eq!((work.target, work.lane, work.cause), (pipeline(5), Lane::Live, cause));
        assert_eq!(work.due, if cause == Cause::Ended { now } else { now.plus(refresh) });
        assert_eq!(hint.work(now, Duration::ZERO).is_some(), cause == Cause::Ended, "{status}");
    }
    for status in ["skipped", "manual", "pending", "canceling"] {
        let body = format!(
            r#"{{"object_kind":"build","build_id":7,"build_status":"{status}","pipeline_id":5,"project_id":2718}}"#
        );
        assert_eq!((hint(&body).target, hint(&body).cause), (pipeline(5), Cause::Changed), "{status}");
    }
}

#[test]
fn other_events_are_told_apart_by_their_kind_not_by_their_header() {
    for body in [r#"{"object_kind":"push","project_id":1}"#, r#"{"event_name":"project_create"}"#, "{}"] {
        assert_eq!(read(body), Event::Other);
        assert_eq!(parse(verified(body.as_bytes()), Some("System Hook")), Ok(Event::Other));
    }
    let body = r#"{"object_kind":"build","build_id":7,"build_status":"failed","project_id":2718}"#;
    for announced in [None, Some("System Hook"), Some("Pipeline Hook"), Some("Invented Hook")] {
        match parse(verified(body.as_bytes()), announced) {
            Ok(Event::Hint(hint)) => assert_eq!(hint.target, job(7)),
            other => panic!("not a hint: {other:?}"),
        }
    }
}

#[test]
fn an_identity_that_cannot_be_read_still_names_its_project_when_it_can() {
    let seven = Some(ProjectId(7));
    for (body, project) in [
        (r#"{"object_kind":"build","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":"8","build_status":"failed","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":0,"build_status":"failed","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":-3,"build_status":"failed","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":8.5,"build_status":"failed","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":9223372036854775808,"build_status":"failed","project_id":7}"#, seven),
        (r#"{"object_kind":"build","build_id":8,"build_status":null,"project":{"id":7}}"#, seven),
        (r#"{"object_kind":"build","build_id":8,"build_status":"failed","project_id":[7]}"#, None),
        (r#"{"object_kind":"build","build_id":8,"build_status":"running","project_id":7}"#, seven),
        (r#"{"object_kind":"pipeline","object_attributes":[5,"success"],"project":{"id":7}}"#, seven),
        (r#"{"object_kind":"pipeline","object_attributes":{"id":5,"status":"success"},"project":"seven"}"#, None),
        (r#"{"object_kind":"pipeline","project":{"id":7}}"#, seven),
    ] {
        assert_eq!(read(body), Event::Unreadable { project }, "{body}");
    }
    let template = br#"{"text":"job done","project_id":7}"#;
    assert_eq!(parse(verified(template), Some("Job Hook")), Ok(Event::Unreadable { project: seven }));
}

#[test]
fn what_is_no_json_object_is_an_error() {
    for body in
        ["", " ", "null", "[]", "7", r#"["build"]"#, "{", r#"{"object_kind":"build""#, "{}{}", "object_kind=build"]
    {
        assert_eq!(parse(verified(body.as_bytes()), Some("Job Hook")), Err(NotAnObject), "{body}");
    }
    assert_eq!(parse(verified(b"{\"object_kind\":\"\xff\"}"), None), Err(NotAnObject));
    assert_eq!(parse(verified(&vec![b'{'; 100_000]), None), Err(NotAnObject));
    let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(verified(deep.as_bytes()), None), Ok(Event::Other), "depth costs no stack");
}

#[test]
fn escaped_keys_and_values_read_like_plain_ones() {
    let body = r#" { "object\u005fkind" : "bu\u0069ld", "build_id": 7, "build_status": "f\u0061iled",
                     "project_id": 2718, "project": {"id": 2718, "path_with_namespace": "a\/b \u0026 c"} } "#;
    let hint = hint(body);
    assert_eq!((hint.target, hint.path.as_deref()), (job(7), Some("a/b & c")));
}

#[test]
fn an_event_needs_no_project_object_and_no_known_keys_around_it() {
    let body = r#"{"build_id":7,"new_key":{"variables":[{"key":"K","value":"V"}]},
                     "object_kind":"build","build_status":"canceled","project_id":2718}"#;
    assert_eq!((hint(body).target, hint(body).path), (job(7), None));
}
