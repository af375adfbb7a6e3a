//! What reliability, R39, names, and what else archives have been known to do.

use super::forged::{End, Forged, forge, forge_with};
use super::*;

fn entry(forged: Forged) -> Entry {
    open(&forge(&[forged])).expect("a directory").entries()[0].clone()
}

/// Data that becomes `mib` MiB of zeros: as one block after the other, so that it is made at once.
fn zeros(mib: usize) -> Vec<u8> {
    let mut compress = flate2::Compress::new(flate2::Compression::best(), false);
    let mut block = Vec::with_capacity(1 << 20);
    compress.compress_vec(&vec![0; 1 << 20], &mut block, flate2::FlushCompress::Sync).expect("room");
    let first = block.len();
    compress.compress_vec(&vec![0; 1 << 20], &mut block, flate2::FlushCompress::Sync).expect("room");
    let again = block.split_off(first);
    let mut data = block;
    data.extend(again.repeat(mib - 1));
    // An empty last block.
    data.extend([0x03, 0x00]);
    data
}

#[test]
fn names_that_leave_their_place_are_refused_and_not_listed() {
    let names: [&[u8]; 20] = [
        b"../evil",
        b"a/../../evil",
        b"a/..",
        b"..",
        b"/etc/passwd",
        b"//host/share",
        b"C:\\windows",
        b"c:evil",
        b"..\\evil",
        b"a\\b",
        b"a\0b",
        b"",
        b"a//b",
        b"./a",
        b"a/./b",
        b".",
        b"a\nb",
        b"\x1b[31m",
        b"\xff\xfe",
        b"a/../",
    ];
    for name in names {
        let file = Forged { name: name.to_vec(), local_name: name.to_vec(), ..Forged::stored("x", b"evil") };
        let zip = forge(&[file, Forged::stored("good", b"good")]);
        let directory = open(&zip).expect("a directory");
        let refused: Vec<_> = directory.entries().iter().filter_map(|entry| entry.refused).collect();
        assert_eq!(refused, [Refused::UnsafePath], "{name:?}");
        assert_eq!(directory.tree("", true, 0, 10).expect("a tree").total, 1, "{name:?}");
        assert_eq!(read(&zip, "good").expect("content"), b"good");
        for entry in directory.entries().iter().filter(|entry| entry.refused.is_some()) {
            assert_eq!(content(&zip, entry, 10), Err(Refused::UnsafePath));
        }
    }
}

#[test]
fn plain_names_are_plain() {
    for name in ["a", "a/b.c", "...", "a/..b", ".hidden", "a b/ü", "ab:c/d", "-", "<script>"] {
        assert_eq!(entry(Forged::stored(name, b"")).refused, None, "{name}");
    }
}

#[test]
fn bombs_are_refused_by_what_they_say_and_by_what_they_do() {
    // 10 GiB, as it says.
    let data = zeros(10 << 10);
    assert!(data.len() < 20 << 20);
    let mut extra = vec![1, 0, 8, 0];
    extra.extend((10u64 << 30).to_le_bytes());
    let honest = Forged {
        method: 8,
        local_method: 8,
        size: u64::from(u32::MAX),
        stored_size: data.len() as u64,
        data,
        extra,
        ..Forged::stored("bomb", b"")
    };
    let zip = forge(std::slice::from_ref(&honest));
    let found = entry(honest.clone());
    assert_eq!((found.size, found.refused), (10 << 30, Some(Refused::Bomb)));
    assert_eq!(read(&zip, "bomb"), Err(Refused::Bomb));

    // As if it were small: it is counted, and given up at once.
    let liar = Forged { size: 5, extra: Vec::new(), ..honest };
    assert_eq!(read(&forge(std::slice::from_ref(&liar)), "bomb"), Err(Refused::WrongSize));
    // As if its ratio were good enough, once all of it has come.
    let begun = Forged { stored_size: 100_000, size: 90 << 20, data: liar.data[..100_000].to_vec(), ..liar };
    assert_eq!(read(&forge(&[begun]), "bomb"), Err(Refused::Bomb));
}

#[test]
fn a_file_above_the_readers_limit_is_not_begun() {
    let found = entry(Forged::stored("a", &[1; 100]));
    assert_eq!(Extractor::new(&found, 99).expect_err("refused"), Refused::TooLarge);
    assert!(Extractor::new(&found, 100).is_ok());
}

