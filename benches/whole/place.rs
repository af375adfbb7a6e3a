//! Where the program under test keeps what it caches.

use std::path::Path;

use crate::mongod;

/// The two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A new file in a directory.
    File,
    /// A new database of a real `mongod` on this machine, a replica set of one.
    Database,
}

impl Place {
    /// Returns the URL of a store that nobody used.
    pub(crate) fn url(self, directory: &Path, name: &str) -> String {
        match self {
            Self::File => format!("sqlite://{}", directory.join(name).display()),
            Self::Database => mongod::shared().fresh_uri(),
        }
    }

    /// Returns how a figure's name tells it.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Database => ", on MongoDB",
        }
    }
}
