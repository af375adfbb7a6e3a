//! What there is to see without a GitLab: a stateful fake of one, and the script of the `demo` verb.

pub mod fake;
mod script;
mod webhooks;

pub use script::{Options, Trouble, run};