#[test]
fn files_that_share_bytes_refuse_the_archive() {
    let (one, other) = (Forged::stored("a", b"content"), Forged::stored("b", b"content"));
    for header in [0, 1, 37] {
        let zip = forge(&[one.clone(), Forged { header: Some(header), ..other.clone() }]);
        assert_eq!(open(&zip).expect_err("refused"), Refused::Overlapping, "{header}");
    }
    let long = Forged { stored_size: 1_000, ..one.clone() };
    assert_eq!(open(&forge(&[long, other.clone()])).expect_err("refused"), Refused::Overlapping);
    let beyond = Forged { header: Some(u32::MAX - 1), ..one.clone() };
    assert_eq!(open(&forge(&[beyond, other.clone()])).expect_err("refused"), Refused::Overlapping);
    // Only its own header tells that it reaches into the next one.
    let mut zip = forge(&[one, other]);
    zip[28] = 200;
    assert_eq!(read(&zip, "a"), Err(Refused::Overlapping));
}

#[test]
fn lies_about_sizes_and_checksums_are_found_before_the_last_piece() {
    let content = vec![b'x'; 200_000];
    for honest in [Forged::stored("a", &content), Forged::deflated("a", &content)] {
        assert_eq!(read(&forge(std::slice::from_ref(&honest)), "a").expect("content"), content);
        let wrong = Forged { crc32: 1, ..honest.clone() };
        assert_eq!(read(&forge(std::slice::from_ref(&wrong)), "a"), Err(Refused::WrongChecksum));
        let zip = forge(&[wrong]);
        let directory = open(&zip).expect("a directory");
        let found = directory.file("a").expect("listed");
        let mut extractor = Extractor::new(found, 1 << 20).expect("readable");
        extractor.feed(Bytes::copy_from_slice(slice(&zip, found.data(slice(&zip, found.header())).expect("data"))));
        let mut given = 0;
        while let Ok(Some(piece)) = extractor.piece() {
            given += piece.len();
        }
        assert!(given < content.len(), "whoever has all of it has the right one");
        for size in [0, 199_999, 200_001] {
            assert_eq!(read(&forge(&[Forged { size, ..honest.clone() }]), "a"), Err(Refused::WrongSize), "{size}");
        }
    }
    let cut = Forged::deflated("a", b"some content to compress, to compress");
    let cut = Forged { stored_size: 10, data: cut.data[..10].to_vec(), ..cut };
    assert!(matches!(read(&forge(&[cut]), "a"), Err(Refused::Damaged(_))));
    let mut trailing = Forged::deflated("a", b"content");
    trailing.data.extend(b"more");
    trailing.stored_size += 4;
    assert_eq!(read(&forge(&[trailing]), "a"), Err(Refused::WrongSize));
    let noise = Forged { data: vec![0xff; 50], stored_size: 50, ..Forged::deflated("a", b"content") };
    assert!(matches!(read(&forge(&[noise]), "a"), Err(Refused::Damaged(_))));
}

#[test]
fn what_cannot_be_read_is_named_and_unsupported() {
    let file = Forged::stored("a", b"content");
    for (forged, refused) in [
        (Forged { flags: 1, ..file.clone() }, Refused::Encrypted),
        (Forged { flags: 0x40, ..file.clone() }, Refused::Encrypted),
        (Forged { flags: 0x2000, ..file.clone() }, Refused::Encrypted),
        (Forged { method: 12, local_method: 12, ..file.clone() }, Refused::UnknownMethod(12)),
        (Forged { method: 99, local_method: 99, ..file.clone() }, Refused::UnknownMethod(99)),
        (Forged { mode: 0o120_777, ..file.clone() }, Refused::Symlink),
    ] {
        assert!(refused.is_unsupported());
        assert_eq!(entry(forged.clone()).refused, Some(refused));
        assert_eq!(read(&forge(&[forged]), "a"), Err(refused));
    }
    assert_eq!(
        Refused::UnknownMethod(12).to_string(),
        "it is compressed by method 12; only 0 (stored) and 8 (deflate) can be read"
    );
}

#[test]
fn a_header_that_contradicts_the_directory_is_refused() {
    let file = Forged::stored("a", b"content");
    for forged in [
        Forged { local_name: b"b".to_vec(), ..file.clone() },
        Forged { local_name: b"ab".to_vec(), ..file.clone() },
        Forged { local_method: 8, ..file.clone() },
    ] {
        assert!(matches!(read(&forge(&[forged]), "a"), Err(Refused::Damaged(_))));
    }
    let mut zip = forge(&[file]);
    zip[0] = b'Q';
    assert!(matches!(read(&zip, "a"), Err(Refused::Damaged(_))));
}

