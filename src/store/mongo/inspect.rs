//! Looking at a database without changing it: whether the server, its version and the user's rights fit.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mongodb::bson::{Bson, Document, doc, rawdoc};
use mongodb::options::{Acknowledgment, ClientOptions, ReadPreference, SelectionCriteria, ServerAddress, Tls};
use secrecy::{ExposeSecret, SecretString};

use super::calls::{BULK, Update, timed};
use super::diagnose::diagnose;
use super::reach::{self, Collections};
use super::schema;
use super::space::space;
use super::trouble::Trouble;
use crate::domain::{Finding, in_bytes};
use crate::store::{Error, Space};

/// A write that takes longer makes every answer to a webhook late.
const SLOW_WRITE: Duration = Duration::from_millis(100);

/// Free space below which somebody should know.
const LITTLE: u64 = 1 << 30;

/// What a process does in its database.
const ACTIONS: [&str; 8] =
    ["find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections", "listIndexes"];

/// Returns what would keep a process from using this database, or that nothing would.
pub(in crate::store) async fn inspect(url: &SecretString) -> Vec<Finding> {
    let mut findings = Vec::new();
    let looked = timed(BULK, look(url, &mut findings)).await;
    if let Err(trouble) = looked {
        // The driver knows only that no primary answers.
        let asked = matches!(&trouble, Trouble::TimedOut) || trouble.means_no_primary();
        let reasons = match reach::options(url, 1).await {
            Ok(options) if asked => diagnose(&options).await,
            _ => Vec::new(),
        };
        match reasons.is_empty() {
            true => findings.push(Finding::problem("store", trouble.reason())),
            false => findings.extend(reasons.into_iter().map(|reason| Finding::problem("store", reason))),
        }
    }
    findings
}

/// Returns whether somebody made the database a store of Cistern's.
pub(in crate::store) async fn is_store(url: &SecretString) -> Result<bool, Error> {
    let asked = async {
        let collections = reach::connect(url, 1).await?;
        Ok(schema::owner(&collections).await?.is_some())
    };
    timed(BULK, asked).await.map_err(|trouble| Error::new("open the store", trouble.into_kind()))
}

/// Tells which options of a connection string have no effect here.
async fn without_effect(url: &SecretString) -> Vec<Finding> {
    let Ok(options) = ClientOptions::parse(url.expose_secret()).await else { return Vec::new() };
    let weak = options
        .write_concern
        .as_ref()
        .and_then(|concern| concern.w.as_ref())
        .is_some_and(|w| *w != Acknowledgment::Majority);
    let elsewhere = matches!(&options.selection_criteria,
        Some(SelectionCriteria::ReadPreference(preference)) if *preference != ReadPreference::Primary);
    let texts = [
        (
            weak,
            "w in store.url is not obeyed: every write waits for the majority, or a failover would lose it; remove it",
        ),
        (elsewhere, "readPreference in store.url is not obeyed: leases are only true on the primary; remove it"),
    ];
    texts.into_iter().filter(|(wrong, _)| *wrong).map(|(_, text)| Finding::warning("store", text)).collect()
}

/// Times a write that meets no document, so that nothing changes, and waits for the majority all the same.
async fn write_time(collections: &Collections) -> Result<Duration, Trouble> {
    let nothing = Update {
        filter: rawdoc! { "_id": i64::MIN },
        change: rawdoc! { "$set": { "checked": true } }.into(),
        upsert: false,
        multi: false,
    };
    let began = Instant::now();
    collections.update(schema::JOBS, vec![nothing]).await?;
    Ok(began.elapsed())
}

