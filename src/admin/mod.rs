//! The admin listener, never behind an ingress: `GET /metrics` (OpenMetrics text) and `GET /status` (JSON).
//!
//! `/metrics` reads the registry that every component registered with; `/status` shows what its provider returns. Both
//! cost no store operation of their own. Nothing here changes anything. The probes for orchestrators, which belong on
//! the main listener, are in [`probes`].

pub mod probes;

use std::fmt;
use std::sync::Arc;

use actix_web::http::header::{ALLOW, CONTENT_TYPE};
use actix_web::{HttpResponse, guard, web};
use futures_util::future::BoxFuture;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

/// The media type of the metrics text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Makes the answer of `/status` each time it is asked for.
pub type Status = Arc<dyn Fn() -> BoxFuture<'static, Value> + Send + Sync>;

#[derive(Clone)]
struct StatusSource(Status);

impl fmt::Debug for StatusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusSource")
    }
}

/// Adds the routes to the admin listener, and answers for every other path and method.
pub fn routes(config: &mut web::ServiceConfig, registry: Arc<Registry>, status: Status) {
    config
        .app_data(web::Data::from(registry))
        .app_data(web::Data::new(StatusSource(status)))
        .service(get("/metrics").route(read().to(metrics)))
        .service(get("/status").route(read().to(show_status)))
        .default_service(web::to(nothing_here));
}

async fn metrics(registry: web::Data<Registry>) -> HttpResponse {
    let mut text = String::new();
    match encode(&mut text, &registry) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, OPEN_METRICS)).body(text),
        Err(_) => HttpResponse::InternalServerError().json(json!({ "error": "The metrics could not be written." })),
    }
}

async fn show_status(status: web::Data<StatusSource>) -> HttpResponse {
    HttpResponse::Ok().json((status.0)().await)
}

async fn nothing_here() -> HttpResponse {
    HttpResponse::NotFound().json(json!({ "error": "This is Cistern's admin listener: it has /metrics and /status." }))
}

/// Returns a resource that answers 405 to all but its routes.
fn get(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(only_reads))
}

fn read() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn only_reads() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, "GET, HEAD"))
        .json(json!({ "error": "This can only be read: use GET." }))
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::http::{Method, StatusCode};
    use actix_web::test::{TestRequest, call_service, init_service, read_body, read_body_json};
    use futures_util::FutureExt;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[actix_web::test]
    async fn metrics_and_status_are_shown_and_everything_else_is_explained() {
        let mut registry = Registry::with_prefix("cistern");
        let counter: Counter = Counter::default();
        counter.inc();
        registry.register("things", "Things", counter);
        let registry = Arc::new(registry);
        let status: Status = Arc::new(|| async { json!({ "store": "up" }) }.boxed());
        let app = App::new().configure(|config| routes(config, registry, status));
        let app = init_service(app).await;

        let response = call_service(&app, TestRequest::get().uri("/metrics").to_request()).await;
        assert_eq!(response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()), Some(OPEN_METRICS));
        let text = read_body(response).await;
        assert!(String::from_utf8_lossy(&text).contains("cistern_things_total 1\n# EOF"), "{text:?}");

        let response = call_service(&app, TestRequest::get().uri("/status").to_request()).await;
        assert_eq!(read_body_json::<Value, _>(response).await, json!({ "store": "up" }));

        for (method, path, expected) in [
            (Method::HEAD, "/metrics", StatusCode::OK),
            (Method::POST, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/livez", StatusCode::NOT_FOUND),
        ] {
            let request = TestRequest::with_uri(path).method(method.clone()).to_request();
            assert_eq!(call_service(&app, request).await.status(), expected, "{method} {path}");
        }
    }
}
