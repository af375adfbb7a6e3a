//! Examples of every shape: GitLab's as the contract has them, ours as they are made.

use serde_json::{Value, json};

use super::operation::Shape;

const fn shape(name: &'static str, example: &'static str) -> Shape {
    Shape { name, example }
}

/// A project.
pub(in crate::api) const PROJECT: Shape = shape(
    "Project",
    r#"{"id":2718,"description":null,"name":"Tide Ledger","name_with_namespace":"Harbour / Core / Tide Ledger",
"path":"tide-ledger","path_with_namespace":"harbour/core/tide-ledger","created_at":"2023-02-11T08:00:00.120Z",
"default_branch":"main","web_url":"https://gitlab.example/harbour/core/tide-ledger",
"last_activity_at":"2026-11-20T10:20:01.004Z","visibility":"private","archived":false,
"namespace":{"id":88,"name":"Core","path":"core","kind":"group","full_path":"harbour/core","parent_id":12}}"#,
);

/// A pipeline as lists have it.
pub(in crate::api) const PIPELINE: Shape = shape(
    "Pipeline",
    r#"{"id":90000,"iid":412,"project_id":2718,"sha":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","ref":"main",
"status":"success","source":"push","created_at":"2026-11-20T09:14:02.200Z","updated_at":"2026-11-20T09:16:16.200Z",
"web_url":"https://gitlab.example/harbour/core/tide-ledger/-/pipelines/90000","name":null}"#,
);

/// A pipeline by itself.
pub(in crate::api) const PIPELINE_DETAIL: Shape = shape(
    "PipelineDetail",
    r#"{"id":90000,"iid":412,"project_id":2718,"sha":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","ref":"main",
"status":"success","source":"push","created_at":"2026-11-20T09:14:02.200Z","updated_at":"2026-11-20T09:16:16.200Z",
"web_url":"https://gitlab.example/harbour/core/tide-ledger/-/pipelines/90000","name":null,
"before_sha":"9d01b7e2c3f4a5968778695a4b3c2d1e0f123456","tag":false,"yaml_errors":null,
"user":{"id":412,"username":"ihalvorsen","name":"Ines Halvorsen","state":"active"},
"started_at":"2026-11-20T09:14:04.000Z","finished_at":"2026-11-20T09:16:16.100Z","committed_at":null,"duration":132,
"queued_duration":2,"coverage":"87.40",
"detailed_status":{"icon":"status_success","text":"Passed","label":"passed","group":"success","tooltip":"passed",
"has_details":true,"details_path":"/harbour/core/tide-ledger/-/pipelines/90000","illustration":null,
"favicon":"/assets/ci_favicons/favicon_status_success.png"},"archived":false}"#,
);

/// A job.
pub(in crate::api) const JOB: Shape = shape(
    "Job",
    r#"{"id":810291,"status":"success","stage":"test","name":"unit","ref":"main","tag":false,"coverage":87.4,
"allow_failure":false,"created_at":"2026-11-20T09:14:02.400Z","started_at":"2026-11-20T09:14:11.800Z",
"finished_at":"2026-11-20T09:15:03.200Z","erased_at":null,"duration":51.4,"queued_duration":0.1,
"user":{"id":412,"username":"ihalvorsen","name":"Ines Halvorsen","state":"active"},
"commit":{"id":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","short_id":"4f6a0c9b","title":"Round slack water"},
"pipeline":{"id":90000,"iid":412,"project_id":2718,"sha":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","ref":"main",
"status":"success","source":"push"},"web_url":"https://gitlab.example/harbour/core/tide-ledger/-/jobs/810291",
"artifacts_file":{"filename":"artifacts.zip","size":18231},
"artifacts":[{"file_type":"archive","size":18231,"filename":"artifacts.zip","file_format":"zip"},
{"file_type":"trace","size":4096,"filename":"job.log","file_format":null}],
"artifacts_expire_at":"2026-12-20T09:15:03.200Z","tag_list":["docker"]}"#,
);

