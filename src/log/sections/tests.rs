//! Markers of runners, of careless scripts and of attackers.

use super::*;
use crate::log::LineSplitter;
use proptest::prelude::*;

fn scan(text: &[u8], piece: usize) -> Sections {
    let mut scanner = SectionScanner::default();
    let mut splitter = LineSplitter::new();
    text.chunks(piece).for_each(|part| splitter.push(part, &mut |piece| scanner.push(&piece)));
    splitter.finish(&mut |piece| scanner.push(&piece));
    scanner.finish()
}

/// Returns name, first and last line, depth and duration of each.
fn brief(text: &str) -> Vec<(String, u64, u64, u32, Option<u64>)> {
    let sections = scan(text.as_bytes(), text.len().max(1));
    assert!(!sections.truncated);
    let brief = |s: &Section| (s.name.to_string(), s.first_line, s.last_line, s.depth, s.seconds());
    sections.all.iter().map(brief).collect()
}

fn start(at: u64, name: &str) -> String {
    format!("\x1b[0Ksection_start:{at}:{name}\r\x1b[0K")
}

fn end(at: u64, name: &str) -> String {
    format!("\x1b[0Ksection_end:{at}:{name}\r\x1b[0K")
}

#[test]
fn sections_of_a_runner_follow_each_other() {
    let log = [
        "Running with gitlab-runner\n".to_owned(),
        start(10, "prepare_executor") + "Preparing\nUsing image\n",
        end(12, "prepare_executor") + &start(12, "step_script") + "Executing\n$ make\nfailed\n",
        end(75, "step_script") + "ERROR: Job failed\n",
    ]
    .concat();
    let expected = [("prepare_executor".to_owned(), 2, 3, 0, Some(2)), ("step_script".to_owned(), 4, 6, 0, Some(63))];
    assert_eq!(brief(&log), expected);
}

#[test]
fn stamps_before_markers_change_nothing_but_text_does() {
    let stamp = "2026-11-20T10:00:00.123456Z 00O ";
    let log = format!("{stamp}{}title\n{stamp}text\n{stamp}{}next\n", start(1, "a"), end(3, "a"));
    assert_eq!(brief(&log), [("a".to_owned(), 1, 2, 0, Some(2))]);
    let log = format!("{}title\nno line break at its end{}next\n", start(1, "a"), end(3, "a"));
    assert_eq!(brief(&log), [("a".to_owned(), 1, 2, 0, Some(2))]);
}

#[test]
fn both_forms_of_stamped_markers_are_those_of_a_log_without_stamps() {
    let stamp = |mark: char| format!("2026-11-20T10:00:00.123456Z 00O{mark}");
    // What runners up to 19.0, and later ones, make of the same.
    let cut = [
        (' ', "section_start:10:a\r"),
        ('+', "\x1b[0K\x1b[36;1mTitle\x1b[0;m"),
        (' ', "text"),
        (' ', "section_end:13:a\r"),
        ('+', "\x1b[0Ksection_start:13:b\r"),
        ('+', "\x1b[0K\x1b[36;1mNext\x1b[0;m"),
        (' ', "section_end:15:b\r"),
        ('+', "\x1b[0K\x1b[31;1mERROR: Job failed"),
    ];
    let whole = [
        (' ', "section_start:10:a\r\x1b[0K"),
        ('+', "\x1b[36;1mTitle\x1b[0;m"),
        (' ', "text"),
        (' ', "section_end:13:a\r\x1b[0K"),
        ('+', "section_start:13:b\r\x1b[0K"),
        ('+', "\x1b[36;1mNext\x1b[0;m"),
        (' ', "section_end:15:b\r\x1b[0K"),
        ('+', "\x1b[31;1mERROR: Job failed"),
    ];
    let expected = [("a".to_owned(), 1, 2, 0, Some(3)), ("b".to_owned(), 3, 3, 0, Some(2))];
    for entries in [cut, whole] {
        let log: String = entries.iter().map(|(mark, text)| format!("{}{text}\n", stamp(*mark))).collect();
        assert_eq!(brief(&log), expected, "{log}");
    }
}

