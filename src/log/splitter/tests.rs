//! Lines of one stream and of several, against a whole log put together in the plainest way.

use super::*;
use crate::log::{Index, Indexer, Stamp, line_breaks};
use proptest::prelude::*;

type Owned = (u64, u64, Vec<u8>, bool, bool);

fn split(text: &[u8], stretch: usize, mut splitter: JoinedLines) -> Vec<Owned> {
    let mut pieces = Vec::new();
    let mut each = |piece: LinePiece<'_>| {
        pieces.push((piece.number, piece.offset, piece.text.to_vec(), piece.first, piece.last));
    };
    text.chunks(stretch).for_each(|part| splitter.push(part, &mut each));
    splitter.finish(&mut each);
    pieces
}

fn lines(text: &[u8]) -> Vec<(u64, String)> {
    let pieces = split(text, text.len().max(1), JoinedLines::new());
    pieces.into_iter().map(|piece| (piece.0, String::from_utf8_lossy(&piece.2).into_owned())).collect()
}

fn entry(source: &str, text: &str) -> String {
    format!("2026-11-20T10:00:00.123456Z {source}{text}")
}

#[test]
fn an_entry_goes_on_with_the_last_line_of_its_own_stream() {
    let log = [
        entry("00O ", "runner\n"),
        entry("01O ", "a 1\r\n"),
        entry("01E ", "warning\n"),
        entry("00O+", " goes on\n"),
        entry("01O+", "a 2\r\n"),
        entry("01O+", "a 3\n"),
        entry("01O ", "next\n"),
        entry("01E+", "!\n"),
        "not stamped\n".to_owned(),
        entry("01O+", " end"),
    ]
    .concat();
    let stripped: Vec<_> = lines(log.as_bytes())
        .into_iter()
        .map(|(number, text)| (number, String::from_utf8_lossy(Stamp::strip(text.as_bytes())).into_owned()))
        .collect();
    let expected = ["runner goes on", "a 1\ra 2\ra 3", "warning!", "next end", "not stamped"];
    assert_eq!(stripped, (1..).zip(expected.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn what_has_no_line_of_its_own_goes_on_with_the_last_and_takes_nothing_back() {
    let log =
        entry("00O+", "first\n") + &entry("01O ", "kept\n") + &entry("01E+", "50%\r\n") + &entry("01E+", "100%\n");
    let expected = [(1, entry("00O+", "first")), (2, entry("01O ", "kept50% 100%"))];
    assert_eq!(lines(log.as_bytes()), expected);
    // Within a line nobody knows whose it is.
    let pieces = split(b"begun\r\n2026-11-20T10:00:00.123456Z 01E+50%\r", 7, JoinedLines::from(3, 90, true));
    assert_eq!(pieces, [(3, 90, b"begun\r50%\r".to_vec(), true, true)]);
}

#[test]
fn a_line_goes_on_for_so_long_and_so_many_others() {
    let begun = entry("01E ", "begun\n");
    let other = entry("01O ", &("x".repeat(1000) + "\n"));
    for (others, own) in [(200, true), (300, false)] {
        let log = begun.clone() + &other.repeat(others) + &entry("01E+", "end\n");
        assert_eq!(lines(log.as_bytes())[0].1.ends_with("begunend"), own, "{others}");
    }
    let short = entry("01O ", "\n");
    assert!(short.len() as u64 * JOIN_LINES < JOIN_BYTES);
    for (others, own) in [(JOIN_LINES, true), (JOIN_LINES + 1, false)] {
        let log = begun.clone() + &short.repeat(others as usize) + &entry("01E+", "end\n");
        let found = lines(log.as_bytes());
        assert_eq!((found.len() as u64, found[0].1.ends_with("begunend")), (others + 1, own));
    }
}

#[test]
fn a_line_of_many_entries_is_one_and_comes_in_pieces_that_cut_no_character() {
    let text = "é".repeat(LINE_PIECE_BYTES);
    let mut log = entry("01O ", "x").into_bytes();
    for (number, part) in text.as_bytes().chunks(8191).enumerate() {
        if number > 0 {
            log.extend(entry("01O+", "").into_bytes());
        }
        log.extend_from_slice(part);
        log.push(b'\n');
    }
    log.extend(entry("01O ", "end").into_bytes());
    let pieces = split(&log, 1000, JoinedLines::new());
    assert_eq!(pieces, split(&log, log.len(), JoinedLines::new()), "wherever the stretches end");
    assert!(pieces.iter().all(|piece| piece.2.len() <= LINE_PIECE_BYTES && std::str::from_utf8(&piece.2).is_ok()));
    let (line, end) = pieces.split_at(pieces.len() - 1);
    let joined: Vec<u8> = line.iter().flat_map(|piece| piece.2.clone()).collect();
    assert_eq!(Stamp::strip(&joined), format!("x{text}").as_bytes());
    assert!(line.iter().all(|piece| piece.0 == 1) && line.iter().filter(|piece| piece.3).count() == 1);
    for piece in line {
        assert!(log[piece.1 as usize..].starts_with(&piece.2[..1]), "it says where it is");
    }
    assert_eq!((end[0].0, end[0].2.as_slice()), (2, entry("01O ", "end").as_bytes()));
}

#[test]
fn a_line_of_exactly_one_piece_is_one_piece() {
    for length in [LINE_PIECE_BYTES - 1, LINE_PIECE_BYTES, LINE_PIECE_BYTES + 1] {
        for end in [&b"\n"[..], b""] {
            let text = [vec![b'x'; length], end.to_vec()].concat();
            let pieces = split(&text, 7_000, JoinedLines::new());
            assert_eq!(pieces.len(), length.div_ceil(LINE_PIECE_BYTES), "{length}");
            assert!(pieces.last().expect("a piece").4);
        }
    }
}

#[test]
fn whatever_a_log_holds_little_of_it_is_held() {
    let open = entry("01E ", "open\n");
    let logs = [
        open.clone() + &"\n".repeat(1 << 20),
        open.clone() + &"x".repeat(8 << 20),
        open.clone() + &entry("01O ", "x\n").repeat(100_000),
        open.clone() + &(entry("01E+", "\r\n") + &entry("01O ", "y\n")).repeat(50_000),
        (0..512_u32)
            .map(|n| entry(&format!("{:02x}{} ", n / 2, ["O", "E"][n as usize % 2]), "z\n"))
            .collect::<String>()
            .repeat(200),
        entry("01O ", "x\n")
            + &entry("01O+", &"x".repeat(100)).repeat(10)
            + &(entry("01O+", "") + "\n").repeat(100_000),
    ];
    for log in logs {
        let mut splitter = JoinedLines::new();
        for part in log.as_bytes().chunks(256 * 1024) {
            splitter.push(part, &mut |_| {});
            let held: usize = splitter.joiner.lines.iter().map(|line| line.text.len()).sum();
            assert!(held <= JOIN_BYTES as usize + 2 * LINE_PIECE_BYTES, "{held} of {}", &log[..80]);
            assert!(splitter.joiner.lines.len() as u64 <= JOIN_LINES + 2);
        }
    }
}

/// Puts a log together with all of it at hand: where each line begins, and its text.
fn whole(log: &[u8]) -> Vec<(u64, u64, Vec<u8>)> {
    let mut lines: Vec<(u64, u64, Vec<u8>)> = Vec::new();
    let mut last = std::collections::HashMap::new();
    let mut offset = 0;
    for raw in log.split_inclusive(|byte| *byte == b'\n') {
        let text = raw.strip_suffix(b"\n").unwrap_or(raw);
        match Stamp::parse(text) {
            Some(stamp) if stamp.continues && !lines.is_empty() => {
                let key = (stamp.number, stamp.stream as u8);
                let near = |at: &usize| *at + 1 == lines.len() || offset - lines[*at].1 <= JOIN_BYTES;
                let own = last.get(&key).copied().filter(near);
                let line = lines.len() - 1;
                let text = Stamp::strip(text).iter();
                match own {
                    Some(own) => lines[own].2.extend(text),
                    None => lines[line].2.extend(text.map(|byte| if *byte == b'\r' { b' ' } else { *byte })),
                }
            }
            stamp => {
                if let Some(stamp) = stamp {
                    last.insert((stamp.number, stamp.stream as u8), lines.len());
                }
                lines.push((lines.len() as u64 + 1, offset, text.to_vec()));
            }
        }
        offset += raw.len() as u64;
    }
    lines
}

fn index(log: &[u8], stretch: usize) -> Index {
    let mut indexer = Indexer::default();
    log.chunks(stretch).for_each(|part| indexer.push(part));
    indexer.finish()
}

proptest! {
    #[test]
    fn lines_are_those_of_the_whole_and_are_found_and_read_from_anywhere(
        parts in proptest::collection::vec(
            prop_oneof![
                (0u8..3, any::<bool>(), any::<bool>(), "[ab\r]{0,9}", any::<bool>()).prop_map(|(number, error, goes_on, text, ended)| {
                    let (stream, mark) = (if error { 'E' } else { 'O' }, if goes_on { '+' } else { ' ' });
                    let end = if ended { "\n" } else { "" };
                    format!("2026-11-20T10:00:00.123456Z {number:02x}{stream}{mark}{text}{end}").into_bytes()
                }),
                proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..20),
            ],
            0..40,
        ),
        stretch in 1usize..80,
        first in 0u64..30,
        count in 0u64..10,
    ) {
        let log = parts.concat();
        let expected = whole(&log);
        let owned: Vec<Owned> = expected.iter().cloned().map(|(number, at, text)| (number, at, text, true, true)).collect();
        prop_assert_eq!(&split(&log, stretch, JoinedLines::new()), &owned);

        let index = index(&log, stretch);
        let Joins { any, reach } = index.joins;
        prop_assert_eq!(any, line_breaks(&log, b"").count() != log.iter().filter(|byte| **byte == b'\n').count());
        prop_assert_eq!(&split(&log, stretch, JoinedLines::new().reaching(reach)), &owned);
        prop_assert_eq!(index.lines.joined(), expected.len() as u64);
        prop_assert_eq!(index.lines.find(0), None);
        prop_assert_eq!(index.lines.find(index.lines.joined() + 1), None);
        for (number, offset, _) in &expected {
            let (at, breaks) = index.lines.find(*number).expect("a line");
            let (begin, end) = (at * stretch, ((at + 1) * stretch).min(log.len()));
            let after = &log[end..(end + STAMP_BYTES).min(log.len())];
            let inside = match breaks.checked_sub(1) {
                Some(nth) => line_breaks(&log[begin..end], after).nth(nth as usize).expect("a break") + 1,
                None => 0,
            };
            prop_assert_eq!((begin + inside) as u64, *offset);
        }

        // Some lines, from as far before them as they need.
        let wanted = first + 1..first + 1 + count;
        if let Some((_, begins, _)) = expected.get(first as usize) {
            let from = begins.saturating_sub(reach);
            let (line, at) = expected.iter().rev().map(|line| (line.0, line.1)).find(|line| line.1 <= from).expect("a line");
            let splitter = JoinedLines::from(line, from, at != from).only(wanted.clone()).reaching(reach);
            let some = split(&log[from as usize..], stretch, splitter);
            let of_whole: Vec<_> = owned.iter().filter(|line| wanted.contains(&line.0)).cloned().collect();
            prop_assert_eq!(some, of_whole);
        }
    }
}
