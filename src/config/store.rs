//! `store.*`: where the cache is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{STORE_LEASE, STORE_URL};
use super::reader::Reader;
use super::units::Unfit;

/// Where the cache is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// `store.url`: the SQLite file; a relative one is looked up from the working directory.
    pub path: PathBuf,
    /// `store.lease`: how long a process may be silent before others take its work over; 1 s to 1 h.
    pub lease: Duration,
}

impl Store {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let path = reader.required(&STORE_URL, parse_url);
        let lease = reader.duration(&STORE_LEASE, Duration::from_secs(1)..=Duration::from_secs(3600));
        Some(Self { path: path?, lease: lease? })
    }
}

/// Never quotes the text: a database URL may hold a password.
fn parse_url(text: &str) -> Result<PathBuf, Unfit> {
    let unfit = |problem: &str| Unfit::new(problem, "write sqlite:cistern.db or sqlite:///var/lib/cistern/cistern.db");
    if text.starts_with("mongodb://") || text.starts_with("mongodb+srv://") {
        return Err(unfit("MongoDB is not part of this version yet"));
    }
    let rest = text.strip_prefix("sqlite:").ok_or_else(|| unfit("does not begin with sqlite:"))?;
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
        let path = |text: &str| parse_url(text).ok();
        assert_eq!(path("sqlite:cistern.db"), Some(PathBuf::from("cistern.db")));
        assert_eq!(path("sqlite:data/cistern.db"), Some(PathBuf::from("data/cistern.db")));
        assert_eq!(path("sqlite:///var/lib/cistern.db"), Some(PathBuf::from("/var/lib/cistern.db")));
        assert_eq!(path("sqlite:/var/lib/cistern.db"), Some(PathBuf::from("/var/lib/cistern.db")));
        for bad in ["sqlite:", "sqlite://relative.db", "sqlite::memory:", "sqlite:///", "sqlite:a.db?mode=ro", "a.db"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }

    #[test]
    fn mongodb_is_refused_by_name_without_quoting_its_password() {
        let unfit = parse_url("mongodb://cistern:s3cret@db/cistern").expect_err("refused").to_string();
        assert!(unfit.contains("MongoDB is not part of this version yet") && !unfit.contains("s3cret"), "{unfit}");
    }
}
