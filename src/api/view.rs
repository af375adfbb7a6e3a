//! What one reader sees of the cache: the only way from a route to the store, and through it to GitLab.
//!
//! Guarantees: what is final is answered from the store; what is not good enough is asked for before it is answered;
//! nothing of a project is queried before [`crate::access`] let this reader see the project; what is not cached and what may
//! not be seen are the same 404.

mod coverage;
mod lists;
mod parts;

pub(super) use self::lists::{COUNTING, Roster};

use std::future::{Ready, ready};
use std::time::Duration;

use super::answer::Problem;
use super::blob::{Bytes, File};
use super::freshness::{self, JobPart, PipelinePart, Standing};
use super::provenance::{Held, Provenance, Source};
use super::simple;
use super::through::{Asked, Verdict};
use super::{Api, PassThrough};
use crate::access::{Denied, FileRight, Reader, Seen, Visible};
use crate::domain::{
    Document, JobKey, Piece, PipelineKey, PipelinePhase, ProjectId, Reason, ReportRecord, Subject, Timestamp,
};
use crate::store::{self, JobRow, ListOf, Listing, PipelineRow};
use crate::work::{Cause, Target};
use actix_web::body::BoxBody;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};

/// One reader's view of the cache.
pub(super) struct View {
    api: Api,
    reader: Reader,
}

impl FromRequest for View {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let reader = request.extensions().get::<Reader>().cloned();
        let api = request.app_data::<web::Data<Api>>();
        ready(match (reader, api) {
            (Some(reader), Some(api)) => Ok(Self { api: Api::clone(api), reader }),
            // No guard let the request in.
            _ => Err(Problem::UnknownPath),
        })
    }
}

impl View {
    /// Finds a project by id or by path, for its pipelines and jobs. A numeric one need not be cached: a pipeline may be
    /// cached before its project is.
    pub(super) async fn project(&self, text: &str) -> Result<Seen, Problem> {
        let (project, _) = self.visible(text).await?;
        Ok(self.reader.see(project).await?)
    }

    /// Finds a project by id or by path, for its own document only, and whether it was fetched for that.
    async fn visible(&self, text: &str) -> Result<(Visible, bool), Problem> {
        Ok(match Address::of(text)? {
            Address::Id(id) => (self.reader.visible(id).await?, false),
            Address::Path(path) => match self.reader.find(&path).await {
                Err(Denied::NotFound) if self.reader.may_look_for(&path) => (self.look_for(&path).await?, true),
                found => (found?, false),
            },
        })
    }

    /// Finds a project that is cached, by id or by path, and its document as the service's token got it.
    pub(super) async fn cached(&self, text: &str) -> Result<(ProjectId, Document), Problem> {
        let (project, _) = self.visible(text).await?;
        let id = project.project();
        self.api.store.project(id).await?.map(|document| (id, document)).ok_or(Problem::ProjectNotFound)
    }

    /// Returns whether GitLab says what this reader may see.
    pub(super) fn is_judged(&self) -> bool {
        self.reader.is_judged()
    }

    /// Returns whether GitLab answers to this reader itself what Cistern cannot.
    pub(super) fn is_passed_on(&self) -> bool {
        self.is_judged() && matches!(self.api.passing, PassThrough::Caller(_))
    }

    /// Has GitLab asked what project is at a path that leads nowhere, and finds it if it belongs to us.
    async fn look_for(&self, path: &str) -> Result<Visible, Problem> {
        match self.api.through.ask_path(path).await {
            Asked::Now(Verdict::Unreachable) | Asked::Before(Verdict::Unreachable) => return Err(Problem::Unreachable),
            Asked::Now(Verdict::Answered) => {}
            Asked::Now(Verdict::Refused) | Asked::Before(_) | Asked::Never => return Err(Problem::ProjectNotFound),
        }
        let found = self.reader.find(path).await;
        if matches!(found, Err(Denied::NotFound)) {
            self.api.through.has_none(Target::path(path), Cause::Read);
        }
        Ok(found?)
    }

    /// Succeeds unless the reader has to have a token and has none: GitLab shows single jobs, a project's jobs and logs to
    /// users only, also those of public projects, and says so before it looks for the project.
    pub(super) fn named(&self) -> Result<(), Problem> {
        Ok(self.reader.named()?)
    }

    /// Succeeds when the reader's token is one, for what concerns no project.
    pub(super) async fn identified(&self) -> Result<(), Problem> {
        Ok(self.reader.identified().await?)
    }

    /// Returns who the reader is, where GitLab says so.
    pub(super) async fn user(&self) -> Result<Option<Document>, Problem> {
        Ok(self.reader.user().await?)
    }

    /// Returns the right to a job's log.
    pub(super) async fn may_read_log(&self, project: Seen, id: &str) -> Result<FileRight, Problem> {
        Ok(self.reader.log(project, job_key(project, id)?).await?)
    }

    /// Returns the right to a job's archive.
    pub(super) async fn may_read_archive(&self, project: Seen, id: &str) -> Result<FileRight, Problem> {
        Ok(self.reader.archive(project, job_key(project, id)?).await?)
    }

