//! Readers' tokens are in no file, no log line, no metric and no answer.

use super::*;
use crate::process::Server;

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn files(directory: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("a file"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_s_token_is_nowhere_but_on_its_way_to_gitlab() {
    let Instance { rig, places } = instance(Engine::chosen()).await;
    let rig = rig.set("log.level", "trace").set("access.positive_ttl", "0");
    let server = Server::start(&rig, "cistern.db").await;
    server.until_swept().await;
    let mut seen = Vec::new();
    for token in READERS {
        for path in
            [places[5].trace(), places[0].trace(), "/projects".to_owned(), "/projects/group%2Fprivate".to_owned()]
        {
            let mark = if path.contains('?') { '&' } else { '?' };
            for (path, headers) in [
                (format!("/api/v4{path}"), headers(token)),
                (format!("/api/v4{path}{mark}private_token={token}"), Vec::new()),
                (format!("/api/v4{path}"), vec![("Authorization".to_owned(), format!("Bearer {token}"))]),
            ] {
                let answer = loopback::send(server.address(), "GET", &path, &headers, b"").await.expect("an answer");
                seen.push(answer.body);
            }
        }
    }
    seen.push(server.metrics().await.into_bytes());
    seen.push(server.status().await.to_string().into_bytes());
    let mut kept = files(rig.directory.path());
    kept.extend(rig.behind("cistern.db").await.documents().await);
    server.process.signal("TERM");
    let ended = server.process.ended().await;
    kept.extend(files(rig.directory.path()));
    kept.push(("the log".to_owned(), ended.stderr.into_bytes()));
    kept.push(("stdout".to_owned(), ended.stdout.into_bytes()));
    kept.extend(seen.into_iter().map(|body| ("an answer".to_owned(), body)));
    let detailed = "GitLab said what a reader may read";
    assert!(kept.iter().any(|(name, bytes)| name == "the log" && holds(bytes, detailed)), "it proves nothing");
    for token in READERS.iter().filter(|token| !token.is_empty()) {
        for (name, bytes) in &kept {
            assert!(!holds(bytes, token), "{token} is in {name}");
        }
    }
}
