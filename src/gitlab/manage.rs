//! Managing webhooks: questions about them, and the only orders that are ever given to GitLab.
//!
//! Guarantees: an order is sent once and never again by itself, because nobody knows what became of one that was not answered;
//! it follows no redirect; what GitLab says about a refused one never repeats a secret that was sent.

use std::fmt::{self, Write as _};

use reqwest::Method;
use secrecy::ExposeSecret;

use super::endpoint::Endpoint;
use super::hook::{Delivered, Hook, HookOwner, HookWish, Trigger};
use super::question::{Question, segment};
use super::{Class, Error, Gitlab, Kind, Listing, Next, pages};
use crate::domain::Malformed;

/// A question about webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HookQuestion {
    Hooks { owner: HookOwner, page: u32 },
    Deliveries { owner: HookOwner, hook: u64, page: u32 },
}

/// Something that GitLab shall do.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Create { owner: HookOwner, wish: HookWish },
    Update { owner: HookOwner, hook: u64, wish: HookWish },
    Test { owner: HookOwner, hook: u64, trigger: Trigger },
    Resend { owner: HookOwner, hook: u64, delivery: u64 },
}

impl HookQuestion {
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Hooks { .. } => Endpoint::Hooks,
            Self::Deliveries { .. } => Endpoint::HookDeliveries,
        }
    }

    /// Returns how many rows a full page of its answer has. Of deliveries GitLab gives 20 when nothing is said; more is not
    /// promised.
    pub(super) fn page_rows(&self) -> u32 {
        match self {
            Self::Hooks { .. } => 100,
            Self::Deliveries { .. } => 20,
        }
    }

    pub(super) fn write_path(&self, url: &mut String) -> fmt::Result {
        let rows = self.page_rows();
        match self {
            Self::Hooks { owner, page } => {
                write_hooks(url, owner)?;
                write!(url, "?per_page={rows}&page={page}")
            }
            Self::Deliveries { owner, hook, page } => {
                write_hooks(url, owner)?;
                write!(url, "/{hook}/events?per_page={rows}&page={page}")
            }
        }
    }
}

impl fmt::Display for HookQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hooks { owner, .. } => write!(f, "list webhooks of {owner}"),
            Self::Deliveries { owner, hook, .. } => write!(f, "list deliveries of webhook {hook} of {owner}"),
        }
    }
}

impl Order {
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Self::Create { .. } | Self::Update { .. } => Endpoint::HookChange,
            Self::Test { .. } => Endpoint::HookTest,
            Self::Resend { .. } => Endpoint::HookResend,
        }
    }

    pub(super) fn method(&self) -> Method {
        match self {
            Self::Update { .. } => Method::PUT,
            _ => Method::POST,
        }
    }

    pub(super) fn body(&self) -> Option<String> {
        match self {
            Self::Create { wish, .. } | Self::Update { wish, .. } => Some(wish.body()),
            Self::Test { .. } | Self::Resend { .. } => None,
        }
    }

    pub(super) fn url(&self, base: &str) -> String {
        let mut url = base.to_owned();
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Create { owner, .. } => write_hooks(&mut url, owner),
            Self::Update { owner, hook, .. } => write_hooks(&mut url, owner).and_then(|()| write!(url, "/{hook}")),
            Self::Test { owner, hook, trigger } => {
                write_hooks(&mut url, owner).and_then(|()| write!(url, "/{hook}/test/{}", trigger.as_str()))
            }
            Self::Resend { owner, hook, delivery } => {
                write_hooks(&mut url, owner).and_then(|()| write!(url, "/{hook}/events/{delivery}/resend"))
            }
        };
        url
    }

    /// Makes the text of a refused order fit to be shown.
    pub(super) fn refusal(&self, status: u16, body: &[u8]) -> Kind {
        let mut message = message_of(body);
        if let Self::Create { wish, .. } | Self::Update { wish, .. } = self {
            for secret in [&wish.token, &wish.signing_token].into_iter().flatten() {
                message = message.replace(secret.expose_secret(), "…");
            }
        }
        Kind::Refused { status, message }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { owner, .. } => write!(f, "create a webhook of {owner}"),
            Self::Update { owner, hook, .. } => write!(f, "change webhook {hook} of {owner}"),
            Self::Test { owner, hook, .. } => write!(f, "test webhook {hook} of {owner}"),
            Self::Resend { owner, hook, delivery } => {
                write!(f, "resend delivery {delivery} of webhook {hook} of {owner}")
            }
        }
    }
}

