//! What the machine, or the container's limits, give this process: descriptors, memory, processors.
//!
//! Processors need nothing: the runtime and the listeners start as many threads as the standard library says are there,
//! which knows the quota of a control group.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{Config, Parallel};

/// Descriptors for what is always open: listeners, logs, the store's files, and connections of readers and of GitLab's hooks.
const DESCRIPTORS: u64 = 1024;

/// The part of the memory that SQLite's page caches may fill, all connections together.
const CACHE_PART: u64 = 16;

/// SQLite's page caches, all connections together: below the first it reads pages again and again, above the second the
/// operating system's cache does as well.
const CACHE_BYTES: std::ops::RangeInclusive<u64> = (2 << 20)..=(64 << 20);

/// Raises the limit of descriptors as far as this process may, warns where that is too low, and logs what there is.
pub fn prepare(config: &Config) {
    let needed = needed_descriptors(config.limits.parallel);
    let descriptors = raise_descriptors();
    if descriptors.is_some_and(|limit| limit < needed) {
        tracing::warn!(
            limit = descriptors,
            needed,
            "too few file descriptors: raise the limit (ulimit -n, LimitNOFILE) or lower limits.api_calls and limits.store_ops"
        );
    }
    tracing::info!(processors = processors(), memory.limit_bytes = memory_limit(), descriptors, "found its limits");
}

/// Returns how many threads can run at a time, by the machine and by the quota of the control group.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns how many bytes SQLite's page caches may take; `None` without a limit of memory.
pub(super) fn cache_bytes() -> Option<u64> {
    memory_limit().map(cache_of)
}

fn cache_of(memory: u64) -> u64 {
    (memory / CACHE_PART).clamp(*CACHE_BYTES.start(), *CACHE_BYTES.end())
}

/// A call to GitLab may have its connection and, for an archive, one to its storage; a store operation its own.
fn needed_descriptors(parallel: Parallel) -> u64 {
    DESCRIPTORS + 2 * parallel.api_calls as u64 + parallel.store_ops as u64
}

/// Raises the soft limit to the hard one and returns it; `None` is no limit.
fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// Returns the lowest limit of memory of the control groups that this process is in.
fn memory_limit() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_of(&groups, |path| std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(path)).ok())
}

/// Finds the limit by `/proc/self/cgroup` and the files below `/sys/fs/cgroup`, of both versions of control groups.
///
/// Inside a container the groups are often mounted so that its own is the top one, whatever `/proc` calls it: so every level from
/// the named one up to the top is looked at.
fn limit_of(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut lowest: Option<u64> = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (top, file) = match controllers {
            "" => ("", "memory.max"),
            "memory" => ("memory/", "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut path = path.trim_matches('/');
        loop {
            let slash = if path.is_empty() { "" } else { "/" };
            let text = read(&format!("{top}{path}{slash}{file}"));
            // Without a limit the first version says a number next to 2^63 and the second `max`.
            let found = text.and_then(|text| text.trim().parse().ok()).filter(|bytes: &u64| *bytes < 1 << 60);
            lowest = match (lowest, found) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            if path.is_empty() {
                break;
            }
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_above_a_process_counts_in_both_versions() {
        let files = |held: &'static [(&'static str, &'static str)]| {
            move |path: &str| held.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned())
        };
        let second =
            files(&[("memory.max", "max\n"), ("pod/memory.max", "536870912\n"), ("pod/a/memory.max", "max\n")]);
        assert_eq!(limit_of("0::/pod/a\n", second), Some(512 << 20));
        let inside = files(&[("memory.max", "268435456\n")]);
        assert_eq!(limit_of("0::/kubepods/pod1/a\n", inside), Some(256 << 20));
        let first = files(&[
            ("memory/x/memory.limit_in_bytes", "1073741824\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(limit_of("4:memory:/x\n3:cpu:/\n0::/\n", first), Some(1 << 30));
        assert_eq!(limit_of("0::/\n", files(&[("memory.max", "max\n")])), None);
    }

    #[test]
    fn the_page_caches_stay_within_bounds() {
        assert_eq!(cache_of(16 << 20), 2 << 20);
        assert_eq!(cache_of(512 << 20), 32 << 20);
        assert_eq!(cache_of(1 << 40), 64 << 20);
    }
}
