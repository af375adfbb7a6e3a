//! The configuration: flags, environment, file and defaults become one checked value.
//!
//! Guarantees: all mistakes are reported together ([`Mistakes`]), unknown names included; no secret is ever printed,
//! also not by a mistake about it; a [`Config`] that exists is whole, so that nothing behind it checks again. The
//! environment is read here only, once.
//!
//! What it does not do: it opens nothing but the files that hold configuration and asks nobody, so a good configuration
//! may still name a GitLab that is away.

mod access;
mod api;
mod file;
mod gitlab;
pub mod keys;
mod levels;
mod limits;
mod log;
mod masking;
mod mistake;
mod projects;
mod reader;
mod reconcile;
mod retention;
mod rotation;
mod server;
mod store;
mod surroundings;
#[cfg(test)]
mod tests;
mod traces;
mod units;
mod webhook;

pub use access::{Access, ReadToken, VerdictTimes};
pub use api::{Api, PassThrough};
pub use gitlab::Gitlab;
pub use limits::{Limits, Parallel, Sizes};
pub use log::Log;
pub use masking::Masking;
pub use mistake::{Mistake, Mistakes, Origin};
pub use projects::{ProjectRef, Selection};
pub use reconcile::Reconcile;
pub use retention::Retention;
pub use rotation::{Rotated, Rotation};
pub use server::Server;
pub use store::Store;
pub use surroundings::{Flags, Surroundings, scratch_directory};
pub use units::{Unfit, parse_duration, parse_size};
pub use webhook::Webhook;

use crate::domain::Schedule;
use reader::Reader;

/// What a verb cannot work without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: every setting has a default.
    Nothing,
    /// GitLab: `gitlab.url` and `gitlab.token`.
    Gitlab,
    /// GitLab and what tells this service's webhooks from others: `gitlab.hooks_token` and `server.public_url`.
    Listing,
    /// The same, and a secret for the webhooks.
    Hooks,
}

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which GitLab is read; `None` when its URL or token is unset.
    pub gitlab: Option<Gitlab>,
    /// Which deliveries are believed.
    pub webhook: Webhook,
    /// Where the cache is kept.
    pub store: Store,
    /// Where the service listens.
    pub server: Server,
    /// Which projects are cached.
    pub projects: Selection,
    /// How often GitLab is swept.
    pub reconcile: Reconcile,
    /// How much at once, and how large.
    pub limits: Limits,
    /// How readers' misses are answered.
    pub api: Api,
    /// How old cached things may become, and how much room they may take.
    pub retention: Retention,
    /// Whose text is masked, and how.
    pub masking: Masking,
    /// Who may read.
    pub access: Access,
    /// When things are looked at again, already multiplied by `schedule.scale`.
    pub schedule: Schedule,
    /// How much is logged.
    pub log: Log,
    /// Where traces go; `None`: nobody asked for them.
    pub traces: Option<crate::telemetry::Traces>,
    warnings: Vec<String>,
    rotation: Rotation,
}

impl Config {
    /// Reads every source and checks everything, or returns all that is wrong.
    pub fn load(flags: &Flags, around: &Surroundings, needs: Needs) -> Result<Self, Mistakes> {
        let mut reader = Reader::new(flags, around);
        let config = Self::read(&mut reader, needs);
        match config {
            Some(config) if reader.mistakes.is_empty() => Ok(Self { warnings: reader.warnings, ..config }),
            _ => Err(Mistakes::sorted(reader.mistakes)),
        }
    }

    /// Returns how GitLab is reached, or the mistakes of not knowing it. Those who load with [`Needs::Gitlab`] learn of
    /// them together with all others.
    pub fn require_gitlab(&self) -> Result<crate::gitlab::Config, Mistakes> {
        let Some(Gitlab { url, token, hooks_token, ca_file, plain_storage_hosts }) = &self.gitlab else {
            return Err(Mistakes::missing(&[&keys::GITLAB_URL, &keys::GITLAB_TOKEN]));
        };
        Ok(crate::gitlab::Config {
            url: url.clone(),
            token: token.clone(),
            hooks_token: hooks_token.clone(),
            plain_storage_hosts: plain_storage_hosts.clone(),
            ca_file: ca_file.clone(),
            calls: self.limits.parallel.api_calls,
            requests_per_minute: self.limits.requests_per_minute,
        })
    }