    /// Returns the document of a project, by its id or path.
    pub(super) async fn document(&self, project: &str) -> Result<Held<Document>, Problem> {
        let (project, fetched) = self.visible(project).await?;
        let id = project.project();
        let target = Target::Project(id);
        let read = async || {
            let Some(document) = self.api.store.project(id).await? else { return Ok(None) };
            Ok(Some((document, self.api.store.listing(ListOf::Project(id)).await?)))
        };
        let judge = |(document, itself): &(Document, Option<Listing>)| match itself {
            Some(_) => Standing::aging(document.as_of),
            // Only lists have shown it, which tell less.
            None => Standing::lacking(document.as_of, Cause::Read),
        };
        let held = self.held((target, Cause::Read), read, judge).await?;
        let Some(Held { row: (document, _), mut provenance }) = held else {
            return Err(self.forgotten(Subject::Project { project: id }).await.unwrap_or(Problem::NotCached));
        };
        if fetched {
            provenance.source = Source::Miss;
        }
        Ok(Held { row: self.shown(document, project).await?, provenance })
    }

    /// Returns of a project's document what its reader is shown: all of it where everybody reads as the service does.
    async fn shown(&self, document: Document, project: Visible) -> Result<Document, Denied> {
        if !self.is_judged() {
            return Ok(document);
        }
        let permissions = self.reader.permissions(project).await?;
        Ok(simple::with_permissions(simple::part(document, self.reader.part_of(project)), permissions.as_deref()))
    }

    /// Returns a pipeline, good enough for this part of it.
    pub(super) async fn pipeline(
        &self,
        project: Seen,
        id: &str,
        part: PipelinePart,
    ) -> Result<Held<PipelineRow>, Problem> {
        let pipeline = id.parse().map_err(|_| Problem::Invalid { name: "pipeline_id", problem: "is invalid" })?;
        let key = PipelineKey { project: project.project(), pipeline };
        let judge = |row: &PipelineRow| freshness::of_pipeline(row, part);
        match self.held((Target::Pipeline(key), Cause::Read), || self.api.store.pipeline(key), judge).await? {
            Some(held) => Ok(held),
            None => Err(self.nothing_of(project, Subject::Pipeline(key)).await),
        }
    }

    /// Returns a pipeline with its test report. That of an unfinished pipeline is not asked for: GitLab would keep it for
    /// two minutes and answer the end of the pipeline with it (contract, section 5.8).
    ///
    /// `part` is the piece that is asked for: the report's or the summary's.
    pub(super) async fn report(
        &self,
        project: Seen,
        id: &str,
        part: impl Fn(&ReportRecord) -> Piece,
    ) -> Result<Held<PipelineRow>, Problem> {
        let held = self.pipeline(project, id, PipelinePart::Jobs).await?;
        let key = held.row.key;
        let as_of = held.provenance.as_of.unwrap_or_default();
        let judge = |row: &PipelineRow| {
            let ended = row.status.pipeline_phase() == PipelinePhase::Ended;
            let looked = row.report.last_look.unwrap_or(as_of);
            let piece = part(&row.report);
            if ended && !piece.is_final() && !piece.is_held() {
                Standing::lacking(looked, Cause::Read)
            } else {
                Standing::last(looked)
            }
        };
        let report = self.held((Target::Report(key), Cause::Read), || self.api.store.pipeline(key), judge).await?;
        Ok(match report {
            Some(report) if report.provenance.source == Source::Hit => {
                Held { provenance: Provenance { source: held.provenance.source, ..report.provenance }, ..report }
            }
            Some(report) => report,
            None => held,
        })
    }

    /// Returns a job, good enough for this part of it.
    pub(super) async fn job(&self, project: Seen, id: &str, part: JobPart) -> Result<Held<JobRow>, Problem> {
        let key = job_key(project, id)?;
        let judge = |row: &JobRow| freshness::of_job(row, part);
        let miss = if part == JobPart::Document { Cause::Read } else { Cause::Fetch };
        match self.held((Target::Job(key), miss), || self.api.store.job(key), judge).await? {
            Some(held) => Ok(held),
            None => Err(self.nothing_of(project, Subject::Job(key)).await),
        }
    }

    /// Reads something, and has GitLab asked for it when it is not good enough, or not held (then for `miss`).
    async fn held<T>(
        &self,
        (target, miss): (Target, Cause),
        read: impl AsyncFn() -> Result<Option<T>, store::Error>,
        judge: impl Fn(&T) -> Standing,
    ) -> Result<Option<Held<T>>, Problem> {
        self.held_within(Duration::MAX, (target, miss), read, judge).await
    }

