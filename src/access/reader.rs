//! Somebody who reads, and the rights that they have.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::verdicts::{Asker, Verdicts};
use super::{Chosen, Denied};
use crate::domain::{Document, JobKey, ProjectId, Timestamp};
use crate::gitlab::Credential;
use crate::store::{About, Answer, Store};

/// No project has this id.
const NOBODY: ProjectId = ProjectId(0);

/// No project of GitLab has a longer path.
const LONGEST_PATH: usize = 2048;

/// How much of a project's document a reader is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All that our own token sees.
    Whole,
    /// What those see who are no reporters of it.
    Outside,
    /// What everybody sees.
    Basic,
}

/// Somebody who reads, as the guard found them out. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    store: Store,
    pub(super) scope: Scope,
}

#[derive(Clone)]
pub(super) enum Scope {
    Everything,
    Some(Chosen),
    Judged(Arc<Verdicts>, Arc<Asker>),
}

/// A project whose document its reader may see. Only a [`Reader`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visible {
    project: ProjectId,
    /// Whether its logs and archives are the reader's without further questions.
    files: bool,
}

/// A project whose pipelines, jobs and reports its reader may see. Only a [`Reader`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(Visible);

/// The right to read the bytes of a report, a log or an archive. Only a [`Reader`] and [`Seen`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRight(());

impl Reader {
    /// Somebody who may see everything that is cached.
    pub(super) fn everything(store: Store) -> Self {
        Self { store, scope: Scope::Everything }
    }

    /// Somebody who may see some projects.
    pub(super) fn of(store: Store, chosen: Chosen) -> Self {
        Self { store, scope: Scope::Some(chosen) }
    }

    /// Somebody who may see what GitLab shows them.
    pub(super) fn judged_by(
        store: Store,
        verdicts: Arc<Verdicts>,
        credential: Credential,
        peer: Option<IpAddr>,
    ) -> Self {
        Self { store, scope: Scope::Judged(verdicts, Arc::new(Asker { credential, peer })) }
    }

    /// Succeeds unless GitLab judges a reader who has no token: what GitLab shows to users only, whatever the project.
    pub fn named(&self) -> Result<(), Denied> {
        match &self.scope {
            Scope::Judged(_, asker) if !asker.has_token() => Err(Denied::Unauthorized),
            _ => Ok(()),
        }
    }

    /// Succeeds when the reader's token is one, for what concerns no project. GitLab asks for one, too.
    pub async fn identified(&self) -> Result<(), Denied> {
        match &self.scope {
            Scope::Everything | Scope::Some(_) => Ok(()),
            Scope::Judged(verdicts, asker) => verdicts.decide(asker, About::Token).await.map(drop),
        }
    }

    /// Returns who the reader is by GitLab's own word, and when that was; `None` where GitLab does not judge them. Fails without
    /// a token that is one.
    pub async fn user(&self) -> Result<Option<Document>, Denied> {
        let Scope::Judged(verdicts, asker) = &self.scope else { return Ok(None) };
        self.named()?;
        let verdict = verdicts.decide(asker, About::Token).await?;
        let as_of = Timestamp::now().minus(verdict.age);
        Ok(Some(Document { text: verdict.told.ok_or(Denied::Unknown)?, as_of }))
    }

    /// Returns the project if this reader may see it. It need not be cached.
    pub async fn visible(&self, project: ProjectId) -> Result<Visible, Denied> {
        match &self.scope {
            Scope::Everything => Ok(Visible { project, files: true }),
            Scope::Some(chosen) => match chosen(project, &self.path_of(project).await?) {
                true => Ok(Visible { project, files: true }),
                false => Err(Denied::NotFound),
            },
            Scope::Judged(verdicts, asker) => {
                let verdict = verdicts.decide(asker, About::Project(project)).await?;
                Ok(Visible { project, files: verdict.answer == Answer::Member })
            }
        }
    }

    /// Fails when this reader has had GitLab asked for too much that is not cached. Only those without a token are counted: they
    /// are nobody in particular.
    pub fn may_ask(&self) -> Result<(), Denied> {
        match &self.scope {
            Scope::Everything | Scope::Some(_) => Ok(()),
            Scope::Judged(verdicts, asker) => verdicts.count(asker),
        }
    }

    /// Returns whether this reader may see a project, as far as lists of projects are concerned; whom GitLab judges, of them it is
    /// asked still. What is not public is not even asked about for those without a token.
    pub fn may_be_listed(&self, project: ProjectId, path: &str, is_public: bool) -> bool {
        match &self.scope {
            Scope::Some(chosen) => chosen(project, path),
            Scope::Judged(_, asker) if !asker.has_token() => is_public,
            _ => true,
        }
    }

