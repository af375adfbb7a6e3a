//! The limit of file descriptors: raised as far as it may be, and told when it is too low.

use cistern::demo::fake::World;
use serde_json::Value;

use super::Process;
use crate::rig::Rig;

/// Returns the lines of the log with this message.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_soft_limit_is_raised_and_a_low_hard_one_is_told() {
    let rig = Rig::new(World::new());
    for (limits, descriptors, told) in [("ulimit -Sn 256; ulimit -Hn 4000", 4000, 0), ("ulimit -n 256", 256, 1)] {
        let server = Process::start_after(&rig, "cistern.db", limits, &["serve"]).serving().await;
        let log = server.process.log();
        assert_eq!(lines(&log, "found its limits")[0]["descriptors"], descriptors, "{log}");
        let warnings = lines(&log, "too few file descriptors");
        assert_eq!(warnings.len(), told, "{log}");
        assert!(warnings.iter().all(|line| line["limit"] == 256 && line["needed"] == 1114), "{log}");
        server.process.kill();
    }
}
