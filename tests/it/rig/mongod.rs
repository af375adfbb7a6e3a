//! A real `mongod`, a replica set of one member, for the tests of the store in MongoDB.

#[path = "mongod/debian.rs"]
pub(crate) mod debian;
#[path = "mongod/found.rs"]
mod found;

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::future::Future;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::PATIENCE;

/// The user that `start_with_auth` creates: it may do everything.
pub(crate) const USER: &str = "cistern";

/// That user's password.
pub(crate) const PASSWORD: &str = "pa55word";

const SET: &str = "rs0";

/// Whom a mongod lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    Nobody,
    Password,
    Tls,
}

/// Starts, stops and signals a mongod as its standard input says, and answers each order with a line.
///
/// Its input ends when the test process does, even by SIGKILL: then mongod and its directory go. It is the parent of
/// mongod, so that `wait` knows when a killed one is gone. Nothing of mongod's is a pipe: it would hold it open.
const KEEPER: &str = r#"
directory=$1 pid=
shift
# The tests may end before they read an answer, or while mongod is paused: the system then sends HUP to this group.
trap "" HUP PIPE
end() {
    [ -z "$pid" ] || { kill -9 "$pid"; wait "$pid"; pid=; }
}
while read -r order port; do
    case $order in
        start)
            end
            : >"$directory/log"
            "$@" --port "$port" </dev/null >>"$directory/log" 2>&1 &
            pid=$! ;;
        kill) end ;;
        pause)
            # Its threads stop one by one, and until then one of them may answer. (HUP comes with a CONT.)
            while
                kill -STOP "$pid"
                grep -h ^State: /proc/"$pid"/task/*/status | grep -qvE "stopped|zombie"
            do :; done ;;
        resume) kill -CONT "$pid" ;;
    esac
    echo done
done
end
rm -rf "$directory"
"#;

/// A replica set to test with: a mongod of our own, or the server that the environment names.
pub(crate) struct Mongod {
    /// The URI up to the name of the database.
    front: String,
    /// The URI from its `?` on.
    options: String,
    /// What the names of fresh databases begin with.
    prefix: String,
    own: Option<Mutex<Keeper>>,
}

/// Returns the instance that the tests of this process share; the first call starts it.
pub(crate) fn shared() -> &'static Mongod {
    static SHARED: LazyLock<Option<Mongod>> = LazyLock::new(|| {
        let start = || found::given_uri().map_or_else(Mongod::start, |uri| Mongod::given(&uri));
        // The second test that asks should not wait for the same failure again.
        std::panic::catch_unwind(start).ok()
    });
    SHARED.as_ref().expect("a shared mongod: the first test that asked for it says why there is none")
}

impl Mongod {
    /// Starts an instance of its own, for a test that stops it.
    pub(crate) fn start() -> Self {
        Self::launch(Guard::Nobody)
    }

    /// Starts an instance of its own that asks for a password: `USER` and `PASSWORD` may do everything.
    pub(crate) fn start_with_auth() -> Self {
        Self::launch(Guard::Password)
    }

    /// Starts an instance of its own that speaks TLS only; its authority is [`authority`].
    pub(crate) fn start_with_tls() -> Self {
        Self::launch(Guard::Tls)
    }

    /// Returns the URI of a database that nobody used.
    pub(crate) fn fresh_uri(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        format!("{}{}_{}{}", self.front, self.prefix, NEXT.fetch_add(1, Ordering::Relaxed), self.options)
    }

    /// Removes the database of a fresh URI. Each has a file for every collection and index, and mongod keeps those open: with
    /// those of all tests it would have more than it may.
    pub(crate) fn discard(&self, uri: &str) {
        if !uri.starts_with(&format!("{}{}", self.front, self.prefix)) {
            return;
        }
        outside(async {
            let Ok(client) = Client::with_uri_str(uri).await else { return };
            if let Some(database) = client.default_database() {
                // A test that failed may have left anything; the next ones say so if it matters.
                let _ = database.drop().await;
            }
        });
    }

    /// Returns the URI of a database that nobody used, for a user of an instance that asks for a password.
    pub(crate) fn uri_as(&self, user: &str, password: &str) -> String {
        let [user, password] = [user, password].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        let uri = self.fresh_uri().replacen("://", &format!("://{user}:{password}@"), 1);
        uri + "&authSource=admin"
    }

    /// Stops it in its tracks (SIGSTOP): connections stay, and nothing answers.
    pub(crate) fn pause(&self) {
        self.keeper().order("pause");
    }

    /// Lets a paused one go on.
    pub(crate) fn resume(&self) {
        self.keeper().order("resume");
    }

    /// Kills it (SIGKILL) and waits until it is gone; its data stays.
    pub(crate) fn kill(&self) {
        self.keeper().order("kill");
    }

    /// Starts it again over its data, on its port, and waits until it takes writes; one that runs is killed first.
    pub(crate) fn restart(&self) {
        let keeper = &mut *self.keeper();
        outside(async {
            let begin = Instant::now();
            // Anybody's outgoing connection may have been given the port for a while.
            while !keeper.listens_on(keeper.port).await {
                assert!(begin.elapsed() < PATIENCE, "port {} is still taken: run the test again", keeper.port);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            until_primary(&admin(keeper.port, keeper.guard).await).await;
        });
    }

    /// Has it give up being primary; being alone, it is elected again after ten seconds.
    pub(crate) fn step_down(&self) {
        let keeper = &*self.keeper();
        outside(async {
            let admin = admin(keeper.port, keeper.guard).await;
            let command = doc! { "replSetStepDown": 10, "force": true };
            admin.run_command(command).await.expect("a primary that steps down");
        });
    }

    /// Returns whether this process started it, and may stop it.
    pub(crate) fn is_ours(&self) -> bool {
        self.own.is_some()
    }

    fn launch(guard: Guard) -> Self {
        let mut keeper = Keeper::new(found::program(), guard);
        outside(async {
            // Between the choice of a free port and mongod's start somebody else may take it.
            for _ in 0..5 {
                if keeper.listens_on(free_port()).await {
                    return initiate(keeper.port, guard).await;
                }
            }
            panic!("five ports that were free were taken when mongod started: run the test again");
        });
        Self {
            front: format!("mongodb://127.0.0.1:{}/", keeper.port),
            options: format!("?replicaSet={SET}"),
            prefix: format!("t_{}", std::process::id()),
            own: Some(Mutex::new(keeper)),
        }
    }

    /// Takes the server of a URI; no message repeats the URI, which may hold a password.
    fn given(uri: &str) -> Self {
        let credential_source = outside(async {
            // The driver's own message could hold a part of a password that is not encoded as it should be.
            let Ok(options) = ClientOptions::parse(uri).await else {
                panic!("{} is no good: set it to mongodb://HOST:PORT, with % codes in a password", found::VARIABLE);
            };
            let source = options.credential.as_ref().and_then(|credential| credential.source.clone());
            let admin = Client::with_options(options).expect("options that the driver made").database("admin");
            let ask = async |command| {
                let answer = admin.run_command(command).await;
                answer.unwrap_or_else(|error| panic!("the server of {} does not answer: {error}", found::VARIABLE))
            };
            let set = ask(doc! { "hello": 1 }).await.contains_key("setName");
            assert!(set, "the server of {} is no replica set: start it with --replSet", found::VARIABLE);
            let build = ask(doc! { "buildInfo": 1 }).await;
            found::say(&format!("a server (version {}), {}", build.get_str("version").unwrap_or("?"), found::VARIABLE));
            source
        });
        let (front, mut options) = split(uri);
        // Without it, the name of the fresh database would also say where the user is looked up.
        if let Some(source) = credential_source.filter(|_| !options.to_lowercase().contains("authsource=")) {
            let and = if options == "?" { "" } else { "&" };
            write!(options, "{and}authSource={}", utf8_percent_encode(&source, NON_ALPHANUMERIC)).expect("a string");
        }
        // This server outlives us, and in a container every run may have the same process id.
        let prefix = format!("t_{}_{:08x}", std::process::id(), fastrand::u32(..));
        Self { front, options, prefix, own: None }
    }

    fn keeper(&self) -> MutexGuard<'_, Keeper> {
        let own = self.own.as_ref().expect("a server that was given is not stopped: use Mongod::start()");
        own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shell that has mongod as its child.
struct Keeper {
    shell: Child,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
    port: u16,
    guard: Guard,
}

impl Keeper {
    fn new(program: &Path, guard: Guard) -> Self {
        let directory = tempfile::Builder::new().prefix("cistern-mongod-").tempdir().expect("a directory for mongod");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper"]).arg(directory.path()).arg(program).arg("--dbpath").arg(directory.path());
        command.args(["--replSet", SET, "--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"]);
        command.args(["--wiredTigerCacheSizeGB", "0.5", "--oplogSize", "256"]);
        command.args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        // What is dropped is kept for as long as snapshots of the past may be read: by default five minutes.
        command.args(["--setParameter", "minSnapshotHistoryWindowInSeconds=0"]);
        if guard == Guard::Tls {
            command.args(["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates"]);
            command.args(["--tlsCAFile", authority(), "--tlsCertificateKeyFile"]);
            command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/server.pem"));
        }
        if guard == Guard::Password {
            let path = directory.path().join("key");
            let mut key = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).expect("a key file");
            let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(64).collect();
            key.write_all(text.as_bytes()).expect("a key file");
            command.arg("--auth").arg("--keyFile").arg(path);
        }
        // In a group of its own: Ctrl-C ends the tests, and the shell then has to clear up.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut shell = command.spawn().expect("a shell");
        let answers = BufReader::new(shell.stdout.take().expect("its output is a pipe"));
        // From here on the shell removes it.
        Self { shell, answers, directory: directory.keep(), port: 0, guard }
    }

    fn order(&mut self, order: &str) {
        let orders = self.shell.stdin.as_mut().expect("its input is a pipe");
        writeln!(orders, "{order}").expect("the shell that keeps mongod should live");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the shell that keeps mongod should answer");
        assert_eq!(answer, "done\n", "the shell that keeps mongod has ended");
    }

    /// Starts mongod and waits until it listens; returns false when the port is taken.
    ///
    /// Only its log tells: on a port that is taken, another mongod may answer.
    async fn listens_on(&mut self, port: u16) -> bool {
        self.port = port;
        self.order(&format!("start {port}"));
        let begin = Instant::now();
        loop {
            let log = std::fs::read(self.directory.join("log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            if log.contains("Address already in use") {
                return false;
            }
            if log.contains("Waiting for connections") {
                return true;
            }
            let ended = log.contains("Shutting down") || begin.elapsed() > PATIENCE;
            assert!(!ended, "mongod does not start: look for the reason in its log\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // It closes the shell's input, and waits until the shell has cleared up.
        let _ = self.shell.wait();
    }
}

/// Returns the file with the certificate of the authority that made the one of [`Mongod::start_with_tls`].
pub(crate) fn authority() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/ca.pem")
}

/// Runs on a thread with a runtime of its own: the test may be inside another runtime, which could not block on it.
fn outside<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let run = || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.enable_all().build().expect("a runtime").block_on(work)
        };
        let thread = std::thread::Builder::new().name("mongod".to_owned()).spawn_scoped(scope, run);
        thread.expect("a thread").join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Connects to this one server, whatever state it is in.
async fn admin(port: u16, guard: Guard) -> Database {
    let tls = if guard == Guard::Tls { format!("&tls=true&tlsCAFile={}", authority()) } else { String::new() };
    let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true{tls}");
    Client::with_uri_str(uri).await.expect("a good URI").database("admin")
}

/// Makes a replica set of one, and the user through the exception that mongod makes for localhost before it has users.
async fn initiate(port: u16, guard: Guard) {
    let admin = admin(port, guard).await;
    let member = doc! { "_id": 0, "host": format!("127.0.0.1:{port}") };
    let set = doc! { "replSetInitiate": { "_id": SET, "members": [member] } };
    admin.run_command(set).await.expect("mongod should become a replica set");
    until_primary(&admin).await;
    if guard == Guard::Password {
        let user = doc! { "createUser": USER, "pwd": PASSWORD, "roles": ["root"] };
        admin.run_command(user).await.expect("mongod should take its first user");
    }
}

async fn until_primary(admin: &Database) {
    let begin = Instant::now();
    loop {
        let hello = admin.run_command(doc! { "hello": 1 }).await;
        if hello.as_ref().is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap_or(false)) {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "mongod takes no writes; its last word was {hello:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Splits a URI, as the driver does, before its database and behind it; the latter begins with a `?`.
fn split(uri: &str) -> (String, String) {
    let (front, options) = uri.split_once('?').unwrap_or((uri, ""));
    let host = front.rfind('@').or_else(|| front.find("://").map(|at| at + 2)).map_or(0, |at| at + 1);
    let end = front[host..].find('/').map_or(front.len(), |at| host + at);
    (format!("{}/", &front[..end]), format!("?{options}"))
}
