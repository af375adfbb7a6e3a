//! What reads bytes of strangers, tried with a kept corpus and with what chance makes of it.
//!
//! The corpus is `fixtures/fuzz`: whatever was found to break something is kept there. Each round mutates and joins files of it, the
//! same on every machine; `CISTERN_FUZZ_ROUNDS` makes a run longer, and its numbers begin where `CISTERN_FUZZ_SEED` says.

use std::panic::AssertUnwindSafe;
use std::path::Path;

use bytes::Bytes;
use cistern::archive::{Directory, DirectoryReader, Entry, Extractor, Keep, Location, Refused, TAIL_BYTES, shown};
use cistern::log::{
    Ansi, FailureFinder, Grep, GrepOptions, Index, Indexer, JsonLines, LinePiece, LineSplitter, MAX_INDEX_BYTES,
    Renderer, Search, Stamp, Timestamps,
};

/// Rounds of each target in an ordinary run: a few seconds.
const ROUNDS: u64 = 1_500;

/// No file of the corpus grows beyond it by mutation.
const MOST_BYTES: usize = 20_000;

#[expect(clippy::disallowed_methods, reason = "how long to try is no setting of Cistern")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().expect("a number"))
}

/// Tries a target with the corpus of a folder, and then with mutants of it.
fn fuzz(folder: &str, target: impl Fn(&[u8], &mut fastrand::Rng)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/fuzz").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a corpus").map(|entry| entry.expect("read").path()).collect();
    paths.sort_unstable();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("read")).collect();
    assert!(corpus.len() >= 10, "a corpus");
    let mut random = fastrand::Rng::with_seed(0);
    corpus.iter().for_each(|input| target(input, &mut random));
    let first = number("CISTERN_FUZZ_SEED", 0);
    for seed in first..first + number("CISTERN_FUZZ_ROUNDS", ROUNDS) {
        let round = || {
            let mut random = fastrand::Rng::with_seed(seed);
            let input = mutant(&corpus, &mut random);
            target(&input, &mut random);
        };
        let sound = std::panic::catch_unwind(AssertUnwindSafe(round)).is_ok();
        assert!(sound, "broken by CISTERN_FUZZ_SEED={seed} CISTERN_FUZZ_ROUNDS=1");
    }
}

fn mutant(corpus: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
    let any = |random: &mut fastrand::Rng| corpus[random.usize(..corpus.len())].clone();
    let mut input = any(random);
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..=input.len());
        let end = (at + random.usize(..40)).min(input.len());
        match random.u8(..7) {
            0 if at < input.len() => input[at] = random.u8(..),
            1 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, input[at..end].repeat(random.usize(1..30)))),
            4 => {
                let other = any(random);
                let from = random.usize(..=other.len());
                let to = (from + random.usize(..200)).min(other.len());
                drop(input.splice(at..end, other[from..to].iter().copied()));
            }
            5 => {
                let edges = [0u32, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];
                let edge = edges[random.usize(..edges.len())].to_le_bytes();
                let length = edge.len().min(input.len() - at);
                input[at..at + length].copy_from_slice(&edge[..length]);
            }
            _ => {
                let words: [&[u8]; 11] = [
                    b"\x1b[0K",
                    b"\r",
                    b"\n",
                    b"\x1b]",
                    b"section_start:1:a\r\x1b[0K",
                    b"PK\x05\x06",
                    b"\x1b[31m",
                    b"<",
                    b"2026-11-20T10:00:00.123456Z 01O ",
                    b"\n2026-11-20T10:00:00.123456Z 01O+",
                    b"\r\n2026-11-20T10:00:00.123456Z 00E+",
                ];
                drop(input.splice(at..at, words[random.usize(..words.len())].iter().copied()));
            }
        }
    }
    input.truncate(MOST_BYTES);
    input
}

