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
fn names_that_leave_their_place_are_refused_not_listed_and_counted() {
    let names: [(&[u8], LeftOut); 15] = [
        (b"../evil", LeftOut::Parent),
        (b"a/../../evil", LeftOut::Parent),
        (b"a/..", LeftOut::Parent),
        (b"..", LeftOut::Parent),
        (b"a/../", LeftOut::Parent),
        (b"/etc/passwd", LeftOut::Absolute),
        (b"//host/share", LeftOut::Absolute),
        (b"/", LeftOut::Absolute),
        (b"a\0b", LeftOut::Nul),
        (b"../a\0b", LeftOut::Nul),
        (b"", LeftOut::NoName),
        (b"a//b", LeftOut::NoName),
        (b"./a", LeftOut::NoName),
        (b"a/./b", LeftOut::NoName),
        (b".", LeftOut::NoName),
    ];
    for (name, why) in names {
        let file = Forged { name: name.to_vec(), local_name: name.to_vec(), ..Forged::stored("x", b"evil") };
        let zip = forge(&[file, Forged::stored("good", b"good")]);
        let directory = open(&zip).expect("a directory");
        let refused: Vec<_> = directory.entries().iter().filter_map(|entry| entry.refused).collect();
        assert_eq!(refused, [Refused::UnsafePath(why)], "{name:?}");
        let tree = directory.tree(b"", true, 0, 10).expect("a tree");
        assert_eq!((tree.total, tree.left_out.to_string()), (1, format!("1;{}=1", why.as_str())), "{name:?}");
        assert_eq!(open_some(&zip, Keep::Path(b"good".as_slice().into())).expect("one").left_out(), tree.left_out);
        assert_eq!(read(&zip, "good").expect("content"), b"good");
        for entry in directory.entries().iter().filter(|entry| entry.refused.is_some()) {
            assert_eq!(content(&zip, entry, 10), Err(Refused::UnsafePath(why)));
        }
    }
    let all: Vec<_> = names.iter().map(|(name, _)| name.to_vec()).collect();
    let all: Vec<_> =
        all.into_iter().map(|name| Forged { local_name: name.clone(), name, ..Forged::stored("x", b"") }).collect();
    let counts = open(&forge(&all)).expect("a directory").left_out();
    assert_eq!(counts.to_string(), "15;absolute=3;parent=5;no_name=5;nul=2");
    assert_eq!(LeftOutCounts::parse(&counts.to_string()), counts);
    assert_eq!(LeftOutCounts::parse("7;other=7"), LeftOutCounts::default());
}

#[test]
fn every_name_that_linux_allows_is_one() {
    let names: [&[u8]; 16] = [
        b"a",
        b"a/b.c",
        b"...",
        b"a/..b",
        b".hidden",
        "a b/\u{fc}".as_bytes(),
        b"ab:c/d",
        b"<script>",
        b"dev-disk-by\\x2dlabel.swap",
        b"c:notes.txt",
        b"..\\evil",
        b"a\tb\nc",
        b"\x1b[31m",
        b"trailing. ",
        b"com1",
        b"caf\xe9/\xff\xfe",
    ];
    for name in names {
        let file = Forged { name: name.to_vec(), local_name: name.to_vec(), ..Forged::stored("x", b"content") };
        let zip = forge(&[file]);
        let directory = open(&zip).expect("a directory");
        let found = directory.file(name).expect("listed");
        assert_eq!((found.refused, content(&zip, found, 9)), (None, Ok(b"content".to_vec())), "{name:?}");
        let tree = directory.tree(b"", true, 0, 10).expect("a tree");
        let node = tree.nodes.last().expect("a file");
        let utf8 = std::str::from_utf8(name).ok();
        assert_eq!(utf8.unwrap_or("caf\u{fffd}/\u{fffd}\u{fffd}"), &*node.path, "{name:?}");
        assert_eq!(node.encoded_path.as_deref(), utf8.is_none().then_some("caf%E9/%FF%FE"), "{name:?}");
        assert_eq!(tree.left_out.total(), 0);
    }
}

