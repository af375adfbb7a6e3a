//! Lists of what one reader sees.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde::Deserialize;

use super::View;
use crate::access::{Denied, Seen, Visible};
use crate::api::answer::Problem;
use crate::api::choice::Choice;
use crate::api::freshness::{self, PipelinePart, Standing};
use crate::api::own_documents::Own;
use crate::api::provenance::{Complete, Held, Listed, Provenance, Source};
use crate::api::simple;
use crate::domain::{Document, PipelineId, PipelineSource, Project, ProjectFacts, ProjectId, Timestamp};
use crate::store::{COUNTED, JobFilter, ListOf, Listing, Page, PipelineFilter, PipelineRow, ProjectJobFilter, Slice};
use crate::work::{Cause, Target};

/// How long projects are asked about for one list once GitLab does not tell of one: nobody waits for each of them in turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long GitLab is asked about projects only to count them. Its answers are kept, so that a later list goes on from there.
pub(in crate::api) const COUNTING: Duration = Duration::from_secs(1);

/// Of more projects than these GitLab is not asked about each only to count them: its answers hold for minutes.
const COUNTABLE: usize = 1000;

/// Projects that are looked at together to find those that a reader may see.
const CHECKS: usize = 10;

/// Documents that are looked at together.
const AT_ONCE: usize = 100;

impl View {
    /// Returns a page of a project's pipelines; what was asked for begins at `since`, or at the project's beginning.
    pub(in crate::api) async fn pipelines(
        &self,
        project: Seen,
        filter: PipelineFilter,
        slice: Slice,
        since: Option<Timestamp>,
    ) -> Result<Listed, Problem> {
        let id = project.project();
        let known = |document: &Document| Standing::last(document.as_of);
        let document = self.held((Target::Project(id), Cause::Read), || self.api.store.project(id), known).await?;
        let looked = match document {
            Some(_) => self.look(ListOf::Pipelines(id, listing_of(&filter))).await?,
            None => Look::default(),
        };
        let page = self.api.store.pipelines(id, filter, slice).await?;
        if document.is_none() && page.total == 0 {
            return Err(self.nothing_in(project).await);
        }
        let since = since.or_else(|| document.as_ref().and_then(|held| freshness::created_at(&held.row.text)));
        let progress = self.api.store.progress(id).await?;
        let passed = progress.map(|progress| progress.full_pass_at.unwrap_or_default().max(progress.watermark));
        let as_of = passed.max(looked.listing.map(|listing| listing.as_of));
        let complete = match self.api.through.max_age() {
            None => freshness::covers(progress.as_ref(), since),
            Some(_) if looked.source == Source::Stale => Complete::No,
            Some(_) => looked
                .listing
                .map_or(Complete::No, |listing| freshness::covers_with(&listing, progress.as_ref(), since)),
        };
        Ok(Listed { page, provenance: Provenance { source: looked.source, as_of }, complete, counted: true })
    }

    /// Returns all of a project's pipelines that are chosen by their own documents, too, and whether each of them told.
    pub(in crate::api) async fn pipelines_by_own(
        &self,
        project: Seen,
        filter: PipelineFilter,
        own: &Own,
        since: Option<Timestamp>,
    ) -> Result<(Listed, bool), Problem> {
        let mut listed = self.pipelines(project, filter, Slice { offset: 0, limit: COUNTED }, since).await?;
        if listed.page.total > COUNTED {
            return Err(Problem::Unsupported(own.asked().unwrap_or_default()));
        }
        let mut rows = Vec::with_capacity(listed.page.rows.len());
        for some in listed.page.rows.chunks(AT_ONCE) {
            let ids = some.iter().filter_map(simple::id_of).collect();
            let mut held: HashMap<_, _> =
                self.api.store.pipeline_details(project.project(), ids).await?.into_iter().collect();
            rows.extend(some.iter().map(|row| (row.clone(), simple::id_of(row).and_then(|id| held.remove(&id)))));
        }
        let (chosen, every) = own.choose(rows);
        listed.page.rows = chosen;
        listed.complete = if every { listed.complete } else { Complete::No };
        Ok((listed, every))
    }

    /// Has GitLab asked what is new in a list, when it was not a moment ago.
    async fn look(&self, list: ListOf) -> Result<Look, Problem> {
        let target = match list {
            ListOf::Projects => Target::Projects,
            ListOf::Pipelines(project, source) => Target::Pipelines(project, source),
            ListOf::Project(project) => Target::Project(project),
        };
        let judge = |listing: &Listing| Standing::aging(listing.as_of);
        match self.held((target, Cause::Read), || self.api.store.listing(list), judge).await {
            Ok(Some(held)) => {
                // A list is held before anybody looks.
                let source =
                    if held.provenance.source == Source::Miss { Source::Refreshed } else { held.provenance.source };
                Ok(Look { source, listing: Some(held.row) })
            }
            Ok(None) if self.api.through.max_age().is_none() => Ok(Look::default()),
            // What passes have found is there all the same.
            Ok(None) | Err(Problem::Unreachable) => Ok(Look { source: Source::Stale, listing: None }),
            Err(problem) => Err(problem),
        }
    }

