//! The questions that can be asked: how each is written as a path, counted and named in errors.

use std::fmt::{self, Write as _};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::endpoint::Endpoint;
use super::http::Asker;
use super::manage::HookQuestion;
use super::pages::Cursor;
use crate::domain::{JobKey, PipelineKey, PipelineSource, ProjectId, Timestamp};

/// GitLab wants a project's path as one segment, so that its slashes are encoded too (contract, section 5.2).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Rows of a page of the pipelines that changed since a time, and of those that changed last: what is found is fetched, and
/// nobody but a reader asked for it.
const LATEST_SINCE: u32 = 100;
const LATEST_OF_ALL: u32 = 20;

/// Rows of a page of a project's latest jobs, which somebody looks through for an archive.
const LATEST_JOBS: u32 = 50;

/// Rows of a page of every other listing, the most that GitLab gives.
const PAGE_ROWS: u32 = 100;

/// Writes a path as one segment of an address.
pub(super) fn segment(path: &str) -> impl fmt::Display {
    utf8_percent_encode(path, SEGMENT)
}

/// Which of our tokens a call carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnToken {
    /// `gitlab.token`.
    Reading,
    /// `gitlab.hooks_token`.
    Managing,
}

/// How a keyset listing goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyset {
    /// The parameter that takes the last row's id.
    pub(super) cursor: &'static str,
}

/// A question about GitLab and our tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AboutQuestion {
    Metadata,
    Version,
    Token,
}

/// A question to GitLab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    User,
    /// The projects that the token is a member of, from a place on.
    Projects(Option<Cursor>),
    /// The projects with the highest ids.
    NewestProjects,
    Project(ProjectId),
    ProjectByPath(Box<str>),
    /// Whether pipelines can be listed.
    AnyPipeline(ProjectId),
    Pipelines {
        project: ProjectId,
        source: PipelineSource,
        updated_after: Option<Timestamp>,
        page: u32,
    },
    /// The pipelines that changed last.
    Latest {
        project: ProjectId,
        source: PipelineSource,
        updated_after: Option<Timestamp>,
    },
    Pipeline(PipelineKey),
    Jobs {
        key: PipelineKey,
        page: u32,
    },
    /// The newest jobs of a project that ended well or badly.
    LatestJobs(ProjectId),
    Job(JobKey),
    Trace(JobKey),
    Archive(JobKey),
    Bridges {
        key: PipelineKey,
        page: u32,
    },
    TestReport(PipelineKey),
    TestReportSummary(PipelineKey),
    /// What a reader asks, at its own address.
    Passed,
    About(AboutQuestion, OwnToken),
    Hook(HookQuestion),
}

