//! What is kept beside a stored log so that its parts are found without reading it: where its lines and sections are.

use super::lines::{LineIndex, LineIndexer};
use super::page::PageLines;
use super::sections::{MAX_DEPTH, MAX_NAME_BYTES, MAX_SECTIONS, Section, SectionScanner, Sections};
use super::splitter::{JOIN_BYTES, JoinedLines, Joins, LinePiece};

/// The most that an encoded index has: sections that would not fit are left out, and said to be.
pub const MAX_INDEX_BYTES: usize = 64 * 1024;

/// The version of an index: its first byte. Whatever changes what an index says of a log, or how it is encoded, takes the next
/// one; an index of another version is none, and is made again from the log. 1 knew of no entries that go on with a line, 2 counted
/// what shows nothing.
pub const INDEX_VERSION: u8 = 3;

/// Where the lines and sections of a log are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    /// Its lines, by stored frame.
    pub lines: LineIndex,
    /// Its sections.
    pub sections: Sections,
    /// How its entries go on with lines.
    pub joins: Joins,
}

/// Makes an index while a log is stored.
#[derive(Debug, Default)]
pub struct Indexer {
    joined: JoinedLines,
    marks: Marks,
}

/// What is found in joined lines.
#[derive(Debug, Default)]
struct Marks {
    lines: LineIndexer,
    page: PageLines,
    sections: SectionScanner,
}

impl Indexer {
    /// Takes the next frame, uncompressed; none is empty.
    pub fn push(&mut self, frame: &[u8]) {
        let Self { joined, marks } = self;
        marks.lines.push(frame);
        joined.push(frame, &mut |piece| marks.take(&piece));
    }

    /// Returns the index of the whole log.
    pub fn finish(self) -> Index {
        let Self { joined, mut marks } = self;
        let joins = joined.finish(&mut |piece| marks.take(&piece));
        let Marks { lines, page, sections } = marks;
        Index { lines: lines.finish(page.shown()), sections: sections.finish(), joins }
    }
}

impl Marks {
    fn take(&mut self, piece: &LinePiece<'_>) {
        let Self { lines, page, sections } = self;
        if piece.first {
            lines.begin(piece.offset, page.shown());
        }
        page.push(piece, &mut |line| sections.push(&line));
    }
}

impl Index {
    /// Writes it compactly: some 6 bytes for each frame and 20 for each section.
    pub fn encode(&self) -> Box<[u8]> {
        let mut bytes = vec![INDEX_VERSION, u8::from(self.lines.open_end) | u8::from(self.joins.any) << 1];
        number(&mut bytes, self.joins.reach);
        number(&mut bytes, self.lines.before.len() as u64);
        let LineIndex { before, breaks, shown_before, shown, .. } = &self.lines;
        for (begins, end) in [(before, breaks), (shown_before, shown)] {
            let ends = begins.iter().skip(1).chain([end]);
            begins.iter().zip(ends).for_each(|(begin, end)| number(&mut bytes, end - begin));
        }
        let mut encoded = Vec::new();
        let mut sections = 0;
        for section in &self.sections.all {
            let before = encoded.len();
            write(&mut encoded, section);
            // 16 bytes are left for what is written last.
            if bytes.len() + encoded.len() + 16 > MAX_INDEX_BYTES {
                encoded.truncate(before);
                break;
            }
            sections += 1;
        }
        bytes.push(u8::from(self.sections.truncated || sections < self.sections.all.len()));
        number(&mut bytes, sections as u64);
        bytes.extend(encoded);
        bytes.into()
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [INDEX_VERSION, flags, rest @ ..] = bytes else { return None };
        let mut rest = rest;
        let joins = Joins { any: flags & 2 != 0, reach: read_number(&mut rest).filter(|reach| *reach <= JOIN_BYTES)? };
        let mut lines = LineIndex { open_end: flags & 1 != 0, ..LineIndex::default() };
        let stretches = bounded(&mut rest, MAX_INDEX_BYTES)?;
        let LineIndex { before, breaks, shown_before, shown, .. } = &mut lines;
        for (begins, end) in [(before, breaks), (shown_before, shown)] {
            for _ in 0..stretches {
                begins.push(*end);
                *end = end.checked_add(read_number(&mut rest)?)?;
            }
        }
        let (truncated, after) = rest.split_first()?;
        rest = after;
        let mut sections = Sections { all: Vec::new(), truncated: *truncated == 1 };
        for _ in 0..bounded(&mut rest, MAX_SECTIONS)? {
            sections.all.push(read(&mut rest)?);
        }
        rest.is_empty().then_some(Self { lines, sections, joins })
    }
}

