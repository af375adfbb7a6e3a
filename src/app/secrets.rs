//! Follows files with secrets, so that a rotated one counts without a restart and nothing that runs is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::readers::static_tokens;
use crate::access::Access;
use crate::config::{Rotated, Rotation};
use crate::gitlab::Gitlab;
use crate::webhook::{self, Webhook};

/// Between two looks. A content counts at the second look that sees it, so a rotation takes twice as long at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is renewed when a secret changes, and how it stands.
pub(super) struct Secrets {
    rotation: Rotation,
    gitlab: Gitlab,
    access: Access,
    webhook: Arc<Webhook>,
    config: webhook::Config,
}

impl Secrets {
    /// Begins with what was configured at the start.
    pub(super) fn new(
        rotation: Rotation,
        gitlab: Gitlab,
        access: Access,
        webhook: Arc<Webhook>,
        config: webhook::Config,
    ) -> Self {
        Self { rotation, gitlab, access, webhook, config }
    }

    /// Looks until `stop`. A few small files are read on this thread: they are in memory, where an orchestrator puts them.
    pub(super) async fn follow(mut self, stop: CancellationToken) {
        if self.rotation.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            for change in self.rotation.look() {
                match change {
                    Ok(rotated) => self.renew(rotated),
                    Err(mistake) => {
                        tracing::warn!("a secret's file changed and cannot be used, the old one stays: {mistake}")
                    }
                }
            }
        }
    }

    fn renew(&mut self, rotated: Rotated) {
        let key = rotated.key();
        let renewed = match rotated {
            Rotated::GitlabToken(token) => self.gitlab.renew_token(&token).map_err(|error| error.to_string()),
            Rotated::HooksToken(token) => self.gitlab.renew_hooks_token(&token).map_err(|error| error.to_string()),
            Rotated::ReadTokens(tokens) => {
                self.access.renew_tokens(static_tokens(tokens));
                Ok(())
            }
            Rotated::WebhookTokens(tokens) => self.renew_webhook(webhook::Config { tokens, ..self.config.clone() }),
            Rotated::SigningTokens(signing_tokens) => {
                self.renew_webhook(webhook::Config { signing_tokens, ..self.config.clone() })
            }
        };
        match renewed {
            Ok(()) => tracing::info!(key, "a secret's file changed: the new one counts from now on"),
            Err(error) => tracing::warn!(key, error, "a secret's file changed and cannot be used, the old one stays"),
        }
    }

    fn renew_webhook(&mut self, config: webhook::Config) -> Result<(), String> {
        self.webhook.renew_secrets(&config).map_err(|errors| {
            let problems: Vec<_> = errors.iter().map(ToString::to_string).collect();
            problems.join("; ")
        })?;
        self.config = config;
        Ok(())
    }
}
