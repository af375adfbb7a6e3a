//! Lines against GitLab's converter, done in the plainest way on a whole log, and from anywhere in it.

use super::*;
use crate::log::splitter::JoinedLines;
use crate::log::{Index, Indexer};
use proptest::prelude::*;
use regex::bytes::Regex;

/// Number, place, text, first, last, shown, stamped.
type Owned = (u64, u64, Vec<u8>, bool, bool, bool, bool);

fn split(text: &[u8], stretch: usize, mut splitter: LineSplitter) -> Vec<Owned> {
    let mut pieces = Vec::new();
    let mut each = |piece: LinePiece<'_>| {
        let LinePiece { number, offset, text, first, last, shown, stamped, .. } = piece;
        pieces.push((number, offset, text.to_vec(), first, last, shown, stamped));
    };
    text.chunks(stretch).for_each(|part| splitter.push(part, &mut each));
    splitter.finish(&mut each);
    pieces
}

/// Returns the numbers and texts of lines that are shown.
fn shown(log: &str) -> Vec<(u64, String)> {
    let pieces = split(log.as_bytes(), log.len().max(1), LineSplitter::new());
    let shown = pieces.into_iter().filter(|piece| piece.5);
    shown.map(|piece| (piece.0, String::from_utf8(piece.2).expect("UTF-8"))).collect()
}

#[test]
fn only_what_shows_something_is_counted() {
    for nothing in ["", "\r", "\x1b[0m", "\x1b[31m\x1b[0;m", "taken back\r\x1b[0K", "a\r\x1b[0Kb\r\x1b[0K\r"] {
        for end in ["\n", "\r\n"] {
            let log = format!("first{end}{nothing}{end}{nothing}{end}second{end}{nothing}{end}");
            let numbers: Vec<u64> = shown(&log).iter().map(|line| line.0).collect();
            assert_eq!(numbers, [1, 2], "{log:?}");
        }
    }
    for something in [" ", "10%\r", "10%\r\r", "10%\r20%", "\x1b[31m\x1b[0Kred\x1b[0m"] {
        assert_eq!(shown(&format!("{something}\nend")), [(1, something.to_owned()), (2, "end".to_owned())]);
    }
    assert_eq!(shown("taken back\r"), [], "nothing follows the last return");
}

#[test]
fn a_marker_begins_a_line_where_something_is_shown_before_it() {
    let (end, start) = ("section_end:2:a\r\x1b[0K", "section_start:2:b\r\x1b[0K");
    let log = format!("no line break{end}{start}Title\nnext\n");
    let expected = [(1, "no line break".to_owned()), (2, format!("{end}{start}Title")), (3, "next".to_owned())];
    assert_eq!(shown(&log), expected);
    let log = format!("\x1b[0K{end}\x1b[0K{start}\x1b[36;1mTitle\n");
    assert_eq!(shown(&log), [(1, log.trim_end().to_owned())], "it stays with what shows nothing before it");
    let log = format!("taken back\r{start}\nsection_star");
    assert_eq!(shown(&log), [(1, "section_star".to_owned())]);
    let long = "x".repeat(2 * crate::log::LINE_PIECE_BYTES - 9);
    let pieces = split(format!("{long}{end}next").as_bytes(), 1000, LineSplitter::new());
    let first: Vec<u8> = pieces.iter().filter(|piece| piece.0 == 1).flat_map(|piece| piece.2.clone()).collect();
    assert_eq!(first, long.as_bytes(), "a marker is found wherever pieces end");
    assert_eq!((pieces.last().map(|piece| (piece.0, piece.1))), Some((2, long.len() as u64)));
}

/// Returns what GitLab's page shows of a joined line, of which the stamp was taken off.
fn page(text: &[u8], broken: bool) -> Vec<Vec<u8>> {
    let marker = Regex::new(r"^section_(?:start|end):\d+:[a-zA-Z0-9_.-]+(?:\[[^\]]*\])?\r\x1b\[0K").expect("a pattern");
    let sequence = Regex::new(r"^\x1b\[[0-9;]*[@-~]").expect("a pattern");
    let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    while at < text.len() {
        let rest = &text[at..];
        if let Some(found) = marker.find(rest) {
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            at += found.len();
        } else if let Some(found) = sequence.find(rest) {
            at += found.len();
        } else if rest.iter().all(|byte| *byte == b'\r') && broken {
            break;
        } else {
            if rest[0] == b'\r' {
                line.clear()
            } else {
                line.push(rest[0])
            }
            at += 1;
        }
    }
    lines.extend((!line.is_empty()).then_some(line));
    lines
}

