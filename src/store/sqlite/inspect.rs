//! Looking at a store file without changing it.

use std::path::Path;
use std::time::Duration;

use deadpool_sqlite::rusqlite::{self, Connection, OpenFlags};

use super::{schema, seat, space};
use crate::domain::{Finding, in_bytes};

/// A write that takes longer makes every answer to a webhook late.
const SLOW_WRITE: Duration = Duration::from_millis(50);

/// Free space below which somebody should know.
const LITTLE: u64 = 1 << 30;

/// Returns what would keep a process from using this file, or that nothing would.
pub(in crate::store) fn inspect(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    if let Err(kind) = schema::check_place(path) {
        return vec![Finding::problem("store", kind.to_string())];
    }
    let mut findings = vec![if path.exists() {
        content(path)
    } else {
        Finding::fine("store", format!("{shown} does not exist yet and is made at the first start"))
    }];
    if std::fs::metadata(path).is_ok_and(|file| file.permissions().readonly()) {
        findings.push(Finding::problem("store", format!("{shown} may not be written: give it to this user")));
    }
    findings.extend(seat::shared(path).map(|text| Finding::warning("store", text)));
    findings.extend(disk(space::directory(path)));
    findings
}

fn content(path: &Path) -> Finding {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let version = Connection::open_with_flags(schema::read_only_address(path), flags)
        .map_err(|error| schema::explain(path, error))
        .and_then(|connection| schema::check_ours(&connection, path));
    match version {
        // As a full disk leaves it.
        Ok(0) => Finding::warning(
            "store",
            format!("{} is empty: the start that made it could not go on; the next one fills it", path.display()),
        ),
        Ok(version) => {
            let size = std::fs::metadata(path).map_or(0, |file| file.len());
            let (shown, sqlite) = (path.display(), rusqlite::version());
            let text = format!(
                "{shown} is a store of Cistern (schema version {version}, {}, SQLite {sqlite})",
                in_bytes(size)
            );
            Finding::fine("store", text)
        }
        Err(kind) => Finding::problem("store", kind.to_string()),
    }
}

/// Looks at the disk: beside the file SQLite keeps a log and an index of it, so that the directory has to be writable.
fn disk(directory: &Path) -> Vec<Finding> {
    let shown = directory.display();
    let mut findings = Vec::new();
    findings.push(match space::write_time(directory) {
        Ok(took) if took > SLOW_WRITE => {
            let text = format!(
                "a write to {shown} takes {} ms to be durable, and so does the answer to a webhook: use a local disk, or MongoDB",
                took.as_millis()
            );
            Finding::warning("store", text)
        }
        Ok(took) => {
            let millis = took.as_secs_f64() * 1000.0;
            Finding::fine("store", format!("a write to {shown} takes {millis:.1} ms to be durable"))
        }
        Err(error) => {
            let text = format!("no file can be made in {shown} ({error}): give the directory to this user, or make room");
            Finding::problem("store", text)
        }
    });
    findings.push(match space::free(directory) {
        Ok(free) if free < LITTLE => {
            let text = format!("only {} are free on the disk of {shown}: make room", in_bytes(free));
            Finding::warning("store", text)
        }
        Ok(free) => Finding::fine("store", format!("{} are free on the disk of {shown}", in_bytes(free))),
        Err(error) => Finding::unknown("store", format!("how much space {shown} has left cannot be read ({error})")),
    });
    findings
}
