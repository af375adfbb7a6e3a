//! How much the file takes, how much its disk has left, and how fast the disk is.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Sqlite;
use super::trouble::Trouble;
use crate::store::metrics::Operation;
use crate::store::{Error, Space};

const SPACE: Operation = Operation("space", "read how much space is left");

/// How often a write is timed; the middle one counts.
const TRIES: usize = 5;

/// As much as a small transaction writes.
const WRITTEN: [u8; 4096] = [0; 4096];

impl Sqlite {
    pub(in crate::store) async fn space(&self) -> Result<Space, Error> {
        let space = self
            .read(SPACE, |connection| {
                let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
                let used = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
                let path = PathBuf::from(connection.path().unwrap_or_default());
                let free = free(directory(&path)).map_err(|error| Trouble::Abandoned(error.to_string()))?;
                Ok(Space { used: used.unsigned_abs(), free: Some(free) })
            })
            .await?;
        self.inner.metrics.room(space);
        Ok(space)
    }
}

/// Returns the directory of a file.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Returns how many bytes this user may still write to the disk of a directory.
pub(super) fn free(directory: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Returns how long a small write takes to be durable in a directory, by writing a file that is removed again.
pub(super) fn write_time(directory: &Path) -> io::Result<Duration> {
    let path = directory.join(format!(".cistern-check-{:016x}", fastrand::u64(..)));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let mut timed = || {
        let began = Instant::now();
        file.write_all(&WRITTEN)?;
        file.sync_all()?;
        Ok(began.elapsed())
    };
    let times: io::Result<Vec<Duration>> = (0..TRIES).map(|_| timed()).collect();
    let removed = fs::remove_file(&path);
    let mut times = times?;
    removed?;
    times.sort();
    Ok(times[TRIES / 2])
}
