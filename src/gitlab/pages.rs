//! Listings: rows, and where the next page is (contract, section 5.2).
//!
//! Guarantees that one odd row does not lose the others, and that a next page is never looked for at another origin.

use bytes::Bytes;
use reqwest::header::{HeaderMap, LINK};
use serde_json::value::RawValue;
use url::Url;

use super::body::Body;
use super::redirect::Origin;
use super::{Error, Kind, Listing};
use crate::domain::{Malformed, Timestamp};

/// The most that one page may hold; 100 rows of the largest kind are below 1 MiB.
const PAGE_BYTES: usize = 64 * 1024 * 1024;

/// The most that one object may hold.
const OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// Where the next page of a listing is; opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The next page of an offset listing.
    Page(u32),
    /// The next page of a keyset listing, as GitLab wrote it.
    Url(Box<str>),
}

impl Next {
    /// Returns the number of an offset listing's page.
    pub(super) fn page(&self) -> Option<u32> {
        match self.0 {
            Place::Page(page) => Some(page),
            Place::Url(_) => None,
        }
    }

    /// Returns the address of a keyset listing's page.
    pub(super) fn url(&self) -> Option<&str> {
        match &self.0 {
            Place::Page(_) => None,
            Place::Url(url) => Some(url),
        }
    }
}

/// Reads one object.
pub(super) async fn object<T>(
    mut body: Body,
    what: &'static str,
    parse: impl FnOnce(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<T, Error> {
    let bytes = body.read(OBJECT_BYTES).await?;
    let raw: &RawValue = serde_json::from_slice(&bytes).map_err(|error| body.error(unreadable(what, &error)))?;
    parse(raw, body.as_of()).map_err(|malformed| body.error(malformed.into()))
}

/// Reads one page of a keyset listing.
pub(super) async fn keyset<T>(
    body: Body,
    origin: &Origin,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<Listing<T>, Error> {
    let next = body.headers().and_then(link_next).map(|link| keyset_next(origin, link)).transpose();
    let next = next.map_err(|malformed| body.error(malformed.into()))?;
    rows(body, next, what, parse).await
}

/// Reads page `page` of an offset listing.
pub(super) async fn offset<T>(
    body: Body,
    page: u32,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<Listing<T>, Error> {
    let next = body.headers().and_then(|headers| offset_next(headers, page)).map(|page| Next(Place::Page(page)));
    rows(body, next, what, parse).await
}

async fn rows<T>(
    mut body: Body,
    next: Option<Next>,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<Listing<T>, Error> {
    let as_of = body.as_of();
    let bytes: Bytes = body.read(PAGE_BYTES).await?;
    let raw: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(|error| body.error(unreadable(what, &error)))?;
    let received = raw.len();
    let mut rows = Vec::with_capacity(received);
    let mut first_odd = None;
    for (position, row) in raw.into_iter().enumerate() {
        match parse(row, as_of) {
            Ok(row) => rows.push(row),
            Err(malformed) => {
                first_odd.get_or_insert((position, malformed));
            }
        }
    }
    let malformed = received - rows.len();
    if let Some((position, odd)) = first_odd {
        tracing::warn!(rows = malformed, row.first = position, error = %odd, "GitLab listed rows that are not readable");
    }
    Ok(Listing { rows, received, malformed, next, as_of })
}

/// A text that ends too early was cut on its way: asking again may help.
fn unreadable(what: &'static str, error: &serde_json::Error) -> Kind {
    if error.is_eof() {
        Kind::Unavailable("the answer was cut".to_owned())
    } else {
        Kind::Malformed(Malformed::json(what, error))
    }
}

fn keyset_next(origin: &Origin, link: &str) -> Result<Next, Malformed> {
    match Url::parse(link) {
        Ok(url) if origin.owns(&url) => Ok(Next(Place::Url(link.into()))),
        Ok(_) => Err(next_page("it is at another origin; is gitlab.url the instance's own address?")),
        Err(_) => Err(next_page("it is not a URL")),
    }
}

fn next_page(problem: &str) -> Malformed {
    Malformed { what: "the address of the next page", problem: problem.to_owned() }
}

/// `x-next-page` is empty at the end; where it is missing, a `Link` tells whether there is a next page, which is asked for
/// by number, so that the address behind it does not matter.
fn offset_next(headers: &HeaderMap, page: u32) -> Option<u32> {
    match headers.get("x-next-page").and_then(|value| value.to_str().ok()) {
        Some(next) => next.trim().parse().ok().filter(|next| *next > page),
        None => link_next(headers).and_then(|_| page.checked_add(1)),
    }
}

/// Returns the target of `rel="next"`. URLs may hold commas and semicolons, so that `<` and `>` are what counts.
fn link_next(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let mut rest = value;
        while let Some((_, link)) = rest.split_once('<') {
            let (target, after) = link.split_once('>')?;
            let parameters = after.split('<').next().unwrap_or(after);
            if parameters.split([';', ',']).any(is_next) {
                return Some(target);
            }
            rest = after;
        }
        None
    })
}

fn is_next(parameter: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn the_next_link_is_found_among_others() {
        for (link, expected) in [
            (r#"<https://g.example/a?x=1,2;3>; rel="next""#, Some("https://g.example/a?x=1,2;3")),
            (r#"<https://g.example/p>; rel="prev", <https://g.example/n>; rel="next""#, Some("https://g.example/n")),
            (r#"<https://g.example/n>; rel=next, <https://g.example/f>; rel="first""#, Some("https://g.example/n")),
            (r#"<https://g.example/?rel=next>; rel="first""#, None),
            (r#"<https://g.example/n; rel="next""#, None),
            ("", None),
        ] {
            assert_eq!(link_next(&headers(&[("link", link)])), expected, "{link}");
        }
    }

    #[test]
    fn a_keyset_page_is_followed_verbatim_at_the_same_origin_only() {
        let origin = Origin::of(&Url::parse("https://g.example/git").expect("a URL"));
        let link = "https://g.example/git/api/v4/projects?id_after=7&b=1";
        assert_eq!(keyset_next(&origin, link).expect("same origin").url(), Some(link));
        for link in ["http://g.example/x", "https://other.example/x", "https://u:p@g.example/x", "/relative"] {
            assert!(keyset_next(&origin, link).is_err(), "{link}");
        }
    }

    #[test]
    fn an_offset_listing_ends_when_no_next_page_is_named() {
        let link = r#"<https://elsewhere.example/jobs?page=3>; rel="next""#;
        for (pairs, expected) in [
            (&[("x-next-page", "3"), ("link", link)][..], Some(3)),
            (&[("x-next-page", ""), ("link", link)], None),
            (&[("x-next-page", "2")], None),
            (&[("link", link)], Some(3)),
            (&[], None),
        ] {
            assert_eq!(offset_next(&headers(pairs), 2), expected, "{pairs:?}");
        }
    }
}
