//! Files of archives: each equals the file of the whole, is found with and without the kept place of the directory, and costs
//! only the chunks it is in.

use std::io::{Cursor, Write as _};

use cistern::archive::{Keep, Location, Refused, TAIL_BYTES};
use cistern::parts::{ArchiveReader, Error};
use futures_util::TryStreamExt;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

const LIMIT: u64 = 1 << 30;

const ENTRIES: u64 = 5_000;

type Files = Vec<(String, Vec<u8>)>;

fn files() -> Files {
    let mut random = fastrand::Rng::with_seed(11);
    let mut noise = |bytes: usize| std::iter::repeat_with(|| random.u8(..)).take(bytes).collect::<Vec<_>>();
    vec![
        ("dist/app.bin".to_owned(), noise(3_000_000)),
        ("coverage/index.html".to_owned(), b"<html>covered</html>".repeat(1_000)),
        ("coverage/big.json".to_owned(), b"{\"covered\": true}\n".repeat(100_000)),
        ("empty.txt".to_owned(), Vec::new()),
        ("stored.bin".to_owned(), noise(700_000)),
        ("dist/größe.bin".to_owned(), noise(3_000_000)),
    ]
}

fn zip(files: &Files) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        let method = if path.starts_with("stored") { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        zip.start_file(path.as_str(), SimpleFileOptions::default().compression_method(method)).expect("in memory");
        zip.write_all(content).expect("in memory");
    }
    zip.finish().expect("in memory").into_inner()
}

async fn store_archive(rig: &Rig, zip: Vec<u8>) -> ArchiveRecord {
    let location = Location::find(&zip[zip.len().saturating_sub(TAIL_BYTES)..], zip.len() as u64);
    let index = location.map(Location::encode).unwrap_or_default();
    let record = ArchiveRecord { piece: Piece::Whole, size: zip.len() as u64, index, ..ArchiveRecord::missing() };
    rig.store.apply(vec![Change::Archive { key: JOB, record, bytes: Some(zip.into()) }]).await.expect("stored");
    rig.store.job(JOB).await.expect("read").expect("stored").archive
}

async fn read(rig: &Rig, record: &ArchiveRecord, path: &str, bytes: std::ops::Range<u64>) -> Result<Vec<u8>, Error> {
    let mut archive = ArchiveReader::open(&rig.store, record, ENTRIES).await?;
    let file = archive.file(path.as_bytes(), LIMIT).await?;
    let pieces: Vec<Bytes> = file.stream(bytes)?.try_collect().await?;
    Ok(pieces.concat())
}

async fn any_file_and_any_range_of_it_are_those_of_the_archive(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let files = files();
    let record = store_archive(&rig, zip(&files)).await;
    assert!(!record.index.is_empty());
    let old = ArchiveRecord { index: Box::default(), ..record.clone() };
    let mut random = fastrand::Rng::with_seed(2);
    for (turn, (path, content)) in files.iter().enumerate() {
        let record = if turn % 2 == 0 { &record } else { &old };
        let size = content.len() as u64;
        assert!(read(&rig, record, path, 0..size).await.expect("read") == *content, "{path}");
        for _ in 0..6 {
            let (one, other) = (random.u64(..size + 2), random.u64(..size + 2));
            let range = one.min(other)..one.max(other);
            let clipped = one.min(other).min(size) as usize..one.max(other).min(size) as usize;
            assert!(
                read(&rig, record, path, range.clone()).await.expect("read") == content[clipped],
                "{path} {range:?}"
            );
        }
    }
    let mut archive = ArchiveReader::open(&rig.store, &record, ENTRIES).await.expect("opened");
    let file = archive.file(b"coverage/index.html", LIMIT).await.expect("found");
    assert_eq!((file.size(), file.media_type()), (20_000, "text/html; charset=utf-8"));
    assert!(file.tag().ends_with("-4e20"), "{}", file.tag());
    assert!(matches!(archive.file(b"coverage", LIMIT).await, Err(Error::NoFile)));
    assert!(matches!(archive.file(b"dist/app.bin", 1_000).await, Err(Error::Refused(Refused::TooLarge))));
    let tree = archive.tree(b"dist", false, 0, 10).await.expect("a directory");
    assert_eq!(tree.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>(), ["app.bin", "größe.bin"]);
}