#[test]
fn a_sparse_image_is_read_and_what_becomes_more_than_it_says_is_not() {
    let data = zeros(100);
    let mib = 1 << 20;
    // As deflate packs it, 1,029 to 1.
    assert!(100 * mib / data.len() as u64 > 1_000, "{}", data.len());
    let mut crc = flate2::Crc::new();
    (0..100).for_each(|_| crc.update(&vec![0; 1 << 20]));
    let image = Forged {
        method: 8,
        local_method: 8,
        size: 100 * mib,
        stored_size: data.len() as u64,
        crc32: crc.sum(),
        data,
        ..Forged::stored("disk.img", b"")
    };
    let found = read(&forge(std::slice::from_ref(&image)), "disk.img").expect("content");
    assert!(found.len() as u64 == 100 * mib && found.iter().all(|byte| *byte == 0));
    // As if it were small: it is counted, and given up at once.
    let liar = Forged { size: 5, ..image.clone() };
    assert_eq!(read(&forge(std::slice::from_ref(&liar)), "disk.img"), Err(Refused::WrongSize));
    // As if it were larger than anybody takes: it is not begun.
    let mut extra = vec![1, 0, 8, 0];
    extra.extend((MAX_FILE_BYTES + 1).to_le_bytes());
    let huge = entry(Forged { size: u64::from(u32::MAX), extra, ..image });
    assert_eq!((huge.size, huge.refused), (MAX_FILE_BYTES + 1, None));
    assert_eq!(Extractor::new(&huge, MAX_FILE_BYTES).expect_err("refused"), Refused::TooLarge);
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
        let found = directory.file(b"a").expect("listed");
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
        (
            End { bytes: Some(40_000_000), offset: Some(0), ..End::default() },
            Refused::Damaged("its directory goes beyond its end"),
        ),
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
    let too_short = Err(Refused::Damaged("its directory is too short for its entries"));
    assert_eq!(find(&record(u64::MAX, 0, 0, 0)), too_short);
    assert_eq!(find(&record(u64::MAX / 46 + 1, 0, 0, 0)), too_short);
    assert_eq!(find(&record(1, 4 << 30, 0, 0)), Err(Refused::Damaged("its directory goes beyond its end")));
    assert_eq!(find(&record(0, 10, u64::MAX, 0)), Err(Refused::Damaged("its directory goes beyond its end")));
    for place in [1, 50, 99, u64::MAX] {
        assert_eq!(find(&record(0, 0, 0, place)), Err(Refused::Damaged("its zip64 record is not where it says")));
    }
}

#[test]
fn more_than_a_reader_allows_is_refused_before_it_is_read() {
    let location = Location { offset: 0, bytes: 5_000_000, entries: 10_001 };
    assert_eq!(location.within(20_000), Ok(location));
    let refused = location.within(10_000).expect_err("refused");
    assert_eq!(refused, Refused::TooManyEntries { entries: 10_001, most: 10_000 });
    assert_eq!(refused.to_string(), "it has 10001 entries, more than limits.archive_entries allows (10000)");
    let refused = location.within(10_001).expect_err("refused");
    assert_eq!(refused, Refused::DirectoryTooLarge { bytes: 5_000_000, most: 10_001 * ENTRY_BYTES });
    let few = Location { bytes: 1 << 20, entries: 1, ..location };
    assert_eq!(few.within(1), Ok(few));
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
    let tree = directory.tree(b"", true, 6_990, 100).expect("a tree");
    assert_eq!((tree.total, tree.nodes.len()), (7_000, 10));
}

#[test]
fn an_archive_within_an_archive_is_a_file() {
    let inner = forge(&[Forged::stored("a", b"content")]);
    let outer = forge(&[Forged::stored("inner.zip", &inner)]);
    assert_eq!(read(&outer, "inner.zip").expect("content"), inner);
    assert!(open(&outer).expect("a directory").file(b"a").is_none());
}
