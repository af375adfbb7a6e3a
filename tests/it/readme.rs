//! The README says what the program does: its tables, commands, settings and metrics are those of the code.

use std::collections::BTreeSet;
use std::fs;

use cistern::cli::Cli;
use cistern::config::{Config, Flags, Needs, Surroundings, keys};
use cistern::demo::fake::{Delivery, JobSpec, PipelineSpec, World};
use cistern::domain::Reason;

use crate::rig::Rig;

fn file(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a file of the project")
}

/// Returns the lines of the README's blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let readme = file("README.md");
    let mut inside = false;
    let mut lines = Vec::new();
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(mark) => inside = !inside && mark == language,
            None if inside => lines.push(line.to_owned()),
            None => {}
        }
    }
    lines
}

/// Returns every word of the README that begins so and goes on with letters of a name.
fn words(start: &str) -> BTreeSet<String> {
    let readme = file("README.md");
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let rest = readme.match_indices(start).map(|(at, _)| &readme[at..]);
    rest.map(|rest| rest.split(ends).next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn its_settings_table_is_that_of_the_code() {
    let readme = file("README.md");
    let (begin, end) = ("<!-- settings -->\n", "<!-- /settings -->");
    let written = readme.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).expect("both marks").0;
    let table = keys::table();
    assert!(written == table, "put this between the marks in README.md:\n\n{table}");
}

#[test]
fn its_commands_are_understood() {
    let commands: Vec<_> = blocks("sh").into_iter().filter(|line| line.starts_with("cistern ")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        let words = command.split('#').next().unwrap_or_default().split_whitespace();
        assert!(Cli::try_parse_from(words).is_ok(), "{command}");
    }
    for flag in ["--project 7", "--since 90d", "--sequential", "--output json", "--wait 1m"] {
        let line = format!("cistern backfill {flag}");
        assert!(Cli::try_parse_from(line.split(' ')).is_ok() && file("README.md").contains(&flag[..6]), "{flag}");
    }
}

#[test]
fn its_configuration_file_and_variables_are_accepted() {
    let text = blocks("toml").join("\n");
    let read = move |path: &std::path::Path| match path.to_string_lossy().as_ref() {
        "cistern.toml" => Ok(text.clone()),
        "/run/secrets/gitlab-token" => Ok("glpat-x".to_owned()),
        "/run/secrets/webhook-tokens" => Ok(crate::rig::SIGNING_TOKEN.to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let mut flags = Flags::default();
    flags.file = Some("cistern.toml".into());
    let config = Config::load(&flags, &Surroundings::new([("", ""); 0], read), Needs::Gitlab);
    assert!(config.as_ref().is_ok_and(|config| config.warnings().is_empty()), "{config:?}");

    let known: BTreeSet<_> = keys::KEYS.iter().flat_map(|key| key.names()).map(|name| keys::variable(&name)).collect();
    let of_tests = |name: &String| name.starts_with("CISTERN_TEST_");
    let words = words(keys::VARIABLE_PREFIX).into_iter();
    let unknown: Vec<_> = words.filter(|name| !known.contains(name) && !of_tests(name)).collect();
    assert!(unknown.is_empty(), "no such variables: {unknown:?}");
}

#[test]
fn it_explains_every_reason() {
    let readme = file("README.md");
    for reason in Reason::ALL {
        assert!(readme.contains(&format!("\n| `{}` | ", reason.as_str())), "{}", reason.as_str());
    }
}

#[test]
fn its_test_command_is_what_ci_runs() {
    let line = blocks("sh").into_iter().find(|line| line.contains(" test")).expect("a command for the tests");
    let command = line.split('#').next().unwrap_or_default().trim_end();
    assert!(file(".ci/run").lines().any(|line| line.trim() == command), "{command} is not a line of .ci/run");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_it_names_exists() {
    let mut world = World::new();
    let project = world.add_project("group/app");
    let rig = Rig::new(world);
    let serving = rig.serve("cistern.db").await;
    let job = rig.fake.with(|world| {
        let pipeline = world.add_pipeline(project, PipelineSpec::default());
        let job = world.add_job(pipeline, JobSpec::new("unit"));
        world.start_job(job);
        world.finish_job(job, "success");
        job
    });
    // A metric with labels is there once something was counted.
    let event = rig.fake.job_event(job).expect("an event");
    assert_eq!(serving.deliver(&event).await.status, 202);
    assert_eq!(serving.deliver(&Delivery::with_bad_signature(event)).await.status, 401);
    serving.idle().await;
    let metrics = serving.admin("/metrics").await;
    let named = words("cistern_");
    assert!(named.len() > 5, "{named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|name| {
            let metric = format!("# TYPE {} ", name.trim_end_matches("_total"));
            !metrics.contains(&metric)
        })
        .collect();
    assert!(missing.is_empty(), "no such metrics: {missing:?}\n{metrics}");
    serving.stop().await;
}
