//! Looking at a database without changing it: whether the server, its version and the user's rights fit.

use std::collections::BTreeSet;

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ClientOptions, ServerAddress, Tls};
use secrecy::SecretString;

use super::calls::{BULK, timed};
use super::reach::{self, Collections};
use super::schema;
use super::trouble::Trouble;
use crate::domain::Finding;

/// What a process does in its database.
const ACTIONS: [&str; 8] =
    ["find", "insert", "update", "remove", "createCollection", "createIndex", "listCollections", "listIndexes"];

/// Returns what would keep a process from using this database, or that nothing would.
pub(in crate::store) async fn inspect(url: &SecretString) -> Vec<Finding> {
    let mut findings = Vec::new();
    let looked = timed(BULK, look(url, &mut findings)).await;
    if let Err(trouble) = looked {
        findings.push(Finding::problem("store", trouble.reason()));
    }
    findings
}

async fn look(url: &SecretString, findings: &mut Vec<Finding>) -> Result<(), Trouble> {
    let options = reach::options(url, 1).await?;
    findings.extend(unprotected(&options));
    let client = Client::with_options(options)?;
    let database = client.default_database().ok_or(Trouble::Unusable("store.url names no database".to_owned()))?;
    let collections = Collections { client, database };
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
