//! A whole Cistern and a whole (fake) GitLab for each test: real sockets, a real store file, nothing mocked.

#![allow(dead_code, reason = "not every test needs every verb of the rig")]

mod balancer;
mod behind;
mod engine;
mod front;
pub(crate) mod mongod;
mod older;
mod sent;
mod zip;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use balancer::Balancer;
pub(crate) use behind::Behind;
use cistern::app::{self, Listeners, Service};
use cistern::config::{Config, Flags, Needs, Surroundings};
use cistern::demo::fake::{Delivery, FakeGitlab, Options, World};
use cistern::loopback::{self, Answer};
use cistern::progress::Progress;
use cistern::reconcile::{Extent, Forecast, Only, Report};
use cistern::store::{Gap, Store};
pub(crate) use engine::{Engine, on_both};
pub(crate) use front::{Front, certificate_file};
pub(crate) use sent::{Sent, ask};
use tempfile::TempDir;
pub(crate) use zip::{Packed, zip};

/// GitLab's signing token for all tests.
pub(crate) const SIGNING_TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// How long anything may take before a test gives up: generous, because it only costs time when something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A fake GitLab and a directory for stores.
pub(crate) struct Rig {
    pub(crate) fake: FakeGitlab,
    pub(crate) directory: TempDir,
    engine: Engine,
    /// The URLs of the stores that tests have named so far.
    stores: Mutex<HashMap<String, String>>,
    settings: Vec<(String, String)>,
}

impl Rig {
    /// Starts a fake GitLab over a world; it signs its deliveries.
    pub(crate) fn new(world: World) -> Self {
        Self::with(world, Options::default())
    }

    /// Starts a fake GitLab that behaves as told; it signs its deliveries.
    pub(crate) fn with(world: World, options: Options) -> Self {
        let options = Options { signing_token: Some(SIGNING_TOKEN.to_owned()), ..options };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let fake = FakeGitlab::start(world, options).expect("a fake GitLab");
        let directory = tempfile::tempdir().expect("a directory");
        Self { fake, directory, engine: Engine::chosen(), stores: Mutex::default(), settings: Vec::new() }
    }

    /// Runs on this store, whatever was chosen: for tests that are about it.
    #[must_use]
    pub(crate) fn on(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Uses this URL for the store of this name.
    pub(crate) fn name_store(&self, store: &str, url: String) {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).insert(store.to_owned(), url);
    }

    /// Returns the URL of the store of this name.
    pub(crate) fn store_url(&self, store: &str) -> String {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || self.engine.fresh_url(&self.directory.path().join(store));
        stores.entry(store.to_owned()).or_insert_with(fresh).clone()
    }

    /// Works on the store of this name behind everyone's back.
    pub(crate) async fn behind(&self, store: &str) -> Behind {
        Behind::new(&self.config(store).store.place).await
    }

    /// Changes a setting of everything that is started from now on.
    #[must_use]
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Returns the configuration over the store file of this name.
    pub(crate) fn config(&self, store: &str) -> Config {
        Config::load(&self.flags(store), &Surroundings::empty(), Needs::Gitlab).expect("a good configuration")
    }

    /// Returns the settings as flags: for `Config::load`, or for the real program.
    pub(crate) fn flags(&self, store: &str) -> Flags {
        let mut flags = Flags::default();
        for (key, value) in self.values(store) {
            flags.set(key, value);
        }
        flags
    }