    /// Returns the part of a project's document that GitLab shows to this reader.
    pub fn part_of(&self, project: Visible) -> Part {
        match &self.scope {
            Scope::Judged(_, asker) if !asker.has_token() => Part::Basic,
            Scope::Judged(..) if !project.files => Part::Outside,
            _ => Part::Whole,
        }
    }

    /// Returns the project of a path if this reader may see it. Whom GitLab judges, for them GitLab also says where the path
    /// leads; while it cannot, where it led when it was cached.
    pub async fn find(&self, path: &str) -> Result<Visible, Denied> {
        let cached = async || {
            let found = self.store.project_by_path(path.to_owned()).await?;
            Ok::<_, Denied>(found.map(|(id, _)| id))
        };
        let project = match &self.scope {
            Scope::Everything | Scope::Some(_) => cached().await?.ok_or(Denied::NotFound)?,
            Scope::Judged(verdicts, asker) if !is_path(path) => {
                // Nothing is kept about what no project can be called.
                if asker.has_token() {
                    verdicts.decide(asker, About::Token).await?;
                }
                return Err(Denied::NotFound);
            }
            Scope::Judged(verdicts, asker) => {
                match verdicts.decide(asker, About::Path(path.to_lowercase().into())).await {
                    Ok(verdict) => verdict.project.ok_or(Denied::NotFound)?,
                    Err(Denied::Unknown) => cached().await?.ok_or(Denied::Unknown)?,
                    Err(denied) => return Err(denied),
                }
            }
        };
        self.visible(project).await
    }

    /// Returns whether GitLab may be asked about a path that leads nowhere we know, as far as the path itself tells. Whom GitLab
    /// judges, they have asked about it themselves.
    pub fn may_look_for(&self, path: &str) -> bool {
        match &self.scope {
            Scope::Everything => is_path(path),
            Scope::Some(chosen) => is_path(path) && chosen(NOBODY, path),
            Scope::Judged(..) => false,
        }
    }

    /// Returns the project if this reader may see its pipelines and jobs, too.
    pub async fn see(&self, project: Visible) -> Result<Seen, Denied> {
        if let (Scope::Judged(verdicts, asker), false) = (&self.scope, project.files) {
            verdicts.decide(asker, About::Builds(project.project)).await?;
        }
        Ok(Seen(project))
    }

    /// Returns the right to a job's log.
    pub async fn log(&self, project: Seen, key: JobKey) -> Result<FileRight, Denied> {
        self.file(project, key, About::Log(key)).await
    }

    /// Returns the right to a job's archive.
    pub async fn archive(&self, project: Seen, key: JobKey) -> Result<FileRight, Denied> {
        self.file(project, key, About::Archive(key)).await
    }

    async fn file(&self, project: Seen, key: JobKey, about: About) -> Result<FileRight, Denied> {
        if key.project != project.project() {
            return Err(Denied::NotFound);
        }
        if let (Scope::Judged(verdicts, asker), false) = (&self.scope, project.0.files) {
            verdicts.decide(asker, about).await?;
        }
        Ok(FileRight(()))
    }

    /// Returns GitLab's `permissions` of this reader in a project; `None` where GitLab does not judge them or tells none.
    pub async fn permissions(&self, project: Visible) -> Result<Option<Box<str>>, Denied> {
        let Scope::Judged(verdicts, asker) = &self.scope else { return Ok(None) };
        Ok(verdicts.decide(asker, About::Project(project.project)).await?.told)
    }

    /// Returns the path of a project; an empty one when it is not cached.
    async fn path_of(&self, project: ProjectId) -> Result<String, Denied> {
        #[derive(Deserialize)]
        struct Named {
            path_with_namespace: String,
        }
        let document = self.store.project(project).await?;
        let named = document.and_then(|document| serde_json::from_str::<Named>(&document.text).ok());
        Ok(named.map(|named| named.path_with_namespace).unwrap_or_default())
    }
}

/// Returns whether a project may have this path: it has its group before it.
fn is_path(path: &str) -> bool {
    path.len() <= LONGEST_PATH && path.contains('/')
}

impl fmt::Debug for Reader {
    /// Shows how they are judged and nothing of who they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.scope {
            Scope::Everything => "Reader of everything",
            Scope::Some(_) => "Reader of some projects",
            Scope::Judged(..) => "Reader whom GitLab judges",
        })
    }
}

impl Visible {
    /// Returns which project it is.
    pub fn project(self) -> ProjectId {
        self.project
    }
}

impl Seen {
    /// Returns which project it is.
    pub fn project(self) -> ProjectId {
        self.0.project
    }

    /// Returns the project for its own document.
    pub fn visible(self) -> Visible {
        self.0
    }

    /// Returns the right to its pipelines' reports, which everybody has who sees the pipelines.
    pub fn report(self) -> FileRight {
        FileRight(())
    }
}
