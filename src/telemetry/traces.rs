//! OpenTelemetry traces over OTLP (HTTP, protobuf): one trace from a delivery to what was stored because of it.
//!
//! Guarantees: nothing is sent unless the standard variables ask for it; a collector that is away costs spans, never work:
//! they wait in a bounded queue and are dropped when it is full. Spans hold ids and words, never contents or secrets.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use secrecy::{ExposeSecret, SecretString};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::domain::TraceParent;

/// How long the last spans may take to leave when the program ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long a collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The provider of this process, from [`start`] to [`close`].
static PROVIDER: Mutex<Option<SdkTracerProvider>> = Mutex::new(None);

/// Where traces go, as the standard variables say.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The whole address: `http://collector:4318/v1/traces`.
    pub endpoint: String,
    /// Headers of each request; they may hold a key.
    pub headers: Vec<(String, SecretString)>,
    /// `service.name`.
    pub service: String,
    /// More about this process.
    pub attributes: Vec<(String, String)>,
}

/// Returns a tracer whose spans go to the collector. Needs a runtime, on which they are sent; sends nothing yet.
pub(super) fn start(traces: &Traces) -> Result<Tracer, String> {
    let client = reqwest::Client::builder()
        .http1_only()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| error.without_url().to_string())?;
    let headers: HashMap<String, String> =
        traces.headers.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect();
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender { client, runtime: tokio::runtime::Handle::current() })
        .with_endpoint(traces.endpoint.clone())
        .with_headers(headers)
        .build()
        // What the library says may quote the address.
        .map_err(|_| "the exporter does not take its settings".to_owned())?;
    let about = traces.attributes.iter().map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    let resource = Resource::builder_empty()
        .with_attributes(about)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(traces.service.clone())
        .build();
    let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    let tracer = provider.tracer("cistern");
    *PROVIDER.lock().unwrap_or_else(PoisonError::into_inner) = Some(provider);
    Ok(tracer)
}

/// Sends what is left. Blocks for 3 s at most.
pub fn close() {
    let provider = PROVIDER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(Err(error)) = provider.map(|provider| provider.shutdown_with_timeout(FAREWELL)) {
        tracing::debug!(%error, "the last spans were not sent");
    }
}

/// Returns whom a span that is made elsewhere belongs to; `None` while there are no traces.
pub fn trace_parent() -> Option<TraceParent> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| TraceParent {
        trace: span.trace_id().to_bytes(),
        span: span.span_id().to_bytes(),
        sampled: span.is_sampled(),
    })
}

/// Makes a span, not entered yet, belong to one that was made elsewhere.
pub fn continue_trace(span: &Span, parent: TraceParent) {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, of) = (TraceId::from_bytes(parent.trace), SpanId::from_bytes(parent.span));
    let remote = SpanContext::new(trace, of, flags, true, TraceState::default());
    if let Err(error) = span.set_parent(Context::new().with_remote_span_context(remote)) {
        tracing::trace!(?error, "a span stays alone");
    }
}

/// Sends on our runtime: the exporter's own thread has none.
struct Sender {
    client: reqwest::Client,
    runtime: tokio::runtime::Handle,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpClient for Sender {
    fn send_bytes<'life, 'result>(
        &'life self,
        request: Request<Bytes>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'result>>
    where
        'life: 'result,
        Self: 'result,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let request = client.request(head.method, head.uri.to_string()).headers(head.headers).body(body);
            let answer = request.send().await.map_err(reqwest::Error::without_url)?;
            let status = answer.status();
            let body = answer.bytes().await.map_err(reqwest::Error::without_url)?;
            Ok::<_, reqwest::Error>((status, body))
        });
        Box::pin(async move {
            let (status, body) = sent.await??;
            Ok(Response::builder().status(status).body(body)?)
        })
    }
}