impl Question {
    /// Returns what it is counted as.
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::User => Endpoint::User,
            Self::Projects(_) | Self::NewestProjects => Endpoint::Projects,
            Self::Project(_) | Self::ProjectByPath(_) => Endpoint::Project,
            Self::AnyPipeline(_) | Self::Pipelines { .. } | Self::Latest { .. } => Endpoint::Pipelines,
            Self::Pipeline(_) => Endpoint::Pipeline,
            Self::Jobs { .. } | Self::LatestJobs(_) => Endpoint::Jobs,
            Self::Job(_) => Endpoint::Job,
            Self::Trace(_) => Endpoint::Trace,
            Self::Archive(_) => Endpoint::Archive,
            Self::Bridges { .. } => Endpoint::Bridges,
            Self::TestReport(_) => Endpoint::TestReport,
            Self::TestReportSummary(_) => Endpoint::TestReportSummary,
            Self::Passed => Endpoint::Passed,
            Self::About(..) => Endpoint::About,
            Self::Hook(question) => question.endpoint(),
        }
    }

    /// Returns in whose name it is asked, unless somebody else does.
    pub(super) fn asker(&self) -> Asker<'static> {
        match self {
            Self::About(_, OwnToken::Managing) | Self::Hook(_) => Asker::Managing,
            _ => Asker::Reading,
        }
    }

    /// Returns how many rows a full page of its answer has.
    pub(super) fn page_rows(&self) -> usize {
        let rows = match self {
            Self::Latest { updated_after: Some(_), .. } => LATEST_SINCE,
            Self::Latest { .. } => LATEST_OF_ALL,
            Self::LatestJobs(_) => LATEST_JOBS,
            Self::Hook(question) => question.page_rows(),
            _ => PAGE_ROWS,
        };
        rows as usize
    }

    /// Returns how it goes on, if it is a keyset listing.
    pub(super) fn keyset(&self) -> Keyset {
        Keyset { cursor: if *self == Self::NewestProjects { "id_before" } else { "id_after" } }
    }

    /// Writes its path and query behind `base`, the API's root without a slash at its end.
    pub(super) fn url(&self, base: &str) -> String {
        let mut url = String::with_capacity(base.len() + 128);
        url.push_str(base);
        // Writing to a String cannot fail.
        let _ = self.write_path(&mut url);
        url
    }

    fn write_path(&self, url: &mut String) -> fmt::Result {
        match self {
            Self::User => url.write_str("/user"),
            Self::Projects(cursor) => {
                write_projects("asc", url)?;
                cursor.as_ref().map_or(Ok(()), |cursor| write!(url, "&{}", cursor.as_str()))
            }
            Self::NewestProjects => write_projects("desc", url),
            Self::Project(id) => write!(url, "/projects/{id}"),
            Self::ProjectByPath(path) => write!(url, "/projects/{}", utf8_percent_encode(path, SEGMENT)),
            Self::AnyPipeline(project) => write!(url, "/projects/{project}/pipelines?per_page=1"),
            Self::Pipelines { project, source, updated_after, page } => {
                write!(
                    url,
                    "/projects/{project}/pipelines?order_by=updated_at&sort=asc&per_page={PAGE_ROWS}&page={page}"
                )?;
                if let Some(time) = updated_after {
                    write!(url, "&updated_after={time}")?;
                }
                write_source(*source, url)
            }
            Self::Latest { project, source, updated_after } => {
                let rows = self.page_rows();
                write!(url, "/projects/{project}/pipelines?order_by=updated_at&sort=desc&per_page={rows}")?;
                if let Some(time) = updated_after {
                    write!(url, "&updated_after={time}")?;
                }
                write_source(*source, url)
            }
            Self::Pipeline(key) => write!(url, "/projects/{}/pipelines/{}", key.project, key.pipeline),
            Self::Jobs { key, page } => write!(
                url,
                "/projects/{}/pipelines/{}/jobs?include_retried=true&per_page={PAGE_ROWS}&page={page}",
                key.project, key.pipeline
            ),
            Self::LatestJobs(project) => {
                write!(url, "/projects/{project}/jobs?scope%5B%5D=success&scope%5B%5D=failed&per_page={LATEST_JOBS}")
            }
            Self::Job(key) => write!(url, "/projects/{}/jobs/{}", key.project, key.job),
            Self::Trace(key) => write!(url, "/projects/{}/jobs/{}/trace", key.project, key.job),
            Self::Archive(key) => write!(url, "/projects/{}/jobs/{}/artifacts", key.project, key.job),
            Self::Bridges { key, page } => {
                write!(
                    url,
                    "/projects/{}/pipelines/{}/bridges?per_page={PAGE_ROWS}&page={page}",
                    key.project, key.pipeline
                )
            }
            Self::TestReport(key) => {
                write!(url, "/projects/{}/pipelines/{}/test_report", key.project, key.pipeline)
            }
            Self::TestReportSummary(key) => {
                write!(url, "/projects/{}/pipelines/{}/test_report_summary", key.project, key.pipeline)
            }
            Self::Passed => Ok(()),
            Self::About(AboutQuestion::Metadata, _) => url.write_str("/metadata"),
            Self::About(AboutQuestion::Version, _) => url.write_str("/version"),
            Self::About(AboutQuestion::Token, _) => url.write_str("/personal_access_tokens/self"),
            Self::Hook(question) => question.write_path(url),
        }
    }
}

