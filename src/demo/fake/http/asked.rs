//! One request on its way to an answer: what was asked, of which world, and the steps every endpoint shares.

use serde_json::json;

use super::answer::Answer;
use super::query::Query;
use super::route::{Endpoint, Route};
use crate::demo::fake::options::Options;
use crate::demo::fake::world::{Caller, Job, World};
use crate::domain::{JobId, PipelineId, ProjectId};

/// A request whose sender is known.
pub(super) struct Asked<'a> {
    pub(super) world: &'a mut World,
    pub(super) caller: Caller,
    pub(super) options: &'a Options,
    pub(super) route: &'a Route,
    pub(super) query: &'a Query,
    /// Path without its query, as sent.
    pub(super) path: &'a str,
    pub(super) storage_url: &'a str,
}

impl Asked<'_> {
    /// Answers; an error answer is an answer too.
    pub(super) fn answer(mut self) -> Answer {
        let answered = match self.route.endpoint {
            Endpoint::Version => Ok(version(self.options, self.world.claimed_version.as_deref())),
            // Asked before the project is looked for, also of a public one.
            Endpoint::User | Endpoint::ProjectJobs | Endpoint::Job | Endpoint::Trace
                if self.caller == Caller::Anonymous =>
            {
                Err(Answer::unauthorized())
            }
            Endpoint::User if self.path.ends_with("/self") => Ok(token(self.options, &self.options.scopes)),
            Endpoint::User => Ok(user(self.caller)),
            Endpoint::Projects => self.projects(None),
            Endpoint::GroupProjects => self.group_projects(),
            Endpoint::Project => self.project(),
            Endpoint::Pipelines => self.pipelines(),
            Endpoint::Pipeline => self.pipeline(),
            Endpoint::LatestPipeline => self.latest_pipeline(),
            Endpoint::PipelineJobs => self.pipeline_jobs(),
            Endpoint::Bridges => self.bridges(),
            Endpoint::TestReport => self.test_report(),
            Endpoint::TestReportSummary => self.test_report_summary(),
            Endpoint::ProjectJobs => self.project_jobs(),
            Endpoint::Job => self.job(),
            Endpoint::Trace => self.trace(),
            Endpoint::Artifacts => self.artifacts(),
            Endpoint::ArtifactsTree => self.artifacts_tree(),
            Endpoint::ArtifactFile => self.artifact_file(),
            Endpoint::Beside => self.beside(),
            Endpoint::Hooks
            | Endpoint::HookTest
            | Endpoint::HookEvents
            | Endpoint::HookResend
            | Endpoint::Storage
            | Endpoint::Unknown => Err(Answer::unknown_address()),
        };
        answered.unwrap_or_else(|refusal| refusal)
    }

    /// Returns where this listing's links lead, without their query.
    pub(super) fn url(&self) -> String {
        self.options.links.url(&self.world.base_url, self.path)
    }

    /// Finds the project if the caller may see it; a former path is answered 301 as GitLab does.
    pub(super) fn project_id(&self) -> Result<ProjectId, Answer> {
        match self.named_project() {
            Ok((id, moved)) if self.world.sees(self.caller, id) => moved.map_or(Ok(id), Err),
            _ => Err(Answer::project_not_found()),
        }
    }

    /// Finds the project by number or path, and for a former path the redirect.
    fn named_project(&self) -> Result<(ProjectId, Option<Answer>), Answer> {
        let asked = self.route.project.as_deref().unwrap_or_default();
        if let Ok(id) = asked.parse::<u64>() {
            return Ok((ProjectId(id), None));
        }
        if let Some(project) = self.world.projects.values().find(|project| project.path.eq_ignore_ascii_case(asked)) {
            return Ok((project.id, None));
        }
        let id = *self.world.moved.get(asked).ok_or_else(Answer::project_not_found)?;
        let query = self.query.with(&[]);
        let mark = if query.is_empty() { "" } else { "?" };
        let base = &self.world.base_url;
        let moved = Answer::moved(format!("{base}/api/v4/projects/{id}{}{mark}{query}", self.route.rest));
        Ok((id, Some(moved)))
    }

    /// Finds the project and refuses when its CI/CD is switched off, or not for the caller.
    pub(super) fn ci_project_id(&self) -> Result<ProjectId, Answer> {
        let id = self.project_id()?;
        if !self.world.sees_builds(self.caller, id) {
            return Err(Answer::forbidden());
        }
        match self.world.projects.get(&id) {
            Some(project) if !project.ci_enabled || !project.repository_enabled => Err(Answer::forbidden()),
            _ => Ok(id),
        }
    }

    /// Finds the pipeline, which must belong to the project.
    pub(super) fn pipeline_id(&self) -> Result<PipelineId, Answer> {
        let project = self.ci_project_id()?;
        let pipeline = self.route.subject.and_then(|id| self.world.pipelines.get(&PipelineId(id)));
        pipeline.filter(|pipeline| pipeline.project == project).map(|found| found.id).ok_or_else(Answer::not_found)
    }

    /// Finds the job, which must belong to the project; trigger jobs are not found.
    pub(super) fn job_of_project(&self) -> Result<&Job, Answer> {
        let project = self.ci_project_id()?;
        let job = match &self.route.ref_name {
            None => self.route.subject.and_then(|id| self.world.jobs.get(&JobId(id))),
            Some(ref_name) => {
                let name = self.query.text("job").ok_or_else(|| Answer::missing_parameter("job"))?;
                let recent = self.query.flag("search_recent_successful_pipelines")?.unwrap_or(false);
                self.world.job_by_ref(project, ref_name, name, if recent { 100 } else { 1 })
            }
        };
        job.filter(|job| job.project == project).ok_or_else(Answer::not_found)
    }
}

fn version(options: &Options, claimed: Option<&str>) -> Answer {
    let version = json!({"version": claimed.unwrap_or(&options.version), "revision": "0f67ff19abc", "enterprise": options.premium});
    Answer::json(version.to_string())
}

/// What is known about a token.
pub(super) fn token(options: &Options, scopes: &[String]) -> Answer {
    let token = json!({
        "id": 31,
        "name": "ci-cache",
        "revoked": false,
        "created_at": "2026-01-05T09:00:00.000Z",
        "scopes": scopes,
        "user_id": 9100,
        "last_used_at": null,
        "active": true,
        "expires_at": options.expires_at,
    });
    Answer::json(token.to_string())
}

/// The bot of a group's token, or one of the users.
fn user(caller: Caller) -> Answer {
    let (id, username, name) = match caller {
        Caller::User(number) => (500 + number, format!("reader{number}"), format!("Reader {number}")),
        _ => (9100, "project_2718_bot_cache".to_owned(), "ci-cache".to_owned()),
    };
    let email = format!("{username}@ravenfield.example");
    let user =
        json!({"id": id, "username": username, "name": name, "state": "active", "locked": false, "email": email});
    Answer::json(user.to_string())
}
