//! Where a redirect may lead (contract, sections 5.7 and 8).
//!
//! Guarantees that a chain which left GitLab's origin never carries the token again, that encryption is not lost on the
//! way, but to hosts that the operator named, and that only files are fetched from elsewhere. Pure, except that names are judged when they are resolved
//! ([`super::address`]).

use std::fmt;

use url::Url;

use super::Kind;
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

/// Which redirects are followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) origin: &'a Origin,
    pub(super) addresses: &'a Addresses,
    /// `gitlab.plain_storage_hosts`.
    pub(super) plain: &'a [String],
}

impl Rules<'_> {
    /// Returns the next URL of a redirect from `from`, or why it must not be followed. `file`: whether the question is for a
    /// file, which may be kept elsewhere.
    pub(super) fn follow(self, from: &Url, location: Option<&str>, file: bool) -> Result<Url, Kind> {
        let location = location.ok_or(Kind::Redirect("it names no place"))?;
        let target = from.join(location).map_err(|_| Kind::Redirect("it names no readable place"))?;
        if has_userinfo(&target) {
            return Err(Kind::Redirect("it holds credentials"));
        }
        if !matches!(target.scheme(), "http" | "https") {
            return Err(Kind::Redirect("it is not HTTP"));
        }
        let loses = target.scheme() == "http" && (from.scheme() == "https" || &*self.origin.scheme == "https");
        if loses && !file {
            return Err(Kind::Redirect("it is not encrypted"));
        }
        if self.origin.owns(&target) {
            return Ok(target);
        }
        if !file {
            return Err(Kind::Redirect("it is another origin; is gitlab.url the instance's own address?"));
        }
        let out_of_reach = |_| Kind::Redirect("its address is link-local, or nearer than GitLab's own");
        self.addresses.admit(&target).map_err(out_of_reach)?;
        if loses {
            let (host, port) = (target.host_str().unwrap_or_default(), target.port_or_known_default().unwrap_or(80));
            let place = format!("{host}:{port}");
            if !self.plain.iter().any(|named| named == host || *named == place) {
                return Err(Kind::PlainStorage(place.into()));
            }
        }
        Ok(target)
    }
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

    fn follow(home: &str, from: &str, location: Option<&str>, file: bool, plain: &[&str]) -> Result<Url, Kind> {
        let (origin, addresses) = (Origin::of(&url(home)), Addresses::around(&url(home)));
        let plain: Vec<String> = plain.iter().map(|&host| host.to_owned()).collect();
        Rules { origin: &origin, addresses: &addresses, plain: &plain }.follow(&url(from), location, file)
    }

    /// Returns `None` when it is refused, else whether the target would see the token.
    fn decide(home: &str, from: &str, location: &str, file: bool) -> Option<bool> {
        let target = follow(home, from, Some(location), file, &[]).ok()?;
        Some(Origin::of(&url(home)).owns(&target))
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
        assert!(follow(home, api, None, true, &[]).is_err());
    }

    #[test]
    fn storage_without_encryption_is_reached_where_it_is_named_and_never_with_the_token() {
        let (home, api) = ("https://gitlab.example/", "https://gitlab.example/api/v4/x");
        let named = ["minio.internal:9000", "8.8.8.8", "gitlab.example"];
        for (from, location, file, expected) in [
            (api, "http://minio.internal:9000/a", true, Ok(false)),
            (api, "http://MINIO.internal:9000/a", true, Ok(false)),
            (api, "http://8.8.8.8:1234/a", true, Ok(false)),
            (api, "http://gitlab.example/a", true, Ok(false)),
            (api, "http://minio.internal/a", true, Err("minio.internal:80")),
            (api, "http://storage.example/a", true, Err("storage.example:80")),
            ("http://minio.internal:9000/a", "http://storage.example/a", true, Err("storage.example:80")),
            (api, "http://minio.internal:9000/a", false, Err("")),
            (api, "http://u:p@minio.internal:9000/a", true, Err("")),
            (api, "http://10.0.0.1/a", true, Err("")),
        ] {
            let followed = match follow(home, from, Some(location), file, &named) {
                Ok(target) => Ok(Origin::of(&url(home)).owns(&target)),
                Err(Kind::PlainStorage(place)) => Err(place),
                Err(_) => Err("".into()),
            };
            assert_eq!(followed, expected.map_err(Box::from), "{from} to {location}");
        }
    }
}