#[test]
fn nested_overlapping_unclosed_and_unopened_sections_are_told_as_far_as_they_can() {
    let log = start(1, "a") + "\n" + &start(2, "b") + "\n" + &end(3, "a") + "\n" + &end(9, "b") + "\n" + &end(9, "b");
    assert_eq!(brief(&log), [("a".to_owned(), 1, 0, 0, Some(2)), ("b".to_owned(), 1, 0, 1, Some(7))]);
    let log =
        start(1, "a") + "x\n" + &start(2, "b") + "y\n" + &end(3, "a") + "z\n" + &end(9, "b") + "\n" + &end(9, "b");
    assert_eq!(brief(&log), [("a".to_owned(), 1, 2, 0, Some(2)), ("b".to_owned(), 2, 3, 1, Some(7))]);
    let log = start(5, "a") + "x\ny\nz";
    assert_eq!(brief(&log), [("a".to_owned(), 1, 3, 0, None)]);
    let log = start(5, "a") + &start(6, "a") + "x\n" + &end(4, "a") + "\n" + &end(7, "a");
    assert_eq!(brief(&log), [("a".to_owned(), 1, 1, 0, Some(2)), ("a".to_owned(), 1, 1, 1, Some(0))]);
}

#[test]
fn a_section_knows_whether_it_is_collapsed() {
    for (options, collapsed) in
        [("", false), ("[collapsed=true]", true), ("[hide_duration=true, collapsed=true]", true)]
    {
        let log = format!("section_start:1:a{options}\r\x1b[0K");
        assert_eq!(scan(log.as_bytes(), 3).all[0].collapsed, collapsed, "{options}");
    }
}

#[test]
fn what_only_looks_like_a_marker_is_text() {
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    for text in [
        "section_start:1:a\n".to_owned(),
        "section_start:1:a\r".to_owned(),
        "section_start:1:a b\r\x1b[0K".to_owned(),
        "section_start::a\r\x1b[0K".to_owned(),
        "section_start:1:\r\x1b[0K".to_owned(),
        "section_start:-1:a\r\x1b[0K".to_owned(),
        "section_start:9999999999999:a\r\x1b[0K".to_owned(),
        "section_begin:1:a\r\x1b[0K".to_owned(),
        "section_start:1:<script>\r\x1b[0K".to_owned(),
        "section_start:1:a[collapsed=true\r\x1b[0K".to_owned(),
        "section_start:1:a[\x1b[31m]\r\x1b[0K".to_owned(),
        format!("section_start:1:{long}\r\x1b[0K"),
        format!("section_start:1:a[{}]\r\x1b[0K", "o".repeat(MAX_OPTIONS_BYTES + 1)),
        "section_".repeat(1000),
    ] {
        assert_eq!(scan(text.as_bytes(), 5).all, [], "{text}");
    }
}

#[test]
fn a_flood_of_markers_is_bounded_and_said() {
    let many: String = (0..2 * MAX_SECTIONS as u64).map(|n| start(n, "a") + "\n" + &end(n, "a") + "\n").collect();
    let sections = scan(many.as_bytes(), 4096);
    assert_eq!((sections.all.len(), sections.truncated), (MAX_SECTIONS, true));
    let deep: String = (0..1000).map(|n| start(n, &format!("d{n}"))).collect();
    let sections = scan(deep.as_bytes(), 4096);
    assert_eq!((sections.all.len(), sections.truncated), (MAX_DEPTH, true));
}

proptest! {
    #[test]
    fn it_finds_the_same_wherever_pieces_end(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("section_".to_owned()), Just("section_start:12:".to_owned()), Just("\r\x1b[0K".to_owned()),
                Just("\n".to_owned()), Just("[collapsed=true]".to_owned()), Just("2026-11-20T10:00:00.123456Z 00O ".to_owned()),
                Just("\n2026-11-20T10:00:00.123456Z 00O+".to_owned()), Just("\n2026-11-20T10:00:00.123456Z 01E ".to_owned()),
                (0u64..20, "[ab]").prop_map(|(at, name)| start(at, &name)), (0u64..20, "[ab]").prop_map(|(at, name)| end(at, &name)),
                "[a-z:\r\x1b]{0,6}",
            ],
            0..30,
        ),
        piece in 1usize..50,
    ) {
        let text = parts.concat();
        let whole = scan(text.as_bytes(), text.len().max(1));
        // At most one line more with each marker.
        let lines = text.split_inclusive('\n').count() as u64 + text.matches("section_").count() as u64;
        for section in &whole.all {
            prop_assert!(1 <= section.first_line && section.first_line <= section.last_line + 1);
            prop_assert!(section.last_line <= lines);
        }
        prop_assert_eq!(scan(text.as_bytes(), piece), whole);
    }
}
