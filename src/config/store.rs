//! `store.*`: where the cache is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{STORE_LEASE, STORE_URL};
use super::reader::Reader;
use super::units::Unfit;
use crate::store::Place;

/// Where the cache is kept.
#[derive(Debug, Clone)]
pub struct Store {
    /// `store.url`: a SQLite file, a relative one looked up from the working directory, or a MongoDB database.
    pub place: Place,
    /// `store.lease`: how long a process may be silent before others take its work over; 1 s to 1 h.
    pub lease: Duration,
}

impl Store {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let place = reader.required(&STORE_URL, parse_url);
        let lease = reader.duration(&STORE_LEASE, Duration::from_secs(1)..=Duration::from_secs(3600));
        Some(Self { place: place?, lease: lease? })
    }
}

/// Never quotes the text: a database URL may hold a password.
fn parse_url(text: &str) -> Result<Place, Unfit> {
    if text.starts_with("mongodb://") || text.starts_with("mongodb+srv://") {
        let fix =
            "write mongodb://USER:PASSWORD@HOST1,HOST2/DATABASE?replicaSet=NAME, with %40 for an @ in the password";
        return Place::mongo(text).map_err(|problem| Unfit::new(problem, fix));
    }
    parse_path(text).map(Place::Sqlite)
}

fn parse_path(text: &str) -> Result<PathBuf, Unfit> {
    let unfit = |problem: &str| {
        Unfit::new(problem, "write sqlite:cistern.db, sqlite:///var/lib/cistern/cistern.db or mongodb://HOST/DATABASE")
    };
    let rest = text
        .strip_prefix("sqlite:")
        .ok_or_else(|| unfit("begins with neither sqlite: nor mongodb:// nor mongodb+srv://"))?;
    let path = match rest.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return Err(unfit("two slashes name a host, and SQLite has none")),
        None => rest,
    };
    if path.contains(['?', '#', '\0']) {
        return Err(unfit("holds options, which are not for you to set"));
    }
    if path.is_empty() || path.ends_with('/') || path == ":memory:" {
        return Err(unfit("names no file"));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_url_names_a_file() {
        let path = |text: &str| match parse_url(text) {
            Ok(Place::Sqlite(path)) => Some(path),
            _ => None,
        };
        assert_eq!(path("sqlite:cistern.db"), Some(PathBuf::from("cistern.db")));
        assert_eq!(path("sqlite:data/cistern.db"), Some(PathBuf::from("data/cistern.db")));
        assert_eq!(path("sqlite:///var/lib/cistern.db"), Some(PathBuf::from("/var/lib/cistern.db")));
        assert_eq!(path("sqlite:/var/lib/cistern.db"), Some(PathBuf::from("/var/lib/cistern.db")));
        for bad in ["sqlite:", "sqlite://relative.db", "sqlite::memory:", "sqlite:///", "sqlite:a.db?mode=ro", "a.db"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn or_a_database_of_mongodb_and_nothing_of_it_is_ever_printed() {
        for good in [
            "mongodb://localhost/cistern",
            "mongodb://cistern:s3cret@a:27017,b:27018/cistern?replicaSet=rs0&tls=true",
            "mongodb+srv://cistern:s3cret@db.example.com/cistern",
        ] {
            let place = parse_url(good);
            assert!(matches!(place, Ok(Place::Mongo(_))), "{good}: {place:?}");
            assert!(!format!("{place:?}").contains("s3cret"), "{place:?}");
        }
        for bad in [
            "mongodb://cistern:s3cret@db:27017",
            "mongodb://cistern:s3cret@db:27017/",
            "mongodb://cistern:s3cret@db/?replicaSet=rs0",
            "mongodb://cistern:s3cret@db/admin?replicaSet=rs0",
            "mongodb://db/local",
            "mongodb://cistern:s3cret@@db/cistern",
            "mongodb://cistern:s3cret@db:port/cistern",
            "mongodb://cistern:s3cret@db/cistern?tls=maybe",
        ] {
            let unfit = parse_url(bad).expect_err(bad).to_string();
            assert!(!unfit.contains("s3cret"), "{bad}: {unfit}");
        }
    }
}
