//! A stateful fake GitLab for the demo, the tests and the benchmarks: projects, pipelines and jobs that live, behind
//! GitLab's REST shapes, with its awkwardness, its faults on order, and its webhooks.
//!
//! It is written from the description of GitLab (the contract) and knows nothing of this program's GitLab client, so
//! that a misunderstanding shows as a failure instead of being shared. It answers reads, and of writes those that manage
//! webhooks, and shows each user what GitLab would show them. It sends deliveries when asked to test a hook or to send one
//! again, and when a test says that something happened ([`FakeGitlab::fire`]); all others are built and sent by the caller.

mod content;
mod counters;
mod documents;
mod faults;
mod hooks;
mod http;
mod limit;
mod options;
mod post;
mod standard;
mod world;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};

pub use content::{Archive, Case, Junit, Log};
pub use counters::Requests;
pub use documents::DateStyle;
pub use faults::{BLOCKED, Fault, FaultKind, TERMS};
pub use hooks::Delivery;
pub use http::Endpoint;
pub use options::{ArtifactDelivery, Boundary, Links, Options, RateLimit};
pub use standard::Census;
pub use world::{CANARY_SECRET, HiddenLog, JobSpec, PipelineSpec, TokenState, Visibility, World};

use crate::domain::{JobId, PipelineId, Timestamp};
use counters::Counters;
use faults::Faults;
use http::{Shared, lock};
use limit::Limiter;

/// A running fake GitLab on loopback. Dropping it stops it without waiting; [`FakeGitlab::stop`] waits.
#[derive(Debug)]
pub struct FakeGitlab {
    shared: Arc<Shared>,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
    url: String,
}

