//! What is wrong with a hook, and the change that mends it. Pure.

use serde::Serialize;

use super::Config;
use super::secret::Secret;
use crate::gitlab::{Hook, HookWish};

/// Whether GitLab sends to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does.
    Executable,
    /// Not for a while, because deliveries failed.
    TemporarilyDisabled,
    /// Not until a test delivery arrives, because too many failed.
    Disabled,
    /// GitLab does not tell.
    Unknown,
}

impl State {
    /// Reads a hook's `alert_status`.
    pub fn of(hook: &Hook) -> Self {
        match hook.alert_status.as_deref() {
            Some("executable") => Self::Executable,
            Some("temporarily_disabled") => Self::TemporarilyDisabled,
            Some("disabled") => Self::Disabled,
            _ => Self::Unknown,
        }
    }

    /// Returns the word that metrics and JSON have for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executable => "executable",
            Self::TemporarilyDisabled => "temporarily_disabled",
            Self::Disabled => "disabled",
            Self::Unknown => "unknown",
        }
    }

    /// Returns whether events are lost now.
    pub fn loses(self) -> bool {
        matches!(self, Self::TemporarilyDisabled | Self::Disabled)
    }
}

/// What is to be changed.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) wish: HookWish,
    /// In words, one for each thing.
    pub(super) words: Vec<&'static str>,
}

/// Returns what a new hook shall be.
pub(super) fn new_hook(config: &Config, secret: Secret<'_>, jobs: bool) -> HookWish {
    let wish = HookWish {
        url: Some(config.url.clone()),
        name: Some("Cistern".to_owned()),
        pipeline_events: Some(true),
        job_events: Some(jobs),
        push_events: Some(false),
        ssl_verification: Some(true),
        ..HookWish::default()
    };
    secret.wish(wish, None)
}

/// Returns what has to be changed of a hook.
pub(super) fn repair(hook: &Hook, secret: Secret<'_>, jobs: bool) -> Change {
    let mut change = Change::default();
    if !hook.pipeline_events {
        change.wish.pipeline_events = Some(true);
        change.words.push("pipeline events on");
    }
    if !hook.job_events && jobs {
        change.wish.job_events = Some(true);
        change.words.push("job events on");
    }
    if !hook.enable_ssl_verification {
        change.wish.ssl_verification = Some(true);
        change.words.push("SSL verification on");
    }
    if hook.custom_webhook_template.as_ref().is_some_and(|template| !template.is_empty()) {
        change.wish.template = Some(String::new());
        change.words.push("custom template removed");
    }
    let missing = match secret {
        Secret::Signing(_) if hook.signing_token_present != Some(true) => Some("signing token set"),
        Secret::Token(_) if hook.token_present == Some(false) => Some("secret token set"),
        Secret::Token(_) if hook.token_present.is_none() => {
            Some("secret token set again, as this GitLab does not tell whether there is one")
        }
        _ => None,
    };
    if let Some(words) = missing {
        change.wish = secret.wish(change.wish, hook.description.as_deref());
        change.words.push(words);
    }
    change
}

/// Returns what is wrong with a hook, in words; `signed`: whether it shall have a signing token.
pub fn flaws(hook: &Hook, signed: bool) -> Vec<&'static str> {
    let flaws = [
        (!hook.pipeline_events, "sends no pipeline events"),
        (!hook.enable_ssl_verification, "does not verify our certificate"),
        (hook.custom_webhook_template.as_ref().is_some_and(|text| !text.is_empty()), "has a custom template"),
        (signed && hook.signing_token_present == Some(false), "has no signing token"),
        (!signed && hook.token_present == Some(false), "has no secret token"),
    ];
    flaws.into_iter().filter_map(|(wrong, words)| wrong.then_some(words)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(text: &str) -> Hook {
        serde_json::from_str(text).expect("a hook")
    }

    #[test]
    fn only_what_is_wrong_is_changed() {
        let token = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".into();
        let good = r#"{"id":1,"url":"u","pipeline_events":true,"job_events":true,"enable_ssl_verification":true,
            "signing_token_present":true,"token_present":false,"custom_webhook_template":""}"#;
        assert!(repair(&hook(good), Secret::Signing(&token), true).words.is_empty());
        let unsigned = good.replace(r#""signing_token_present":true"#, r#""signing_token_present":false"#);
        assert_eq!(repair(&hook(&unsigned), Secret::Signing(&token), true).words, ["signing token set"]);
        assert_eq!(repair(&hook(good), Secret::Token(&token), true).words, ["secret token set"]);
        let spoiled = r#"{"id":1,"url":"u","custom_webhook_template":"{}","description":"by Ann"}"#;
        let change = repair(&hook(spoiled), Secret::Signing(&token), true);
        assert_eq!(change.words.len(), 5, "{:?}", change.words);
        assert_eq!(change.wish.description, None, "what a person wrote stays");
        assert_eq!(repair(&hook(spoiled), Secret::Signing(&token), false).words.len(), 4);
    }

    #[test]
    fn a_description_tells_which_token_a_hook_has() {
        let [one, two] = ["whsec_1", "whsec_2"].map(secrecy::SecretString::from);
        let wish = Secret::Signing(&one).wish(HookWish::default(), Some(""));
        let text = wish.description.expect("a description");
        assert_eq!(Secret::Signing(&one).is_held(Some(&text)), Some(true));
        assert_eq!(Secret::Signing(&two).is_held(Some(&text)), Some(false));
        assert_eq!(Secret::Signing(&two).is_held(Some("by Ann")), None);
    }
}
