//! A job's part of its pipeline's test report: the suites that the summary says the job delivered to (contract, section 5.8).

use std::collections::BTreeSet;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::Method;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::cut::Cut;
use crate::api::answer::{Problem, REASON};
use crate::api::blob::{self, File};
use crate::api::freshness::JobPart;
use crate::api::openapi::{Answer, Basis, Operation, shapes};
use crate::api::provenance::{Held, Provenance};
use crate::api::reply;
use crate::api::view::View;
use crate::domain::{Job, JobId, JobPhase, Junit, Piece, Reason};
use crate::store::{JobRow, PipelineRow};

pub(in crate::api) const REPORT: Operation = Operation {
    id: "getJobTestReport",
    tag: "test reports",
    summary: "A job's part of its pipeline's test report",
    about: "The suites that the job delivered to. GitLab merges what jobs of one group deliver (`rspec 1/4` … `4/4`): \
            `shared_with` names the other jobs whose tests are in the same suites.",
    parameters: &[],
    basis: Basis::Derived,
    answer: Answer::One(shapes::JOB_REPORT),
    problems: &[],
};

/// Up to this size an answer is made before it is sent, so that what goes wrong is told by its status.
const AT_ONCE: usize = 1 << 20;

#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    total: Total,
    #[serde(default)]
    test_suites: Vec<Suite>,
}

#[derive(Default, Deserialize)]
struct Total {
    #[serde(default)]
    count: u64,
}

/// A suite as the summary has it.
#[derive(Deserialize)]
struct Suite {
    name: Option<String>,
    #[serde(default)]
    build_ids: Vec<JobId>,
    #[serde(flatten)]
    counts: Counts,
}

/// The counts of a report or suite.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Counts {
    total_time: f64,
    total_count: u64,
    success_count: u64,
    failed_count: u64,
    skipped_count: u64,
    error_count: u64,
}

/// What comes before the suites.
#[derive(Serialize)]
struct Head {
    job_id: JobId,
    pipeline_id: crate::domain::PipelineId,
    shared_with: BTreeSet<JobId>,
    #[serde(flatten)]
    counts: Counts,
    suites: Vec<Shared>,
}

/// A suite and whose it is.
#[derive(Serialize)]
struct Shared {
    name: String,
    build_ids: Vec<JobId>,
    shared_with: Vec<JobId>,
}

impl Head {
    fn of(job: &JobRow, summary: Summary) -> Self {
        let id = job.key.job;
        let (mut counts, mut suites, mut shared_with) = (Counts::default(), Vec::new(), BTreeSet::new());
        for suite in summary.test_suites.into_iter().filter(|suite| suite.build_ids.contains(&id)) {
            let Some(name) = suite.name else { continue };
            counts.add(&suite.counts);
            let others: Vec<JobId> = suite.build_ids.iter().copied().filter(|other| *other != id).collect();
            shared_with.extend(&others);
            suites.push(Shared { name, build_ids: suite.build_ids, shared_with: others });
        }
        Self { job_id: id, pipeline_id: job.pipeline, shared_with, counts, suites }
    }

    /// Returns the answer up to its first suite.
    fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.pop();
        text + r#","test_suites":["#
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.total_time += other.total_time;
        self.total_count += other.total_count;
        self.success_count += other.success_count;
        self.failed_count += other.failed_count;
        self.skipped_count += other.skipped_count;
        self.error_count += other.error_count;
    }
}

