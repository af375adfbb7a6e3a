//! Programs that read GitLab: where they are installed, and what they are told about the server.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{done, installed, node, provide, python, script};

/// Where the programs are.
pub(super) struct Tools {
    python: PathBuf,
    /// Tools that want an older python-gitlab.
    older: PathBuf,
    node: PathBuf,
    glab: PathBuf,
}

impl Tools {
    pub(super) fn install() -> Self {
        Self { python: python(), older: older(), node: node(), glab: glab() }
    }

    /// Runs a command of a client in a home that knows the server, and returns all that it prints.
    pub(super) fn run(&self, home: &Path, url: &str, token: &str, client: &str, arguments: &[String]) -> String {
        if client == "mcp" {
            return self.ask(home, url, token, arguments);
        }
        let mut command = match client {
            "gitlab" => Command::new(self.python.join(client)),
            "gitbeaker" => Command::new(self.node.join("node_modules/.bin").join(client)),
            "glab" => Command::new(self.glab.join("usr/bin/glab")),
            _ => Command::new(self.older.join(client)),
        };
        let output = at_home(&mut command, home).args(arguments).env("GITLAB_HOST", url).env("GITLAB_TOKEN", token);
        let output = output.env("GITBEAKER_HOST", url).env("GITBEAKER_TOKEN", token).output().expect("a client");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
    }

    /// Asks the MCP server to use a tool, after it has listed them.
    fn ask(&self, home: &Path, url: &str, token: &str, arguments: &[String]) -> String {
        let mut command = Command::new("node");
        command.arg(self.node.join("node_modules/@zereight/mcp-gitlab/build/index.js"));
        at_home(&mut command, home).env("GITLAB_API_URL", format!("{url}/api/v4"));
        command.env("GITLAB_PERSONAL_ACCESS_TOKEN", token).env("USE_PIPELINE", "true");
        command.env("GITLAB_DISABLE_VERSION_CHECK", "true").env("GITLAB_READ_ONLY_MODE", "true");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("an MCP server");
        let mut input = child.stdin.take().expect("a pipe");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut ask = |id: u64, method: &str, parameters: Value| {
            let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": parameters});
            writeln!(input, "{question}").expect("it listens");
            let answers = lines.by_ref().map(|line| line.expect("text"));
            let mut answers = answers.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            answers.find(|answer| answer["id"] == id).expect("an answer")
        };
        let hello = json!({"protocolVersion": "2024-11-05", "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}});
        ask(1, "initialize", hello);
        let listed = ask(2, "tools/list", json!({}));
        let tools = listed["result"]["tools"].as_array().expect("tools");
        assert!(tools.iter().any(|tool| tool["name"] == arguments[0].as_str()), "{arguments:?}");
        let wish: Value = serde_json::from_str(&arguments[1]).expect("JSON");
        let answer = ask(3, "tools/call", json!({"name": arguments[0], "arguments": wish}));
        let _ = child.kill();
        let _ = child.wait();
        answer.to_string()
    }
}

/// Nothing of the tester's own settings reaches a client.
fn at_home<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    let own = "XDG_CONFIG_HOME XDG_DATA_HOME PYTHON_GITLAB_CFG CI_JOB_TOKEN CI_SERVER_URL GLAB_CONFIG_DIR OAUTH_TOKEN \
         GITLAB_URI GITLAB_URL GITLAB_ACCESS_TOKEN HTTP_PROXY HTTPS_PROXY http_proxy https_proxy";
    let command = own.split_whitespace().fold(command, |command, name| command.env_remove(name));
    command.env("HOME", home).env("LANG", "C.UTF-8").current_dir(home)
}

/// Writes the settings of all clients into a home.
pub(super) fn settle(home: &Path, url: &str, token: &str) {
    let host = url.trim_start_matches("http://");
    let write = |name: &str, text: String| {
        let file = home.join(name);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(&file, text).expect("written");
        // glab refuses a file that others may read.
        done(Command::new("chmod").arg("600").arg(&file), "chmod");
    };
    let python = format!("[global]\ndefault = here\n[here]\nurl = {url}\nprivate_token = {token}\n");
    write(".python-gitlab.cfg", python);
    write(".gl-query/config.cfg", format!("[config]\nurl = {url}/api/v4/\ntoken = {token}\n"));
    write(".config/glap/glap.toml", format!("[remotes.here]\nurl = \"{url}\"\nprivate_token = \"{token}\"\n"));
    let glab = format!(
        "check_update: false\nhost: {host}\nhosts:\n    {host}:\n        token: {token}\n        api_host: {host}\n        \
         api_protocol: http\n        git_protocol: http\n"
    );
    write(".config/glab-cli/config.yml", glab);
    // glab looks for a branch even where it is told a pipeline.
    done(Command::new("git").args(["init", "-q", "-b", "main"]).current_dir(home), "glab takes git");
}

fn older() -> PathBuf {
    let install = |directory: &Path| {
        let what = "the tools of tools.txt cannot be installed: this takes Python 3 with venv, and its registry";
        provide(Command::new("python3").args(["-c", "import ensurepip, venv"]), &["python3", "python3-venv"]);
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(directory.join("venv")), what);
        let mut pip = Command::new(directory.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]);
        done(pip.arg(script("tools.txt")), what);
    };
    installed("tools", "tools.txt", install).join("venv/bin")
}

/// glab is in Debian from trixie on; its binary runs on older ones, too.
fn glab() -> PathBuf {
    let install = |directory: &Path| {
        provide(Command::new("git").arg("--version"), &["git"]);
        let lines = "sed -e 's/^Suites:.*/Suites: trixie/' /etc/apt/sources.list.d/debian.sources | \
             awk 'BEGIN { RS = \"\" } NR == 1' > suite.sources
             mkdir -p lists/partial cache/archives/partial
             options=\"-o Dir::Etc::sourcelist=$PWD/suite.sources -o Dir::Etc::sourceparts=/dev/null \
             -o Dir::State::lists=$PWD/lists -o Dir::Cache=$PWD/cache -o APT::Sandbox::User=root\"
             apt-get $options update -q && apt-get $options download glab && dpkg-deb -x glab_*.deb . && rm -r lists cache";
        let what = "glab cannot be installed: this takes apt and the package of Debian trixie";
        done(Command::new("sh").args(["-ec", lines]).current_dir(directory), what);
    };
    installed("glab", "glab.txt", install)
}