/// A commit.
pub(in crate::api) const COMMIT: Shape = shape(
    "Commit",
    r#"{"id":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","short_id":"4f6a0c9b","created_at":"2026-11-20T10:13:41.000+01:00",
"parent_ids":["9d01b7e2c3f4a5968778695a4b3c2d1e0f123456"],"title":"Round slack water","message":"Round slack water\n",
"author_name":"Ines Halvorsen","status":"success","project_id":2718,
"last_pipeline":{"id":90000,"iid":412,"project_id":2718,"ref":"main","status":"success","source":"push"}}"#,
);

/// What came of a commit in one job.
pub(in crate::api) const COMMIT_STATUS: Shape = shape(
    "CommitStatus",
    r#"{"id":810291,"sha":"4f6a0c9be1d27735a88c1e0f92b3d4c5e6f70812","ref":"main","status":"success","name":"unit",
"target_url":"https://gitlab.example/harbour/core/tide-ledger/-/jobs/810291","description":null,
"created_at":"2026-11-20T09:14:02.400Z","started_at":"2026-11-20T09:14:11.800Z","finished_at":"2026-11-20T09:15:03.200Z",
"allow_failure":false,"coverage":87.4,"pipeline_id":90000,
"author":{"id":412,"username":"ihalvorsen","name":"Ines Halvorsen","state":"active"}}"#,
);

/// A trigger job.
pub(in crate::api) const BRIDGE: Shape = shape(
    "Bridge",
    r#"{"id":810290,"status":"success","stage":"child","name":"child: contracts","ref":"main","tag":false,
"allow_failure":false,"created_at":"2026-11-20T09:14:02.400Z","started_at":"2026-11-20T09:14:11.800Z",
"finished_at":"2026-11-20T09:15:03.200Z","duration":51.4,
"pipeline":{"id":90000,"iid":412,"project_id":2718,"ref":"main","status":"success","source":"push"},
"downstream_pipeline":{"id":90001,"iid":413,"project_id":2718,"ref":"main","status":"success","source":"parent_pipeline"}}"#,
);

/// A pipeline's test report.
pub(in crate::api) const REPORT: Shape = shape(
    "TestReport",
    r#"{"total_time":1.5,"total_count":1,"success_count":0,"failed_count":1,"skipped_count":0,"error_count":0,
"test_suites":[{"name":"unit","total_time":1.5,"total_count":1,"success_count":0,"failed_count":1,"skipped_count":0,
"error_count":0,"suite_error":null,"test_cases":[{"status":"failed","name":"slack water is round","classname":"tides",
"file":"tests/tides.rs","execution_time":1.5,"system_output":"left: 3\nright: 4","stack_trace":null}]}]}"#,
);

/// The counts of a pipeline's test report.
pub(in crate::api) const SUMMARY: Shape = shape(
    "TestReportSummary",
    r#"{"total":{"time":1.5,"count":1,"success":0,"failed":1,"skipped":0,"error":0,"suite_error":null},
"test_suites":[{"name":"unit","total_time":1.5,"total_count":1,"success_count":0,"failed_count":1,"skipped_count":0,
"error_count":0,"build_ids":[810291],"suite_error":null}]}"#,
);

/// What speaks here.
pub(in crate::api) const VERSION: Shape = shape(
    "Version",
    r#"{"version":"19.0.0-cistern","revision":"0.1.0","enterprise":false,
"kas":{"enabled":false,"externalUrl":null,"externalK8sProxyUrl":null,"version":null}}"#,
);

/// Who asks.
pub(in crate::api) const USER: Shape = shape(
    "User",
    r#"{"id":1,"username":"cistern","public_email":null,"name":"Everybody who reads here","state":"active","locked":false,
"avatar_url":null,"web_url":"http://127.0.0.1:8080","created_at":"1970-01-01T00:00:00.000Z","bot":true}"#,
);

/// The token that asks.
pub(in crate::api) const TOKEN: Shape = shape(
    "Token",
    r#"{"id":1,"name":"cistern","revoked":false,"created_at":"1970-01-01T00:00:00.000Z","description":"Whatever reads here",
"scopes":["read_api"],"user_id":1,"last_used_at":null,"active":true,"expires_at":null}"#,
);

/// A group.
pub(in crate::api) const GROUP: Shape = shape(
    "Group",
    r#"{"id":88,"web_url":"https://gitlab.example/groups/harbour/core","name":"Core","path":"core",
"full_name":"Harbour / Core","full_path":"harbour/core","parent_id":12,"avatar_url":null}"#,
);

