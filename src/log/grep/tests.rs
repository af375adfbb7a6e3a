//! Searches against a search line by line, and what would hurt a worse engine.

use super::*;
use crate::log::{LINE_PIECE_BYTES, LineSplitter};
use proptest::prelude::*;

fn options(pattern: &str) -> GrepOptions {
    GrepOptions { pattern: pattern.to_owned(), ..GrepOptions::default() }
}

type Line = (u64, String, bool, bool);

fn search(log: &[u8], options: GrepOptions) -> (Vec<Line>, u64) {
    let mut search = Search::new(Grep::new(options).expect("a pattern"));
    let mut found = Vec::new();
    let mut each = |line: Found<'_>| {
        found.push((line.number, String::from_utf8_lossy(line.text).into_owned(), line.matched, line.gap));
    };
    let mut splitter = LineSplitter::new();
    splitter.push(log, &mut |piece| search.push(&piece, &mut each));
    splitter.finish(&mut |piece| search.push(&piece, &mut each));
    let matches = search.matches();
    (found, matches)
}

fn numbers(log: &[u8], options: GrepOptions) -> Vec<u64> {
    search(log, options).0.iter().map(|line| line.0).collect()
}

const LOG: &[u8] =
    b"one\nTWO error\n\x1b[31merr\x1b[0mor three\r\nfour\nfive\nsix\n2026-11-20T10:00:00.123456Z 00O error seven\n";

#[test]
fn lines_are_found_through_colours_stamps_and_line_ends() {
    assert_eq!(numbers(LOG, options("error")), [2, 3, 7]);
    assert_eq!(numbers(LOG, options("^error")), [3, 7]);
    assert_eq!(numbers(LOG, options("three$")), [3]);
    let bar: String = (0..=20).map(|state| format!("{}%\r", state * 5)).collect();
    assert_eq!(numbers(format!("{bar}\n").as_bytes(), options("^100%$")), [1]);
    assert_eq!(numbers(format!("{bar}\n").as_bytes(), options("^95%|50")), [0; 0], "it was taken back");
    assert_eq!(numbers(LOG, GrepOptions { ignore_case: true, ..options("two ERROR") }), [2]);
    assert_eq!(numbers(LOG, GrepOptions { invert: true, ..options("error") }), [1, 4, 5, 6]);
}

#[test]
fn context_limit_and_count_do_what_they_say() {
    let (lines, _) = search(LOG, GrepOptions { before: 1, after: 1, ..options("three|seven") });
    let brief: Vec<_> = lines.iter().map(|line| (line.0, line.2, line.3)).collect();
    let expected = [(2, false, false), (3, true, false), (4, false, false), (6, false, true), (7, true, false)];
    assert_eq!(brief, expected);
    assert_eq!(numbers(LOG, GrepOptions { limit: Some(1), after: 1, ..options("error") }), [2, 3]);
    assert_eq!(search(LOG, GrepOptions { limit: Some(2), ..options("error") }).1, 2);
    assert_eq!(search(LOG, GrepOptions { count: true, ..options("error") }), (Vec::new(), 3));
    assert_eq!(search(LOG, GrepOptions { limit: Some(0), ..options("error") }), (Vec::new(), 0));
}

#[test]
fn a_bad_pattern_is_a_clear_error() {
    let problem = |pattern: &str| Grep::new(options(pattern)).expect_err("refused").to_string();
    assert_eq!(problem("a("), "the pattern is no regular expression: unclosed group");
    assert!(problem("(?=a)").contains("look-around"), "{}", problem("(?=a)"));
    assert!(problem(&"a".repeat(MAX_PATTERN_BYTES + 1)).contains("longer than 1024 bytes"));
    assert!(problem(r"(\pL{1000}){1000}").contains("more than 256 KiB"));
    assert!(Grep::new(options(&"(".repeat(500))).is_err());
}

#[test]
fn patterns_that_ruin_backtrackers_are_nothing_here() {
    let log = [vec![b'a'; 60_000], b"!\n".to_vec()].concat();
    assert_eq!(search(&log, options("(a+)+$")).1, 0);
    assert_eq!(search(&log, options("(a|aa)+$")).1, 0);
}

/// A line with a word across the end of a window.
fn line_with_needle() -> Vec<u8> {
    let mut line = b"begin ".to_vec();
    line.extend(b"x".repeat(5 * LINE_PIECE_BYTES));
    let at = LINE_PIECE_BYTES - 3;
    line[at..at + 6].copy_from_slice(b"needle");
    line.extend(b" end\n");
    line
}

#[test]
fn a_line_longer_than_a_window_is_searched_to_its_end() {
    let log = [&b"first\n"[..], &line_with_needle(), b"last\n"].concat();
    for (pattern, found) in [
        ("needle", true),
        ("^begin", true),
        ("end$", true),
        ("^needle", false),
        ("needle$", false),
        ("x$", false),
        ("begin.*", true),
        (r"needle\b", false),
    ] {
        let (lines, _) = search(&log, options(pattern));
        assert_eq!(lines.iter().any(|line| line.0 == 2), found, "{pattern}");
        assert!(lines.iter().all(|line| line.1.len() <= LINE_PIECE_BYTES));
    }
    let log = [&b"needle "[..], &b"x".repeat(3 * LINE_PIECE_BYTES), b"\rshown\n"].concat();
    assert_eq!(numbers(&log, options("needle")), [0; 0], "it was taken back");
    assert_eq!(numbers(&log, options("^shown$")), [1]);
    let log = [&b"first\n"[..], &line_with_needle(), b"last\n"].concat();
    assert_eq!(numbers(&log, GrepOptions { invert: true, ..options("needle") }), [1, 3]);
}

proptest! {
    #[test]
    fn it_finds_what_a_search_line_by_line_finds(
        lines in proptest::collection::vec("[ab \u{e9}\r\x1b\\[m0-9]{0,8}", 0..20),
        pattern in prop_oneof![Just("a"), Just("^b"), Just("a$"), Just("[0-9]+"), Just("é"), Just("^$"), Just("a.*b")],
        before in 0usize..3, after in 0usize..3, invert: bool,
    ) {
        let log = lines.join("\n");
        let regex = regex::bytes::Regex::new(pattern).expect("a pattern");
        let mut all = Vec::new();
        let mut take = |piece: LinePiece<'_>| all.extend(piece.shown.then(|| String::from_utf8_lossy(piece.text).into_owned()));
        let mut splitter = LineSplitter::new();
        splitter.push(log.as_bytes(), &mut take);
        splitter.finish(&mut take);
        let matched: Vec<bool> = all.iter().map(|line| regex.is_match(&shown(line.as_bytes())) != invert).collect();
        let near = |at: usize| (0..matched.len()).any(|hit| matched[hit] && at <= hit + after && at + before >= hit);
        let expected: Vec<(u64, String, bool)> = (0..all.len()).filter(|at| near(*at))
            .map(|at| (at as u64 + 1, all[at].to_owned(), matched[at])).collect();
        let (found, count) = search(log.as_bytes(), GrepOptions { before, after, invert, ..options(pattern) });
        let found: Vec<_> = found.into_iter().map(|line| (line.0, line.1, line.2)).collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(count, matched.iter().filter(|hit| **hit).count() as u64);
    }
}