#[test]
fn a_log_of_anything_is_read_the_same_wherever_it_is_cut_and_shown_harmless() {
    let ours = regex::Regex::new("<span class=\"[a-z0-9 ]+\">|</span>|&(amp|lt|gt|quot|#39);").expect("a pattern");
    assert!(ours.is_match("&lt;"));
    fuzz("log", |log, random| {
        let pieces = cuts(log, random);
        let index = index(&[log]);
        let entries: Vec<&[u8]> = log.split_inclusive(|byte| *byte == b'\n').collect();
        let goes_on = |entry: &&[u8]| Stamp::parse(entry).is_some_and(|stamp| stamp.continues);
        let lines = entries.iter().enumerate().filter(|(at, entry)| *at == 0 || !goes_on(entry)).count() as u64;
        assert_eq!((index.lines.joined(), index.joins.any), (lines, (lines as usize) < entries.len()));
        let again = self::index(&pieces);
        assert_eq!((again.sections, again.joins), (index.sections.clone(), index.joins));
        for section in &index.sections.all {
            assert!(1 <= section.first_line && section.first_line <= section.last_line + 1);
            assert!(section.last_line <= index.lines.lines());
        }
        // Lines that end because a section's marker begins another.
        let mut begun = Vec::new();
        let mut take = |piece: LinePiece<'_>| begun.extend(piece.last.then_some(!piece.broken));
        let mut splitter = LineSplitter::new();
        splitter.push(log, &mut take);
        splitter.finish(&mut take);
        begun.pop();
        let begun = begun.into_iter().filter(|begun| *begun).count();
        let encoded = index.encode();
        assert!(encoded.len() <= MAX_INDEX_BYTES && Index::decode(&encoded).as_ref() == Some(&index));

        for (ansi, timestamps) in
            [(Ansi::Html, Timestamps::Keep), (Ansi::Html, Timestamps::Strip), (Ansi::Strip, Timestamps::Strip)]
        {
            let shown = String::from_utf8(render(ansi, timestamps, &[log])).expect("UTF-8");
            assert_eq!(shown.as_bytes(), render(ansi, timestamps, &pieces));
            assert_eq!(shown.matches('\n').count(), cistern::log::line_breaks(log, b"").count() + begun);
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
            if ansi == Ansi::Html {
                assert!(!ours.replace_all(&shown, "").contains(['<', '>', '"', '\'', '&']), "{shown}");
                assert!(shown.lines().all(|line| line.matches("<span").count() == line.matches("</span").count()));
            }
        }
        let kept = render(Ansi::Keep, Timestamps::Keep, &pieces);
        assert!(index.joins.any || kept == log);
        read_lines(log, &pieces, &index);
    });
}

fn cuts<'a>(mut log: &'a [u8], random: &mut fastrand::Rng) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    while !log.is_empty() {
        let (piece, rest) = log.split_at(random.usize(1..=log.len().min(300)));
        pieces.push(piece);
        log = rest;
    }
    pieces
}

fn index(pieces: &[&[u8]]) -> Index {
    let mut indexer = Indexer::default();
    pieces.iter().filter(|piece| !piece.is_empty()).for_each(|piece| indexer.push(piece));
    indexer.finish()
}

fn render(ansi: Ansi, timestamps: Timestamps, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut renderer, mut splitter, mut out) = (Renderer::new(ansi, timestamps), LineSplitter::new(), Vec::new());
    let mut each = |piece: LinePiece<'_>| renderer.push(&piece, &mut out);
    pieces.iter().for_each(|piece| splitter.push(piece, &mut each));
    splitter.finish(&mut each);
    out
}

