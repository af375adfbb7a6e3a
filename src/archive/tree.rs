//! What is in a directory of an archive, as GitLab lists it (contract, section 5.7): directories, with a slash at their end, before
//! files, each in the order of their paths' bytes; with all that is below, in that order alone (GitLab's source:
//! `lib/api/ci/job_artifacts.rb`).

use serde::Serialize;

use super::directory::{Directory, Keep};
use super::entry::{Entry, Kind};
use super::refused::Refused;
use super::{LeftOutCounts, encoded};

/// A file or directory as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The last part of its path; what is no UTF-8 in it is U+FFFD.
    pub name: Box<str>,
    /// Its path, a directory's with `/` at the end; what is no UTF-8 in it is U+FFFD.
    pub path: Box<str>,
    /// Its path as it goes into a URL, where `path` does not tell all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoded_path: Option<Box<str>>,
    /// `file` or `directory`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The size of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its mode in octal digits; that of a directory which the archive does not list is `040755`.
    pub mode: Box<str>,
    /// Why a file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<&'static str>,
}

/// Some of what is in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The nodes asked for.
    pub nodes: Vec<Node>,
    /// How many there are in all.
    pub total: u64,
    /// How many entries of the whole archive are in no directory of it.
    pub left_out: LeftOutCounts,
}

impl Keep {
    /// Keeps what [`Directory::tree`] of a path shows.
    pub fn tree(path: &[u8]) -> Self {
        Self::Below(prefix(path).into())
    }
}

impl Directory {
    /// Returns what is in the directory `path` (empty for the archive itself), with `recursive` also what is in the directories
    /// below: `limit` nodes from `offset` on. `None` when there is no such directory.
    ///
    /// Directories that the archive does not list but files are in are listed, too. Files without a plain path are not.
    pub fn tree(&self, path: &[u8], recursive: bool, offset: u64, limit: u64) -> Option<Tree> {
        let prefix = prefix(path);
        let begin = self.entries().partition_point(|entry| *entry.path < *prefix);
        let below = self.entries()[begin..].iter().take_while(|entry| entry.path.starts_with(&prefix));
        let mut tree = Tree { nodes: Vec::new(), total: 0, left_out: self.left_out() };
        let mut add = |node: &dyn Fn() -> Node| {
            if tree.total >= offset && tree.total - offset < limit {
                tree.nodes.push(node());
            }
            tree.total += 1;
        };
        let below = below.filter(|entry| !matches!(entry.refused, Some(Refused::UnsafePath(_))));
        let turns: &[_] = if recursive { &[(true, true)] } else { &[(true, false), (false, true)] };
        let mut before: Option<&[u8]> = None;
        for (directories, files) in turns {
            before = None;
            for entry in below.clone() {
                let rest = &entry.path[prefix.len()..];
                // Directories that begin with this entry: those of its path that the one before was not in.
                let shared = before.map_or(0, |before| shared_bytes(before, rest));
                let most = if recursive { usize::MAX } else { usize::from(*directories) };
                let slashes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
                for at in slashes.take(most).filter(|at| *at >= shared) {
                    let listed = at + 1 == rest.len();
                    add(&|| directory(&entry.path[..=prefix.len() + at], listed.then_some(entry)));
                }
                let is_here = *files && (recursive || !rest.contains(&b'/'));
                if is_here && entry.kind() == Kind::File {
                    add(&|| file(entry));
                }
                before = Some(rest);
            }
        }
        (before.is_some() || prefix.is_empty()).then_some(tree)
    }
}

/// Returns how the paths of what is in a directory begin.
fn prefix(path: &[u8]) -> Vec<u8> {
    let begin = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(begin, |at| at + 1);
    let mut prefix = path[begin..end].to_vec();
    prefix.extend((!prefix.is_empty()).then_some(b'/'));
    prefix
}

/// Returns how much of two paths is the same, in whole directories.
fn shared_bytes(one: &[u8], other: &[u8]) -> usize {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    one[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

fn file(entry: &Entry) -> Node {
    let mode = if entry.mode == 0 { 0o100_644 } else { entry.mode };
    Node { size: Some(entry.size), refused: entry.refused.map(Refused::as_str), ..node(&entry.path, "file", mode) }
}

fn directory(path: &[u8], entry: Option<&Entry>) -> Node {
    let mode = entry.map_or(0, |entry| entry.mode);
    node(path, "directory", if mode == 0 { 0o040_755 } else { mode })
}

fn node(path: &[u8], kind: &'static str, mode: u32) -> Node {
    let text: Box<str> = String::from_utf8_lossy(path).into();
    Node {
        name: text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().into(),
        encoded_path: (*path != *text.as_bytes()).then(|| encoded(path).into()),
        path: text,
        kind,
        size: None,
        mode: format!("{mode:06o}").into(),
        refused: None,
    }
}
