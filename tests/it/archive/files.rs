//! Files of archives as jobs really make them: sparse, with names that only Linux allows, and very many.

use cistern::demo::fake::{Archive, ArtifactDelivery};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{STORE, one_job};
use crate::process::Process;
use crate::rig::{Packed, Rig, Sent, Serving, ask, zip};

/// Serves one job with an archive; returns the path of the archive.
async fn serve(archive: Vec<u8>, settings: &[(&str, &str)]) -> (Rig, Serving, String, String) {
    let (rig, project, job) = one_job(Archive::bytes(archive), ArtifactDelivery::Direct);
    let rig = settings.iter().fold(rig, |rig, (key, value)| rig.set(key, value));
    assert!(rig.backfill(STORE).await.is_clean());
    let serving = rig.serve(STORE).await;
    (rig, serving, job.to_string(), format!("/api/v4/projects/{project}/jobs/{job}/artifacts"))
}

async fn get(serving: &Serving, path: &str) -> Sent {
    ask(serving.address(), "GET", path, &[]).await
}

/// Asks for a part, and goes away after the head of the answer.
async fn head_of_get(serving: &Serving, path: &str, range: &str) -> String {
    let address = serving.address();
    let mut stream = BufReader::new(TcpStream::connect(address).await.expect("a connection"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nRange: bytes={range}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).await.expect("received") > 0, "a whole head");
    }
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparse_image_is_served_whole_and_in_parts() {
    const BYTES: usize = 100 << 20;
    let image = Packed::zeros(100);
    assert!(BYTES / image.stored_size() >= 1_000, "{} bytes", image.stored_size());
    let (_rig, serving, _, base) = serve(zip([("disk.img", image)]), &[]).await;
    let whole = get(&serving, &format!("{base}/disk.img")).await;
    assert_eq!((whole.status, whole.body.len()), (200, BYTES), "{}", whole.head);
    assert!(whole.body.iter().all(|byte| *byte == 0));
    let path = format!("{base}/disk.img");
    let part = ask(serving.address(), "GET", &path, &[("Range", "bytes=104857590-")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 104857590-104857599/104857600"));
    assert_eq!(part.body, [0; 10]);
    let tree = get(&serving, &format!("{base}/tree")).await.json();
    let node = json!({ "name": "disk.img", "path": "disk.img", "type": "file", "size": BYTES, "mode": "100644" });
    assert_eq!(tree, json!([node]));
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_end_of_a_huge_file_pays_for_what_is_before_it() {
    let (_rig, serving, _, base) = serve(zip([("disk.img", Packed::zeros(300))]), &[]).await;
    let path = format!("{base}/disk.img");
    let part = ask(serving.address(), "GET", &path, &[("Range", "bytes=1000000-1000003")]).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &[0; 4][..]));
    let head = head_of_get(&serving, &path, "268435457-").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 314572800\r\n"), "{head}");
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_name_that_linux_allows_is_listed_and_served_and_the_rest_is_counted() {
    let names: [(&[u8], &str); 9] = [
        (b"..\\windows", "..%5Cwindows"),
        (b"a\tb", "a%09b"),
        (b"a\r\nX-Evil: 1", "a%0D%0AX-Evil:%201"),
        (b"c:notes.txt", "c:notes.txt"),
        (b"caf\xe9/\xff.txt", "caf%E9/%FF.txt"),
        (b"com1", "com1"),
        (b"dev-disk-by\\x2dlabel.swap", "dev-disk-by%5Cx2dlabel.swap"),
        (b"trailing. ", "trailing.%20"),
        (b"\x1b[31mred", "%1B%5B31mred"),
    ];
    let outside: [&[u8]; 4] = [b"../up", b"/etc/passwd", b"a//b", b"nul\0"];
    let files = names.iter().map(|(name, _)| *name).chain(outside);
    let (rig, serving, job, base) = serve(zip(files.map(|name| (name, Packed::stored(name)))), &[]).await;
    for (name, encoded) in names {
        let file = get(&serving, &format!("{base}/{encoded}")).await;
        assert_eq!((file.status, file.body.as_slice()), (200, name), "{encoded}: {}", file.text());
        assert!(!file.head.contains("X-Evil"), "{}", file.head);
    }
    let all = get(&serving, &format!("{base}/tree?recursive=true")).await;
    assert_eq!(all.header("x-cistern-left-out"), "4;absolute=1;parent=1;no_name=1;nul=1");
    let all = all.json();
    let all: Vec<_> = all.as_array().expect("a list").iter().map(|node| node["path"].as_str().expect("text")).collect();
    let expected = [
        "\u{1b}[31mred",
        "..\\windows",
        "a\tb",
        "a\r\nX-Evil: 1",
        "c:notes.txt",
        "caf\u{fffd}/",
        "caf\u{fffd}/\u{fffd}.txt",
        "com1",
        "dev-disk-by\\x2dlabel.swap",
        "trailing. ",
    ];
    assert_eq!(all, expected);
    let below = get(&serving, &format!("{base}/tree?path=caf%e9")).await;
    let node = json!({
        "name": "\u{fffd}.txt", "path": "caf\u{fffd}/\u{fffd}.txt", "encoded_path": "caf%E9/%FF.txt", "type": "file", "size": 10,
        "mode": "100644",
    });
    assert_eq!((below.status, below.json()), (200, json!([node])));
    assert_eq!(below.header("x-cistern-left-out"), "4;absolute=1;parent=1;no_name=1;nul=1");
    for path in ["../up", "/etc/passwd", "a//b", "%2Fetc%2Fpasswd", "nul%00"] {
        assert_eq!(get(&serving, &format!("{base}/{path}")).await.status, 422, "{path}");
    }

    let listed = "           8  $'\\033[31mred'\n          10  ..\\windows\n           3  $'a\\tb'\n          12  \
                  $'a\\r\\nX-Evil: 1'\n          11  c:notes.txt\n          10  $'caf\\351/\\377.txt'\n           4  com1\n          \
                  25  dev-disk-by\\x2dlabel.swap\n          10  trailing. \n";
    let told =
        "left out because their names are no paths within the archive: 4: 1 (it begins with /), 1 (it has a part ..)";
    let url = format!("http://{}", serving.address());
    let project = base.split('/').nth(4).expect("a project");
    for place in [&[][..], &["--url", &url, "--project", project]] {
        let list = [&["artifacts", &job][..], place].concat();
        let ended = Process::start(&rig, STORE, &list).ended().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), listed), "{place:?} {}", ended.stderr);
        assert!(ended.stderr.contains(told), "{place:?} {}", ended.stderr);
        let one = [&["artifacts", &job, "dev-disk-by\\x2dlabel.swap"][..], place].concat();
        let ended = Process::start(&rig, STORE, &one).ended().await;
        assert_eq!(ended.stdout, "dev-disk-by\\x2dlabel.swap", "{place:?} {}", ended.stderr);
    }
    serving.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_of_more_than_a_hundred_thousand_files_is_served() {
    let name = |number: usize| format!("node_modules/package-{}/file-{number:06}.js", number / 1_000);
    let many = zip((0..120_000).map(|number| (name(number), Packed::stored(number.to_string().as_bytes()))));
    let (rig, serving, job, base) = serve(many.clone(), &[]).await;
    let file = get(&serving, &format!("{base}/{}", name(119_999))).await;
    assert_eq!((file.status, file.text()), (200, "119999".to_owned()));
    let tree = get(&serving, &format!("{base}/tree?path=node_modules&per_page=1")).await;
    assert_eq!((tree.header("x-total"), tree.header("x-cistern-left-out")), ("120", "0"));
    let all = get(&serving, &format!("{base}/tree?recursive=true&per_page=1&page=120121")).await;
    assert_eq!(all.json()[0]["path"], name(99_999), "the last in the order of bytes");
    let listed = Process::start(&rig, STORE, &["artifacts", &job]).ended().await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 120_000));
    serving.stop().await;

    let (rig, serving, job, base) = serve(many.clone(), &[("limits.archive_entries", "119999")]).await;
    for path in [format!("{base}/{}", name(0)), format!("{base}/tree")] {
        let refused = get(&serving, &path).await;
        assert_eq!((refused.status, refused.header("x-cistern-reason")), (422, "too_many_entries"));
        let message =
            "422 Unprocessable Entity: it has 120000 entries, more than limits.archive_entries allows (119999)";
        assert_eq!(refused.json(), json!({ "message": message }));
    }
    assert!(get(&serving, &base).await.body == many, "all of it is served in any case");
    let refused = Process::start(&rig, STORE, &["artifacts", &job]).ended().await;
    assert!(refused.code == Some(1) && refused.stderr.contains("limits.archive_entries"), "{}", refused.stderr);
    serving.stop().await;
}
