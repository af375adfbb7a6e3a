//! GitLab's documents, with every key that GitLab writes: REST entities and webhook payloads (contract, sections 3 to 5).
//!
//! Job and pipeline documents are kept as text and made again only after a change, so that the fake answers at
//! the speed of a copy.

mod event;
mod hook;
mod job;
mod people;
mod pipeline;
mod project;
mod report;

pub use event::DateStyle;

pub(crate) use event::{job_event, pipeline_event};

use std::fmt::Write as _;

/// Joins documents to a JSON array.
pub(crate) fn array<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = vec![b'['];
    for document in documents {
        if text.len() > 1 {
            text.push(b',');
        }
        text.extend_from_slice(document);
    }
    text.push(b']');
    text
}

/// Writes a path segment's words with capitals, as in a display name: `tide-ledger` is `Tide Ledger`.
pub(crate) fn display_name(segment: &str) -> String {
    let mut name = String::with_capacity(segment.len());
    for word in segment.split(['-', '_']).filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        let space = if name.is_empty() { "" } else { " " };
        // Writing into a string cannot fail.
        let _ = write!(name, "{space}{}{rest}", first.to_uppercase());
    }
    name
}