impl FakeGitlab {
    /// Starts GitLab on a free port of 127.0.0.1 and its storage host on another, reached as `localhost`. Needs no
    /// runtime: it runs on threads of its own.
    ///
    /// # Errors
    ///
    /// Fails when no port or thread can be had.
    pub fn start(mut world: World, options: Options) -> std::io::Result<Self> {
        let gitlab = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let storage = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (gitlab_address, storage_port) = (gitlab.local_addr()?, storage.local_addr()?.port());
        let url = url_of(gitlab_address);
        world.set_base_url(&url);
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            counters: Arc::new(Counters::default()),
            faults: Mutex::new(Faults::default()),
            limiter: options.rate_limit.map(|limit| Mutex::new(Limiter::new(limit))),
            hook_limits: Mutex::default(),
            options,
            storage_port,
            storage_url: format!("http://localhost:{storage_port}"),
            good_calls: AtomicU64::new(0),
        });
        let (started, starting) = mpsc::sync_channel(1);
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("fake-gitlab".to_owned())
            .spawn(move || run(served, gitlab, storage, &started))?;
        match starting.recv() {
            Ok(handle) => Ok(Self { shared, handle, thread: Some(thread), url }),
            // The thread ended before it had a handle: its result says why.
            Err(mpsc::RecvError) => Err(joined(thread).err().unwrap_or_else(|| std::io::Error::other("fake GitLab"))),
        }
    }

    /// Stops both servers, cutting what is under way, and waits until their threads have ended.
    ///
    /// # Errors
    ///
    /// Fails when the server failed while it ran.
    pub async fn stop(mut self) -> std::io::Result<()> {
        self.handle.stop(false).await;
        match self.thread.take() {
            Some(thread) => tokio::task::spawn_blocking(move || joined(thread)).await.map_err(std::io::Error::other)?,
            None => Ok(()),
        }
    }

    /// Returns where GitLab is, for instance `http://127.0.0.1:40123`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns where the storage host is: `http://localhost:PORT`.
    pub fn storage_url(&self) -> &str {
        &self.shared.storage_url
    }

    /// Returns the accepted credential.
    pub fn token(&self) -> &str {
        &self.shared.options.token
    }

    /// Reads or changes the world; no request is answered meanwhile.
    pub fn with<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut lock(&self.shared.world))
    }

    /// Orders a fault.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).inject(fault);
    }

    /// Withdraws all faults.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Gets slower from now on while more calls than this are in flight at once; 0: never.
    pub fn bear(&self, calls: u64) {
        self.shared.good_calls.store(calls, Ordering::Relaxed);
    }

    /// Returns the calls counted since the start or the last reset.
    pub fn requests(&self) -> Requests {
        self.shared.counters.requests()
    }

    /// Returns how many requests are under way, storage included.
    pub fn in_flight(&self) -> u64 {
        self.shared.counters.in_flight()
    }

    /// Returns the highest number of simultaneous requests, storage included, since the start or the last reset.
    pub fn max_in_flight(&self) -> u64 {
        self.shared.counters.max_in_flight()
    }

    /// Returns how many requests were above the rate limit, since the start or the last reset.
    pub fn refusals(&self) -> u64 {
        self.shared.counters.refused()
    }

    /// Counts anew from here.
    pub fn reset_counters(&self) {
        self.shared.counters.reset();
    }

    /// Returns the names of headers that reached the storage host and must not have: `private-token`,
    /// `authorization`, `cookie`, `referer`, `job-token`, once per request.
    pub fn leaked_credentials(&self) -> Vec<String> {
        self.shared.counters.leaked_headers()
    }

    /// Returns the heads of the requests for what is not CI, or not known, since the start or the last reset: the line of the
    /// request, then a line for each header, names in small letters.
    pub fn heads(&self) -> Vec<String> {
        self.shared.counters.heads()
    }

    /// Builds the Job Hook delivery of a job as it is now; `None` for an unknown job and for trigger jobs.
    pub fn job_event(&self, job: JobId) -> Option<Delivery> {
        let delivery = self.with(|world| Delivery::job(world, job, DateStyle::Current))?;
        Some(self.secured(delivery))
    }

    /// Builds the Pipeline Hook delivery of a pipeline as it is now; `None` for an unknown pipeline.
    pub fn pipeline_event(&self, pipeline: PipelineId) -> Option<Delivery> {
        let delivery = self.with(|world| Delivery::pipeline(world, pipeline, DateStyle::Current))?;
        Some(self.secured(delivery))
    }

    /// Claims to be of this version from now on and behaves as before: as 19.0 without its feature flag does.
    pub fn claim_version(&self, version: &str) {
        self.with(|world| world.claimed_version = Some(version.to_owned()));
    }

    /// Lets the event of a job happen: sends it to every hook of its project and groups, as GitLab does, and logs it.
    pub async fn fire(&self, job: JobId) {
        let parcels: Vec<http::Parcel> = self.with(|world| {
            let Some(delivery) = Delivery::job(world, job, DateStyle::Current) else { return Vec::new() };
            let project = world.project_of_job(job).and_then(|id| world.projects.get(&id));
            let concerned = |hook: &&world::Hook| match (&hook.owner, project) {
                (world::HookOwner::Project(id), Some(project)) => *id == project.id,
                (world::HookOwner::Group(path), Some(project)) => project.path.starts_with(&format!("{path}/")),
                (_, None) => false,
            };
            let enabled = |hook: &&world::Hook| hook.job_events && hook.alert_status() == "executable";
            // Each hook's delivery has an id of its own.
            let parcel = |hook| http::Parcel::new(hook, "job_hooks", delivery.clone().with_id(&hooks::uuid()));
            world.hooks.values().filter(concerned).filter(enabled).map(parcel).collect()
        });
        for parcel in parcels {
            http::deliver(&self.shared, parcel).await;
        }
    }

    fn secured(&self, delivery: Delivery) -> Delivery {
        let options = &self.shared.options;
        let delivery = match &options.signing_token {
            Some(token) => delivery.signed_with(token),
            None => delivery,
        };
        match &options.secret_token {
            Some(token) => delivery.with_token(token),
            None => delivery,
        }
    }
}

impl Drop for FakeGitlab {
    fn drop(&mut self) {
        // The order is sent at once; nobody waits for it.
        drop(self.handle.stop(false));
    }
}

fn url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Serves until stopped; sends the handle as soon as there is one.
fn run(
    shared: Arc<Shared>,
    gitlab: TcpListener,
    storage: TcpListener,
    started: &mpsc::SyncSender<ServerHandle>,
) -> std::io::Result<()> {
    actix_web::rt::System::new().block_on(async move {
        let workers = shared.options.workers.max(1);
        let data = web::Data::from(shared);
        let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(http::serve)))
            .workers(workers)
            .disable_signals()
            .tcp_nodelay(true)
            .shutdown_timeout(0)
            .keep_alive(Duration::from_secs(75))
            .client_request_timeout(Duration::ZERO)
            .on_connect(http::on_connect)
            .listen(gitlab)?
            .listen(storage)?
            .run();
        // Nobody listens only if the starter has panicked; the server then ends with its handle.
        let _ = started.send(server.handle());
        server.await
    })
}

fn joined(thread: JoinHandle<std::io::Result<()>>) -> std::io::Result<()> {
    thread.join().unwrap_or_else(|_| Err(std::io::Error::other("the fake GitLab's thread panicked")))
}

/// Returns the machine's time in whole seconds, as `webhook-timestamp` carries it.
fn unix_seconds() -> i64 {
    Timestamp::now().as_millis().div_euclid(1000)
}