async fn look(url: &SecretString, findings: &mut Vec<Finding>) -> Result<(), Trouble> {
    findings.extend(unprotected(&reach::options(url, 1).await?));
    findings.extend(without_effect(url).await);
    let collections = reach::connect(url, 1).await?;
    let database = &collections.database;

    let hello = database.run_command(doc! { "hello": 1 }).await?;
    let build = database.run_command(doc! { "buildInfo": 1 }).await?;
    let version = build.get_str("version").unwrap_or("of an unknown version").to_owned();
    match schema::check_server(&hello) {
        Ok(()) => {
            let set =
                hello.get_str("setName").map_or("a sharded cluster".to_owned(), |set| format!("replica set {set}"));
            let members = hello.get_array("hosts").map_or(0, Vec::len);
            findings.push(Finding::fine("store", format!("MongoDB {version}, {set} of {members}")));
        }
        Err(trouble) => findings.push(Finding::problem("store", format!("MongoDB {version}: {}", trouble.reason()))),
    }
    let status = database.run_command(doc! { "connectionStatus": 1, "showPrivileges": true }).await?;
    findings.push(rights(&status, database.name()));
    findings.push(match schema::owner(&collections).await {
        Ok(Some(version)) => Finding::fine(
            "store",
            format!("database {} is a store of Cistern (schema version {version})", database.name()),
        ),
        Ok(None) => {
            Finding::fine("store", format!("database {} is empty and is set up at the first start", database.name()))
        }
        Err(trouble) => Finding::problem("store", trouble.reason()),
    });
    match write_time(&collections).await {
        Ok(took) if took > SLOW_WRITE => {
            let text = "ms to be confirmed by the majority, and so does the answer to a webhook: look at the members' disks and network";
            findings.push(Finding::warning("store", format!("a write takes {} {text}", took.as_millis())));
        }
        Ok(took) => {
            let millis = took.as_secs_f64() * 1000.0;
            findings
                .push(Finding::fine("store", format!("a write takes {millis:.1} ms to be confirmed by the majority")));
        }
        Err(trouble) => findings.push(Finding::problem("store", format!("a write fails: {}", trouble.reason()))),
    }
    findings.push(match space(&collections).await {
        Ok(Space { free: Some(free), .. }) if free < LITTLE => {
            Finding::warning("store", format!("only {} are free on the database's disk: make room", in_bytes(free)))
        }
        Ok(Space { used, free: Some(free) }) => {
            let text = format!("the database takes {}; {} are free on its disk", in_bytes(used), in_bytes(free));
            Finding::fine("store", text)
        }
        Ok(Space { used, free: None }) => Finding::unknown(
            "store",
            format!("the database takes {} and does not tell how much is free", in_bytes(used)),
        ),
        Err(trouble) => {
            Finding::unknown("store", format!("how much space is left cannot be read: {}", trouble.reason()))
        }
    });
    Ok(())
}

/// Tells when passwords and logs would cross a network readable by others.
fn unprotected(options: &ClientOptions) -> Option<Finding> {
    let local = options.hosts.iter().all(|host| match host {
        ServerAddress::Tcp { host, .. } => host == "localhost" || host == "::1" || host.starts_with("127."),
        _ => true,
    });
    let plain = !matches!(options.tls, Some(Tls::Enabled(_)));
    let text = "store.url asks for no TLS: what is cached crosses the network readable by others; add tls=true";
    (plain && !local).then(|| Finding::warning("store", text))
}

/// Returns whether the user may do what is needed.
fn rights(status: &Document, database: &str) -> Finding {
    let info = status.get_document("authInfo").cloned().unwrap_or_default();
    if info.get_array("authenticatedUsers").map_or(0, Vec::len) == 0 {
        return Finding::warning("store", "the database asks for no user: everybody who reaches it may do everything");
    }
    let mut granted = BTreeSet::new();
    for privilege in info.get_array("authenticatedUserPrivileges").into_iter().flatten().filter_map(Bson::as_document) {
        let Ok(resource) = privilege.get_document("resource") else { continue };
        let of_ours = resource.get_str("db").is_ok_and(|name| name.is_empty() || name == database)
            && resource.get_str("collection").is_ok_and(str::is_empty);
        if of_ours || resource.get_bool("anyResource").unwrap_or(false) {
            granted.extend(privilege.get_array("actions").into_iter().flatten().filter_map(Bson::as_str));
        }
    }
    let missing: Vec<&str> = ACTIONS.into_iter().filter(|action| !granted.contains(action)).collect();
    if missing.is_empty() {
        return Finding::fine("store", format!("the user may do on database {database} all that is needed"));
    }
    let text =
        format!("the user lacks rights on database {database} ({}): grant the role readWrite", missing.join(", "));
    Finding::problem("store", text)
}
