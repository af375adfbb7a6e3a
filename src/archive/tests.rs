//! Archives as tools make them, against a reader that takes all of them into memory, and archives as nobody should make them
//! (reliability, R39).

mod forged;
mod hostile;

use std::io::{Cursor, Read, Write};

use bytes::Bytes;
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

/// Reads the directory of an archive, by pieces.
fn open(zip: &[u8]) -> Result<Directory, Refused> {
    open_some(zip, Keep::all())
}

fn open_some(zip: &[u8], keep: Keep) -> Result<Directory, Refused> {
    let tail = &zip[zip.len().saturating_sub(TAIL_BYTES)..];
    let location = Location::find(tail, zip.len() as u64)?.within(100_000)?;
    let mut reader = DirectoryReader::new(location, keep);
    for piece in slice(zip, location.offset..location.offset + location.bytes).chunks(100) {
        reader.push(piece)?;
    }
    reader.finish()
}

fn slice(zip: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    let end = (range.end as usize).min(zip.len());
    &zip[(range.start as usize).min(end)..end]
}

/// Reads a file by pieces of its data.
fn content(zip: &[u8], entry: &Entry, piece: usize) -> Result<Vec<u8>, Refused> {
    let mut extractor = Extractor::new(entry, 1 << 30)?;
    let data = entry.data(slice(zip, entry.header()))?;
    let mut content = Vec::new();
    for data in slice(zip, data).chunks(piece) {
        extractor.feed(Bytes::copy_from_slice(data));
        while let Some(piece) = extractor.piece()? {
            assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
            content.extend_from_slice(&piece);
        }
    }
    if let Some(piece) = extractor.piece()? {
        content.extend_from_slice(&piece);
    }
    extractor.finish()?;
    Ok(content)
}

fn read(zip: &[u8], path: &str) -> Result<Vec<u8>, Refused> {
    content(zip, open(zip)?.file(path.as_bytes()).expect("listed"), 50)
}

/// Makes an archive with whole and streamed files, stored and deflated.
fn archive(files: &[(String, Vec<u8>)], streamed: bool, zip64: bool) -> Vec<u8> {
    fn fill<W: Write + std::io::Seek>(mut zip: ZipWriter<W>, files: &[(String, Vec<u8>)], zip64: bool) -> W {
        for (number, (path, content)) in files.iter().enumerate() {
            let method = if number % 3 == 0 { CompressionMethod::Stored } else { CompressionMethod::Deflated };
            let options = SimpleFileOptions::default().compression_method(method).large_file(zip64);
            if path.ends_with('/') {
                zip.add_directory(path.as_str(), options).expect("in memory");
            } else {
                zip.start_file(path.as_str(), options).expect("in memory");
                zip.write_all(content).expect("in memory");
            }
        }
        zip.set_comment("made by a job").expect("short");
        zip.finish().expect("in memory")
    }
    if streamed {
        let zip = ZipWriter::new_stream(Vec::new());
        return fill_stream(zip, files);
    }
    fill(ZipWriter::new(Cursor::new(Vec::new())), files, zip64).into_inner()
}

/// A writer that cannot go back puts sizes behind the data.
fn fill_stream(mut zip: ZipWriter<zip::write::StreamWriter<Vec<u8>>>, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    for (path, content) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(path.as_str(), options).expect("in memory");
        zip.write_all(content).expect("in memory");
    }
    zip.finish().expect("in memory").into_inner()
}

