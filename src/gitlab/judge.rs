//! What an answer's head means, and whom it concerns: the next questions, one endpoint, or only its asker.

use std::time::Duration;

use reqwest::Response;
use tokio::time::Instant;

use super::answer::{Head, Meaning, Shape, about_the_user};
use super::body::Arrival;
use super::doubt::Refusal;
use super::endpoint::Endpoint;
use super::http::{Asker, Hop, Http, wall_clock};
use super::{Kind, caller};

/// How much of an error's body is read to tell a refused token from a refused thing.
const ERROR_BYTES: usize = 8 * 1024;

impl Http {
    /// Takes in what any answer of GitLab says about its limits and our token.
    pub(super) fn learn(&self, head: &Head, hop: &Hop<'_>) {
        // What it says to others is about their limits and their tokens.
        if !matches!(hop.asker, Asker::Reading) {
            return;
        }
        // A redirect or a page may come from something that did not look at the token.
        let accepted = matches!(head.status, 200 | 404) && head.shape != Shape::Html;
        let news = {
            let mut limits = self.limits();
            if let Some(budget) = head.budget {
                limits.budget(Instant::now(), budget, self.permits.held() as u64);
            }
            accepted && limits.accepted(hop.sent)
        };
        if let Some(budget) = head.budget {
            self.metrics.limit_remaining.set(i64::try_from(budget.remaining).unwrap_or(i64::MAX));
        }
        if news {
            self.show_refusal();
            tracing::info!("GitLab accepts the token again");
        }
    }

    /// Passes an answer on, or says what came instead, and stops whom it concerns.
    pub(super) async fn judge(&self, hop: &Hop<'_>, head: &Head, response: Response) -> Result<Response, Kind> {
        if !hop.home {
            return match head.meaning_of_storage() {
                Meaning::Answer if head.shape != Shape::Html => Ok(response),
                Meaning::NotFound => Err(Kind::NotFound),
                _ => Err(Kind::Unavailable(format!("its storage answers {}", head.status))),
            };
        }
        let body = match head.status {
            401 | 403 => Arrival::of(response, self.timeouts).beginning(ERROR_BYTES).await,
            _ => return self.judge_with(hop, head, &[]).map(|()| response),
        };
        match self.judge_with(hop, head, &body) {
            Err(kind) => Err(kind),
            Ok(()) => Err(Kind::Unavailable(format!("status {}", head.status))),
        }
    }

    pub(super) fn judge_with(&self, hop: &Hop<'_>, head: &Head, body: &[u8]) -> Result<(), Kind> {
        if matches!(hop.asker, Asker::Caller(_))
            && let Some(kind) = caller::judge(head, body)
        {
            return Err(kind);
        }
        let now = Instant::now();
        match head.meaning(body) {
            Meaning::Answer if head.shape == Shape::Html => {
                Err(Kind::Unavailable("an HTML page with status 200: a login or maintenance page?".to_owned()))
            }
            Meaning::Answer if head.shape != Shape::Json && !hop.endpoint.is_file() => {
                Err(Kind::Unavailable("status 200, but not JSON".to_owned()))
            }
            Meaning::Answer if head.shape == Shape::Json && hop.endpoint.is_file() => {
                Err(Kind::Unavailable("status 200, but JSON instead of a file".to_owned()))
            }
            Meaning::Answer => Ok(()),
            Meaning::NotFound => Err(Kind::NotFound),
            Meaning::Forbidden => {
                if matches!(hop.asker, Asker::Reading) {
                    self.limits().refusals.heard(about_the_user(body));
                }
                Err(Kind::Forbidden)
            }
            Meaning::Rejected => Err(Kind::Rejected(head.status)),
            Meaning::Unavailable => Err(Kind::Unavailable(format!("status {}", head.status))),
            // Only the reading token's refusal concerns all questions.
            Meaning::TokenRefused(reason) if matches!(hop.asker, Asker::Managing) => {
                Err(Kind::HooksTokenRefused(reason))
            }
            Meaning::TokenRefused(reason) => Err(self.token_refused(hop, now, reason)),
            Meaning::ThrottledEverywhere(wait) => Err(self.throttled(now, None, wait)),
            Meaning::ThrottledHere(wait) => Err(self.throttled(now, Some(hop.endpoint), wait)),
        }
    }

    fn token_refused(&self, hop: &Hop<'_>, now: Instant, reason: &'static str) -> Kind {
        let refusal = self.limits().refused(hop.sent, now, reason, fastrand::f64());
        match refusal {
            Refusal::Doubted { until, news } => {
                if news {
                    tracing::warn!(
                        reason,
                        "GitLab refuses the token that it took a moment ago: all wait until one question has confirmed it"
                    );
                }
                return Kind::Throttled { until: wall_clock(now, until), everything: true };
            }
            Refusal::Believed { news: true } => tracing::error!(
                reason,
                "GitLab refuses the token: nothing is asked for 10 minutes, then one question tries it again; put a valid \
                 read_api token into gitlab.token and restart, or only into its file if it has one"
            ),
            Refusal::Believed { news: false } | Refusal::Past => {}
        }
        self.show_refusal();
        Kind::TokenRefused(reason)
    }

    pub(super) fn throttled(&self, now: Instant, endpoint: Option<Endpoint>, wait: Duration) -> Kind {
        let until = wall_clock(now, self.limits().throttled(now, endpoint, wait));
        match endpoint {
            None => tracing::warn!(%until, "GitLab asks to wait: every question waits"),
            Some(endpoint) => tracing::warn!(%until, %endpoint, "GitLab asks to wait at one endpoint"),
        }
        Kind::Throttled { until, everything: endpoint.is_none() }
    }
}
