//! `serve`: two listeners, the reconciler, and the order in which everything stops (design, section 4.8).

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::dev::{Server, ServerHandle};
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, HttpServer, web};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Bounds};
use super::machine;
use super::readers::readers;
use super::secrets::Secrets;
use super::status::status;
use super::watch::Watch;
use super::{Engine, Running};
use crate::access::{self, Access};
use crate::admin::probes::{Reach, Readiness};
use crate::admin::{self, Status, probes};
use crate::api::{self, Api, Cors, PassThrough, ReadThrough};
use crate::config::{self, Config};
use crate::derive::Derive;
use crate::domain::Timestamp;
use crate::gitlab::Passing;
use crate::telemetry::Registry;
use crate::webhook::{self, Webhook};

/// Threads of the main listener at most; each runs an event loop of its own, and its work is done by the runtime's threads.
const MAIN_WORKERS: usize = 2;

/// How often the state behind `/readyz` is brought up to date.
const READINESS_EVERY: Duration = Duration::from_secs(1);

/// Bound sockets, so that tests and orchestrators can hand in port 0 or sockets of their own.
#[derive(Debug)]
pub struct Listeners {
    /// For webhooks and reads.
    pub main: TcpListener,
    /// For metrics and status.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds what the configuration names.
    pub fn bind(config: &Config) -> std::io::Result<Self> {
        let bind = |key: &str, address: SocketAddr| {
            TcpListener::bind(address).map_err(|error| {
                let advice = match error.kind() {
                    ErrorKind::AddrInUse => "another program has this port: end it, or choose another one",
                    ErrorKind::PermissionDenied => "ports below 1024 are root's: choose another one",
                    _ => "choose an address of this machine",
                };
                io::Error::new(error.kind(), format!("could not listen on {address} ({key}): {error}; {advice}"))
            })
        };
        Ok(Self {
            main: bind("server.listen", config.server.listen)?,
            admin: bind("server.admin_listen", config.server.admin_listen)?,
        })
    }
}

/// A running `serve`.
pub struct Service {
    address: SocketAddr,
    admin_address: SocketAddr,
    running: Running,
    readiness: Arc<watch::Sender<Readiness>>,
    main: (ServerHandle, JoinHandle<std::io::Result<()>>),
    admin: (ServerHandle, JoinHandle<std::io::Result<()>>),
    stop: CancellationToken,
    reconciler: JoinHandle<()>,
    secrets: JoinHandle<()>,
    retention: JoinHandle<()>,
    derive: JoinHandle<()>,
    probe: JoinHandle<()>,
    /// Ends answers that go on for as long as a job runs.
    closing: CancellationToken,
    watch: JoinHandle<()>,
    drain_delay: Duration,
    drain_timeout: Duration,
}

impl Service {
    /// Starts listening and working.
    pub async fn start(config: &Config, engine: Engine, listeners: Listeners) -> std::io::Result<Self> {
        let started = Timestamp::now();
        let (address, admin_address) = (listeners.main.local_addr()?, listeners.admin.local_addr()?);
        let mut registry = Registry::new(started);
        engine.register(&mut registry);
        let webhook = make_webhook(config, &engine, &mut registry)?;
        let watch = Watch::new(config, &engine, registry.metrics());
        let readiness = Arc::new(watch::Sender::new(Readiness::default()));
        let access = Access::new(readers(config, &engine), engine.store.clone())?;
        let (rotation, gitlab, route) = (config.rotation(), engine.gitlab.clone(), config.webhook_route());
        let secrets = Secrets::new(rotation, gitlab, access.clone(), Arc::clone(&webhook), route);
        let seen = readiness.subscribe();
        let through = match config.api {
            config::Api { read_through: true, max_age, .. } => ReadThrough::new(engine.queue.clone(), max_age),
            config::Api { read_through: false, .. } => ReadThrough::off(),
        };
        let passing = Passing::new(engine.gitlab.clone(), config.limits.sizes.artifact);
        let passing = match config.api.pass_through {
            config::PassThrough::Off => PassThrough::Off,
            config::PassThrough::Caller => PassThrough::Caller(passing),
            config::PassThrough::Service => PassThrough::Service(passing),
        };
        let api = Api::new(engine.store.clone(), through, config.limits.archive_entries).passing(passing);
        let closing = api.closing();
        let cors = Cors::new(&config.server.cors_origins);
        let public_url = web::Data::new(api::PublicUrl::new(config.server.public_url.clone()));
        let timeout = config.server.drain_timeout;
        let app = move || {
            let (webhook, seen) = (web::Data::from(Arc::clone(&webhook)), seen.clone());
            let (api, cors, access) = (api.clone(), cors.clone(), access.clone());
            App::new()
                .wrap(from_fn(move |request, next| api::headers(cors.clone(), request, next)))
                .configure(|routes| webhook::routes(routes, webhook))
                .app_data(public_url.clone())
                .configure(|routes| probes::routes(routes, seen))
                .configure(api::openapi::route)
                .service(access::reads(access, |routes| api::routes(routes, api)))
                .default_service(web::to(api::unknown_path))
        };
        let server = Server::build()
            .workers(machine::processors().min(MAIN_WORKERS))
            .disable_signals()
            .shutdown_timeout(seconds(timeout));
        let bounds = Bounds {
            all: config.server.connections,
            per_address: config.server.connections_per_address,
            stall: config.server.stall_timeout,
        };
        let main = run(connections::serve(server, listeners.main, bounds, app)?);
        let registry = Arc::new(registry.into_metrics());
        let shown = engine.clone();
        let provide: Status = Arc::new(move || {
            let engine = shown.clone();
            async move { status(&engine, started) }.boxed()
        });
        let admin = HttpServer::new(move || {
            let (registry, provide) = (Arc::clone(&registry), Arc::clone(&provide));
            App::new()
                .wrap(Condition::new(admin_address.ip().is_loopback(), from_fn(access::from_here)))
                .configure(|routes| admin::routes(routes, registry, provide))
        });
        let admin = run(admin
            .workers(1)
            .disable_signals()
            .tcp_nodelay(true)
            .shutdown_timeout(1)
            .listen(listeners.admin)?
            .run());
        let stop = CancellationToken::new();
        let running = engine.clone().start().await;
        let reconciler = {
            let (reconciler, stop) = (engine.reconciler.clone(), stop.clone());
            tokio::spawn(async move { reconciler.run(stop).await })
        };
        let secrets = tokio::spawn(secrets.follow(stop.clone()));
        let watch = tokio::spawn(watch.run(stop.clone()));
        let retention = {
            let (retention, stop) = (engine.retention.clone(), stop.clone());
            tokio::spawn(async move { retention.run(stop).await })
        };
        let derive = {
            let (derive, stop) = (Derive::new(engine.store.clone()), stop.clone());
            tokio::spawn(async move { derive.run(stop).await })
        };
        let probe = tokio::spawn(keep_readiness(engine, Arc::clone(&readiness), stop.clone()));
        let (drain_delay, drain_timeout) = (config.server.drain_delay, timeout);
        Ok(Self {
            address,
            admin_address,
            running,
            readiness,
            main,
            admin,
            stop,
            reconciler,
            secrets,
            retention,
            derive,
            probe,
            closing,
            watch,
            drain_delay,
            drain_timeout,
        })
    }