fn write_projects(sort: &str, url: &mut String) -> fmt::Result {
    write!(url, "/projects?membership=true&order_by=id&sort={sort}&pagination=keyset&per_page={PAGE_ROWS}")
}

fn write_source(source: PipelineSource, url: &mut String) -> fmt::Result {
    match source {
        PipelineSource::Plain => Ok(()),
        PipelineSource::Child => url.write_str("&source=parent_pipeline"),
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("read the user of a token"),
            Self::Projects(_) => f.write_str("list projects"),
            Self::NewestProjects => f.write_str("list the newest projects"),
            Self::Project(id) => write!(f, "read project {id}"),
            Self::ProjectByPath(path) => write!(f, "read project {}", path.escape_debug()),
            Self::AnyPipeline(project) => write!(f, "list a pipeline of project {project}"),
            Self::Pipelines { project, source: PipelineSource::Plain, page, .. } => {
                write!(f, "list pipelines of project {project}, page {page}")
            }
            Self::Pipelines { project, source: PipelineSource::Child, page, .. } => {
                write!(f, "list child pipelines of project {project}, page {page}")
            }
            Self::Latest { project, source: PipelineSource::Plain, .. } => {
                write!(f, "list the latest pipelines of project {project}")
            }
            Self::Latest { project, source: PipelineSource::Child, .. } => {
                write!(f, "list the latest child pipelines of project {project}")
            }
            Self::Pipeline(key) => write!(f, "read pipeline {}", key.pipeline),
            Self::Jobs { key, page } => write!(f, "list jobs of pipeline {}, page {page}", key.pipeline),
            Self::LatestJobs(project) => write!(f, "list the latest jobs of project {project}"),
            Self::Job(key) => write!(f, "read job {}", key.job),
            Self::Trace(key) => write!(f, "read log of job {}", key.job),
            Self::Archive(key) => write!(f, "read archive of job {}", key.job),
            Self::Bridges { key, page } => write!(f, "list trigger jobs of pipeline {}, page {page}", key.pipeline),
            Self::TestReport(key) => write!(f, "read test report of pipeline {}", key.pipeline),
            Self::TestReportSummary(key) => write!(f, "read test report summary of pipeline {}", key.pipeline),
            Self::Passed => f.write_str("pass a question on"),
            Self::About(AboutQuestion::Token, OwnToken::Reading) => f.write_str("read about gitlab.token"),
            Self::About(AboutQuestion::Token, OwnToken::Managing) => f.write_str("read about gitlab.hooks_token"),
            Self::About(..) => f.write_str("read the version"),
            Self::Hook(question) => question.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_segment_whatever_it_holds() {
        let url = Question::ProjectByPath("a/../b c?d#e%2f".into()).url("https://g.example/api/v4");
        assert_eq!(url, "https://g.example/api/v4/projects/a%2F..%2Fb%20c%3Fd%23e%252f");
    }

    #[test]
    fn the_latest_pipelines_are_one_page() {
        let question =
            |source, updated_after| Question::Latest { project: ProjectId(7), source, updated_after }.url("");
        let base = "/projects/7/pipelines?order_by=updated_at&sort=desc&per_page=";
        assert_eq!(question(PipelineSource::Plain, None), format!("{base}20"));
        let since = format!("{base}100&updated_after=2026-11-20T09:14:02.200Z&source=parent_pipeline");
        assert_eq!(question(PipelineSource::Child, Timestamp::parse("2026-11-20T09:14:02.200Z")), since);
    }

    #[test]
    fn a_listing_of_pipelines_says_where_it_starts() {
        let question = Question::Pipelines {
            project: ProjectId(7),
            source: PipelineSource::Child,
            updated_after: Timestamp::parse("2026-11-20T09:14:02.200Z"),
            page: 1,
        };
        assert_eq!(
            question.url(""),
            "/projects/7/pipelines?order_by=updated_at&sort=asc&per_page=100&page=1\
             &updated_after=2026-11-20T09:14:02.200Z&source=parent_pipeline"
        );
    }
}