/// Answers with a job's suites.
pub(in crate::api) async fn report(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    view: View,
) -> Result<HttpResponse, Problem> {
    let project = view.project(&path.0).await?;
    // A report that is replaced between the row and its first byte is looked up once more.
    for _ in 0..2 {
        let Held { row: job, .. } = view.job(project, &path.1, JobPart::Document).await?;
        let Held { row, provenance } = view.report(project, &job.pipeline.to_string(), |report| report.piece).await?;
        let summary = summary(&row)?;
        let partial = row.report.total_count < summary.total.count;
        let head = Head::of(&job, summary);
        if partial && !head.suites.is_empty() && !lists_junit(&job) {
            // What is held was made when this job's file had gone.
            return Err(Problem::NotHeld(Piece::Absent(Reason::Expired)));
        }
        let Some(blob) = row.report.blob.filter(|_| !head.suites.is_empty()) else {
            return without_suites(&request, provenance, &view, &job, &row, &head).await;
        };
        let file = File::Zstd { blob, size: row.report.size, frames: Vec::new() };
        let whole = blob::Bytes::Part(0..file.size());
        if let Some(body) = view.open(project.report(), &file, whole, &Method::GET).await? {
            let cut = Cut::new(head.suites.iter().map(|suite| suite.name.clone()));
            let mut cutting = Cutting { body, cut, out: head.text().into_bytes(), ended: false };
            cutting.go_on(AT_ONCE).await.map_err(|error| {
                warn!(%error, pipeline.id = %row.key.pipeline, "a stored test report is not readable");
                Problem::Unusable
            })?;
            if cutting.ended {
                let text = String::from_utf8(cutting.out).map_err(|_| Problem::Unusable)?;
                return Ok(reply::json(&request, provenance, text));
            }
            let as_json = |response: &mut HttpResponseBuilder| {
                response.insert_header((CONTENT_TYPE, "application/json"));
            };
            let body = async || Ok(cutting.stream());
            return reply::made(&request, provenance, (&file, head.text()), as_json, None, body).await;
        }
    }
    Err(Problem::Away)
}

/// Returns whether GitLab lists the file that a job delivered.
fn lists_junit(job: &JobRow) -> bool {
    Job::from_document(job.key.project, job.document.clone()).is_ok_and(|job| job.junit)
}

fn summary(pipeline: &PipelineRow) -> Result<Summary, Problem> {
    match &pipeline.report.summary {
        Some(text) => serde_json::from_str(text).map_err(|_| Problem::Unusable),
        None => Ok(Summary { total: Total::default(), test_suites: Vec::new() }),
    }
}

/// A job that delivered nothing gets zeros, as GitLab's pipelines do; one whose tests should be here does not.
async fn without_suites(
    request: &HttpRequest,
    provenance: Provenance,
    view: &View,
    job: &JobRow,
    pipeline: &PipelineRow,
    head: &Head,
) -> Result<HttpResponse, Problem> {
    let ended = job.status.job_phase() == JobPhase::Ended;
    if ended && (job.junit == Junit::Delivered || !head.suites.is_empty()) {
        let replaced = view.jobs_of(pipeline).await?.iter().any(|other| other.name == job.name && other.key > job.key);
        return Err(match pipeline.report.piece {
            Piece::Whole | Piece::Live if replaced => Problem::EarlierAttempt,
            Piece::Whole | Piece::Live => Problem::NotHeld(Piece::Missing),
            piece => Problem::NotHeld(piece),
        });
    }
    Ok(reply::document(request, provenance, head.text() + "]}", |response| {
        if !ended {
            response.insert_header((REASON, Piece::Absent(Reason::NotFinished).as_str()));
        }
    }))
}

type Broken = Box<dyn Error>;

/// The report as it is stored, and what is cut out of it so far.
struct Cutting {
    body: BoxBody,
    cut: Cut,
    out: Vec<u8>,
    /// The report has ended, and so has the answer.
    ended: bool,
}

impl Cutting {
    /// Goes on until there are more than `most` bytes or the report has ended.
    async fn go_on(&mut self, most: usize) -> Result<(), Broken> {
        while !self.ended && self.out.len() <= most {
            match poll_fn(|context| Pin::new(&mut self.body).poll_next(context)).await {
                Some(piece) => self.cut.feed(&piece?, &mut self.out)?,
                None => {
                    self.out.extend_from_slice(b"]}");
                    self.ended = true;
                }
            }
        }
        Ok(())
    }

    /// Streams what is left.
    fn stream(self) -> impl Stream<Item = Result<Bytes, Broken>> {
        try_unfold(self, |mut cutting| async move {
            cutting.go_on(0).await?;
            let out = std::mem::take(&mut cutting.out);
            Ok((!out.is_empty()).then(|| (Bytes::from(out), cutting)))
        })
    }
}