    /// Returns where webhooks and reads are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where metrics and status are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Stops in order: not ready, keep serving for `drain_delay`, stop accepting, stop the reconciler, drain the workers
    /// until `drain_timeout`, give leases back, close the store, stop the admin listener. Returns how many targets had to be cut
    /// off; none means that it drained.
    pub async fn stop(self) -> usize {
        self.readiness.send_modify(|readiness| readiness.stopping = true);
        tracing::info!(delay_ms = self.drain_delay.as_millis(), "shutting down");
        tokio::time::sleep(self.drain_delay).await;
        self.closing.cancel();
        let deadline = Instant::now() + self.drain_timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left(), self.main.0.stop(true)).await.is_err() {
            self.main.0.stop(false).await;
        }
        joined("main listener", self.main.1.await.map(|ended| ended.map_err(|error| error.to_string())));
        self.stop.cancel();
        joined("reconciler", self.reconciler.await.map(Ok));
        joined("secrets", self.secrets.await.map(Ok));
        joined("watch", self.watch.await.map(Ok));
        joined("retention", self.retention.await.map(Ok));
        joined("derived facts", self.derive.await.map(Ok));
        joined("readiness probe", self.probe.await.map(Ok));
        let cut_off = self.running.stop(left()).await;
        self.admin.0.stop(true).await;
        joined("admin listener", self.admin.1.await.map(|ended| ended.map_err(|error| error.to_string())));
        tracing::info!(in_time = !left().is_zero(), targets.cut_off = cut_off, "stopped");
        cut_off
    }
}

type Ended = Result<Result<(), String>, tokio::task::JoinError>;

fn joined(task: &'static str, ended: Ended) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(error, task, "a task failed"),
        Err(error) => tracing::error!(%error, task, "a task ended early"),
    }
}

fn run(server: Server) -> (ServerHandle, JoinHandle<std::io::Result<()>>) {
    (server.handle(), tokio::spawn(server))
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn make_webhook(config: &Config, engine: &Engine, registry: &mut Registry) -> std::io::Result<Arc<Webhook>> {
    let metrics = webhook::Metrics::default();
    metrics.register(registry.metrics());
    let (projects, selection) = (config.projects.clone(), Arc::clone(&engine.selection));
    // Without a path (older GitLab) the id decides as far as it can; ingest decides once the project is known.
    let selected: webhook::Selected = Arc::new(move |id, path| match path {
        Some(path) => selection(id, path),
        None => projects.may_match(id),
    });
    let webhook = Webhook::build(&config.webhook_route(), engine.queue.clone(), selected, metrics)
        .map_err(|_| std::io::Error::other("a signing token that passed the configuration cannot be used"))?;
    Ok(Arc::new(webhook))
}

/// Keeps what `/readyz` shows up to date until `stop`, and frees the permits of readers who stall.
async fn keep_readiness(engine: Engine, readiness: Arc<watch::Sender<Readiness>>, stop: CancellationToken) {
    loop {
        let reach = |up: bool| if up { Reach::Up } else { Reach::Away };
        readiness.send_modify(|readiness| {
            readiness.store_outage = engine.store.outage();
            readiness.store = reach(readiness.store_outage.is_none());
            readiness.gitlab = match engine.gitlab.token_refused() {
                Some(_) => Reach::Refused,
                None => engine.gitlab.is_up().map_or(Reach::Unknown, reach),
            };
        });
        engine.gitlab.end_stalled();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(READINESS_EVERY) => {}
        }
    }
}
