//! Which part of a log somebody asks for.

use std::ops::Range;

use super::index::Index;

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// The first lines.
    Head(u64),
    /// The last lines.
    Tail(u64),
    /// These lines, both included, from 1.
    Lines(u64, u64),
    /// These bytes; the end is not included.
    Bytes(Range<u64>),
    /// The lines of the first section of this name.
    Section(Box<str>),
    /// The last failing command, its output and the runner's verdict.
    Errors,
}

impl Part {
    /// Returns the lines it means, cut to those there are; the end is not included. With the last line comes what shows nothing
    /// behind it, and has the next number: runners end a log with what takes their colour back. `None` for what is not told by
    /// lines alone, and for a section that is not there.
    pub fn lines(&self, index: &Index) -> Option<Range<u64>> {
        let all = index.lines.lines();
        let (first, last) = match self {
            Self::Whole => (1, all),
            Self::Head(count) => (1, *count),
            Self::Tail(count) => (all.saturating_sub(*count) + 1, all),
            Self::Lines(first, last) => (*first, *last),
            Self::Section(name) => {
                let section = index.sections.find(name)?;
                return Some(section.first_line..section.last_line + 1);
            }
            Self::Bytes(_) | Self::Errors => return None,
        };
        let (first, end) = (first.max(1), if last < all { last + 1 } else { all + 2 });
        Some(if first > last.min(all) { end..end } else { first..end })
    }

    /// Returns whether it can only be found with an index.
    pub fn needs_index(&self) -> bool {
        !matches!(self, Self::Whole | Self::Bytes(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Indexer;

    #[test]
    fn a_part_is_cut_to_the_lines_there_are() {
        let mut indexer = Indexer::default();
        indexer.push(b"1\n2\nsection_start:1:a\r\x1b[0K3\n4\nsection_end:1:a\r\x1b[0K5");
        let index = indexer.finish();
        for (part, lines) in [
            (Part::Whole, 1..7),
            (Part::Head(2), 1..3),
            (Part::Head(u64::MAX), 1..7),
            (Part::Tail(2), 4..7),
            (Part::Tail(0), 7..7),
            (Part::Tail(u64::MAX), 1..7),
            (Part::Lines(2, 3), 2..4),
            (Part::Lines(0, 1), 1..2),
            (Part::Lines(0, 0), 1..1),
            (Part::Lines(4, 2), 3..3),
            (Part::Lines(6, 12), 7..7),
            (Part::Section("a".into()), 3..5),
        ] {
            assert_eq!(part.lines(&index), Some(lines), "{part:?}");
        }
        assert_eq!(Part::Section("b".into()).lines(&index), None);
        assert_eq!(Part::Whole.lines(&Index::default()), Some(2..2));
    }
}
