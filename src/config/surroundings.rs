//! What a process finds around it: flags, environment and files, as values that a test can make up.
//!
//! [`Surroundings::of_process`] is the only place of the program that reads the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keys::{ALIASES, VARIABLE_PREFIX};

/// The largest file that is read as configuration, secret or certificates: far above any of them.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The variable by which a person asks for output without colours.
pub(super) const NO_COLOR: &str = "NO_COLOR";

/// What the command line says about the configuration.
#[derive(Clone, Default)]
pub struct Flags {
    /// The configuration file (`--config`).
    pub file: Option<PathBuf>,
    values: BTreeMap<String, String>,
}

impl Flags {
    /// Sets the setting `name` (`section.key`, or `section.key_file` of a secret) to `text`.
    pub fn set(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.values.insert(name.into(), text.into());
    }

    /// Sets every setting that `others` sets; not the file.
    pub fn set_all(&mut self, others: &Self) {
        self.values.extend(others.values.clone());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }
}

impl fmt::Debug for Flags {
    /// Writes the names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags").field("file", &self.file).field("values", &self.values.keys()).finish()
    }
}

/// Reads a whole file as text.
pub(super) type ReadFile = dyn Fn(&Path) -> io::Result<String> + Send + Sync;

/// Returns where this machine keeps things for a while (`TMPDIR`).
#[expect(clippy::disallowed_methods, reason = "config reads the environment, and nobody else does")]
pub fn scratch_directory() -> PathBuf {
    std::env::temp_dir()
}

/// The environment, and how files are read.
pub struct Surroundings {
    pub(super) variables: BTreeMap<String, OsString>,
    pub(super) read: Arc<ReadFile>,
}

impl Surroundings {
    /// Returns the environment of this process and real files of at most 1 MiB.
    #[expect(clippy::disallowed_methods, reason = "config reads the environment, and nobody else does")]
    pub fn of_process() -> Self {
        let variables = std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
        Self::new(variables, read_file)
    }

    /// Returns made-up surroundings. Variables that are none of Cistern's are forgotten.
    pub fn new<N: Into<String>, V: Into<OsString>>(
        variables: impl IntoIterator<Item = (N, V)>,
        read: impl Fn(&Path) -> io::Result<String> + Send + Sync + 'static,
    ) -> Self {
        let ours = |name: &str| {
            name.starts_with(VARIABLE_PREFIX)
                || name.starts_with(super::traces::PREFIX)
                || name == NO_COLOR
                || ALIASES.iter().any(|(alias, _)| *alias == name)
        };
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self { variables: variables.filter(|(name, _)| ours(name)).collect(), read: Arc::new(read) }
    }

    /// Returns surroundings without any variable or file.
    pub fn empty() -> Self {
        Self::new(std::iter::empty::<(String, OsString)>(), |_| Err(io::ErrorKind::NotFound.into()))
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<String> {
        (self.read)(path)
    }
}

impl fmt::Debug for Surroundings {
    /// Writes the names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("variables", &self.variables.keys()).finish_non_exhaustive()
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn real_files_are_read_up_to_a_limit() -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(b"glpat-1\n")?;
        assert_eq!(read_file(file.path())?, "glpat-1\n");
        file.write_all(&vec![b'a'; 1 << 20])?;
        assert_eq!(read_file(file.path()).map_err(|error| error.kind()), Err(io::ErrorKind::FileTooLarge));
        assert!(read_file(Path::new("/nonexistent/file")).is_err());
        Ok(())
    }

    #[test]
    fn debug_shows_names_only() {
        let mut flags = Flags::default();
        flags.set("gitlab.token", "glpat-flag");
        let around =
            Surroundings::new([("CISTERN_GITLAB_TOKEN", "glpat-env"), ("AWS_SECRET", "aws")], |_| Ok(String::new()));
        let text = format!("{flags:?} {around:?}");
        assert!(text.contains("gitlab.token") && text.contains("CISTERN_GITLAB_TOKEN"), "{text}");
        assert!(!text.contains("glpat") && !text.contains("AWS"), "{text}");
    }
}