/// A job's part of its pipeline's test report.
pub(in crate::api) const JOB_REPORT: Shape = shape(
    "JobTestReport",
    r#"{"job_id":810291,"pipeline_id":90000,"shared_with":[],"total_time":1.5,"total_count":1,"success_count":0,
"failed_count":1,"skipped_count":0,"error_count":0,"suites":[{"name":"unit","build_ids":[810291],"shared_with":[]}],
"test_suites":[{"name":"unit","total_count":1,"test_cases":[]}]}"#,
);

/// The sections of a log.
pub(in crate::api) const LOG_SECTIONS: Shape = shape(
    "LogSections",
    r#"{"job_id":810291,"size":4096,"lines":61,"truncated":false,"sections":[{"name":"step_script","started":1763629451,
"ended":1763629503,"seconds":52,"depth":0,"first_line":12,"last_line":58,"collapsed":false}]}"#,
);

/// Where a job went wrong.
pub(in crate::api) const LOG_ERRORS: Shape = shape(
    "LogErrors",
    r#"{"job_id":810291,"command":{"line":40,"text":"$ make test"},"output":[41,57],"marks":[{"line":52,"text":"error: no"}],
"verdict":{"line":58,"text":"ERROR: Job failed: exit code 1","succeeded":false,"exit_code":1}}"#,
);

/// What is in a directory of an archive.
pub(in crate::api) const NODE: Shape = shape(
    "ArtifactNode",
    r#"{"name":"index.html","path":"coverage/index.html","type":"file","size":2048,"mode":"100644"}"#,
);

/// How complete a project is.
pub(in crate::api) const PROJECT_COMPLETENESS: Shape = shape(
    "ProjectCompleteness",
    r#"{"project_id":2718,"complete":false,"watermark":"2026-11-20T09:16:16.200Z",
"covered_since":"2026-10-21T09:00:00.000Z","last_full_pass":"2026-11-20T03:00:00.000Z","without_ci_since":null,
"pipelines":{"total":40,"by_status":{"success":31,"failed":9}},"jobs":{"total":800,"by_status":{"success":780,"failed":20}},
"logs":{"held":790,"live":2,"missing":1,"absent":{"no_log":7}},"archives":{"held":300,"live":0,"missing":0,"absent":{"expired":4}},
"details":{"held":40,"live":0,"missing":0,"absent":{}},"reports":{"held":38,"live":0,"missing":0,"absent":{}},
"gaps":[{"project":2718,"pipeline":90000,"job":810291,"kind":"log","state":"missing","problem":null}],"more_gaps":false,
"failures":[{"kind":"job","id":810291,"problem":"GitLab answered 500","attempts":5,"at":"2026-11-20T09:20:00.000Z"}],
"more_failures":false,
"waiting":[{"kind":"job","id":810291,"attempts":1,"next_try":"2026-11-20T09:21:00.000Z"}],"more_waiting":false}"#,
);

/// How complete a pipeline is.
pub(in crate::api) const PIPELINE_COMPLETENESS: Shape = shape(
    "PipelineCompleteness",
    r#"{"project_id":2718,"pipeline_id":90000,"complete":true,"status":"success","as_of":"2026-11-20T09:16:20.000Z",
"jobs_listed_at":"2026-11-20T09:16:20.000Z","detail":"whole","report":"whole","summary":"whole","bridges":"not_asked",
"jobs":[{"id":810291,"name":"unit","status":"success","log":"whole","log_note":null,"archive":"whole"}],
"failures":[],"waiting":[]}"#,
);

/// What a refusal looks like.
pub(super) fn problem(status: u16) -> Value {
    match status {
        400 => json!({ "error": "per_page is invalid" }),
        401 => json!({ "message": "401 Unauthorized" }),
        403 => json!({ "message": "403 Forbidden" }),
        404 => json!({ "message": "404 Not found" }),
        405 => json!({ "error": "Keyset pagination is not yet available for this type of request" }),
        429 => json!({ "message": "429 Too Many Requests" }),
        503 => json!({ "message": "503 Service Unavailable: the cache cannot be read right now. Ask again soon." }),
        _ => json!({ "message": "500 Internal Server Error: the cache cannot be read. See Cistern's log." }),
    }
}
