//! How the program ends (design, section 2).

/// What the exit code tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; also a service that was asked to stop and let what it worked on end.
    Done,
    /// Done, but at least one item failed, one gap remains, or a service that stopped had to cut work off.
    Incomplete,
    /// Usage or configuration.
    Usage,
    /// Could not run: store, GitLab, refused token, lease not got.
    CouldNotRun,
    /// Something with an end of its own was interrupted by Ctrl-C, or whatever ran was asked twice.
    Interrupted,
    /// The same by SIGTERM.
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
