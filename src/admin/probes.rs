//! `GET /livez` and `GET /readyz` of the main listener, for orchestrators. They name no project and are open to all.
//!
//! Ready means that deliveries and reads are answered properly, also while the store or GitLab is away (deliveries are
//! `deferred`, reads 503): taking the process out of service would turn GitLab's deliveries into errors that disable
//! the hook. So only a shutdown ends readiness; an outage shows in the body.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use tokio::sync::watch;

use crate::domain::Outage;

/// What `/readyz` tells. Whoever learns something sends it into the `watch` channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Whether shutdown has begun.
    pub stopping: bool,
    /// The store.
    pub store: Reach,
    /// Since when the store cannot be written, and why.
    pub store_outage: Option<Outage>,
    /// GitLab.
    pub gitlab: Reach,
}

/// Whether something can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nobody asked yet.
    #[default]
    Unknown,
    /// It answered when last asked; the store: it can be written.
    Up,
    /// It did not answer when last asked.
    Away,
    /// It answers, and refuses the token.
    Refused,
}

#[derive(Serialize)]
struct Ready {
    status: &'static str,
    store: Reach,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_outage: Option<Outage>,
    gitlab: Reach,
}

/// Adds the probes to the main listener, outside of the guard for reads.
pub fn routes(config: &mut web::ServiceConfig, readiness: watch::Receiver<Readiness>) {
    config
        .app_data(web::Data::new(readiness))
        .service(super::get("/livez").route(super::read().to(alive)))
        .service(super::get("/readyz").route(super::read().to(ready)));
}

async fn alive() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(serde_json::json!({ "status": "alive" }))
}

async fn ready(readiness: web::Data<watch::Receiver<Readiness>>) -> HttpResponse {
    let Readiness { stopping, store, store_outage, gitlab } = readiness.borrow().clone();
    let (code, status) =
        if stopping { (StatusCode::SERVICE_UNAVAILABLE, "stopping") } else { (StatusCode::OK, "ready") };
    HttpResponse::build(code).insert_header((CACHE_CONTROL, "no-store")).json(Ready {
        status,
        store,
        store_outage,
        gitlab,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::App;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use serde_json::{Value, json};

    use super::*;

    #[actix_web::test]
    async fn an_outage_keeps_it_ready_and_a_shutdown_does_not() {
        let (sender, receiver) = watch::channel(Readiness::default());
        let app = init_service(App::new().configure(|config| routes(config, receiver))).await;
        let ask = |path| TestRequest::get().uri(path).to_request();
        for (readiness, code, body) in [
            (Readiness::default(), 200, json!({"status": "ready", "store": "unknown", "gitlab": "unknown"})),
            (
                Readiness { store: Reach::Away, gitlab: Reach::Up, ..Readiness::default() },
                200,
                json!({"status": "ready", "store": "away", "gitlab": "up"}),
            ),
            (
                Readiness { store: Reach::Up, gitlab: Reach::Up, stopping: true, store_outage: None },
                503,
                json!({"status": "stopping", "store": "up", "gitlab": "up"}),
            ),
        ] {
            sender.send_replace(readiness);
            let response = call_service(&app, ask("/readyz")).await;
            assert_eq!(response.status().as_u16(), code);
            assert_eq!(read_body_json::<Value, _>(response).await, body);
            let alive = call_service(&app, ask("/livez")).await;
            assert_eq!(read_body_json::<Value, _>(alive).await, json!({"status": "alive"}));
        }
    }
}
