//! Debian's `webhook`, which runs a program for each webhook: the nearest there is to the receiver of webhooks here. It keeps
//! nothing; it may answer at once, with no limit of what it starts, or wait for the program, as it does here.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use super::PATIENCE;
use super::fetched;

/// It, running; killed when dropped.
pub(crate) struct HookRunner {
    child: Child,
    pub(crate) address: SocketAddr,
    /// For instance `2.8.0`.
    pub(crate) version: String,
    _directory: TempDir,
}

impl HookRunner {
    /// Where it takes webhooks.
    pub(crate) const PATH: &str = "/hooks/ended";

    /// What it compares `X-Gitlab-Token` with. It cannot check GitLab's signatures, which spares it their cost.
    pub(crate) const TOKEN: &str = "a-secret-token-of-a-hook";

    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Result<Self, Box<dyn Error>> {
        let program = fetched::debian("webhook")?;
        let version = Command::new(&program).arg("-version").output()?.stdout;
        let version = String::from_utf8_lossy(&version).trim().rsplit(' ').next().unwrap_or_default().to_owned();
        let directory = TempDir::new()?;
        let hooks = directory.path().join("hooks.json");
        let token = json!({ "source": "header", "name": "X-Gitlab-Token" });
        let hook = json!([{
            "id": "ended",
            "execute-command": "/bin/true",
            "include-command-output-in-response": true,
            "trigger-rule": { "match": { "type": "value", "value": Self::TOKEN, "parameter": token } },
            "trigger-rule-mismatch-http-response-code": 403,
        }]);
        std::fs::write(&hooks, hook.to_string())?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut program = Command::new(program);
        program.arg("-hooks").arg(&hooks).args(["-ip", "127.0.0.1", "-port", &address.port().to_string()]);
        let child = program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let runner = Self { child, address, version, _directory: directory };
        let begin = Instant::now();
        while let Err(error) = TcpStream::connect(address) {
            if begin.elapsed() > PATIENCE {
                return Err(format!("it does not listen: {error}").into());
            }
            #[expect(clippy::disallowed_methods, reason = "there is nothing else to do on this thread")]
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(runner)
    }
}

impl Drop for HookRunner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
