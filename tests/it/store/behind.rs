//! A store file worked on behind everyone's back, as by a person with `sqlite3`.

use std::time::Duration;

use deadpool_sqlite::rusqlite::Connection;

use crate::rig::Rig;

impl Rig {
    /// Changes a store file of this rig.
    pub(crate) fn sql(&self, store: &str, sql: &str) {
        self.connect(store).execute_batch(sql).expect(sql);
    }

    /// Returns the first column of a query's first row.
    pub(crate) fn number(&self, store: &str, sql: &str) -> i64 {
        self.connect(store).query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    fn connect(&self, store: &str) -> Connection {
        let connection = Connection::open(self.directory.path().join(store)).expect("the file");
        connection.busy_timeout(Duration::from_secs(10)).expect("a timeout");
        connection
    }
}
