//! The projects that a person named on the command line.
//!
//! A name that fits nothing is told and counts as something that could not be done: nobody should take "0 gaps" of a
//! misspelt project for a good answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use crate::config::{ProjectRef, Selection};
use crate::domain::{Project, ProjectId};
use crate::gitlab::{Class, Gitlab};
use crate::progress::tell;
use crate::reconcile::Only;
use crate::store::{self, Store};

/// The named projects, and which of them were met. Without any name, all projects are meant.
pub(super) struct Named(Arc<Vec<Name>>);

struct Name {
    project: ProjectRef,
    selection: Selection,
    met: AtomicBool,
}

impl Named {
    /// Finds where the names lead: former paths to their projects, as the store knows it, or as GitLab does, which is asked about a
    /// path that the store does not know at all.
    pub(super) async fn find(projects: Vec<ProjectRef>, store: &Store, gitlab: &Gitlab) -> Result<Self, store::Error> {
        let mut names = Vec::new();
        for project in projects {
            let mut other = None;
            if let ProjectRef::Path(path) = &project {
                let found = match store.project_by_path(path.clone()).await? {
                    Some((id, document)) => Some((id, Project::path_of(&document).unwrap_or_default())),
                    // Why GitLab has none is for the pass to find out.
                    None => {
                        let found = gitlab.project_by_path(Class::Backfill, path).await.ok();
                        found.map(|project| (project.id, project.path))
                    }
                };
                other = found.filter(|(_, now)| !now.eq_ignore_ascii_case(path)).map(|(id, _)| id);
            }
            names.push((project, other));
        }
        Ok(Self::of(names))
    }

    /// Takes the names as they are.
    pub(super) fn new(projects: Vec<ProjectRef>) -> Self {
        Self::of(projects.into_iter().map(|project| (project, None)).collect())
    }

    /// Takes the names, each with the id of a project that has another path.
    fn of(names: Vec<(ProjectRef, Option<ProjectId>)>) -> Self {
        let name = |(project, id): (ProjectRef, Option<ProjectId>)| {
            let selection = Selection::only(id.map(ProjectRef::Id).into_iter().chain([project.clone()]).collect());
            Name { project, selection, met: AtomicBool::new(false) }
        };
        Self(Arc::new(names.into_iter().map(name).collect()))
    }

    /// Returns them as the reconciler takes them.
    pub(super) fn only(&self) -> Only {
        if self.0.is_empty() {
            return Only::All;
        }
        let names = Arc::clone(&self.0);
        Only::Chosen(Arc::new(move |id, path: &str| {
            let mut wanted = false;
            // Two names may mean one project: both are met.
            for name in names.iter().filter(|name| name.selection.matches(id, path)) {
                name.met.store(true, Ordering::Relaxed);
                wanted = true;
            }
            wanted
        }))
    }

    /// Tells which names fitted no project of a listing that is over, and takes it into account.
    pub(super) fn judge(&self, exit: Exit) -> Exit {
        let mut judged = exit;
        for name in self.0.iter().filter(|name| !name.met.load(Ordering::Relaxed)) {
            let project = &name.project;
            tell(format_args!(
                "cistern: no project {project}: the token is no member of one, or projects.* leaves it out"
            ));
            judged = Exit::Incomplete;
        }
        judged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_fits_nothing_is_no_good_end() {
        let named = Named::of(vec![
            (ProjectRef::Id(ProjectId(7)), None),
            (ProjectRef::Path("a/b".to_owned()), Some(ProjectId(6))),
        ]);
        let Only::Chosen(chosen) = named.only() else { panic!("named projects are chosen") };
        assert!(chosen(ProjectId(7), "x/y") && !chosen(ProjectId(8), "x/z"));
        assert_eq!(named.judge(Exit::Done), Exit::Incomplete);
        assert!(chosen(ProjectId(9), "A/b") && chosen(ProjectId(6), "moved/away"));
        assert_eq!((named.judge(Exit::Done), named.judge(Exit::Incomplete)), (Exit::Done, Exit::Incomplete));
        assert!(matches!(Named::new(Vec::new()).only(), Only::All));
    }
}
