//! What jobs leave behind: logs, zip archives and JUnit results. Made from a seed when asked for, so that a thousand
//! jobs cost little memory, and always the same for the same seed; or given literally by a test.

mod archive;
mod junit;
mod log;
mod runner;

pub use archive::Archive;
pub use junit::{Case, Junit};
pub use log::Log;

pub(crate) use log::Run;
