//! How the program ends (design, section 2).

/// What the exit code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, but at least one item failed or one gap remains.
    Incomplete,
    /// Usage or configuration.
    Usage,
    /// Could not run: store, GitLab, refused token, lease not got.
    CouldNotRun,
    /// Interrupted by Ctrl-C.
    Interrupted,
    /// Asked to end by SIGTERM.
    Terminated,
}

impl Exit {
    /// Returns the process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Incomplete => 1,
            Self::Usage => 2,
            Self::CouldNotRun => 3,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}
