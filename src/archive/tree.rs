//! What is in a directory of an archive, as GitLab lists it (contract, section 5.7).

use serde::Serialize;

use super::directory::Directory;
use super::entry::{Entry, Kind};
use super::refused::Refused;

/// A file or directory as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// The last part of its path.
    pub name: Box<str>,
    /// Its path, without `/` at the end.
    pub path: Box<str>,
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
}

impl Directory {
    /// Returns what is in the directory `path` (empty for the archive itself), with `recursive` also what is in the directories
    /// below: `limit` nodes from `offset` on, in the order of their paths' bytes. `None` when there is no such directory.
    ///
    /// Directories that the archive does not list but files are in are listed, too. Files without a plain path are not.
    pub fn tree(&self, path: &str, recursive: bool, offset: u64, limit: u64) -> Option<Tree> {
        let path = path.trim_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let begin = self.entries().partition_point(|entry| *entry.path < *prefix);
        let below = self.entries()[begin..].iter().take_while(|entry| entry.path.starts_with(&prefix));
        let mut tree = Tree { nodes: Vec::new(), total: 0 };
        let mut add = |node: &dyn Fn() -> Node| {
            if tree.total >= offset && tree.total - offset < limit {
                tree.nodes.push(node());
            }
            tree.total += 1;
        };
        let mut before: Option<&str> = None;
        for entry in below.filter(|entry| entry.refused != Some(Refused::UnsafePath)) {
            let rest = &entry.path[prefix.len()..];
            // Directories that begin with this entry: those of its path that the one before was not in.
            let shared = before.map_or(0, |before| shared_bytes(before, rest));
            let most = if recursive { usize::MAX } else { 1 };
            for (at, _) in rest.match_indices('/').take(most).filter(|(at, _)| *at >= shared) {
                let listed = at + 1 == rest.len();
                add(&|| directory(&entry.path[..prefix.len() + at], listed.then_some(entry)));
            }
            let is_here = recursive || !rest.contains('/');
            if is_here && entry.kind() == Kind::File {
                add(&|| file(entry));
            }
            before = Some(rest);
        }
        (before.is_some() || path.is_empty()).then_some(tree)
    }
}

/// Returns how much of two paths is the same, in whole directories.
fn shared_bytes(one: &str, other: &str) -> usize {
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    one.as_bytes()[..same].iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1)
}

fn file(entry: &Entry) -> Node {
    let mode = if entry.mode == 0 { 0o100_644 } else { entry.mode };
    Node {
        name: name(&entry.path),
        path: entry.path.clone(),
        kind: "file",
        size: Some(entry.size),
        mode: format!("{mode:06o}").into(),
        refused: entry.refused.map(Refused::as_str),
    }
}

fn directory(path: &str, entry: Option<&Entry>) -> Node {
    let mode = entry.map_or(0, |entry| entry.mode);
    let mode = if mode == 0 { 0o040_755 } else { mode };
    Node {
        name: name(path),
        path: path.into(),
        kind: "directory",
        size: None,
        mode: format!("{mode:06o}").into(),
        refused: None,
    }
}

fn name(path: &str) -> Box<str> {
    path.rsplit('/').next().unwrap_or_default().into()
}
