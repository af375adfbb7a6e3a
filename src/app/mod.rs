//! Puts the components together, starts every long-lived task and joins each of them.
//!
//! [`Engine`] is what all verbs share: client, store, queue, workers, reconciler. [`Service`] adds the listeners of
//! `serve` and the order of shutdown (design, section 4.8).

mod connections;
mod engine;
mod machine;
mod permits;
mod readers;
mod secrets;
mod service;
mod status;
mod watch;

pub use engine::{Engine, OpenError, Running, retention};
pub use machine::prepare;
pub use service::{Listeners, Service};
