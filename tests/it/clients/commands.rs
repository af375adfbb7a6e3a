//! Commands of public clients, and in which modes they print what they print for GitLab: `tests/clients/commands.txt`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cistern::demo::fake::{ArtifactDelivery, Options, World};
use tempfile::TempDir;

use super::tools::{Tools, settle};
use super::{STORE, script};
use crate::process::Server;
use crate::rig::Rig;

const TOKEN: &str = "glpat-developer-2b3c4d5e";

/// A mode's letter, and its settings. Where GitLab does not judge readers, they read as the service does: the clients have its token.
const MODES: [(char, &[(&str, &str)]); 3] = [
    ('g', &[("access.mode", "gitlab")]),
    ('t', &[("access.mode", "token")]),
    ('s', &[("access.mode", "token"), ("api.pass_through", "service")]),
];

/// A line of the table.
#[derive(Clone)]
struct Line {
    whole: String,
    client: String,
    arguments: Vec<String>,
}

fn table(names: &[(&str, String)]) -> Vec<Line> {
    let text = std::fs::read_to_string(script("commands.txt")).expect("the table");
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = |row: &str| {
        let mut words = row.split(' ').map(|word| {
            names.iter().fold(word.to_owned(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
        });
        let (whole, client) = (words.next().expect("modes"), words.next().expect("a client"));
        Line { whole, client, arguments: words.collect() }
    };
    rows.map(line).collect()
}

/// Runs commands, two at a time, and returns what each printed, without the server's address.
async fn outputs(tools: &Arc<Tools>, url: &str, gitlab: &str, token: &str, lines: &[Line]) -> Vec<String> {
    let (tools, url, gitlab, lines) = (Arc::clone(tools), url.to_owned(), gitlab.to_owned(), lines.to_vec());
    let token = token.to_owned();
    let printed = tokio::task::spawn_blocking(move || {
        let next = Mutex::new(0..lines.len());
        let printed = Mutex::new(vec![String::new(); lines.len()]);
        let work = || loop {
            let Some(number) = next.lock().expect("a number").next() else { return };
            // What one command leaves behind is not there for the next.
            let home = TempDir::new().expect("a home");
            settle(home.path(), &url, &token);
            let line = &lines[number];
            let arguments: Vec<_> = line.arguments.iter().map(|argument| argument.replace("{url}", &url)).collect();
            let text = tools.run(home.path(), &url, &token, &line.client, &arguments);
            let mut text = text.replace(&*home.path().to_string_lossy(), "HOME");
            for server in [&url, &gitlab] {
                text = text.replace(server.trim_start_matches("http://"), "SERVER");
            }
            printed.lock().expect("a list")[number] = text;
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
        printed.into_inner().expect("a list")
    });
    printed.await.expect("run")
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_public_clients_print_what_they_print_for_gitlab() {
    let tools = tokio::task::spawn_blocking(|| Arc::new(Tools::install())).await.expect("installed");
    let mut world = World::demo(3, 4, 8, 13);
    world.add_user(TOKEN);
    for project in world.projects() {
        world.set_role(project, TOKEN, 30);
    }
    let project = world.projects()[0];
    let pipeline = world.pipelines_of(project)[0];
    let job = world.jobs_of(pipeline)[0];
    let names = [
        ("project", project.to_string()),
        ("path", world.project_path(project).expect("a path").to_owned()),
        ("pipeline", pipeline.to_string()),
        ("job", job.to_string()),
    ];
    let mut rig = Rig::with(world, Options { artifacts: ArtifactDelivery::Direct, ..Options::default() });
    let detail = rig.ask_gitlab(&format!("/api/v4/projects/{project}/pipelines/{pipeline}")).await;
    let sha = ("sha", detail["sha"].as_str().expect("a commit").to_owned());
    let mut lines = table(&[&names[..], &[sha]].concat());
    // What is cached comes first, so that GitLab's calls can be counted.
    lines.sort_by_key(|line| !line.whole.starts_with('c'));
    let cached = lines.iter().filter(|line| line.whole.starts_with('c')).count();
    assert!(rig.backfill(STORE).await.is_clean());
    let gitlab = rig.fake.url().to_owned();
    let service = rig.fake.token().to_owned();
    // What is cached stays so however slow the machine is.
    rig = rig.set("access.tokens", &service).set("api.max_age", "1h");
    let readers = outputs(&tools, &gitlab, &gitlab, TOKEN, &lines).await;
    let services = outputs(&tools, &gitlab, &gitlab, &service, &lines).await;
    let mut wrong = Vec::new();
    let mut tally: BTreeMap<(&str, char), (u32, u32)> = BTreeMap::new();
    for (mode, settings) in MODES {
        rig = settings.iter().fold(rig, |rig, (key, value)| rig.set(key, value));
        let server = Server::start(&rig, STORE).await;
        server.until_swept().await;
        let url = format!("http://{}", server.address());
        let (token, theirs) = if mode == 'g' { (TOKEN, &readers) } else { (&*service, &services) };
        if mode == 'g' {
            // Whether a reader may is GitLab's to say, once.
            outputs(&tools, &url, &gitlab, token, &lines[..cached]).await;
        }
        let before = rig.fake.requests();
        let mut ours = outputs(&tools, &url, &gitlab, token, &lines[..cached]).await;
        if rig.fake.requests() != before {
            wrong.push(format!("{mode}: what is cached cost calls: {before:?} {:?}", rig.fake.requests()));
        }
        ours.extend(outputs(&tools, &url, &gitlab, token, &lines[cached..]).await);
        for ((line, theirs), ours) in lines.iter().zip(theirs).zip(&ours) {
            let whole = theirs == ours;
            let counted = tally.entry((&line.client, mode)).or_default();
            *counted = (counted.0 + u32::from(whole), counted.1 + 1);
            if whole != line.whole.contains(mode) {
                let command = format!("{} {}", line.client, line.arguments.join(" "));
                let differ = theirs.lines().zip(ours.lines()).find(|(theirs, ours)| theirs != ours).unwrap_or_default();
                let cut = |text: &str| text.chars().take(400).collect::<String>();
                let (theirs, ours) = (cut(differ.0), cut(differ.1));
                wrong.push(format!("{mode}: whole {whole}: {command}\n  GitLab  {theirs}\n  Cistern {ours}"));
            }
        }
        // One that was killed would keep the next one from sweeping a shared store until its lease is over.
        server.process.signal("TERM");
        assert_eq!(server.process.ended().await.code, Some(0));
    }
    assert!(wrong.is_empty(), "{}\nwhole, of all: {tally:?}", wrong.join("\n"));
}