fn some_files() -> Vec<(String, Vec<u8>)> {
    let noise: Vec<u8> = (0..200_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    vec![
        ("README".to_owned(), b"read me".to_vec()),
        ("coverage/".to_owned(), Vec::new()),
        ("coverage/index.html".to_owned(), b"<html>".repeat(40_000)),
        ("coverage/src/größe.rs.html".to_owned(), noise.clone()),
        ("coverage-old/x".to_owned(), noise),
        ("empty".to_owned(), Vec::new()),
    ]
}

#[test]
fn every_file_reads_as_it_was_written() {
    for (streamed, zip64) in [(false, false), (false, true), (true, false)] {
        let mut files = some_files();
        if streamed {
            files.retain(|(path, _)| !path.ends_with('/'));
        }
        let zip = archive(&files, streamed, zip64);
        let directory = open(&zip).expect("an archive");
        assert_eq!(directory.entries().len(), files.len());
        for (path, expected) in files.iter().filter(|(path, _)| !path.ends_with('/')) {
            let entry = directory.file(path.as_bytes()).expect("listed");
            assert_eq!((entry.size, entry.refused), (expected.len() as u64, None), "{path}");
            for piece in [1_000, 1 << 20] {
                assert_eq!(&content(&zip, entry, piece).expect("content"), expected, "{path}");
            }
        }
        assert!(directory.file(b"coverage/").is_none() && directory.file(b"coverage").is_none());
        assert!(directory.file(b"nothing").is_none());
    }
}

#[test]
fn an_empty_archive_has_nothing() {
    let directory = open(&archive(&[], false, false)).expect("an archive");
    assert_eq!(
        directory.tree(b"", true, 0, 10),
        Some(Tree { nodes: Vec::new(), total: 0, left_out: LeftOutCounts::default() })
    );
    assert_eq!(directory.tree(b"a", true, 0, 10), None);
}

#[test]
fn a_location_is_kept_and_read_back() {
    let zip = archive(&some_files(), false, false);
    let location = Location::find(&zip[zip.len().saturating_sub(TAIL_BYTES)..], zip.len() as u64).expect("an archive");
    assert_eq!(Location::decode(&location.encode(), zip.len() as u64), Some(location));
    assert_eq!(Location::decode(&location.encode(), 100), None, "of another archive");
    assert_eq!(Location::decode(b"", zip.len() as u64), None);
    assert_eq!(Location::decode(&[0xff; 24], u64::MAX), None);
}

#[test]
fn a_tree_lists_directories_that_are_implied_and_pages() {
    let directory = open(&archive(&some_files(), false, false)).expect("an archive");
    let paths = |path: &str, recursive, offset, limit| {
        let tree = directory.tree(path.as_bytes(), recursive, offset, limit).expect("a directory");
        (tree.nodes.into_iter().map(|node| String::from(node.path)).collect::<Vec<_>>(), tree.total)
    };
    let top = ["coverage-old/", "coverage/", "README", "empty"].map(str::to_owned).to_vec();
    assert_eq!(paths("", false, 0, 10), (top.clone(), 4));
    assert_eq!(paths("", false, 1, 2), (top[1..3].to_vec(), 4));
    assert_eq!(paths("", false, 9, 2), (Vec::new(), 4));
    let below = ["coverage/src/", "coverage/index.html"].map(str::to_owned).to_vec();
    assert_eq!(paths("coverage", false, 0, 10), (below.clone(), 2));
    assert_eq!(paths("coverage/", false, 0, 10), (below, 2));
    let all = paths("", true, 0, 100);
    let expected = [
        "README",
        "coverage-old/",
        "coverage-old/x",
        "coverage/",
        "coverage/index.html",
        "coverage/src/",
        "coverage/src/größe.rs.html",
        "empty",
    ];
    assert_eq!(all, (expected.map(str::to_owned).to_vec(), 8));
    assert_eq!(directory.tree(b"README", false, 0, 10), None, "a file is no directory");
    assert_eq!(directory.tree(b"cover", false, 0, 10), None);
    let node = &directory.tree(b"coverage", false, 1, 1).expect("a directory").nodes[0];
    let json = serde_json::to_value(node).expect("JSON");
    let expected = serde_json::json!({
        "name": "index.html", "path": "coverage/index.html", "type": "file", "size": 240_000, "mode": "100644",
    });
    assert_eq!(json, expected);
    let node = &directory.tree(b"coverage", false, 0, 1).expect("a directory").nodes[0];
    assert_eq!((&*node.name, &*node.path, node.kind), ("src", "coverage/src/", "directory"));
}

proptest! {
    #[test]
    fn it_reads_what_another_reader_reads(
        files in proptest::collection::btree_map("[a-z]{1,3}(/[a-z]{1,3}){0,3}", proptest::collection::vec(any::<u8>(), 0..300), 0..12),
        streamed: bool, piece in 1usize..100,
    ) {
        let files: Vec<_> = files.into_iter().collect();
        let zip = archive(&files, streamed, false);
        let directory = open(&zip).expect("an archive");
        let mut other = zip::ZipArchive::new(Cursor::new(&zip)).expect("an archive");
        prop_assert_eq!(directory.entries().len(), other.len());
        for (path, _) in &files {
            let mut expected = Vec::new();
            other.by_name(path).expect("listed").read_to_end(&mut expected).expect("content");
            prop_assert_eq!(content(&zip, directory.file(path.as_bytes()).expect("listed"), piece).expect("content"), expected);
        }
        // Every file is in the tree once, and so is every directory.
        let tree = directory.tree(b"", true, 0, u64::MAX).expect("a tree");
        let mut paths: Vec<_> = tree.nodes.iter().map(|node| (node.path.clone(), node.kind)).collect();
        paths.sort_unstable();
        paths.dedup();
        prop_assert_eq!(paths.len(), tree.nodes.len());
        prop_assert_eq!(tree.nodes.iter().filter(|node| node.kind == "file").count(), files.len());
    }

    #[test]
    fn damage_anywhere_harms_nobody(
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
        cut in any::<usize>(),
        truncate: bool,
    ) {
        let mut zip = archive(&[("a/b".to_owned(), b"content ".repeat(100)), ("c".to_owned(), vec![7; 50]), ("d".to_owned(), b"d".repeat(9_000))], false, false);
        if truncate {
            zip.truncate(cut % zip.len());
        }
        for (at, flip) in flips {
            let length = zip.len().max(1);
            if let Some(byte) = zip.get_mut(at % length) {
                *byte ^= flip;
            }
        }
        if let Ok(directory) = open(&zip) {
            directory.tree(b"", true, 0, 1_000);
            for entry in directory.entries() {
                let _ = content(&zip, entry, 64);
            }
        }
    }
}
