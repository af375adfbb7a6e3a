//! GitLab behind TLS of a private authority and behind an egress proxy: the real program, its settings and its environment.

use cistern::demo::fake::{ArtifactDelivery, Endpoint, Options, World};

use crate::process::Process;
use crate::rig::{Front, Rig, mongod};

const STORE: &str = "cistern.db";

/// A GitLab that is reached by HTTPS only.
async fn behind_tls(artifacts: ArtifactDelivery) -> (Rig, Front) {
    let rig = Rig::with(World::demo(1, 2, 5, 3), Options { artifacts, ..Options::default() });
    let address = rig.fake.url().trim_start_matches("http://").parse().expect("an address");
    let front = Front::tls(address).await;
    let url = format!("https://localhost:{}", front.address.port());
    // Its links lead to where it is reached.
    rig.fake.with(|world| world.set_base_url(&url));
    let rig = rig.set("gitlab.url", &url);
    (rig, front)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_a_private_authority_is_taken_when_its_file_is_named() {
    let (rig, front) = behind_tls(ArtifactDelivery::Direct).await;
    let stranger = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(stranger.code, Some(3), "{stranger:?}");
    assert_eq!(rig.fake.requests().total, 0, "nothing is asked of who may be somebody else");

    let rig = rig.set("gitlab.ca_file", mongod::authority());
    let known = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(known.code, Some(0), "{known:?}");
    assert!(rig.fake.requests().of(Endpoint::Trace) > 0 && front.passed() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let (rig, _front) = behind_tls(ArtifactDelivery::Redirect).await;
    let rig = rig.set("gitlab.ca_file", mongod::authority());
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("redirects to a place that must not be followed"), "{}", ended.stdout);
    assert_eq!(rig.fake.requests().storage, 0);
    assert!(rig.fake.requests().of(Endpoint::Trace) > 0, "logs are cached all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_egress_proxy_is_used_when_the_environment_names_one_and_not_for_what_it_leaves_out() {
    let (rig, front) = behind_tls(ArtifactDelivery::Direct).await;
    let rig = rig.set("gitlab.ca_file", mongod::authority());
    let proxy = Front::proxy().await;
    let through = format!("http://{}", proxy.address);
    let backfill = async |variables: &[(&str, &str)]| {
        Process::start_with(&rig, STORE, &["backfill", "--dry-run"], variables).ended().await
    };
    let ended = backfill(&[("HTTPS_PROXY", &through)]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let tunnels = proxy.passed();
    assert!(tunnels > 0 && front.passed() > 0, "it went around the proxy");
    let ended = backfill(&[("HTTPS_PROXY", &through), ("NO_PROXY", "localhost")]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(proxy.passed(), tunnels);
}
