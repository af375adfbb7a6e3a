//! `api.pass_through = service`: what readers may ask with the service's own token.
//!
//! That token may see more than they: other projects, confidential issues and internal notes, what its role shows of a project's
//! secrets. So only what is listed here is open, all of it about one project's code and what was made of it; a new endpoint of
//! GitLab's is closed until somebody has thought about it. Not open, among others: hooks, integrations, triggers,
//! tokens, deploy keys, runners, users, secure files, Terraform states, packages, exports, issues, notes, searches,
//! `ci/lint` (which reads other projects' files). Variables and a schedule by its id, which tells its variables, are open where
//! GitLab itself keeps them from our token: below a maintainer's role. What Cistern caches itself, pipelines and jobs, comes from the
//! cache only: there it is masked, and may be forgotten.

use percent_encoding::percent_decode_str;

use crate::domain::Document;
use crate::gitlab::Standing;

/// What is open below a project: a segment each, `*` is a number, `NAME` a variable's name, `**` all the rest.
const OPEN: &str = "repository/** languages releases releases/** labels badges pipeline_schedules \
    environments environments/* deployments deployments/* \
    merge_requests merge_requests/* merge_requests/*/approvals merge_requests/*/changes merge_requests/*/commits \
    merge_requests/*/diffs merge_requests/*/pipelines merge_requests/*/versions merge_requests/*/versions/*";

/// What is open where our token is no more than a reporter's, so that GitLab answers as it does to reporters.
const OPEN_TO_REPORTERS: &str = "members members/all members/* pipeline_schedules/* variables variables/NAME";

/// GitLab's level of the reporter's role.
const REPORTER: u32 = 20;

/// What is in the name of no parameter: it would let a question reach another project or speak for somebody else.
const CLOSED: [&str; 2] = ["from_project_id", "sudo"];

/// A question that is open.
pub(super) struct Open {
    /// The id or path of the project.
    pub(super) project: String,
    /// What follows the project and its slash, as it was sent.
    pub(super) rest: String,
    pub(super) pairs: Vec<(String, String)>,
    /// Whether it is open only where our token is a reporter's.
    as_reporter: bool,
}

impl Open {
    /// Returns whether it is open below the project of this document; one that does not tell our role has a higher one.
    pub(super) fn is_open_in(&self, project: &Document) -> bool {
        !self.as_reporter || Standing::level_in(&project.text).is_some_and(|level| level <= REPORTER)
    }
}

/// Takes a question apart if it is open; `path` is behind the API's root.
pub(super) fn open(path: &str, pairs: &[(String, String)]) -> Option<Open> {
    let (project, rest) = path.strip_prefix("/projects/")?.split_once('/')?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // GitLab's own links repeat what is in the path.
    let pairs: Vec<_> = pairs.iter().filter(|(name, _)| !is_id(name)).cloned().collect();
    let project = percent_decode_str(project).decode_utf8().ok()?.into_owned();
    let (is_open, as_reporter) = (is_open(rest, &pairs), is_one_of(OPEN_TO_REPORTERS, rest, &pairs));
    (is_open || as_reporter).then(|| Open { project, rest: rest.to_owned(), pairs, as_reporter })
}

/// Returns whether this may be asked below a project.
pub(super) fn is_open(rest: &str, pairs: &[(String, String)]) -> bool {
    is_one_of(OPEN, rest, pairs)
}

fn is_one_of(patterns: &str, rest: &str, pairs: &[(String, String)]) -> bool {
    let is_closed = |name: &str| {
        let name = name.to_ascii_lowercase();
        is_id(&name) || CLOSED.into_iter().any(|closed| name.contains(closed))
    };
    patterns.split(' ').any(|open| is(open, rest)) && !pairs.iter().any(|(name, _)| is_closed(name))
}

fn is_id(name: &str) -> bool {
    name.split(['[', ']']).any(|name| name.trim() == "id")
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns whether a path is one of a pattern. What is encoded is no word of a pattern, but what was asked for.
fn is(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    for word in pattern.split('/') {
        match (word, segments.next()) {
            ("**", rest) => return rest.is_some(),
            ("*", Some(segment)) if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) => {}
            ("NAME", Some(segment)) if !segment.is_empty() && segment.bytes().all(is_of_name) => {}
            (word, Some(segment)) if word == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}
