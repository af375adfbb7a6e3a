//! The command line: what a person typed, as typed values, and what the verbs do with it.
//!
//! It guarantees that a usage error is a value ([`clap::Error`], whose `exit_code` is 2) and that flags of settings
//! come from the one table in [`crate::config::keys`]. It does not check settings: those mistakes are reported together
//! with the environment's and the file's.

mod args;
mod check;
mod completions;
mod exit;
mod forget;
mod healthcheck;
mod hooks;
mod named;
mod prune;
mod read;
mod run;
mod settings;
mod signals;
mod stats;
mod stored;
mod verify;
mod work;

pub use args::{Backfill, Check, Cli, Demo, Healthcheck, Output, Verb, Verify};
pub use exit::Exit;
pub use hooks::{Asked, Ensure, Failed, HooksVerb, Places, Rotate, Test, TestEvent};
pub use read::{Ansi, ArtifactsArgs, LogArgs, Where};
pub use run::run;
