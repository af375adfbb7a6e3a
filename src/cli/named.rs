//! The projects that a person named on the command line.
//!
//! A name that fits nothing is told and counts as something that could not be done: nobody should take "0 gaps" of a
//! misspelt project for a good answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Exit;
use crate::config::{ProjectRef, Selection};
use crate::progress::tell;
use crate::reconcile::Only;

/// The named projects, and which of them were met. Without any name, all projects are meant.
pub(super) struct Named(Arc<Vec<Name>>);

struct Name {
    project: ProjectRef,
    selection: Selection,
    met: AtomicBool,
}

impl Named {
    pub(super) fn new(projects: Vec<ProjectRef>) -> Self {
        let name = |project: ProjectRef| Name {
            selection: Selection::only(vec![project.clone()]),
            project,
            met: AtomicBool::new(false),
        };
        Self(Arc::new(projects.into_iter().map(name).collect()))
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
    use crate::domain::ProjectId;

    #[test]
    fn a_name_that_fits_nothing_is_no_good_end() {
        let named = Named::new(vec![ProjectRef::Id(ProjectId(7)), ProjectRef::Path("a/b".to_owned())]);
        let Only::Chosen(chosen) = named.only() else { panic!("named projects are chosen") };
        assert!(chosen(ProjectId(7), "x/y") && !chosen(ProjectId(8), "x/z"));
        assert_eq!(named.judge(Exit::Done), Exit::Incomplete);
        assert!(chosen(ProjectId(9), "A/b"));
        assert_eq!((named.judge(Exit::Done), named.judge(Exit::Incomplete)), (Exit::Done, Exit::Incomplete));
        assert!(matches!(Named::new(Vec::new()).only(), Only::All));
    }
}