fn write_hooks(url: &mut String, owner: &HookOwner) -> fmt::Result {
    match owner {
        HookOwner::Project(id) => write!(url, "/projects/{id}/hooks"),
        HookOwner::Group(path) => write!(url, "/groups/{}/hooks", segment(path)),
    }
}

/// GitLab says what is wrong as `message`, a text or texts by field, or as `error`.
fn message_of(body: &[u8]) -> String {
    const MOST: usize = 300;
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = body.get("message").or_else(|| body.get("error"));
    let text = match said {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "no reason given".to_owned(),
    };
    text.chars().filter(|letter| !letter.is_control()).take(MOST).collect()
}

impl Gitlab {
    /// Lists a page of webhooks.
    pub async fn hooks(&self, class: Class, owner: &HookOwner, next: Option<&Next>) -> Result<Listing<Hook>, Error> {
        let page = next.and_then(Next::page).unwrap_or(1);
        let question = Question::Hook(HookQuestion::Hooks { owner: owner.clone(), page });
        pages::offset(self.0.ask(class, question).await?, next, "page of webhooks", Hook::parse).await
    }

    /// Lists a page of a webhook's deliveries of the last 7 days, the newest first (contract, section 1.3).
    pub async fn deliveries(
        &self,
        class: Class,
        owner: &HookOwner,
        hook: u64,
        next: Option<&Next>,
    ) -> Result<Listing<Delivered>, Error> {
        let page = next.and_then(Next::page).unwrap_or(1);
        let question = Question::Hook(HookQuestion::Deliveries { owner: owner.clone(), hook, page });
        pages::offset(self.0.ask(class, question).await?, next, "page of deliveries", Delivered::parse).await
    }

    /// Makes a webhook; returns it as GitLab made it, which may be otherwise than wished.
    pub async fn create_hook(&self, owner: &HookOwner, wish: HookWish) -> Result<Hook, Error> {
        self.hook_of(Order::Create { owner: owner.clone(), wish }).await
    }

    /// Changes a webhook; returns it as it is now.
    pub async fn update_hook(&self, owner: &HookOwner, hook: u64, wish: HookWish) -> Result<Hook, Error> {
        self.hook_of(Order::Update { owner: owner.clone(), hook, wish }).await
    }

    /// Has GitLab send a test delivery and waits until it was answered; how, its log tells. Five times a minute and project.
    pub async fn test_hook(&self, owner: &HookOwner, hook: u64, trigger: Trigger) -> Result<(), Error> {
        self.0.tell(&Order::Test { owner: owner.clone(), hook, trigger }).await.map(drop)
    }

    /// Has GitLab send a delivery of its log again and waits until it was answered; returns with which status, `None` when
    /// nothing answered. Five times a minute and hook.
    pub async fn resend(&self, owner: &HookOwner, hook: u64, delivery: u64) -> Result<Option<u16>, Error> {
        let order = Order::Resend { owner: owner.clone(), hook, delivery };
        let body = self.0.tell(&order).await?;
        let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok(answer["response_status"].as_u64().and_then(|status| u16::try_from(status).ok()))
    }

    async fn hook_of(&self, order: Order) -> Result<Hook, Error> {
        let body = self.0.tell(&order).await?;
        serde_json::from_slice(&body).map_err(|error| Error {
            question: order.to_string(),
            kind: Kind::Malformed(Malformed::json("webhook", &error)),
        })
    }
}

/// The most that is read of the answer to an order.
pub(super) const MOST: usize = 1024 * 1024;