proptest! {
    #[test]
    fn lines_are_those_of_gitlabs_page_and_are_read_from_anywhere(
        parts in proptest::collection::vec(
            prop_oneof![
                (0u8..2, any::<bool>()).prop_map(|(number, goes_on)| {
                    format!("2026-11-20T10:00:00.123456Z {number:02x}O{}", if goes_on { '+' } else { ' ' })
                }),
                Just("\n".to_owned()), Just("\n".to_owned()), Just("\r".to_owned()), Just("\r\n".to_owned()),
                Just("\x1b[31;1m".to_owned()), Just("\x1b[0K".to_owned()), Just("section_".to_owned()),
                "[ab ]{0,5}",
                (any::<bool>(), "[ab]", any::<bool>()).prop_map(|(begins, name, collapsed)| {
                    let (word, options) = (if begins { "start" } else { "end" }, if collapsed { "[collapsed=true]" } else { "" });
                    format!("section_{word}:12:{name}{options}\r\x1b[0K")
                }),
            ],
            0..60,
        ),
        stretch in 1usize..90,
        first in 1u64..20,
        count in 0u64..9,
    ) {
        let log = parts.concat().into_bytes();
        let mut expected = Vec::new();
        let mut joined = JoinedLines::new();
        let mut take = |piece: LinePiece<'_>| expected.extend(page(without_stamp(&piece), piece.broken));
        joined.push(&log, &mut take);
        joined.finish(&mut take);

        let all = split(&log, log.len().max(1), LineSplitter::new());
        prop_assert_eq!(&split(&log, stretch, LineSplitter::new()), &all);
        let shown: Vec<&Owned> = all.iter().filter(|piece| piece.5).collect();
        let numbers: Vec<u64> = shown.iter().map(|piece| piece.0).collect();
        prop_assert_eq!(numbers, (1..=expected.len() as u64).collect::<Vec<_>>());
        for (piece, expected) in shown.iter().zip(&expected) {
            let text = &piece.2[if piece.6 { STAMP_BYTES } else { 0 }..];
            prop_assert_eq!(page(text, true).concat(), &expected[..]);
        }

        let mut indexer = Indexer::default();
        log.chunks(stretch).for_each(|part| indexer.push(part));
        let index = indexer.finish();
        prop_assert_eq!(index.lines.lines(), expected.len() as u64);
        prop_assert_eq!(Index::decode(&index.encode()), Some(index.clone()));
        for section in &index.sections.all {
            prop_assert!(1 <= section.first_line && section.first_line <= section.last_line + 1);
            prop_assert!(section.last_line <= index.lines.lines());
        }
        // From the beginning of the joined line that the index names.
        let mut begins = Vec::new();
        let mut joined = JoinedLines::new();
        let mut take = |piece: LinePiece<'_>| begins.extend(piece.first.then_some(piece.offset));
        joined.push(&log, &mut take);
        joined.finish(&mut take);
        let wanted = first..first + count;
        let (line, before) = index.lines.before_line(first);
        prop_assert!(before < first);
        let some = match begins.get(line as usize - 1) {
            Some(begin) => {
                let from = begin.saturating_sub(index.joins.reach);
                let at = begins.iter().rposition(|begin| *begin <= from).expect("a line");
                let splitter = LineSplitter::from(at as u64 + 1, from, begins[at] != from);
                let splitter = splitter.in_joined(line..u64::MAX, before).only(wanted.clone()).reaching(index.joins.reach);
                split(&log[from as usize..], stretch, splitter)
            }
            None => Vec::new(),
        };
        let of_all: Vec<_> = all.iter().filter(|piece| wanted.contains(&piece.0)).cloned().collect();
        prop_assert_eq!(some, of_all);
    }
}
