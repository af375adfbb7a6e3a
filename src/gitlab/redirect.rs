//! Where a redirect may lead (contract, sections 5.7 and 8).
//!
//! Guarantees that a chain which left GitLab's origin never carries the token again, that encryption is never lost on the
//! way, and that only files are fetched from elsewhere. Pure, except that names are judged when they are resolved
//! ([`super::address`]).

use std::fmt;

use url::Url;

use super::address::Addresses;

/// How many redirects of one question are followed.
pub(super) const MAX_REDIRECTS: usize = 5;

/// Scheme, host and port of GitLab: the only place that sees the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    port: Option<u16>,
}

impl Origin {
    pub(super) fn of(url: &Url) -> Self {
        Self {
            scheme: url.scheme().into(),
            host: url.host_str().unwrap_or_default().into(),
            port: url.port_or_known_default(),
        }
    }

    /// Returns whether the URL is at this origin and brings no credentials of its own.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.scheme() == &*self.scheme
            && url.host_str() == Some(&*self.host)
            && url.port_or_known_default() == self.port
            && !has_userinfo(url)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Returns the next URL of a redirect from `from`, or why it must not be followed. `file`: whether the question is for a
/// file, which may be kept elsewhere.
pub(super) fn follow(
    origin: &Origin,
    addresses: &Addresses,
    from: &Url,
    location: Option<&str>,
    file: bool,
) -> Result<Url, &'static str> {
    let location = location.ok_or("it names no place")?;
    let target = from.join(location).map_err(|_| "it names no readable place")?;
    if has_userinfo(&target) {
        return Err("it holds credentials");
    }
    match (from.scheme(), target.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => return Err("it is not encrypted"),
        _ => return Err("it is not HTTP"),
    }
    if origin.owns(&target) {
        return Ok(target);
    }
    if !file {
        return Err("it is another origin; is gitlab.url the instance's own address?");
    }
    addresses.admit(&target).map_err(|_| "its address is link-local, or nearer than GitLab's own")?;
    Ok(target)
}

fn has_userinfo(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// Returns `None` when it is refused, else whether the target would see the token.
    fn decide(home: &str, from: &str, location: &str, file: bool) -> Option<bool> {
        let (origin, addresses) = (Origin::of(&url(home)), Addresses::around(&url(home)));
        let target = follow(&origin, &addresses, &url(from), Some(location), file).ok()?;
        Some(origin.owns(&target))
    }

    #[test]
    fn a_file_is_followed_elsewhere_without_the_token_and_never_less_safely() {
        let home = "https://gitlab.example/git/";
        for (location, expected) in [
            ("https://storage.example/a?signature=x", Some(false)),
            ("https://gitlab.example/other", Some(true)),
            ("https://GITLAB.example:443/other", Some(true)),
            ("/relative", Some(true)),
            ("../relative", Some(true)),
            ("//storage.example/scheme-relative", Some(false)),
            ("https://gitlab.example:8443/other-port", Some(false)),
            ("https://gitlab.example./trailing-dot", Some(false)),
            ("https://gitlab.example.evil.example/", Some(false)),
            ("https://gítlab.example/homograph", Some(false)),
            ("https://gitlab.example@evil.example/", None),
            ("https://user:secret@gitlab.example/", None),
            ("http://gitlab.example/git/", None),
            ("http://storage.example/", None),
            ("ftp://storage.example/", None),
            ("file:///etc/passwd", None),
            ("data:text/plain,x", None),
            ("https://", None),
            ("https://169.254.169.254/latest/meta-data", None),
            ("https://0xA9FEA9FE/", None),
            ("https://2852039166/", None),
            ("https://[fe80::1]/", None),
            ("https://[::1]/", None),
            ("https://127.0.0.1/", None),
            ("https://2130706433/", None),
            ("https://10.0.0.1/", None),
            ("https://8.8.8.8/", Some(false)),
        ] {
            assert_eq!(decide(home, "https://gitlab.example/git/api/v4/x", location, true), expected, "{location}");
        }
    }

    #[test]
    fn a_private_gitlab_may_use_private_storage_and_a_local_one_local_storage() {
        for (home, location, expected) in [
            ("http://10.0.0.1/", "http://10.0.0.2:9000/a", Some(false)),
            ("http://10.0.0.1/", "http://127.0.0.1/a", None),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:9000/a", Some(false)),
            ("http://127.0.0.1:8080/", "http://10.0.0.1/a", Some(false)),
            ("http://127.0.0.1:8080/", "http://169.254.169.254/a", None),
            ("http://gitlab.example/", "https://gitlab.example/a", Some(false)),
        ] {
            assert_eq!(decide(home, home, location, true), expected, "{home} to {location}");
        }
    }

    #[test]
    fn anything_but_a_file_stays_at_the_origin() {
        let (home, api) = ("https://gitlab.example/", "https://gitlab.example/api/v4/projects/a%2Fb");
        assert_eq!(decide(home, api, "https://gitlab.example/api/v4/projects/7", false), Some(true));
        assert_eq!(decide(home, api, "/api/v4/projects/7", false), Some(true));
        assert_eq!(decide(home, api, "https://other.example/api/v4/projects/7", false), None);
        let (origin, addresses) = (Origin::of(&url(home)), Addresses::around(&url(home)));
        assert!(follow(&origin, &addresses, &url(api), None, true).is_err());
    }
}
