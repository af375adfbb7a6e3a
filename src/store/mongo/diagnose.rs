//! Why a database cannot be reached: each host is asked by itself, because the driver says only that no primary answers.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::{ClientOptions, ServerAddress, Tls, TlsOptions};
use tokio::net::{TcpStream, lookup_host};

/// How long each step with one host may take.
const STEP: Duration = Duration::from_secs(2);

/// Hosts that are looked at.
const HOSTS: usize = 5;

/// Returns a sentence for each host that says what is wrong with it, and what to do.
pub(super) async fn diagnose(options: &ClientOptions) -> Vec<String> {
    let mut sentences = Vec::new();
    for host in options.hosts.iter().take(HOSTS) {
        sentences.push(match host {
            ServerAddress::Tcp { host: name, port } => look_at(options, host, name, port.unwrap_or(27017)).await,
            _ => format!("{host} does not answer"),
        });
    }
    sentences
}

async fn look_at(options: &ClientOptions, host: &ServerAddress, name: &str, port: u16) -> String {
    let shown = format!("{name}:{port}");
    let addresses = match tokio::time::timeout(STEP, lookup_host((name, port))).await {
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
        _ => {
            return format!(
                "no such host: {name} of store.url does not resolve; is it spelt right, and known to this machine?"
            );
        }
    };
    match tokio::time::timeout(STEP, TcpStream::connect(addresses.as_slice())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            return format!(
                "{shown} refuses connections: is mongod running there, on this port, and bound to this address?"
            );
        }
        Ok(Err(error)) => return format!("{shown} cannot be reached ({}): look at the network", error.kind()),
        Err(_) => {
            return format!("{shown} does not answer: look at firewalls and network policies between here and there");
        }
    }
    let with_tls = matches!(options.tls, Some(Tls::Enabled(_)));
    match hello(options, host, options.tls.clone()).await {
        Some(hello) => about(options, &shown, &hello),
        None => {
            let other = if with_tls { Tls::Disabled } else { Tls::Enabled(any_certificate()) };
            match (hello_by(options, host, other).await, with_tls) {
                (true, true) => {
                    format!("{shown} speaks no TLS, and store.url asks for it: remove tls=true, or switch TLS on there")
                }
                (true, false) => format!("{shown} speaks TLS only: add tls=true to store.url"),
                (false, true) => {
                    let trusts = hello_by(options, host, Tls::Enabled(any_certificate())).await;
                    match trusts {
                        true => format!(
                            "{shown} has a certificate that is not trusted, or of another host name: give its authority as \
                             tlsCAFile in store.url"
                        ),
                        false => format!(
                            "{shown} accepts connections and does not answer: is it a mongod, and do the TLS options fit?"
                        ),
                    }
                }
                (false, false) => format!(
                    "{shown} accepts connections and does not answer: is it a mongod, and do the TLS options fit?"
                ),
            }
        }
    }
}

/// Says what is wrong with a server that answers.
fn about(options: &ClientOptions, shown: &str, hello: &mongodb::bson::Document) -> String {
    let set = hello.get_str("setName").ok();
    match (&options.repl_set_name, set) {
        (Some(wanted), Some(set)) if wanted != set => {
            format!("{shown} is a member of replica set {set}, and store.url says replicaSet={wanted}: correct it")
        }
        (Some(_), None) => format!(
            "{shown} is no member of a replica set yet, and store.url names one: start mongod with --replSet and run rs.initiate()"
        ),
        _ if hello.get_bool("isWritablePrimary").unwrap_or(false) => {
            let members: Vec<_> =
                hello.get_array("hosts").into_iter().flatten().filter_map(|host| host.as_str()).collect();
            format!(
                "{shown} is the primary and answers, but its replica set calls its members {}: these names have to be reachable \
                 from here (rs.reconfig())",
                members.join(", ")
            )
        }
        _ => format!("{shown} answers and is not the primary: is a majority of the replica set up? rs.status() tells"),
    }
}

/// Takes whatever certificate there is: nothing is sent over the connection but the question what answers.
fn any_certificate() -> TlsOptions {
    TlsOptions::builder().allow_invalid_certificates(true).build()
}

async fn hello_by(options: &ClientOptions, host: &ServerAddress, tls: Tls) -> bool {
    hello(options, host, Some(tls)).await.is_some()
}

/// Asks one host what it is, without a user, since that needs none.
async fn hello(options: &ClientOptions, host: &ServerAddress, tls: Option<Tls>) -> Option<mongodb::bson::Document> {
    let mut options = options.clone();
    options.hosts = vec![host.clone()];
    options.direct_connection = Some(true);
    options.load_balanced = None;
    options.repl_set_name = None;
    options.credential = None;
    options.tls = tls;
    options.server_selection_timeout = Some(STEP);
    options.connect_timeout = Some(STEP);
    let client = Client::with_options(options).ok()?;
    let admin = client.database("admin");
    let asked = tokio::time::timeout(STEP * 2, admin.run_command(doc! { "hello": 1 })).await;
    let answer = asked.ok().and_then(Result::ok);
    client.shutdown().immediate(true).await;
    answer
}