    /// Returns how the store is opened by a process that calls itself `kind`: `serve`, `backfill`, ….
    pub fn store_for(&self, kind: &'static str) -> crate::store::Config {
        crate::store::Config {
            place: self.store.place.clone(),
            lease: self.store.lease,
            operations: self.limits.parallel.store_ops,
            cache: None,
            kind,
        }
    }

    /// Returns what GitLab's webhooks shall be, or the mistakes of not knowing it.
    pub fn require_hooks(&self) -> Result<crate::hooks::Config, Mistakes> {
        let Some(url) = &self.server.public_url else {
            return Err(Mistakes::missing(&[&keys::SERVER_PUBLIC_URL]));
        };
        Ok(crate::hooks::Config {
            url: format!("{}{}", url.as_str().trim_end_matches('/'), crate::webhook::PATH),
            signing_tokens: self.webhook.signing_tokens.clone(),
            tokens: self.webhook.tokens.clone(),
            allow_unsigned: self.webhook.allow_unsigned,
        })
    }

    /// Returns what the webhook route needs.
    pub fn webhook_route(&self) -> crate::webhook::Config {
        let Webhook { tokens, signing_tokens, allow_unsigned, refresh } = self.webhook.clone();
        crate::webhook::Config {
            tokens,
            signing_tokens,
            allow_unsigned,
            refresh,
            bytes_in_flight: usize::try_from(self.limits.webhook_bytes).unwrap_or(usize::MAX),
        }
    }

    /// Returns what works but is risky, one sentence each, for `serve` to log at its start. None holds a secret.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the files with secrets that are followed while the service runs.
    pub fn rotation(&self) -> Rotation {
        self.rotation.clone()
    }

    fn read(reader: &mut Reader, needs: Needs) -> Option<Self> {
        let gitlab = Gitlab::read(reader, needs != Needs::Nothing);
        let webhook = Webhook::read(reader);
        let store = Store::read(reader);
        let server = Server::read(reader);
        let projects = Selection::read(reader);
        let reconcile = Reconcile::read(reader);
        let limits = Limits::read(reader);
        let retention = Retention::read(reader, reconcile.as_ref().map(|reconcile| reconcile.since));
        let masking = Masking::read(reader);
        let access = Access::read(reader, server.as_ref());
        let api = Api::read(reader, access.as_ref());
        let scale = reader.required(&keys::SCHEDULE_SCALE, parse_scale);
        let log = Log::read(reader);
        let traces = traces::read(reader);
        if matches!(needs, Needs::Listing | Needs::Hooks) {
            for key in [&keys::GITLAB_HOOKS_TOKEN, &keys::SERVER_PUBLIC_URL] {
                if !reader.is_given(key) {
                    reader.missing(key);
                }
            }
            let secret = needs == Needs::Hooks;
            if secret && !reader.is_given(&keys::WEBHOOK_TOKENS) && !reader.is_given(&keys::WEBHOOK_SIGNING_TOKENS) {
                reader.missing(&keys::WEBHOOK_SIGNING_TOKENS);
            }
        }
        Some(Self {
            gitlab: gitlab?,
            webhook: webhook?,
            store: store?,
            server: server?,
            projects: projects?,
            reconcile: reconcile?,
            limits: limits?,
            api: api?,
            retention: retention?,
            masking: masking?,
            access: access?,
            schedule: Schedule::scaled(scale?),
            log: log?,
            traces,
            warnings: Vec::new(),
            rotation: reader.rotation.clone(),
        })
    }
}

fn parse_scale(text: &str) -> Result<f64, Unfit> {
    match text.parse::<f64>() {
        Ok(scale) if scale > 0.0 && scale <= 1000.0 => Ok(scale),
        _ => Err(Unfit::new("not a number above 0 and up to 1000", "write 1, or a smaller number to wait less")),
    }
}