/// Lines, searches, JSON and errors agree about where lines are.
fn read_lines(log: &[u8], pieces: &[&[u8]], index: &Index) {
    let options = GrepOptions { pattern: "^|err.*$".to_owned(), before: 2, ..GrepOptions::default() };
    let mut search = Search::new(Grep::new(options).expect("a pattern"));
    let mut json = JsonLines::new(index.sections.clone(), Ansi::Html);
    let mut finder = FailureFinder::new(index);
    let (mut joined, mut found, mut objects) = (Vec::new(), 0, Vec::new());
    let mut splitter = LineSplitter::new().reaching(index.joins.reach);
    let mut each = |piece: LinePiece<'_>| {
        assert!(index.joins.any || piece.offset == joined.len() as u64);
        joined.extend_from_slice(piece.text);
        joined.extend(piece.broken.then_some(b'\n'));
        search.push(&piece, &mut |line| found += u64::from(line.matched));
        json.push(&piece, &mut objects);
        finder.push(&piece);
    };
    pieces.iter().for_each(|piece| splitter.push(piece, &mut each));
    splitter.finish(&mut each);
    let lines = index.lines.lines();
    assert!(index.joins.any || joined == log);
    assert_eq!((found, search.matches()), (lines, lines));
    for object in objects.split(|byte| *byte == b'\n').filter(|object| !object.is_empty()) {
        serde_json::from_slice::<serde_json::Value>(object).expect("JSON");
    }
    let shown = finder.finish().lines();
    assert!(
        shown.iter().all(|range| 1 <= range.start && range.start < range.end && range.end <= lines + 1),
        "{shown:?}"
    );
    assert!(shown.windows(2).all(|two| two[0].end < two[1].start), "{shown:?}");
}

#[test]
fn an_archive_of_anything_is_read_as_it_says_or_refused() {
    fuzz("zip", |zip, random| {
        let Ok(directory) = open(zip, random) else { return };
        let tree = directory.tree(b"", true, 0, 1_000).expect("a tree");
        assert!(tree.nodes.len() as u64 == tree.total.min(1_000));
        for node in &tree.nodes {
            let path =
                if node.kind == "directory" { node.path.strip_suffix('/').expect("a slash") } else { &node.path };
            assert!(!path.starts_with('/') && !path.split('/').any(|part| matches!(part, "" | "." | "..")));
        }
        let listed = directory.entries().iter().filter(|entry| !matches!(entry.refused, Some(Refused::UnsafePath(_))));
        assert_eq!(listed.count() as u64 + tree.left_out.total(), directory.entries().len() as u64);
        for entry in directory.entries() {
            assert!(!shown(&entry.path).contains(char::is_control));
            if let Ok(size) = extract(zip, entry, random) {
                assert_eq!((size, entry.refused), (entry.size, None));
            }
        }
    });
}

fn slice(zip: &[u8], range: std::ops::Range<u64>) -> &[u8] {
    let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(zip.len());
    &zip[usize::try_from(range.start).unwrap_or(usize::MAX).min(end)..end]
}

fn open(zip: &[u8], random: &mut fastrand::Rng) -> Result<Directory, Refused> {
    let location = Location::find(&zip[zip.len().saturating_sub(TAIL_BYTES)..], zip.len() as u64)?;
    assert_eq!(Location::decode(&location.encode(), zip.len() as u64), Some(location));
    let mut reader = DirectoryReader::new(location, Keep::all());
    for piece in cuts(slice(zip, location.offset..location.offset + location.bytes), random) {
        reader.push(piece)?;
    }
    reader.finish()
}

fn extract(zip: &[u8], entry: &Entry, random: &mut fastrand::Rng) -> Result<u64, Refused> {
    let mut extractor = Extractor::new(entry, 3_000_000)?;
    let data = entry.data(slice(zip, entry.header()))?;
    let (mut size, mut crc) = (0, flate2::Crc::new());
    let mut take = |extractor: &mut Extractor| {
        while let Some(piece) = extractor.piece()? {
            size += piece.len() as u64;
            crc.update(&piece);
            assert!(size <= entry.size);
        }
        Ok::<_, Refused>(())
    };
    for piece in cuts(slice(zip, data), random) {
        extractor.feed(Bytes::copy_from_slice(piece));
        take(&mut extractor)?;
    }
    take(&mut extractor)?;
    extractor.finish()?;
    assert_eq!(crc.sum(), entry.crc32);
    Ok(size)
}