    /// Returns every setting and its value, later ones over earlier ones.
    pub(crate) fn values(&self, store: &str) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> = [
            ("gitlab.url", self.fake.url().to_owned()),
            ("gitlab.token", self.fake.token().to_owned()),
            ("store.url", self.store_url(store)),
            ("server.listen", "127.0.0.1:0".to_owned()),
            ("server.admin_listen", "127.0.0.1:0".to_owned()),
            ("webhook.signing_tokens", SIGNING_TOKEN.to_owned()),
            ("webhook.refresh", "10ms".to_owned()),
            ("reconcile.since", "3650d".to_owned()),
            // A reader that fetched what a test waits for would hide that nothing else did.
            ("api.read_through", "false".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        values.extend(self.settings.iter().cloned());
        values
    }

    /// Runs one full pass with workers of its own, as `backfill` does.
    pub(crate) async fn backfill(&self, store: &str) -> Report {
        self.pass(store, Extent::Full(Duration::from_secs(3650 * 86_400))).await
    }

    /// Runs one pass with workers of its own.
    pub(crate) async fn pass(&self, store: &str, extent: Extent) -> Report {
        let engine =
            app::Engine::open(&self.config(store), "backfill", Progress::silent().observer()).await.expect("an engine");
        let reconciler = engine.reconciler.clone();
        let running = engine.start().await;
        let report = reconciler.pass(extent, &Only::All, PATIENCE).await;
        running.stop(PATIENCE).await;
        report.expect("a whole pass")
    }

    /// Reads from GitLab itself, as its users do.
    pub(crate) async fn get_gitlab(&self, path: &str) -> Answer {
        let address = self.fake.url().trim_start_matches("http://").parse().expect("an address");
        let token = ("PRIVATE-TOKEN".to_owned(), self.fake.token().to_owned());
        loopback::send(address, "GET", path, &[token], b"").await.expect("an answer")
    }

    /// Reads JSON from GitLab itself.
    pub(crate) async fn ask_gitlab(&self, path: &str) -> serde_json::Value {
        let answer = self.get_gitlab(path).await;
        assert_eq!(answer.status, 200, "{path}");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Tells what a full pass would fetch, as `backfill --dry-run` does.
    pub(crate) async fn forecast(&self, store: &str) -> Forecast {
        self.forecast_since(store, Duration::from_secs(3650 * 86_400)).await
    }

    /// As [`Self::forecast`], with `--since`.
    pub(crate) async fn forecast_since(&self, store: &str, since: Duration) -> Forecast {
        let engine =
            app::Engine::open(&self.config(store), "backfill", Progress::silent().observer()).await.expect("an engine");
        let reconciler = engine.reconciler.clone();
        let running = engine.start().await;
        let forecast = reconciler.forecast(since, &Only::All).await;
        running.stop(PATIENCE).await;
        forecast.expect("a forecast")
    }

    /// Compares a store with GitLab, as `verify` does.
    pub(crate) async fn gaps(&self, store: &str) -> Vec<Gap> {
        let engine =
            app::Engine::open(&self.config(store), "verify", Progress::silent().observer()).await.expect("an engine");
        let reconciler = engine.reconciler.clone();
        let running = engine.start().await;
        let gaps = reconciler.verify(Duration::from_secs(3650 * 86_400), &Only::All).await;
        running.stop(PATIENCE).await;
        let found = gaps.expect("a comparison");
        assert_eq!(found.skipped, [], "not compared");
        found.gaps
    }

    /// Starts the service in this process.
    pub(crate) async fn serve(&self, store: &str) -> Serving {
        let config = self.config(store);
        let listeners = Listeners::bind(&config).expect("free ports");
        let engine = app::Engine::open(&config, "serve", Progress::silent().observer()).await.expect("an engine");
        let (store, queue) = (engine.store.clone(), engine.queue.clone());
        let reconciler = engine.reconciler.clone();
        let service = Service::start(&config, engine, listeners).await.expect("a service");
        let serving = Serving { service, store, queue, reconciler };
        // The pass at start would hide what the test is about.
        serving.until(|| serving.reconciler.status().last_success.is_some()).await;
        serving
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        for url in self.stores.lock().unwrap_or_else(PoisonError::into_inner).values() {
            self.engine.discard(url);
        }
    }
}

/// A running service.
pub(crate) struct Serving {
    service: Service,
    pub(crate) store: Store,
    pub(crate) queue: cistern::queue::Queue,
    pub(crate) reconciler: cistern::reconcile::Reconciler,
}

impl Serving {
    /// Returns where webhooks and reads are served.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.service.address()
    }

    /// Sends a delivery as GitLab does.
    pub(crate) async fn deliver(&self, delivery: &Delivery) -> Answer {
        let headers: Vec<(String, String)> =
            delivery.headers().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.post("/webhooks/gitlab", &headers, &delivery.body()).await
    }

    /// Posts anything.
    pub(crate) async fn post(&self, path: &str, headers: &[(String, String)], body: &[u8]) -> Answer {
        loopback::send(self.service.address(), "POST", path, headers, body).await.expect("an answer")
    }

    /// Reads from the main listener.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        loopback::send(self.service.address(), "GET", path, &[], b"").await.expect("an answer")
    }

    /// Reads JSON from the main listener.
    pub(crate) async fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Returns where the admin listener is.
    pub(crate) fn admin_address(&self) -> std::net::SocketAddr {
        self.service.admin_address()
    }

    /// Reads from the admin listener.
    pub(crate) async fn admin(&self, path: &str) -> String {
        let answer = loopback::send(self.admin_address(), "GET", path, &[], b"").await.expect("an answer");
        String::from_utf8(answer.body).expect("text")
    }

    /// Waits until nothing is due: every target that can be worked on now has been.
    pub(crate) async fn idle(&self) {
        self.until(|| self.queue.due_targets() == 0).await;
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        until(holds).await;
    }

    /// Stops the service in order.
    pub(crate) async fn stop(self) {
        self.service.stop().await;
    }
}

/// Waits until something holds, and fails the test when it takes too long.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "what the test waits for did not happen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until something that has to be asked for holds.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) {
    eventually_by(tokio::time::Instant::now() + PATIENCE, holds).await;
}

/// As [`eventually`], for what takes longer or is promised sooner.
pub(crate) async fn eventually_by(deadline: tokio::time::Instant, holds: impl AsyncFn() -> bool) {
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "what the test waits for did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
