//! Who may read what (law 9; design, section 4.6).
//!
//! The guard of the reading routes finds out who asks and leaves a [`Reader`] in the request; whatever queries the cache
//! for that request asks the reader first and gets a [`Seen`] project, without which nothing of a project can be queried.
//! A request that met no guard has no reader and reads nothing: denied by default.

mod open;

pub use open::{Open, reads};

use crate::domain::ProjectId;

/// Somebody who reads, as the guard found them out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader(());

/// A project that its reader may see. Only a [`Reader`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    project: ProjectId,
}

impl Reader {
    /// Somebody who may see everything that is cached.
    fn everything() -> Self {
        Self(())
    }

    /// Returns the project if this reader may see it.
    pub async fn see(&self, project: ProjectId) -> Option<Seen> {
        Some(Seen { project })
    }
}

impl Seen {
    /// Returns which project it is.
    pub fn project(self) -> ProjectId {
        self.project
    }
}
