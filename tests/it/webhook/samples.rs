//! Every sample of GitLab's payloads, signed and sent as GitLab does.

use cistern::demo::fake::{Delivery, World};
use cistern::domain::Timestamp;

use super::{said, verdict};
use crate::rig::{Rig, SIGNING_TOKEN};

fn sample(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/webhooks/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_accepted_or_coalesced_whatever_its_dates_look_like() {
    let rig = Rig::new(World::new()).set("webhook.refresh", "1h");
    let serving = rig.serve("cistern.db").await;
    let directory = format!("{}/fixtures/webhooks", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .filter(|name| !name.contains("headers"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 12);
    // None of these is due before the test ends, so that each target is in the journal exactly once.
    serving.queue.hold(Timestamp::now().plus(std::time::Duration::from_secs(3600)));
    for name in names {
        let event = if name.contains("pipeline") { "Pipeline Hook" } else { "Job Hook" };
        let delivery = Delivery::new(event, sample(&name)).signed_with(SIGNING_TOKEN);
        let (status, outcome) = verdict(&serving.deliver(&delivery).await);
        assert_eq!(status, 202, "{name}: {outcome}");
        assert_eq!(verdict(&serving.deliver(&delivery).await), said(202, "coalesced"), "{name} again");
    }
    let targets: std::collections::BTreeSet<String> = serving
        .store
        .entries(100)
        .await
        .expect("the journal")
        .into_iter()
        .map(|entry| {
            format!("{}: {}", entry.target.in_words(), if entry.due > Timestamp::now() { "later" } else { "now" })
        })
        .collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    assert_eq!(targets, EXPECTED);
    serving.stop().await;
}

/// What is to be fetched for the samples, and when.
const EXPECTED: [&str; 7] = [
    "job 810003 of project 2718: now",
    "job 810108 of project 2718: now",
    "job 810402 of project 2718: now",
    "pipeline 90210 of project 2718: now",
    "pipeline 90233 of project 2718: now",
    "pipeline 90240 of project 2718: later",
    "pipeline 90251 of project 2718: now",
];