fn write(bytes: &mut Vec<u8>, section: &Section) {
    let flags = u64::from(section.collapsed) | u64::from(section.ended.is_some()) << 1 | u64::from(section.depth) << 2;
    number(bytes, flags);
    number(bytes, section.started);
    number(bytes, section.ended.unwrap_or(0));
    number(bytes, section.first_line);
    number(bytes, section.last_line + 1 - section.first_line);
    number(bytes, section.name.len() as u64);
    bytes.extend_from_slice(section.name.as_bytes());
}

fn read(rest: &mut &[u8]) -> Option<Section> {
    let flags = read_number(rest)?;
    let started = read_number(rest)?;
    let ended = read_number(rest)?;
    let first_line = read_number(rest)?;
    let last_line = first_line.checked_sub(1)?.checked_add(read_number(rest)?)?;
    let length = bounded(rest, MAX_NAME_BYTES)?;
    let (name, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Section {
        name: std::str::from_utf8(name).ok()?.into(),
        started,
        ended: (flags & 2 != 0).then_some(ended),
        depth: u32::try_from(flags >> 2).ok().filter(|depth| (*depth as usize) < MAX_DEPTH)?,
        first_line,
        last_line,
        collapsed: flags & 1 != 0,
    })
}

/// Writes a number in 7 bits a byte, lowest first.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn bounded(rest: &mut &[u8], most: usize) -> Option<usize> {
    usize::try_from(read_number(rest)?).ok().filter(|value| *value <= most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(log: &[u8], frame: usize) -> Index {
        let mut indexer = Indexer::default();
        log.chunks(frame).for_each(|frame| indexer.push(frame));
        indexer.finish()
    }

    #[test]
    fn an_index_is_small_and_reads_back() {
        let log = "\x1b[0Ksection_start:1795166042:step_script[collapsed=true]\r\x1b[0Kline\nsection_end:1795166049:step_script\r\x1b[0K\n";
        let index = index(log.repeat(3).as_bytes(), 40);
        let encoded = index.encode();
        assert_eq!(Index::decode(&encoded), Some(index));
        assert!(encoded.len() < 130, "{}", encoded.len());
        assert_eq!(Index::decode(&Index::default().encode()), Some(Index::default()));
    }

    #[test]
    fn the_index_of_a_hostile_log_is_bounded() {
        let name = "n".repeat(MAX_NAME_BYTES);
        let log = format!("section_start:1:{name}\r\x1b[0K\nsection_end:1:{name}\r\x1b[0K\n").repeat(MAX_SECTIONS);
        let whole = index(log.as_bytes(), 1 << 18);
        assert!(!whole.sections.truncated);
        let encoded = whole.encode();
        assert!(encoded.len() <= MAX_INDEX_BYTES);
        let decoded = Index::decode(&encoded).expect("an index");
        assert!(decoded.sections.truncated && decoded.sections.all.len() > 400);
        assert_eq!(decoded.lines, whole.lines);
    }

    proptest! {
        #[test]
        fn damaged_bytes_are_no_index_and_harm_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..60), flip in any::<(usize, u8)>()) {
            let _ = Index::decode(&bytes);
            let mut encoded = index(b"section_start:1:a\r\x1b[0K\nb\nc", 9).encode();
            let at = flip.0 % encoded.len();
            encoded[at] ^= flip.1;
            let _ = Index::decode(&encoded);
        }
    }
}
