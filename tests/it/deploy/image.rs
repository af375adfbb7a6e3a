//! The image and the systemd unit say what the program does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use cistern::cli::Cli;
use cistern::config::{Config, Flags, Needs, Surroundings};
use cistern::store::Place;

use super::kustomize::path;

fn file(below: &str) -> String {
    std::fs::read_to_string(path(below)).expect("a file of the project")
}

/// Returns what comes after this word at the beginning of a line, for every such line.
fn after<'a>(text: &'a str, word: &'a str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(word)).map(str::trim).collect()
}

#[test]
fn the_image_runs_the_verbs_as_nobody() {
    let text = file("Dockerfile");
    let commands: Vec<Vec<String>> =
        ["ENTRYPOINT", "CMD"].map(|word| serde_json::from_str(after(&text, word)[0]).expect("a list")).into();
    assert_eq!(commands[0], ["/usr/local/bin/cistern"]);
    Cli::try_parse_from(commands.concat()).expect("a verb");
    let (_, check) = after(&text, "HEALTHCHECK")[0].split_once("CMD ").expect("a command");
    let check: Vec<String> = serde_json::from_str(check).expect("a list");
    assert_eq!(check[1], "healthcheck");
    Cli::try_parse_from(check).expect("a verb");
    assert_eq!(after(&text, "USER"), ["65532:65532"]);
    assert_eq!(after(&text, "EXPOSE"), ["8080 9090"]);
    let version = format!("org.opencontainers.image.version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{version}");
    let rust = file("Cargo.toml").lines().find_map(|line| line.strip_prefix("rust-version = ").map(str::to_owned));
    let rust = format!("rust:{}-", rust.expect("a version").trim_matches('"'));
    assert!(text.contains(&rust), "{rust}");
    // What the build reads is what is sent to it.
    let copied = after(&text, "COPY ").into_iter().filter(|words| !words.starts_with("--from"));
    let read: BTreeSet<String> = copied
        .flat_map(|words| words.rsplit_once(' ').expect("a place").0.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let sent: BTreeSet<String> =
        file(".dockerignore").lines().filter_map(|line| line.strip_prefix('!').map(str::to_owned)).collect();
    assert_eq!(read, sent);
}

#[test]
fn the_systemd_unit_has_settings_that_exist_and_time_to_stop() {
    let text = file("systemd/cistern.service");
    let mut variables: BTreeMap<_, _> =
        after(&text, "Environment=").into_iter().map(|line| line.split_once('=').expect("NAME=VALUE")).collect();
    variables.insert("CISTERN_GITLAB_URL", "https://gitlab.example.com");
    let read = |path: &Path| match path.to_string_lossy().as_ref() {
        "/etc/cistern/gitlab-token" => Ok("glpat-x".to_owned()),
        "/etc/cistern/webhook-signing-tokens" => Ok(crate::rig::SIGNING_TOKEN.to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let config = Config::load(&Flags::default(), &Surroundings::new(variables, read), Needs::Gitlab);
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let one = |name: &str| after(&text, name)[0].to_owned();
    let Place::Sqlite(store) = &config.store.place else { panic!("not a file") };
    assert_eq!(store.parent(), Some(Path::new("/var/lib").join(one("StateDirectory=")).as_path()));
    let patience = Duration::from_secs(one("TimeoutStopSec=").parse().expect("seconds"));
    assert!(patience > config.server.drain_delay + config.server.drain_timeout + Duration::from_secs(5));
    Cli::try_parse_from(one("ExecStart=").split(' ')).expect("a verb");
    assert_eq!(one("RestartPreventExitStatus="), "2");
    assert_eq!(after(&text, "SuccessExitStatus="), [""; 0], "a service that was stopped in order ends with 0");
    assert_eq!(one("ProtectSystem="), "strict");
}
