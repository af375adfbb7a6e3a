//! Errors in the logs of runners, old and new, and in none.

use super::*;
use crate::log::{Indexer, LineSplitter};

fn find(log: &str) -> Failure {
    let mut indexer = Indexer::default();
    indexer.push(log.as_bytes());
    let mut finder = FailureFinder::new(&indexer.finish());
    let mut splitter = LineSplitter::new();
    splitter.push(log.as_bytes(), &mut |piece| {
        if piece.number >= finder.starts_at() {
            finder.push(&piece);
        }
    });
    splitter.finish(&mut |piece| finder.push(&piece));
    finder.finish()
}

const FAILED: &str = "Running with gitlab-runner 18.9.0\n\
    \x1b[0Ksection_start:1:step_script\r\x1b[0KExecuting\n\
    \x1b[32;1m$ make deps\x1b[0;m\nwarning: error in the docs, ignored\n\
    \x1b[32;1m$ make test\x1b[0;m\nrunning\n$ printed by the test\nsrc/a.c:3: error: expected ;\nmore\n\
    \x1b[0Ksection_end:9:step_script\r\x1b[0K\x1b[0Ksection_start:9:after_script\r\x1b[0KRunning after_script\n\
    \x1b[32;1m$ cleanup\x1b[0;m\n\
    section_end:9:after_script\r\x1b[0K\x1b[31;1mERROR: Job failed: exit code 2\n\x1b[0;m";

#[test]
fn the_last_command_of_the_script_its_output_and_the_verdict_are_found() {
    let failure = find(FAILED);
    assert_eq!(failure.command, Some(Quote { line: 5, text: "$ make test".into() }));
    assert_eq!(failure.output, Some((6, 9)));
    let marks: Vec<u64> = failure.marks.iter().map(|mark| mark.line).collect();
    assert_eq!(marks, [8]);
    let verdict = failure.verdict.as_ref().expect("a verdict");
    assert_eq!((&*verdict.quote.text, verdict.exit_code), ("ERROR: Job failed: exit code 2", Some(2)));
    assert_eq!(failure.lines(), [5..10, 12..13]);
}

#[test]
fn stamps_change_nothing() {
    let stamped: String =
        FAILED.split_inclusive('\n').map(|line| format!("2026-11-20T10:00:00.123456Z 00O {line}")).collect();
    assert_eq!(find(&stamped), find(FAILED));
}

#[test]
fn a_job_that_succeeded_has_a_verdict_and_no_failure() {
    let failure = find(
        "section_start:1:step_script\r\x1b[0K\n\x1b[32;1m$ make\x1b[0;m\nerror: none\nsection_end:1:step_script\r\x1b[0K\x1b[32;1mJob succeeded\n",
    );
    assert!(failure.command.is_none() && failure.marks.is_empty());
    assert!(failure.verdict.as_ref().is_some_and(|verdict| verdict.succeeded));
    assert_eq!(failure.lines(), vec![Range { start: 3, end: 4 }]);
}

#[test]
fn a_log_without_sections_or_without_an_end_tells_what_it_can() {
    let failure =
        find("$ make\nfatal: no\nRunning after script...\n$ cleanup\nERROR: Job failed (system failure): pod gone\n");
    assert_eq!((failure.command.map(|command| command.line), failure.output), (Some(1), Some((2, 4))));
    assert_eq!(failure.verdict.and_then(|verdict| verdict.exit_code), None);
    assert_eq!(find("$ make\nerror").output, Some((2, 2)));
    assert_eq!(find("nothing of it\n"), Failure::default());
    assert_eq!(find("").lines(), Vec::<Range<u64>>::new());
}

#[test]
fn of_a_long_output_the_end_and_the_marked_lines_are_shown() {
    let output: String =
        (0..2_000).map(|n| if n == 3 { "error: first\n".to_owned() } else { format!("{n}\n") }).collect();
    let failure = find(&format!("$ make\n{output}ERROR: Job failed: exit code 137\n"));
    assert_eq!(failure.lines(), [1..2, 5..6, 1502..2003]);
}

#[test]
fn a_flood_of_errors_and_a_huge_line_are_bounded() {
    let failure = find(&format!("$ {}\n{}", "x".repeat(100_000), "error\n".repeat(1_000)));
    assert_eq!((failure.marks.len(), failure.command.expect("a command").text.len()), (MARKS, QUOTE_BYTES));
}
