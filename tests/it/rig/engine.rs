//! Which store a test runs on.

use std::path::Path;

use super::mongod;

/// The two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// A file of its own.
    Sqlite,
    /// A database of its own in a real `mongod`.
    Mongo,
}

impl Engine {
    /// Returns the one that tests run on which are not about a store: SQLite, unless `CISTERN_TEST_STORE` says `mongodb`.
    #[expect(clippy::disallowed_methods, reason = "whoever runs the tests chooses their store")]
    pub(crate) fn chosen() -> Self {
        match std::env::var("CISTERN_TEST_STORE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("mongodb") => Self::Mongo,
            Ok(other) => panic!("CISTERN_TEST_STORE is {other}: write sqlite or mongodb"),
        }
    }

    /// Returns the URL of a store that nobody used; a file has this path.
    pub(crate) fn fresh_url(self, path: &Path) -> String {
        match self {
            Self::Sqlite => format!("sqlite://{}", path.display()),
            Self::Mongo => mongod::shared().fresh_uri(),
        }
    }

    /// Removes what is behind such a URL; files go with their directory.
    pub(crate) fn discard(self, url: &str) {
        if self == Self::Mongo {
            mongod::shared().discard(url);
        }
    }
}

/// Makes a test of each function for each store.
macro_rules! on_both {
    ($($name:ident;)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::rig::Engine::Sqlite).await;
                }
            )*
        }
        mod mongodb {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::rig::Engine::Mongo).await;
                }
            )*
        }
    };
}
pub(crate) use on_both;
