//! `completions`: scripts by which a shell completes verbs and flags.

use clap_complete::{generate, shells};

use super::args::{Cli, Shell};

/// Returns the script for a shell.
pub(super) fn script(shell: Shell) -> String {
    let mut command = Cli::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "cistern", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "cistern", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "cistern", &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}