    /// Returns a page of the jobs of a pipeline that was asked for with its jobs.
    pub(in crate::api) async fn pipeline_jobs(
        &self,
        pipeline: &Held<PipelineRow>,
        filter: JobFilter,
        slice: Slice,
    ) -> Result<Listed, Problem> {
        let page = self.api.store.pipeline_jobs(pipeline.row.key, filter, slice).await?;
        let provenance = pipeline.provenance;
        let complete = provenance.source != Source::Stale && freshness::lists_all(&pipeline.row);
        Ok(Listed { page, provenance, complete: complete.into(), counted: true })
    }

    /// Returns what lists of projects are chosen by, of all our projects: only for choosing, before
    /// [`projects_of`](Self::projects_of) says which of the chosen ones can be seen. GitLab is asked for the newest ones before,
    /// in one call for all readers, whoever they are.
    pub(in crate::api) async fn project_facts(&self) -> Result<(Vec<(ProjectId, ProjectFacts)>, Roster), Problem> {
        let looked = self.look(ListOf::Projects).await?;
        let mut facts = self.api.store.project_facts().await?;
        facts.retain(|(id, facts)| self.reader.may_be_listed(*id, &facts.path, facts.is_public()));
        let passed = self.api.store.completed_ago("reconcile").await?.map(|ago| Timestamp::now().minus(ago));
        // Besides the newest ones, our token may have become a member of older projects since the last pass.
        let is_whole = looked.listing.is_some_and(|listing| listing.is_whole()) && looked.source != Source::Stale;
        let complete = passed.is_some() && (is_whole || self.api.through.max_age().is_none());
        let as_of = looked.listing.map(|listing| listing.as_of).or(passed);
        Ok((facts, Roster { provenance: Provenance { source: looked.source, as_of }, complete }))
    }

    /// Returns the chosen ones of our projects, in order.
    pub(in crate::api) async fn chosen(
        &self,
        choice: &Choice,
        facts: Vec<(ProjectId, ProjectFacts)>,
    ) -> Result<Vec<ProjectId>, Problem> {
        let chosen = choice.of(facts);
        if !choice.looks_at_documents() {
            return Ok(chosen);
        }
        let mut wanted = Vec::new();
        for ids in chosen.chunks(AT_ONCE) {
            let documents = self.api.store.project_documents(ids.to_vec()).await?;
            wanted.extend(
                documents.iter().filter(|document| choice.wants_document(&document.text)).filter_map(Project::id_of),
            );
        }
        Ok(wanted)
    }