#[test]
fn of_two_files_of_one_name_neither_is_read() {
    let zip = forge(&[Forged::stored("a", b"one"), Forged::stored("b", b"b"), Forged::stored("a", b"other")]);
    assert_eq!(read(&zip, "a"), Err(Refused::Ambiguous));
    assert_eq!(read(&zip, "b").expect("content"), b"b");
}

#[test]
fn directories_that_cannot_be_are_refused_before_they_are_read() {
    let file = [Forged::stored("a", b"content")];
    for (end, refused) in [
        (End { disk: 1, ..End::default() }, Refused::Split),
        (End { bytes: Some(u32::MAX - 1), ..End::default() }, Refused::DirectoryTooLarge),
        (End { offset: Some(u32::MAX - 1), ..End::default() }, Refused::Damaged("its directory goes beyond its end")),
        (End { entries: Some(9), ..End::default() }, Refused::Damaged("its directory is too short for its entries")),
        (
            End { offset: Some(0), ..End::default() },
            Refused::Damaged("its directory holds something else than entries"),
        ),
    ] {
        assert_eq!(open(&forge_with(&file, &end)).expect_err("refused"), refused);
    }
    let long = Forged { name: vec![b'n'; MAX_NAME_BYTES + 1], ..file[0].clone() };
    assert_eq!(open(&forge(&[long])).expect_err("refused"), Refused::NameTooLong);
    for no_zip in [&b""[..], b"PK\x05\x06", b"no zip at all, but text", &[0; 30]] {
        assert_eq!(open(no_zip).expect_err("refused"), Refused::NoZip);
    }
}

#[test]
fn a_zip64_record_can_lie_no_better() {
    let record = |entries: u64, bytes: u64, offset: u64, place: u64| {
        let mut zip = b"PK\x06\x06".to_vec();
        zip.extend(44u64.to_le_bytes());
        zip.extend([45, 0, 45, 0]);
        zip.extend([0; 8]);
        [entries, entries, bytes, offset].iter().for_each(|number| zip.extend(number.to_le_bytes()));
        zip.extend(b"PK\x06\x07\0\0\0\0");
        zip.extend(place.to_le_bytes());
        zip.extend([1, 0, 0, 0]);
        zip.extend(b"PK\x05\x06\0\0\0\0");
        zip.extend([0xff; 12]);
        zip.extend([0; 2]);
        zip
    };
    let find = |zip: &[u8]| Location::find(zip, zip.len() as u64);
    assert_eq!(find(&record(0, 0, 0, 0)), Ok(Location { offset: 0, bytes: 0, entries: 0 }));
    assert_eq!(find(&record(u64::MAX, 0, 0, 0)), Err(Refused::TooManyEntries));
    assert_eq!(find(&record(MAX_ENTRIES + 1, 1 << 24, 0, 0)), Err(Refused::TooManyEntries));
    assert_eq!(find(&record(1, 4 << 30, 0, 0)), Err(Refused::DirectoryTooLarge));
    assert_eq!(find(&record(0, 10, u64::MAX, 0)), Err(Refused::Damaged("its directory goes beyond its end")));
    for place in [1, 50, 99, u64::MAX] {
        assert_eq!(find(&record(0, 0, 0, place)), Err(Refused::Damaged("its zip64 record is not where it says")));
    }
}

#[test]
fn the_last_end_record_counts_and_a_comment_can_fake_none_that_reaches_the_end() {
    let fake = forge(&[]);
    let end = End { comment: [&fake[..], b"tail"].concat(), ..End::default() };
    let zip = forge_with(&[Forged::stored("a", b"content")], &end);
    assert_eq!(read(&zip, "a").expect("content"), b"content");
}

#[test]
fn a_deep_and_wide_archive_is_listed_by_pages_in_bounded_time() {
    let deep = "d/".repeat(2_000);
    let files: Vec<Forged> = (0..5_000).map(|n| Forged::stored(&format!("{deep}{n}"), b"")).collect();
    let directory = open(&forge(&files)).expect("a directory");
    let tree = directory.tree("", true, 6_990, 100).expect("a tree");
    assert_eq!((tree.total, tree.nodes.len()), (7_000, 10));
}

#[test]
fn an_archive_within_an_archive_is_a_file() {
    let inner = forge(&[Forged::stored("a", b"content")]);
    let outer = forge(&[Forged::stored("inner.zip", &inner)]);
    assert_eq!(read(&outer, "inner.zip").expect("content"), inner);
    assert!(open(&outer).expect("a directory").file("a").is_none());
}
