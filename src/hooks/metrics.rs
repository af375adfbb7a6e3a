//! `webhook_hooks{state}`: what GitLab says about its webhooks to this service.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Listed, State};

/// Projects whose webhook could not be found.
const MISSING: &str = "missing";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    state: &'static str,
}

/// What GitLab says about its webhooks. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    hooks: Family<Label, Gauge>,
}

impl Metrics {
    /// Registers the gauge.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Projects by what GitLab says about their webhook, when it was last asked: at the start and every hour, and \
                    only with gitlab.hooks_token";
        registry.register("webhook_hooks", help, self.hooks.clone());
    }

    /// Notes what was found.
    pub fn note(&self, listed: &[Listed]) {
        let states = [State::Executable, State::TemporarilyDisabled, State::Disabled, State::Unknown];
        for state in states {
            let count = listed.iter().filter(|hook| hook.hook.is_some() && hook.state == state).count();
            self.set(state.as_str(), count);
        }
        self.set(MISSING, listed.iter().filter(|hook| hook.hook.is_none()).count());
    }

    fn set(&self, state: &'static str, count: usize) {
        self.hooks.get_or_create(&Label { state }).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