    /// Returns a page of those of the chosen projects that can be seen, in their order, and the last one's id. How many there
    /// are in all is told when it is known, which may take asking about each of them: for so long once the page is full.
    pub(in crate::api) async fn projects_of(
        &self,
        roster: Roster,
        chosen: Vec<ProjectId>,
        slice: Slice,
        counting: Duration,
    ) -> Result<(Listed, Option<ProjectId>), Problem> {
        let wanted = slice.offset.saturating_add(slice.limit).saturating_add(1);
        let (mut seen, mut unknown, mut complete) = (Vec::new(), false, roster.complete);
        let counting = if chosen.len() <= COUNTABLE { counting } else { Duration::ZERO };
        let mut left = chosen.into_iter();
        if !self.is_judged() {
            seen.extend(left.by_ref().map(|id| (id, None)));
        }
        // The first one alone: it says whether the reader's token is one.
        let mut step = 1;
        let began = Instant::now();
        while (seen.len() as u64) < wanted || began.elapsed() < counting {
            if unknown && began.elapsed() >= PATIENCE {
                break;
            }
            let asked: Vec<ProjectId> = left.by_ref().take(step).collect();
            if asked.is_empty() {
                break;
            }
            step = CHECKS;
            let checks = asked.into_iter().map(|id| async move {
                match self.reader.visible(id).await {
                    Ok(project) => Ok(Judged::Seen(id, project)),
                    Err(Denied::NotFound) => Ok(Judged::Hidden),
                    Err(Denied::Unknown) => Ok(Judged::Unknown),
                    Err(denied) => Err(denied),
                }
            });
            let checks = try_join_all(checks);
            let checked = match (seen.len() as u64) < wanted {
                true => checks.await?,
                false => match tokio::time::timeout(counting.saturating_sub(began.elapsed()), checks).await {
                    Ok(Ok(checked)) => checked,
                    // The page is there all the same.
                    Ok(Err(_)) | Err(_) => {
                        unknown = true;
                        break;
                    }
                },
            };
            for judged in checked {
                match judged {
                    Judged::Seen(id, project) => seen.push((id, Some(project))),
                    Judged::Hidden => {}
                    // Of many projects GitLab does not tell all at once; a list of the others is better than none.
                    Judged::Unknown => (unknown, complete) = (true, false),
                }
            }
        }
        if unknown && seen.is_empty() {
            return Err(Denied::Unknown.into());
        }
        let counted = !unknown && left.next().is_none();
        let total = if counted { seen.len() as u64 } else { wanted.min(seen.len() as u64) };
        let offset = usize::try_from(slice.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
        let asked: HashMap<ProjectId, Option<Visible>> = seen.iter().copied().skip(offset).take(limit).collect();
        let ids: Vec<ProjectId> = seen.into_iter().map(|(id, _)| id).skip(offset).take(limit).collect();
        let last = ids.last().copied();
        let mut rows = self.api.store.project_documents(ids).await?;
        if self.is_judged() {
            for row in &mut rows {
                let project = Project::id_of(row).and_then(|id| asked.get(&id)).copied().flatten();
                *row = match project {
                    Some(project) => self.shown(row.clone(), project).await?,
                    None => simple::simple(row.clone()),
                };
            }
        }
        Ok((
            Listed { page: Page { rows, total }, provenance: roster.provenance, complete: complete.into(), counted },
            last,
        ))
    }

    /// Returns the newest pipeline of a ref, or of the project's default branch.
    pub(in crate::api) async fn latest(
        &self,
        project: Seen,
        ref_: Option<String>,
    ) -> Result<Held<PipelineRow>, Problem> {
        let looked = self.look(ListOf::Pipelines(project.project(), PipelineSource::Plain)).await?;
        let ref_ = match ref_ {
            Some(ref_) => ref_,
            None => match self.api.store.project(project.project()).await? {
                Some(document) => default_branch(&document).ok_or(Problem::NotFound)?,
                None => return Err(self.nothing_in(project).await),
            },
        };
        let filter = PipelineFilter { ref_: Some(ref_), ..PipelineFilter::default() };
        let page = self.api.store.pipelines(project.project(), filter, Slice { offset: 0, limit: 1 }).await?;
        let Some(latest) = page.rows.first().and_then(simple::id_of::<PipelineId>) else {
            return Err(self.nothing_in(project).await);
        };
        let held = self.pipeline(project, &latest.to_string(), PipelinePart::Detail).await?;
        let Provenance { source, as_of } = held.provenance;
        let source = if source == Source::Hit { looked.source } else { source };
        let as_of = as_of.max(looked.listing.map(|listing| listing.as_of));
        Ok(Held { provenance: Provenance { source, as_of }, ..held })
    }

    /// Returns a page of a project's jobs.
    pub(in crate::api) async fn project_jobs(
        &self,
        project: Seen,
        filter: ProjectJobFilter,
        slice: Slice,
    ) -> Result<Listed, Problem> {
        let page = self.api.store.project_jobs(project.project(), filter, slice).await?;
        if page.rows.is_empty()
            && let Some(problem) = self.no_project(project).await
        {
            return Err(problem);
        }
        // Nobody asks GitLab for this list: it is what the lists of pipelines' jobs have shown, complete as of the last pass.
        let progress = self.api.store.progress(project.project()).await?;
        let as_of = progress.as_ref().map(|progress| progress.full_pass_at.unwrap_or_default().max(progress.watermark));
        let complete = self.lists_every_job(project, progress.as_ref()).await?;
        Ok(Listed { page, provenance: Provenance::hit(as_of), complete, counted: false })
    }

    /// Returns a pipeline's trigger jobs, a JSON array; `None` while GitLab was not asked for them.
    pub(in crate::api) async fn bridges(
        &self,
        pipeline: &Held<PipelineRow>,
    ) -> Result<Option<Held<Document>>, Problem> {
        let row = &pipeline.row;
        let judge = |list: &Document| freshness::of_bridges(row, list);
        let target = Target::Bridges(row.key);
        match self.held((target, Cause::Read), || self.api.store.bridges(row.key), judge).await {
            Err(Problem::Unreachable) => Ok(None),
            held => held,
        }
    }
}

/// What is known of the list of our projects.
#[derive(Debug, Clone, Copy)]
pub(in crate::api) struct Roster {
    provenance: Provenance,
    complete: bool,
}

impl Roster {
    /// Returns where the list came from.
    pub(in crate::api) fn provenance(self) -> Provenance {
        self.provenance
    }
}

/// What is known of whether a reader may see a project.
enum Judged {
    Seen(ProjectId, Visible),
    Hidden,
    Unknown,
}

/// What a look at a list showed, and where that came from.
struct Look {
    source: Source,
    listing: Option<Listing>,
}

impl Default for Look {
    /// Nobody looked.
    fn default() -> Self {
        Self { source: Source::Hit, listing: None }
    }
}

/// Returns the listing of GitLab that such pipelines are in.
fn listing_of(filter: &PipelineFilter) -> PipelineSource {
    match filter.source.as_deref() {
        Some("parent_pipeline") => PipelineSource::Child,
        _ => PipelineSource::Plain,
    }
}

fn default_branch(project: &Document) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        default_branch: Option<String>,
    }
    serde_json::from_str::<Named>(&project.text).ok()?.default_branch
}
