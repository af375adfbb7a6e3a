//! Looks at what nobody asks for until it is too late: when tokens end, whether GitLab has disabled a webhook, how much space
//! is left. What it finds is in metrics, for alerts.

use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::config::{Config, Selection};
use crate::gitlab::{Class, Error, Gitlab, OwnToken};
use crate::hooks::{Hooks, Metrics, Place};
use crate::store::Store;

/// Between two looks at the store's disk.
const ROOM_EVERY: Duration = Duration::from_secs(60);

/// Looks at the disk between two looks at GitLab, which cost a call for each project where webhooks are managed.
const GITLAB_EVERY: u32 = 60;

/// What is looked at.
pub(super) struct Watch {
    gitlab: Gitlab,
    store: Store,
    hooks: Option<Hooks>,
    managed: bool,
    selection: Selection,
    metrics: Metrics,
}

impl Watch {
    pub(super) fn new(config: &Config, engine: &Engine, registry: &mut Registry) -> Self {
        let managed = config.gitlab.as_ref().is_some_and(|gitlab| gitlab.hooks_token.is_some());
        let wanted = config.require_hooks().ok().filter(|_| managed);
        let metrics = Metrics::default();
        metrics.register(registry);
        Self {
            gitlab: engine.gitlab.clone(),
            store: engine.store.clone(),
            hooks: wanted.map(|wanted| Hooks::new(engine.gitlab.clone(), wanted)),
            managed,
            selection: config.projects.clone(),
            metrics,
        }
    }

    /// Looks until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            for look in 0_u32.. {
                if let Err(error) = self.store.space().await {
                    tracing::debug!(%error, "could not look at the store's disk");
                }
                if look % GITLAB_EVERY == 0
                    && let Err(error) = self.look_at_gitlab().await
                {
                    tracing::debug!(%error, "could not look at tokens and webhooks");
                }
                tokio::time::sleep(ROOM_EVERY).await;
            }
        })
        .await;
    }

    async fn look_at_gitlab(&self) -> Result<(), Error> {
        // A token that cannot be asked about says nothing about the other.
        let read = self.gitlab.token(Class::Backfill, OwnToken::Reading).await;
        if self.managed {
            self.gitlab.token(Class::Backfill, OwnToken::Managing).await?;
        }
        read?;
        let Some(hooks) = &self.hooks else { return Ok(()) };
        let mut places = Vec::new();
        let mut next = None;
        loop {
            let page = self.gitlab.projects(Class::Backfill, next.as_ref()).await?;
            let ours = page.rows.iter().filter(|project| self.selection.matches(project.id, &project.path));
            places.extend(
                ours.filter(|project| project.ci_enabled).map(|project| Place::project(project.id, &project.path)),
            );
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        let mut listed = Vec::new();
        hooks.list(&places, &mut listed).await?;
        self.metrics.note(&listed);
        let lost = listed.iter().filter(|hook| hook.state.loses()).count();
        if lost > 0 {
            tracing::error!(
                webhooks = lost,
                "GitLab has disabled webhooks, so their events are lost: run cistern hooks test"
            );
        }
        Ok(())
    }
}
