//! From a path to an endpoint, by the raw path: an encoded slash belongs to a project's path.

use percent_encoding::percent_decode_str;

use super::beside;

/// What a request asks, the key of counters and faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `/version`, `/metadata`
    Version,
    /// `/user`, `/personal_access_tokens/self`
    User,
    /// `/projects`
    Projects,
    /// `/groups/:id/projects`
    GroupProjects,
    /// `/projects/:id`
    Project,
    /// `/projects/:id/pipelines`
    Pipelines,
    /// `/projects/:id/pipelines/:id`
    Pipeline,
    /// `/projects/:id/pipelines/latest`
    LatestPipeline,
    /// `/projects/:id/pipelines/:id/jobs`
    PipelineJobs,
    /// `/projects/:id/pipelines/:id/bridges`
    Bridges,
    /// `/projects/:id/pipelines/:id/test_report`
    TestReport,
    /// `/projects/:id/pipelines/:id/test_report_summary`
    TestReportSummary,
    /// `/projects/:id/jobs`
    ProjectJobs,
    /// `/projects/:id/jobs/:id`
    Job,
    /// `/projects/:id/jobs/:id/trace`
    Trace,
    /// `/projects/:id/jobs/:id/artifacts`
    Artifacts,
    /// `/projects/:id/jobs/:id/artifacts/tree`
    ArtifactsTree,
    /// `/projects/:id/jobs/:id/artifacts/*path`
    ArtifactFile,
    /// What GitLab has beside CI: repositories, merge requests, releases, variables, schedules, groups.
    Beside,
    /// `/projects/:id/hooks`, `/groups/:id/hooks`, and one of them
    Hooks,
    /// `…/hooks/:id/test/:trigger`
    HookTest,
    /// `…/hooks/:id/events`
    HookEvents,
    /// `…/hooks/:id/events/:id/resend`
    HookResend,
    /// The other host, to which artifacts redirect.
    Storage,
    /// Everything that this GitLab does not know.
    Unknown,
}

impl Endpoint {
    /// Returns true for what manages webhooks.
    pub(crate) const fn is_of_hooks(self) -> bool {
        matches!(self, Self::Hooks | Self::HookTest | Self::HookEvents | Self::HookResend)
    }

    /// Returns true for pages of rows.
    pub const fn is_list(self) -> bool {
        matches!(
            self,
            Self::Projects
                | Self::GroupProjects
                | Self::Pipelines
                | Self::PipelineJobs
                | Self::Bridges
                | Self::ProjectJobs
        )
    }
}

/// A path taken apart.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// Number or path of the project, decoded; of the group for its projects.
    pub(crate) project: Option<String>,
    /// Number of the job or pipeline.
    pub(crate) subject: Option<u64>,
    /// In place of a job's number the branch or tag that it is looked for in, decoded.
    pub(crate) ref_name: Option<String>,
    /// What follows the project, with a slash before it: kept when a moved project is redirected.
    pub(crate) rest: String,
    /// Path inside the archive, decoded; of a hook its trigger or event.
    pub(crate) file: Option<String>,
    /// Whether `project` is a group.
    pub(crate) group: bool,
}

impl Route {
    fn bare(endpoint: Endpoint) -> Self {
        let (project, subject, ref_name, rest, file, group) = (None, None, None, String::new(), None, false);
        Self { endpoint, project, subject, ref_name, rest, file, group }
    }

    /// Takes a path on GitLab's host apart.
    pub(crate) fn parse(path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/v4/") else { return Self::bare(Endpoint::Unknown) };
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match segments.as_slice() {
            ["version" | "metadata"] => Self::bare(Endpoint::Version),
            ["user"] | ["personal_access_tokens", "self"] => Self::bare(Endpoint::User),
            ["projects"] => Self::bare(Endpoint::Projects),
            ["groups"] => Self { group: true, ..Self::bare(Endpoint::Beside) },
            ["groups", group, "projects"] => {
                Self { project: Some(decode(group)), ..Self::bare(Endpoint::GroupProjects) }
            }
            ["groups", group] => Self { project: Some(decode(group)), group: true, ..Self::bare(Endpoint::Beside) },
            ["groups", group, "hooks", rest @ ..] => Self { group: true, ..Self::at_hooks(group, rest) },
            ["projects", project, "hooks", rest @ ..] => Self::at_hooks(project, rest),
            ["projects", project, rest @ ..] => Self::in_project(project, rest),
            _ => Self::bare(Endpoint::Unknown),
        }
    }

