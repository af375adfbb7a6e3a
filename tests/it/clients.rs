//! GitLab's own clients, unchanged, against the real program: what they get is what GitLab gives them, and costs GitLab nothing.
//!
//! They are installed once, from the registries of their languages, under `target/clients`.

mod commands;
mod tools;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cistern::demo::fake::{ArtifactDelivery, Options, World};
use cistern::loopback;
use serde_json::Value;

use crate::process::Server;
use crate::rig::Rig;
use crate::rig::mongod::debian;

const STORE: &str = "cistern.db";

/// Where a file of `tests/clients` is.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Returns where clients are installed, installing what a file asks for unless the same was installed before.
fn installed(name: &str, wanted: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients").join(name);
    fs::create_dir_all(&directory).expect("a directory under target");
    let wanted = fs::read_to_string(script(wanted)).expect("what is wanted");
    let lock = File::create(directory.join("lock")).expect("a lock");
    // Another test, or another test binary, may install the same.
    lock.lock().expect("locked");
    let mark = directory.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return directory;
    }
    install(&directory);
    fs::write(mark, wanted).expect("written");
    directory
}

/// Installs packages unless a command works already.
fn provide(probe: &mut Command, packages: &[&str]) {
    let works = probe.output().is_ok_and(|output| output.status.success());
    if !works {
        debian::install(packages);
    }
}

fn done(command: &mut Command, what: &str) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {command:?} cannot be run: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{what} ({}):\n{}{}", output.status, text(&output.stdout), text(&output.stderr));
    output
}

/// Returns the programs of a Python environment with what `requirements.txt` asks for.
fn python() -> PathBuf {
    let install = |directory: &Path| {
        let what =
            "python-gitlab and schemathesis cannot be installed: this takes Python 3 with venv, and its registry";
        provide(Command::new("python3").args(["-c", "import ensurepip, venv"]), &["python3", "python3-venv"]);
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory.join("venv")), what);
        let mut pip = Command::new(directory.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]);
        done(pip.arg(script("requirements.txt")), what);
    };
    installed("python", "requirements.txt", install).join("venv/bin")
}

/// Returns a directory in which the packages of `package.json` are found.
fn node() -> PathBuf {
    let install = |directory: &Path| {
        let what = "@gitbeaker/rest cannot be installed: this takes Node.js 20 with npm, and its registry";
        provide(Command::new("npm").arg("--version"), &["nodejs", "npm"]);
        fs::copy(script("package.json"), directory.join("package.json")).expect("copied");
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]);
        done(npm.current_dir(directory), what);
    };
    let directory = installed("node", "package.json", install);
    // Packages are looked for beside the script.
    fs::copy(script("read.mjs"), directory.join("read.mjs")).expect("copied");
    directory
}

/// A GitLab with everything in it, and the real program that has cached it.
async fn cached() -> (Rig, Server) {
    let options = Options { artifacts: ArtifactDelivery::Direct, ..Options::default() };
    let rig = Rig::with(World::demo(3, 5, 8, 13), options);
    assert!(rig.backfill(STORE).await.is_clean());
    let server = Server::start(&rig, STORE).await;
    server.until_swept().await;
    (rig, server)
}

/// Runs a client against GitLab and against Cistern, and makes sure that it got the same, the second time from the cache.
async fn compare(make: impl FnOnce() -> Box<dyn Fn() -> Command + Send> + Send + 'static) {
    let (rig, server) = cached().await;
    let make = tokio::task::spawn_blocking(make).await.expect("installed");
    let (gitlab, token) = (rig.fake.url().to_owned(), rig.fake.token().to_owned());
    let cistern = format!("http://{}", server.address());
    let read = |make: Box<dyn Fn() -> Command + Send>, url: String, token: String| {
        tokio::task::spawn_blocking(move || {
            let output = done(make().args([url.as_str(), token.as_str()]), "a client cannot read");
            (make, serde_json::from_slice::<Value>(&output.stdout).expect("JSON"))
        })
    };
    let (make, theirs) = read(make, gitlab, token.clone()).await.expect("read");
    let before = rig.fake.requests();
    assert!(before.total > 300, "{} calls are worth saving", before.total);
    let (_, ours) = read(make, cistern, token).await.expect("read");
    assert_eq!(rig.fake.requests(), before, "what is cached costs GitLab nothing");
    if theirs != ours {
        panic!("{}", difference("", &theirs, &ours).unwrap_or_default());
    }
    drop(server);
}

/// Returns the first difference and where it is.
fn difference(place: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
            left.iter().find_map(|(key, value)| {
                difference(&format!("{place}/{key}"), value, right.get(key).unwrap_or(&Value::Null))
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let both = left.iter().zip(right).enumerate();
            both.filter_map(|(number, (left, right))| difference(&format!("{place}/{number}"), left, right)).next()
        }
        _ => (theirs != ours).then(|| format!("{place}:\n  GitLab  {theirs}\n  Cistern {ours}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn python_gitlab_gets_what_gitlab_gives_it() {
    compare(|| {
        let python = python().join("python");
        Box::new(move || {
            let mut command = Command::new(&python);
            command.arg(script("read.py"));
            command
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gitbeaker_gets_what_gitlab_gives_it() {
    compare(|| {
        let directory = node();
        Box::new(move || {
            let mut command = Command::new("node");
            command.current_dir(&directory).arg("read.mjs");
            command
        })
    })
    .await;
}

/// Requests that follow from the description, good ones and odd ones, always the same: none may fail the server or be
/// answered with what is not described.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_failure_and_nothing_undescribed() {
    let (rig, server) = cached().await;
    let project = rig.fake.with(|world| world.projects()[0]);
    let pipeline = rig.fake.with(|world| world.pipelines_of(project)[0]);
    let job = rig.fake.with(|world| world.jobs_of(pipeline)[0]);
    let served = loopback::send(server.address(), "GET", "/openapi.json", &[], b"").await.expect("an answer");
    // Ids that exist, so that more than 404s is looked at.
    let mut document: Value = serde_json::from_slice(&served.body).expect("JSON");
    let ids = [("project", project.0), ("pipeline", pipeline.0), ("job", job.0)];
    for operation in document["paths"]
        .as_object_mut()
        .expect("paths")
        .values_mut()
        .flat_map(|item| item.as_object_mut().expect("operations").values_mut())
    {
        for parameter in operation["parameters"].as_array_mut().expect("parameters") {
            if let Some((name, id)) = ids.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["example"] = if *name == "project" { id.to_string().into() } else { (*id).into() };
            }
        }
    }
    let file = rig.directory.path().join("openapi.json");
    fs::write(&file, document.to_string()).expect("written");
    let url = format!("http://{}", server.address());
    let checked = tokio::task::spawn_blocking(move || {
        let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method";
        let mut schemathesis = Command::new(python().join("schemathesis"));
        schemathesis.arg("run").arg(&file).args([
            "--url",
            &url,
            "--checks",
            checks,
            "--seed",
            "7",
            "--max-examples",
            "8",
        ]);
        schemathesis.args(["--generation-database", "none", "--no-color"]);
        done(schemathesis.current_dir(file.parent().expect("a directory")), "schemathesis found something")
    });
    checked.await.expect("checked");
    drop(server);
}
