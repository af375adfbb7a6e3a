//! Looking at a store file without changing it.

use std::path::Path;

use deadpool_sqlite::rusqlite::{Connection, OpenFlags};

use super::schema;
use crate::domain::Finding;

/// Returns what would keep a process from using this file, or that nothing would.
pub(in crate::store) fn inspect(path: &Path) -> Vec<Finding> {
    let shown = path.display();
    if let Err(kind) = schema::check_place(path) {
        return vec![Finding::problem("store", kind.to_string())];
    }
    if !path.exists() {
        return vec![Finding::fine("store", format!("{shown} does not exist yet and is made at the first start"))];
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let version = Connection::open_with_flags(schema::read_only_address(path), flags)
        .map_err(|error| schema::explain(path, error))
        .and_then(|connection| schema::check_ours(&connection, path));
    let mut findings = vec![match version {
        Ok(version) => Finding::fine("store", format!("{shown} is a store of Cistern (schema version {version})")),
        Err(kind) => Finding::problem("store", kind.to_string()),
    }];
    if std::fs::metadata(path).is_ok_and(|file| file.permissions().readonly()) {
        findings.push(Finding::problem("store", format!("{shown} may not be written: give it to this user")));
    }
    findings
}
