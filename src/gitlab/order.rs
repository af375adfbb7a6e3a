//! Sends orders: once, without redirects, and believes only what answers them.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;
use url::Url;

use super::answer::{Head, Meaning};
use super::body::Arrival;
use super::http::{Asker, Hop, Http};
use super::manage::{MOST, Order};
use super::{Class, Error, Kind};

impl Http {
    /// Gives an order and returns the body of the answer. It is sent once: an order that was not answered may have been
    /// carried out all the same, and whoever wants to know asks.
    pub(super) async fn tell(&self, order: &Order) -> Result<Vec<u8>, Error> {
        self.try_to_tell(order).await.map_err(|kind| Error { question: order.to_string(), kind })
    }

    async fn try_to_tell(&self, order: &Order) -> Result<Vec<u8>, Kind> {
        let url = Url::parse(&order.url(&self.api)).map_err(|_| Kind::Rejected(400))?;
        let endpoint = order.endpoint();
        self.hooks_token()?;
        let _permit = self.admit(Class::Reader, endpoint, Asker::Managing).await?;
        let hop = Hop { endpoint, home: true, asker: Asker::Managing, sent: Instant::now() };
        let mut request = self.request(&hop, order.method(), url);
        if let Some(body) = order.body() {
            request = request.header(CONTENT_TYPE, const { HeaderValue::from_static("application/json") }).body(body);
        }
        let response = self.exchange(&hop, request).await.inspect_err(|kind| self.weigh(&hop, Some(kind)))?;
        let head = Head::read(response.status().as_u16(), response.headers());
        let body = Arrival::of(response, self.timeouts).beginning(MOST).await;
        let judged = match head.status {
            200..=204 => Ok(body),
            301..=308 => {
                Err(Kind::Redirect("an order is not sent elsewhere; is gitlab.url the instance's own address?"))
            }
            status => match head.meaning(&body) {
                Meaning::Rejected => Err(order.refusal(status, &body)),
                _ => self.judge_with(&hop, &head, &body).map(|()| Vec::new()),
            },
        };
        self.weigh(&hop, judged.as_ref().err());
        judged
    }
}
