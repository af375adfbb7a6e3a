//! Replacing secrets in text before it is stored.
//!
//! Guarantees: what matches one of the known shapes, or an expression of the operator's, is replaced by [`MASK`] wherever the
//! text is cut on its way here; memory is bounded whatever the text's length; the same text is always masked the same way.
//!
//! What it does not do: it cannot know a secret that has no shape. A match longer than [`LONGEST`] is cut there and masked to
//! the next blank. Archives are not text and are not looked into.

mod json;
mod shapes;
mod stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

pub use stream::Masker;

use crate::domain::ProjectId;

/// What stands for a secret: the word that GitLab itself uses in logs.
pub const MASK: &[u8] = b"[MASKED]";

/// The longest match, in bytes.
pub const LONGEST: usize = 16 * 1024;

/// A compiled expression takes at most so many bytes.
const EXPRESSION_BYTES: usize = 1 << 20;

/// What is replaced. Cheap to clone.
#[derive(Clone)]
pub struct Rules {
    expressions: Arc<[Regex]>,
}

impl fmt::Debug for Rules {
    /// An expression of the operator's may itself tell a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("expressions", &self.expressions.len()).finish()
    }
}

/// How each project's text is masked, if it is, by its id and path.
pub type RulesOf = Arc<dyn Fn(ProjectId, &str) -> Option<Rules> + Send + Sync>;

impl Rules {
    /// Makes rules of the known shapes, if they are wanted, and of expressions that [`check`] accepted.
    pub fn new(known: bool, patterns: &[String]) -> Result<Self, &'static str> {
        let known = known.then(shapes::expression).into_iter();
        let expressions: Result<Vec<Regex>, _> =
            known.chain(patterns.iter().cloned()).map(|text| build(&text)).collect();
        Ok(Self { expressions: expressions?.into() })
    }

    /// Begins with a text that comes in pieces.
    pub fn begin(&self) -> Masker {
        Masker::new(self.clone())
    }

    /// Masks the strings of a JSON text, keys left alone. Returns the new text and how many secrets it had; `None` when it
    /// had none.
    pub fn mask_json(&self, text: &str) -> Option<(String, u64)> {
        json::mask(self, text)
    }

    /// Masks a short text.
    pub fn mask_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes()).0).into_owned()
    }

    /// Masks a whole text; returns how many secrets it had.
    fn mask(&self, text: &[u8]) -> (Vec<u8>, u64) {
        let mut masker = self.begin();
        let mut masked = Vec::with_capacity(text.len());
        masker.push(text, &mut masked);
        masker.finish(&mut masked);
        (masked, masker.count())
    }

    /// Returns whether a whole text has a secret.
    fn has_secret(&self, text: &[u8]) -> bool {
        self.expressions.iter().any(|expression| expression.is_match(text))
    }

    /// Returns the first match that begins at or after `from`: of several the leftmost, of these the longest. `ahead` remembers
    /// where each expression matches next in this text, so that none of them reads it again for another one's match.
    fn find(&self, text: &[u8], from: usize, ahead: &mut Vec<Ahead>) -> Option<(usize, usize)> {
        ahead.resize(self.expressions.len(), Ahead::Unknown);
        for (expression, ahead) in self.expressions.iter().zip(ahead.iter_mut()) {
            if matches!(ahead, Ahead::At(start, _) if *start >= from) || *ahead == Ahead::Nowhere {
                continue;
            }
            let found = expression.find_at(text, from);
            *ahead = found.map_or(Ahead::Nowhere, |found| Ahead::At(found.start(), found.end()));
        }
        let found = ahead.iter().filter_map(|ahead| match ahead {
            Ahead::At(start, end) => Some((*start, *end)),
            Ahead::Unknown | Ahead::Nowhere => None,
        });
        found.min_by_key(|(start, end)| (*start, std::cmp::Reverse(*end)))
    }
}

/// Where an expression matches next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Unknown,
    Nowhere,
    At(usize, usize),
}

/// Checks an expression of the operator's: it has to be one, and must not match nothing.
pub fn check(text: &str) -> Result<String, &'static str> {
    let expression = build(text)?;
    if expression.is_match(b"") {
        return Err("an expression that matches nothing at all");
    }
    Ok(text.to_owned())
}

fn build(text: &str) -> Result<Regex, &'static str> {
    RegexBuilder::new(text)
        .size_limit(EXPRESSION_BYTES)
        .build()
        .map_err(|_| "not a regular expression, or too large a one")
}
