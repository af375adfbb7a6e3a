//! `/status` of the admin listener, and the state behind `/readyz`.

use serde_json::{Value, json};

use super::Engine;
use crate::domain::Timestamp;

/// Describes what goes on, for people and programs. No token, no content.
pub(super) fn status(engine: &Engine, started: Timestamp) -> Value {
    let (lanes, journal) = engine.queue.depths();
    let queue: serde_json::Map<String, Value> = lanes
        .into_iter()
        .map(|depth| (depth.lane.as_str().to_owned(), json!({ "targets": depth.targets, "next_due": depth.next_due })))
        .collect();
    let paused = engine.gitlab.paused().map(|(until, why)| json!({ "until": until, "why": why }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": started,
        "store": engine.store.health(),
        "gitlab": {
            "calls": engine.gitlab.calls(),
            "in_flight": engine.gitlab.in_flight(),
            "window": engine.gitlab.window(),
            "circuit": engine.gitlab.circuit(),
            "paused": paused,
        },
        "queue": { "lanes": queue, "journal": journal, "held_until": engine.queue.held_until() },
        "reconcile": engine.reconciler.status(),
    })
}
