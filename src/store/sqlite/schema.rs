//! Opening the database file: whether it is ours, how it is set up, and its versioned migrations.
//!
//! Guarantees: nothing is written to a file that is not a Cistern store, is damaged, or was written by a newer version;
//! migrations run in one transaction and are safe when several processes open the file at once.
//! It does not repair anything.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deadpool_sqlite::rusqlite::{self, Connection, ErrorCode, TransactionBehavior};

use super::columns::integer;
use super::seat;
use super::trouble::Trouble;
use crate::store::Kind;

/// How long a write waits for another process that is writing.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Prepared statements each connection keeps: more than there are distinct ones.
pub(super) const STATEMENTS: usize = 128;

/// `CIST`: what `file` and we recognize the database by.
const APPLICATION_ID: i64 = 0x4349_5354;

/// Every migration, oldest first; the schema version is how many of them ran.
const MIGRATIONS: [&str; 16] = [
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_completed_leases.sql"),
    include_str!("migrations/0003_gone_pipelines.sql"),
    include_str!("migrations/0004_piece_indexes.sql"),
    include_str!("migrations/0005_verdicts.sql"),
    include_str!("migrations/0006_lists.sql"),
    include_str!("migrations/0007_keeping.sql"),
    include_str!("migrations/0008_verdict_users.sql"),
    include_str!("migrations/0009_listings.sql"),
    include_str!("migrations/0010_tallies.sql"),
    include_str!("migrations/0011_pieces.sql"),
    include_str!("migrations/0012_paths.sql"),
    include_str!("migrations/0013_refused.sql"),
    include_str!("migrations/0014_derived.sql"),
    include_str!("migrations/0015_details.sql"),
    include_str!("migrations/0016_suspicion.sql"),
];

/// The WAL file is cut back to this many bytes after a checkpoint.
const WAL_LIMIT_BYTES: i64 = 64 << 20;

/// Opens the writing connection, creating or migrating the file where needed.
pub(super) fn open(path: &Path, cache: Option<u64>) -> Result<Connection, Kind> {
    // SQLite would make it for everybody to read.
    drop(seat::open_private(path));
    let mut connection = Connection::open(path).map_err(|error| explain(path, error))?;
    limit_cache(&connection, cache).map_err(|error| explain(path, error))?;
    prepare(&mut connection, path)?;
    Ok(connection)
}

/// Returns the address of the file for connections that can never write to it.
pub(super) fn read_only_address(path: &Path) -> PathBuf {
    const PATH: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-');
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let bytes = path.as_os_str().as_encoded_bytes();
    format!("file:{}?mode=ro", percent_encoding::percent_encode(bytes, PATH)).into()
}

/// Sets up a reading connection.
pub(super) fn prepare_reader(connection: &Connection, cache: Option<u64>) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT)?;
    limit_cache(connection, cache)?;
    connection.pragma_update(None, "query_only", true)
}

/// Lets the connection keep so many bytes of pages; asked with a negative number SQLite counts KiB.
fn limit_cache(connection: &Connection, bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(bytes) = bytes else { return Ok(()) };
    connection.pragma_update(None, "cache_size", -integer((bytes / 1024).max(1)))
}

/// Refuses a path at which no file can be.
pub(super) fn check_place(path: &Path) -> Result<(), Kind> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(Kind::Unusable(format!(
            "the directory {} of the store does not exist: create it, or set store.url to a file elsewhere",
            directory.display()
        )));
    }
    if path.is_dir() {
        return Err(Kind::Unusable(format!(
            "{} is a directory: store.url must name a file, for example {}",
            path.display(),
            path.join("cistern.db").display()
        )));
    }
    Ok(())
}

fn prepare(connection: &mut Connection, path: &Path) -> Result<(), Kind> {
    let explain = |error| explain(path, error);
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    check_ours(connection, path)?;
    // The order matters: a file's vacuum mode can only be chosen before its first page is written.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(explain)?;
    if enter_wal(connection).map_err(explain)? != "wal" {
        return Err(Kind::Unusable(format!(
            "the file system of {} cannot share memory between processes, which SQLite's WAL needs: put the store on a \
             local disk",
            path.display()
        )));
    }
    for (name, value) in [("wal_autocheckpoint", 1000), ("journal_size_limit", WAL_LIMIT_BYTES)] {
        // These two answer with the new value, which `pragma_update` would call an error.
        connection.pragma_update_and_check(None, name, value, |_| Ok(())).map_err(explain)?;
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(explain)?;
    migrate(connection, path)
}

/// Refuses a file that is another program's or of a newer version, before anything is written to it.
pub(super) fn check_ours(connection: &Connection, path: &Path) -> Result<usize, Kind> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let read = || {
        // Of one moment: another process may be making the file right now.
        let _moment = if connection.is_autocommit() { Some(connection.unchecked_transaction()?) } else { None };
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    let (application, version, tables) = read().map_err(|error| explain(path, error))?;
    match usize::try_from(version) {
        Ok(0) if application == 0 && tables == 0 => Ok(0),
        Ok(version) if application == APPLICATION_ID && version <= MIGRATIONS.len() => Ok(version),
        _ if application == APPLICATION_ID => Err(Kind::Unusable(format!(
            "{} was written by a newer Cistern (schema version {version}; this one knows up to {}): run that version or \
             a newer one, or set store.url to another file, which one `cistern backfill` fills again",
            path.display(),
            MIGRATIONS.len()
        ))),
        _ => Err(Kind::Unusable(format!(
            "{} is a database of another program: set store.url to a file of Cistern's own, which is made when it does \
             not exist",
            path.display()
        ))),
    }
}

/// Switches to WAL, which SQLite refuses at once, without its busy timeout, while another process does the same.
#[expect(clippy::disallowed_methods, reason = "this runs on a thread for blocking work")]
fn enter_wal(connection: &Connection) -> rusqlite::Result<String> {
    let begin = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)) {
            Err(error) if is_busy(&error) && begin.elapsed() < BUSY_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Kind> {
    let explain = |error| explain(path, error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
    // Read again under the lock: another process may have migrated meanwhile.
    let version = check_ours(&transaction, path)?;
    for migration in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(migration).map_err(explain)?;
    }
    if version < MIGRATIONS.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(explain)?;
        transaction.pragma_update(None, "user_version", integer(MIGRATIONS.len() as u64)).map_err(explain)?;
    }
    transaction.commit().map_err(explain)
}

/// Says what is wrong with the file and what to do about it.
pub(super) fn explain(path: &Path, error: rusqlite::Error) -> Kind {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Kind::Unusable(format!(
            "{path} is not a database: set store.url to a file of Cistern's own, which is made when it does not exist"
        )),
        Some(ErrorCode::DatabaseCorrupt) => Kind::Unusable(format!(
            "{path} is damaged: move it away with its -wal and -shm files (`sqlite3 {path} .recover` may save what GitLab \
             no longer has) and start again, which fills a new one"
        )),
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Kind::Unusable(format!(
            "{path} cannot be opened for writing, which SQLite needs to do even to read it: run this as the user to whom the \
             file and its directory belong, or set store.url to a file elsewhere"
        )),
        _ => Trouble::from(error).into_kind().at(&path),
    }
}
