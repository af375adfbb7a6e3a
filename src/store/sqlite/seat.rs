//! The file itself, whatever it is called: who may serve from it, and whether its name still leads to it.
//!
//! A path is no identity: a symbolic link, a hard link or a bind mount gives one file several, and a file that was deleted or
//! replaced has none while a process goes on writing into it. Device and inode are.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::Kind;

/// What operations are told once the file is gone.
pub(super) const GONE: &str =
    "the store's file, its -wal or its -shm was deleted or replaced while it was in use: put it back or start again";

/// The mode of files that are made.
const PRIVATE: u32 = 0o600;

/// The files of an open store, by device and inode.
#[derive(Debug)]
pub(super) struct Seat {
    files: Vec<(PathBuf, Option<(u64, u64)>)>,
    gone: AtomicBool,
}

impl Seat {
    /// Notes the files of a store that a connection has open.
    pub(super) fn of(path: &Path) -> Self {
        // As SQLite does it: the path as it is called leads to the file, the others lie beside the file itself.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let files = [path, beside(&real, "-wal"), beside(&real, "-shm")];
        let files = files.into_iter().map(|path| (identity(&path), path)).map(|(id, path)| (path, id)).collect();
        Self { files, gone: AtomicBool::new(false) }
    }

    /// Looks whether the names still lead to the files. It costs three looks at the directory.
    pub(super) fn look(&self) -> Result<(), &'static str> {
        let gone = self.files.iter().any(|(path, id)| identity(path) != *id);
        if gone && !self.gone.swap(gone, Ordering::Relaxed) {
            tracing::error!("{GONE}; nothing is accepted or answered meanwhile");
        }
        self.gone.store(gone, Ordering::Relaxed);
        self.known()
    }

    /// Returns what the last look found.
    pub(super) fn known(&self) -> Result<(), &'static str> {
        if self.gone.load(Ordering::Relaxed) { Err(GONE) } else { Ok(()) }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Takes the locks that only one `serve` may hold; the operating system gives them back when the process ends. The lock of the file
/// itself is what counts; that of its path keeps an earlier version out.
///
/// They are held until the store's connections are closed: closing a file gives up the locks by which SQLite shares it.
pub(super) fn lock(path: &Path) -> Result<[File; 2], Kind> {
    Ok([lock_one(&beside(path, ".lock"), path)?, lock_one(path, path)?])
}

/// Opens a file for writing; one that does not exist is made for this user only, and so are SQLite's own files beside it.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(path)
}

/// Says who else may read the store's files, if somebody may: private logs of private projects are in them.
pub(super) fn shared(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode() & 0o777;
    let others = mode & !PRIVATE & 0o066;
    (others != 0).then(|| {
        let shown = path.display();
        format!("{shown} may be read or written by others (mode {mode:o}): chmod 600 {shown} {shown}-wal {shown}-shm")
    })
}

fn lock_one(name: &Path, path: &Path) -> Result<File, Kind> {
    let file = open_private(name).map_err(|error| {
        Kind::Unusable(format!(
            "{} cannot be opened for writing ({error}): run this as the user to whom it and its directory belong, or set \
             store.url to a file elsewhere",
            name.display()
        ))
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Kind::Unusable(format!(
            "another `cistern serve` uses {}: stop it, or set store.url of this one to another file",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(Kind::Unusable(format!("{} cannot be locked: {error}", name.display()))),
    }
}
