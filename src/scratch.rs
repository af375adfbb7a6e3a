//! A directory that goes with its value: for the demo's stores, and for a store that is only looked into.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::config::scratch_directory;

/// A fresh directory below `TMPDIR`, removed with all that is in it when it is dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one; its name begins with `cistern-` and `purpose`.
    pub fn new(purpose: &str) -> std::io::Result<Self> {
        let path = scratch_directory().join(format!("cistern-{purpose}-{:016x}", fastrand::u64(..)));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
