//! The projects of a pass: those that the token is a member of, then those that the configuration names one by one.
//!
//! GitLab lists memberships only, so a public project that is named is asked for by itself. A path that has moved leads to the
//! project it belongs to (contract, section 8): its id is learned, so that the name still selects it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Only, PassError, Reconciler, Skipped, patiently};
use crate::domain::{Project, ProjectId, Timestamp};
use crate::gitlab::{Class, Kind, Next};

/// One project as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// By its id.
    Id(ProjectId),
    /// By its path, in any case; perhaps a former one.
    Path(Box<str>),
}

/// The projects that the configuration names, and which they turned out to be. Clones share what was learned.
#[derive(Debug, Clone, Default)]
pub struct Named {
    names: Arc<[Name]>,
    learned: Arc<RwLock<HashMap<Name, ProjectId>>>,
}

impl Named {
    /// Takes the names; nothing is learned yet.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Self {
        Self { names: names.into_iter().collect(), learned: Arc::default() }
    }

    /// Returns whether a name turned out to be this project, whatever its path is now.
    pub fn has(&self, id: ProjectId) -> bool {
        self.learned.read().unwrap_or_else(PoisonError::into_inner).values().any(|known| *known == id)
    }

    fn learn(&self, name: &Name, id: ProjectId) {
        self.learned.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), id);
    }

    fn known(&self, name: &Name) -> Option<ProjectId> {
        match name {
            Name::Id(id) => Some(*id),
            Name::Path(_) => self.learned.read().unwrap_or_else(PoisonError::into_inner).get(name).copied(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Path(path) => f.write_str(path),
        }
    }
}

/// Some projects of a pass.
#[derive(Debug)]
pub(super) struct Group {
    /// Those that belong to us and are not forgotten.
    pub(super) projects: Vec<Project>,
    /// GitLab's clock when it listed them.
    pub(super) as_of: Timestamp,
    /// Rows that could not be read.
    pub(super) malformed: usize,
    /// Names that lead to no project, each with the reason.
    pub(super) lost: Vec<(Name, String)>,
    /// Paths that lead to a project which has another one, of those that belong to us.
    pub(super) moved: Vec<(Box<str>, ProjectId)>,
}

impl Group {
    /// Returns what of it could not be read.
    pub(super) fn skipped(&self) -> Vec<Skipped> {
        let rows = (self.malformed > 0).then(|| Skipped::projects(self.malformed));
        rows.into_iter().chain(self.lost.iter().map(|(name, problem)| Skipped::named(name, problem.clone()))).collect()
    }
}

/// A walk through the projects of a pass.
pub(super) struct Roll<'a> {
    reconciler: &'a Reconciler,
    only: &'a Only,
    next: Option<Next>,
    /// Every membership was listed.
    listed: bool,
    /// The walk is over.
    ended: bool,
    /// Projects that were returned.
    shown: HashSet<ProjectId>,
    /// Names that memberships have met.
    met: HashSet<Name>,
}

impl<'a> Roll<'a> {
    pub(super) fn new(reconciler: &'a Reconciler, only: &'a Only) -> Self {
        let (shown, met) = Default::default();
        Self { reconciler, only, next: None, listed: false, ended: false, shown, met }
    }

    /// Returns the next projects; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Group>, PassError> {
        if self.ended {
            return Ok(None);
        }
        if self.listed {
            self.ended = true;
            return self.named().await;
        }
        let reconciler = self.reconciler;
        let page = patiently!(reconciler, reconciler.gitlab.projects(Class::Backfill, self.next.as_ref()))?;
        self.next = page.next;
        self.listed = self.next.is_none();
        for name in reconciler.named.names.iter() {
            let is_it = |project: &&Project| match name {
                Name::Id(id) => *id == project.id,
                Name::Path(path) => path.eq_ignore_ascii_case(&project.path),
            };
            if let Some(project) = page.rows.iter().find(is_it) {
                reconciler.named.learn(name, project.id);
                self.met.insert(name.clone());
            }
        }
        let projects = page.rows.into_iter().filter(|project| self.takes(project)).collect();
        let projects = reconciler.projects_to_keep(projects).await?;
        Ok(Some(Group { projects, as_of: page.as_of, malformed: page.malformed, lost: Vec::new(), moved: Vec::new() }))
    }

    /// Asks for those that are named and were not listed.
    async fn named(&mut self) -> Result<Option<Group>, PassError> {
        let Reconciler { gitlab, named, .. } = self.reconciler;
        let (projects, lost, moved) = Default::default();
        let mut group = Group { projects, as_of: Timestamp::now(), malformed: 0, lost, moved };
        for name in named.names.iter() {
            let needless = named.known(name).is_some_and(|id| !self.only.may_take(id));
            if needless || self.met.contains(name) {
                continue;
            }
            let read = match name {
                Name::Id(id) => patiently!(self.reconciler, gitlab.project(Class::Backfill, *id)),
                Name::Path(path) => patiently!(self.reconciler, gitlab.project_by_path(Class::Backfill, path)),
            };
            match read {
                Ok(project) => {
                    named.learn(name, project.id);
                    group.as_of = project.document.as_of;
                    if let Name::Path(path) = name
                        && !path.eq_ignore_ascii_case(&project.path)
                    {
                        group.moved.push((path.clone(), project.id));
                    }
                    if self.takes(&project) {
                        group.projects.push(project);
                    }
                }
                Err(error) if error.kind.is_of_the_token() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(project = %name, %error, "projects.include names a project that cannot be read");
                    let problem = match error.kind {
                        Kind::NotFound => {
                            "projects.include names it, and GitLab does not have it or hides it from the token"
                                .to_owned()
                        }
                        kind => format!("projects.include names it, but it could not be read: {kind}"),
                    };
                    group.lost.push((name.clone(), problem));
                }
            }
        }
        group.projects = self.reconciler.projects_to_keep(group.projects).await?;
        Ok(Some(group))
    }

    /// Returns whether a project belongs to the pass, each once.
    fn takes(&mut self, project: &Project) -> bool {
        (self.reconciler.selection)(project.id, &project.path)
            && self.only.takes(project)
            && self.shown.insert(project.id)
    }
}