    /// As [`held`](Self::held), for readers who want what is unfinished to be no older than this.
    async fn held_within<T>(
        &self,
        most: Duration,
        (target, miss): (Target, Cause),
        read: impl AsyncFn() -> Result<Option<T>, store::Error>,
        judge: impl Fn(&T) -> Standing,
    ) -> Result<Option<Held<T>>, Problem> {
        let answer = |row: T, source| {
            let as_of = Some(judge(&row).as_of);
            Some(Held { row, provenance: Provenance { source, as_of } })
        };
        let before = read().await?;
        let Some(max_age) = self.api.through.max_age() else {
            return Ok(before.and_then(|row| answer(row, Source::Hit)));
        };
        let max_age = max_age.min(most);
        let cause = match before.as_ref().map(|row| judge(row).ask) {
            // It may be had as soon as that is undone, so no answer may be remembered.
            None if self.is_forgotten(target).await? => return Ok(None),
            None => {
                self.reader.may_ask()?;
                miss
            }
            Some(Some(ask)) if ask.since.is_none_or(|since| Timestamp::now().since(since) > max_age) => ask.cause,
            Some(_) => return Ok(before.and_then(|row| answer(row, Source::Hit))),
        };
        let lacked = before.as_ref().is_none_or(|row| judge(row).ask.is_some_and(|ask| ask.since.is_none()));
        let asked = self.api.through.ask(target, cause, max_age).await;
        // Also when it was asked before: what was read above may be older than the answer.
        let after = read().await?;
        let source = match asked {
            Asked::Now(Verdict::Answered) if lacked => Source::Miss,
            Asked::Now(Verdict::Answered) => Source::Refreshed,
            // What takes longer than a reader waits may have arrived in part.
            Asked::Now(Verdict::Unreachable) if before.is_none() => Source::Miss,
            Asked::Before(Verdict::Answered) | Asked::Never => Source::Hit,
            Asked::Now(_) | Asked::Before(_) => Source::Stale,
        };
        match (after, asked) {
            (Some(row), _) => Ok(answer(row, source)),
            (None, Asked::Now(Verdict::Unreachable) | Asked::Before(Verdict::Unreachable)) => Err(Problem::Unreachable),
            (None, Asked::Now(Verdict::Answered)) => {
                self.api.through.has_none(target, cause);
                Ok(None)
            }
            (None, _) => Ok(None),
        }
    }

    /// Begins to read a blob that a row of this view names; `None` when it was replaced meanwhile.
    pub(super) async fn open(
        &self,
        _: FileRight,
        file: &File,
        bytes: Bytes,
        method: &Method,
    ) -> Result<Option<BoxBody>, Problem> {
        file.open(&self.api.store, &self.api.bodies, bytes, method).await
    }

    /// As [`Self::open`], all of it, compressed with gzip.
    pub(super) async fn open_gzip(
        &self,
        _: FileRight,
        file: &File,
        method: &Method,
    ) -> Result<Option<BoxBody>, Problem> {
        file.open_gzip(&self.api.store, &self.api.bodies, method).await
    }

    /// Returns what GitLab says when there is nothing: whether the project itself is unknown, or only what was asked for.
    async fn nothing_in(&self, project: Seen) -> Problem {
        self.no_project(project).await.unwrap_or(Problem::NotFound)
    }

    /// Returns why there is nothing of a project at all, if it is not cached.
    async fn no_project(&self, project: Seen) -> Option<Problem> {
        match self.api.store.project(project.project()).await {
            Ok(Some(_)) => None,
            Ok(None) => {
                let subject = Subject::Project { project: project.project() };
                Some(self.forgotten(subject).await.unwrap_or(Problem::NotCached))
            }
            Err(problem) => Some(problem.into()),
        }
    }

    /// As [`Self::nothing_in`], for what may have been forgotten by itself.
    async fn nothing_of(&self, project: Seen, subject: Subject) -> Problem {
        match self.forgotten(subject).await {
            Some(problem) => problem,
            None => self.nothing_in(project).await,
        }
    }

    async fn is_forgotten(&self, target: Target) -> Result<bool, Problem> {
        Ok(!self.api.store.forgotten(target.subjects()).await?.is_empty())
    }

    /// Returns why there is nothing of a subject, if that is because a person told Cistern to forget it.
    async fn forgotten(&self, subject: Subject) -> Option<Problem> {
        match self.api.store.forgotten(vec![subject]).await {
            Ok(found) => found.contains(&subject).then_some(Problem::NotHeld(Piece::Absent(Reason::Forgotten))),
            Err(problem) => Some(problem.into()),
        }
    }
}

fn job_key(project: Seen, id: &str) -> Result<JobKey, Problem> {
    let job = id.parse().map_err(|_| Problem::Invalid { name: "job_id", problem: "is invalid" })?;
    Ok(JobKey { project: project.project(), job })
}

/// A project as it stands in a URL: digits are an id, anything else is a URL-encoded path. The router leaves `%2F`
/// alone, so that a path stays one segment, and the extractor decodes it.
enum Address {
    Id(ProjectId),
    Path(String),
}

impl Address {
    fn of(text: &str) -> Result<Self, Problem> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Path(text.to_owned()));
        }
        text.parse().map(Self::Id).map_err(|_| Problem::ProjectNotFound)
    }
}