    fn in_project(project: &str, rest: &[&str]) -> Self {
        if let ["jobs", "artifacts", by_ref @ ..] = rest
            && let Some(route) = Self::by_ref(project, rest, by_ref)
        {
            return route;
        }
        let (endpoint, subject, file) = match rest {
            [] => (Endpoint::Project, None, None),
            ["pipelines"] => (Endpoint::Pipelines, None, None),
            ["jobs"] => (Endpoint::ProjectJobs, None, None),
            ["pipelines", "latest"] => (Endpoint::LatestPipeline, None, None),
            ["pipelines", id, what @ ..] => (pipeline_endpoint(what), Some(*id), None),
            ["jobs", id] => (Endpoint::Job, Some(*id), None),
            ["jobs", id, "trace"] => (Endpoint::Trace, Some(*id), None),
            ["jobs", id, "artifacts"] => (Endpoint::Artifacts, Some(*id), None),
            ["jobs", id, "artifacts", "tree"] => (Endpoint::ArtifactsTree, Some(*id), None),
            ["jobs", id, "artifacts", file @ ..] => (Endpoint::ArtifactFile, Some(*id), Some(decode(&file.join("/")))),
            [first, ..] if beside::KNOWN.contains(first) => (Endpoint::Beside, None, None),
            _ => (Endpoint::Unknown, None, None),
        };
        let number = subject.and_then(|id| id.parse().ok());
        // A number that is none is a parameter GitLab refuses; here it is an unknown address, which is enough.
        let endpoint = if subject.is_some() && number.is_none() { Endpoint::Unknown } else { endpoint };
        let rest = rest.iter().flat_map(|segment| ["/", segment]).collect();
        Self { project: Some(decode(project)), subject: number, rest, file, ..Self::bare(endpoint) }
    }

    /// `:ref_name/download`, `:ref_name/raw/*artifact_path`: the name of a ref may have slashes.
    fn by_ref(project: &str, rest: &[&str], by_ref: &[&str]) -> Option<Self> {
        let raw = by_ref.iter().rposition(|segment| *segment == "raw").filter(|at| at + 1 < by_ref.len());
        let (endpoint, ref_name, file) = match (by_ref, raw) {
            ([ref_name @ .., "download"], _) => (Endpoint::Artifacts, ref_name, None),
            (_, Some(at)) => {
                (Endpoint::ArtifactFile, by_ref.get(..at)?, Some(decode(&by_ref.get(at + 1..)?.join("/"))))
            }
            _ => return None,
        };
        let ref_name = Some(decode(&ref_name.join("/"))).filter(|name| !name.is_empty())?;
        let rest = rest.iter().flat_map(|segment| ["/", segment]).collect();
        Some(Self { project: Some(decode(project)), ref_name: Some(ref_name), rest, file, ..Self::bare(endpoint) })
    }

    fn at_hooks(owner: &str, rest: &[&str]) -> Self {
        let (endpoint, detail) = match rest {
            [] | [_] => (Endpoint::Hooks, None),
            [_, "test", trigger] => (Endpoint::HookTest, Some(decode(trigger))),
            [_, "events"] => (Endpoint::HookEvents, None),
            [_, "events", event, "resend"] => (Endpoint::HookResend, Some(decode(event))),
            _ => (Endpoint::Unknown, None),
        };
        let subject = rest.first().and_then(|id| id.parse().ok());
        Self { project: Some(decode(owner)), subject, file: detail, ..Self::bare(endpoint) }
    }

    /// Takes a path on the storage host apart: `/artifacts/<job>/artifacts.zip`.
    pub(crate) fn parse_storage(path: &str) -> Self {
        let job = path.strip_prefix("/artifacts/").and_then(|rest| rest.split('/').next());
        Self { subject: job.and_then(|id| id.parse().ok()), ..Self::bare(Endpoint::Storage) }
    }
}

fn pipeline_endpoint(what: &[&str]) -> Endpoint {
    match what {
        [] => Endpoint::Pipeline,
        ["jobs"] => Endpoint::PipelineJobs,
        ["bridges"] => Endpoint::Bridges,
        ["test_report"] => Endpoint::TestReport,
        ["test_report_summary"] => Endpoint::TestReportSummary,
        _ => Endpoint::Unknown,
    }
}

pub(super) fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
