//! The verbs that only need the store: opening it, finding projects in it, closing it.

use std::collections::HashMap;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::Exit;
use super::run::{could_not_run, log};
use super::signals::unless_interrupted;
use crate::config::{Config, ProjectRef};
use crate::domain::{Project, ProjectId};
use crate::progress::tell;
use crate::store::{Error, Place, Slice, Store};

/// Projects read at a time.
const PROJECTS: u64 = 500;

const HOW_TO_HAVE_ONE: &str = "name the store with --store-url; `cistern serve` or `cistern backfill` makes one";

/// Why such a verb ends early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// Nothing that is stored has this name.
    #[error("no project {0} is stored: name it by its id, or see `cistern stats` for those that are")]
    NoSuchProject(ProjectRef),
    /// Another process has to end first.
    #[error("{0}")]
    Busy(String),
    /// Something else, as a sentence.
    #[error("{0}")]
    Refused(String),
}

/// Why there is no store to look into.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotOpened {
    /// There is no such file.
    #[error("{} does not exist: {}", .0.display(), HOW_TO_HAVE_ONE)]
    Missing(PathBuf),
    /// The database has none.
    #[error("the database of store.url holds no store: {HOW_TO_HAVE_ONE}")]
    Empty,
    /// There is one, but it cannot be used.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Opens the store for a verb that is about what is stored, in a process that calls itself `kind`. One that does not exist is
/// not made by looking for it: an empty answer out of a wrong place would pass for a true one.
pub(super) async fn open(config: &Config, kind: &'static str) -> Result<Store, NotOpened> {
    if !Store::exists(&config.store.place).await? {
        return Err(match &config.store.place {
            Place::Sqlite(path) => NotOpened::Missing(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            Place::Mongo(_) => NotOpened::Empty,
        });
    }
    Ok(Store::open(config.store_for(kind)).await?)
}

/// Opens the store for a process that calls itself `kind`, runs `work` until it ends or a signal comes, and closes it.
pub(super) async fn with_store<W, F>(config: &Config, kind: &'static str, work: W) -> Exit
where
    W: FnOnce(Store) -> F,
    F: Future<Output = Result<Exit, Trouble>>,
{
    if let Err(exit) = log(config, None) {
        return exit;
    }
    let store = match open(config, kind).await {
        Ok(store) => store,
        Err(error) => return could_not_run(&error),
    };
    let ended = unless_interrupted(work(store.clone()), &CancellationToken::new()).await;
    if let Err(error) = store.close().await {
        tracing::warn!(%error, "could not close the store");
    }
    match ended {
        Ok(Ok(exit)) | Err(exit) => exit,
        Ok(Err(trouble @ (Trouble::Store(_) | Trouble::Busy(_)))) => could_not_run(&trouble),
        Ok(Err(trouble)) => {
            tell(format_args!("cistern: {trouble}"));
            Exit::Incomplete
        }
    }
}

/// Finds the projects that a person named; a number is an id whether or not it is stored.
pub(super) async fn resolve(store: &Store, names: &[ProjectRef]) -> Result<Vec<ProjectId>, Trouble> {
    let mut ids = Vec::new();
    for name in names {
        let id = match name {
            ProjectRef::Id(id) => *id,
            ProjectRef::Path(path) => match store.project_by_path(path.clone()).await? {
                Some((id, _)) => id,
                None => return Err(Trouble::NoSuchProject(name.clone())),
            },
        };
        ids.push(id);
    }
    Ok(ids)
}

/// Returns the path of every stored project.
pub(super) async fn paths(store: &Store) -> Result<HashMap<ProjectId, Box<str>>, Error> {
    let mut paths = HashMap::new();
    let mut offset = 0;
    loop {
        let page = store.projects(Slice { offset, limit: PROJECTS }).await?;
        offset += page.rows.len() as u64;
        if page.rows.is_empty() {
            return Ok(paths);
        }
        paths.extend(page.rows.into_iter().filter_map(|(id, document)| Some((id, Project::path_of(&document)?))));
    }
}
