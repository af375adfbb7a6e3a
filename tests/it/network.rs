//! GitLab behind TLS of a private authority and behind an egress proxy: the real program, its settings and its environment.

use cistern::demo::fake::{ArtifactDelivery, Endpoint, Options, World};

use crate::process::Process;
use crate::rig::{Front, Rig, certificate_file, mongod};

const STORE: &str = "cistern.db";

/// A GitLab that is reached by HTTPS only.
async fn behind_tls(artifacts: ArtifactDelivery) -> (Rig, Front) {
    behind_certificate("server", artifacts).await
}

/// A GitLab that shows this certificate.
async fn behind_certificate(certificate: &str, artifacts: ArtifactDelivery) -> (Rig, Front) {
    let rig = Rig::with(World::demo(1, 2, 5, 3), Options { artifacts, ..Options::default() });
    let address = rig.fake.url().trim_start_matches("http://").parse().expect("an address");
    let front = Front::tls(certificate, address).await;
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
async fn a_certificate_that_signed_itself_is_taken_where_its_file_is_named_and_its_name_and_dates_hold() {
    for (certificate, trusted, code, words) in [
        ("self-signed", "self-signed", 0, ""),
        ("self-signed-common-name", "self-signed-common-name", 0, ""),
        ("self-signed-expired", "self-signed-expired", 3, "certificate expired"),
        ("self-signed-elsewhere", "self-signed-elsewhere", 3, "not valid for name \"localhost\""),
        ("self-signed", "self-signed-common-name", 3, "invalid peer certificate"),
        ("self-signed", "server", 3, "invalid peer certificate"),
    ] {
        let (rig, front) = behind_certificate(certificate, ArtifactDelivery::Direct).await;
        let rig = rig.set("gitlab.ca_file", &certificate_file(trusted)).set("schedule.scale", "0.001");
        let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
        assert_eq!(ended.code, Some(code), "{certificate} by {trusted}: {ended:?}");
        assert!(ended.stderr.contains(words), "{certificate} by {trusted}: {}", ended.stderr);
        let asked = rig.fake.requests();
        assert_eq!((asked.of(Endpoint::Trace) > 0, asked.total > 0), (code == 0, code == 0), "{certificate}");
        assert!(front.passed() > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_without_encryption_is_told_beforehand_and_used_once_its_host_is_named() {
    let (rig, _front) = behind_tls(ArtifactDelivery::Redirect).await;
    let rig = rig.set("gitlab.ca_file", mongod::authority());
    let place = rig.fake.storage_url().trim_start_matches("http://").to_owned();
    let told = format!("put {place} into gitlab.plain_storage_hosts");
    let check = async |rig: &Rig| Process::start(rig, STORE, &["check"]).ended().await;

    let checked = check(&rig).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains(&told), "{}", checked.stdout);
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains(&told), "{}", ended.stdout);
    assert_eq!(rig.fake.requests().storage, 0);
    assert!(rig.fake.requests().of(Endpoint::Trace) > 0, "logs are cached all the same");

    let rig = rig.set("gitlab.plain_storage_hosts", &place);
    let checked = check(&rig).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("without encryption, as gitlab.plain_storage_hosts allows"), "{}", checked.stdout);
    let ended = Process::start(&rig, STORE, &["backfill"]).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(rig.fake.requests().storage > 1);
    assert_eq!(rig.fake.leaked_credentials(), Vec::<String>::new());
    let verified = Process::start(&rig, STORE, &["verify"]).ended().await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
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