async fn a_small_file_of_a_large_archive_costs_few_chunks(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let record = store_archive(&rig, zip(&files())).await;
    let chunks = || {
        let mut registry = prometheus_client::registry::Registry::default();
        rig.store.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encoded");
        let count = text.lines().find_map(|line| line.strip_prefix("store_seconds_count{operation=\"chunk\"} "));
        count.map_or(0, |count| count.parse::<u64>().expect("a number"))
    };
    let before = chunks();
    read(&rig, &record, "coverage/index.html", 0..20_000).await.expect("read");
    let cost = chunks() - before;
    assert!((1..=4).contains(&cost), "{cost} chunks");
    let before = chunks();
    read(&rig, &record, "stored.bin", 600_000..600_010).await.expect("read");
    let cost = chunks() - before;
    assert!((1..=4).contains(&cost), "{cost} chunks");
}

async fn a_directory_of_many_chunks_is_read(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let name = |n: usize| format!("reports/{}/{n:05}.xml", "long-names-of-packages-and-classes".repeat(2));
    let files: Files = (0..3_000).map(|n| (name(n), n.to_string().into_bytes())).collect();
    let record = store_archive(&rig, zip(&files)).await;
    assert_eq!(read(&rig, &record, &name(2_345), 0..100).await.expect("read"), b"2345");
    let mut archive = ArchiveReader::open(&rig.store, &record, ENTRIES).await.expect("opened");
    let tree = archive.tree(b"", true, 2_999, 10).await.expect("a tree");
    assert_eq!((tree.total, tree.nodes.len()), (3_002, 3));
}

async fn what_is_no_good_is_refused_by_name_before_anybody_has_all_of_it(engine: Engine) {
    let rig = Rig::with_job(engine).await;
    let files = files();
    let mut archive = zip(&files);
    // In the middle of the first file.
    archive[1_000_000] ^= 0x40;
    let record = store_archive(&rig, archive).await;
    let mut reader = ArchiveReader::open(&rig.store, &record, ENTRIES).await.expect("opened");
    let file = reader.file(b"dist/app.bin", LIMIT).await.expect("found");
    let size = file.size();
    let mut stream = file.stream(0..size).expect("readable");
    let mut given = 0;
    let refused = loop {
        match stream.try_next().await {
            Ok(piece) => given += piece.expect("an error before the end").len() as u64,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Refused(_)) && given < size, "{refused}");
    assert!(read(&rig, &record, "coverage/index.html", 0..20_000).await.is_ok(), "the others are sound");

    let gone = ArchiveRecord { blob: Some(BlobId(12_345)), ..record.clone() };
    let mut gone = ArchiveReader::open(&rig.store, &gone, ENTRIES).await.expect("a record");
    assert!(matches!(gone.directory(Keep::all()).await, Err(Error::Gone)));
    assert!(matches!(ArchiveReader::open(&rig.store, &ArchiveRecord::missing(), ENTRIES).await, Err(Error::Gone)));
    let other = Rig::with_job(engine).await;
    let no_zip = store_archive(&other, b"PK\x03\x04 and nothing else".to_vec()).await;
    assert!(no_zip.index.is_empty());
    assert!(matches!(ArchiveReader::open(&other.store, &no_zip, ENTRIES).await, Err(Error::Refused(Refused::NoZip))));
}

on_both! {
    any_file_and_any_range_of_it_are_those_of_the_archive;
    a_small_file_of_a_large_archive_costs_few_chunks;
    a_directory_of_many_chunks_is_read;
    what_is_no_good_is_refused_by_name_before_anybody_has_all_of_it;
}
