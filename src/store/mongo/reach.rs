//! Reaching the database: the connection string, the driver's limits, and what happens while nothing answers.
//!
//! The driver's own waits of 30 to 50 s are far too long for a webhook. So every operation has a time limit of ours, and once
//! one showed that the database is away, only the heartbeat goes on asking: everything else fails at once until it is
//! answered. A database that was never reached is prepared by the first heartbeat that reaches it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Collection, Database};
use secrecy::{ExposeSecret, SecretString};

use super::schema;
use super::trouble::Trouble;

/// How long the driver looks for a primary before it gives up, unless the connection string says otherwise.
const SELECTION: Duration = Duration::from_secs(2);

/// How long a new connection may take, its handshake included, unless the connection string says otherwise.
const CONNECT: Duration = Duration::from_secs(3);

/// How long the server waits for a majority to confirm a write; the operation's own limit is shorter where somebody waits.
const MAJORITY: Duration = Duration::from_secs(10);

/// Connections beside those of `limits.store_ops`: for journal entries, heartbeats and leases.
const URGENT_CONNECTIONS: u32 = 8;

/// How long one attempt to reach and prepare the database may take.
const PREPARE: Duration = Duration::from_secs(10);

/// The way to the database.
#[derive(Debug)]
pub(super) struct Reach {
    url: SecretString,
    operations: usize,
    ready: OnceLock<Collections>,
    preparing: tokio::sync::Mutex<()>,
    away: AtomicBool,
    problem: Mutex<Option<String>>,
}

/// The database's collections. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Collections {
    pub(super) client: Client,
    pub(super) database: Database,
}

impl Reach {
    pub(super) fn new(url: SecretString, operations: usize) -> Self {
        Self {
            url,
            operations,
            ready: OnceLock::new(),
            preparing: tokio::sync::Mutex::default(),
            away: AtomicBool::new(false),
            problem: Mutex::default(),
        }
    }

    /// Returns the collections, unless the database was never reached or did not answer a moment ago.
    pub(super) fn collections(&self) -> Result<Collections, Trouble> {
        match self.ready.get() {
            Some(collections) if !self.away.load(Ordering::Relaxed) => Ok(collections.clone()),
            _ => {
                let problem = self.problem().unwrap_or_else(|| "the database was not reached yet".to_owned());
                Err(Trouble::Away(problem))
            }
        }
    }

    /// Returns the collections whatever happened a moment ago, preparing the database first if nobody has: for whoever finds
    /// out whether it answers again.
    pub(super) async fn try_collections(&self) -> Result<Collections, Trouble> {
        let _preparing = self.preparing.lock().await;
        if let Some(collections) = self.ready.get() {
            return Ok(collections.clone());
        }
        let prepared = tokio::time::timeout(PREPARE, prepare(&self.url, self.operations)).await;
        let collections = prepared.map_err(|_| Trouble::TimedOut)??;
        Ok(self.ready.get_or_init(|| collections).clone())
    }

    /// Notes how an operation ended; `asked` tells whether the database was asked at all.
    pub(super) fn note(&self, outcome: Result<(), &Trouble>) {
        match outcome {
            Ok(()) => {
                self.away.store(false, Ordering::Relaxed);
                self.set_problem(None);
            }
            Err(Trouble::Away(_)) => {}
            Err(trouble) if trouble.means_down() => {
                self.away.store(true, Ordering::Relaxed);
                self.set_problem(Some(trouble.reason()));
            }
            Err(_) => {}
        }
    }

    /// Returns why the database is away, if it is.
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        let mut held = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*held, &problem) {
            (None, Some(problem)) => tracing::warn!(error = problem, "the database is away"),
            (Some(_), None) => tracing::info!("the database answers again"),
            _ => {}
        }
        *held = problem;
    }
}

impl Collections {
    pub(super) fn of<T: Send + Sync>(&self, name: &str) -> Collection<T> {
        self.database.collection(name)
    }
}

/// Every write waits until a majority of the replica set has it in its journal.
pub(super) fn majority() -> WriteConcern {
    WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(MAJORITY).build()
}

/// Reads the connection string and sets what is ours to decide.
pub(super) async fn options(url: &SecretString, operations: usize) -> Result<ClientOptions, Trouble> {
    let mut options = ClientOptions::parse(url.expose_secret()).await?;
    options.app_name.get_or_insert_with(|| "cistern".to_owned());
    options.server_selection_timeout.get_or_insert(SELECTION);
    options.connect_timeout.get_or_insert(CONNECT);
    options.max_pool_size =
        Some(u32::try_from(operations).unwrap_or(u32::MAX).max(1).saturating_add(URGENT_CONNECTIONS));
    options.write_concern = Some(majority());
    options.retry_writes = Some(true);
    // Leases, revisions and the journal are only true on the primary.
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Ok(options)
}

/// Makes a client for the database that the connection string names; nothing is asked yet.
pub(super) async fn connect(url: &SecretString, operations: usize) -> Result<Collections, Trouble> {
    let client = Client::with_options(options(url, operations).await?)?;
    let database = client
        .default_database()
        .ok_or_else(|| Trouble::Unusable("store.url names no database: write mongodb://host/cistern".to_owned()))?;
    Ok(Collections { client, database })
}

async fn prepare(url: &SecretString, operations: usize) -> Result<Collections, Trouble> {
    let collections = connect(url, operations).await?;
    schema::prepare(&collections).await?;
    Ok(collections)
}
