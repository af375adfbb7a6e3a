//! Listings: rows, and where the next page is (contract, section 5.2).
//!
//! Guarantees that one odd row does not lose the others, that a full page is never taken for the last one without GitLab
//! having said so, that a listing which shows the same page again and again ends as an error, and that of a link only its
//! cursor is used: a next page is asked for where every question is.

use reqwest::header::{HeaderMap, LINK};
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::body::Body;
use super::question::Keyset;
use super::redirect::Origin;
use super::{Error, Kind, Listing};
use crate::domain::{Malformed, Timestamp};

/// The most that one page may hold; 100 rows of the largest kind are below 1 MiB, unless commit messages in them are long.
const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// The most that one object may hold.
const OBJECT_BYTES: usize = 4 * 1024 * 1024;

/// How often the same page may come: rows that are added while one pages may push a whole page's down.
const SAME_PAGES: u32 = 3;

/// The most pages of one listing: a million rows.
const MOST_PAGES: u32 = 10_000;

/// Where the next page of a listing is; opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    place: Place,
    shown: Shown,
}

/// What a walk through a listing has shown so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Shown {
    pages: u32,
    /// The first and last ids of the last page.
    edges: Option<(u64, u64)>,
    /// How many pages in a row had these.
    same: u32,
}

impl Shown {
    /// Goes on by a page that has another behind it.
    fn and(self, rows: &[&RawValue]) -> Result<Self, Kind> {
        let edges = rows.iter().find_map(|row| id(row)).zip(rows.iter().rev().find_map(|row| id(row)));
        let same = if edges.is_some() && edges == self.edges { self.same + 1 } else { 1 };
        match (same >= SAME_PAGES, self.pages >= MOST_PAGES) {
            (true, _) => Err(Kind::Endless("the same page again and again")),
            (_, true) => Err(Kind::Endless("more than 10000 pages")),
            _ => Ok(Self { pages: self.pages + 1, edges, same }),
        }
    }
}

/// Returns the id that a row tells.
fn id(row: &RawValue) -> Option<u64> {
    #[derive(Deserialize)]
    struct Wire {
        id: u64,
    }
    serde_json::from_str::<Wire>(row.get()).ok().map(|row| row.id)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The next page of an offset listing.
    Page(u32),
    /// The next page of a keyset listing.
    Cursor(Cursor),
}

/// The parameters that lead to a page of a keyset listing, as an address holds them: `id_after=42`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor(Box<str>);

impl Next {
    /// Returns the number of an offset listing's page.
    pub(super) fn page(&self) -> Option<u32> {
        match self.place {
            Place::Page(page) => Some(page),
            Place::Cursor(_) => None,
        }
    }

    /// Returns what leads to a keyset listing's page.
    pub(super) fn cursor(&self) -> Option<&Cursor> {
        match &self.place {
            Place::Page(_) => None,
            Place::Cursor(cursor) => Some(cursor),
        }
    }
}

impl Cursor {
    /// The parameters that GitLab's links carry beside those of the question.
    const NAMES: [&str; 3] = ["id_after", "id_before", "cursor"];

    /// Takes the cursor out of a link, wherever that leads; `None` when it has none.
    fn of_link(link: &str) -> Option<Self> {
        let (_, query) = link.split('#').next()?.split_once('?')?;
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        let ours = pairs.filter(|(name, value)| Self::NAMES.contains(&&**name) && !value.is_empty());
        let cursor = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(ours).finish();
        (!cursor.is_empty()).then(|| Self(cursor.into()))
    }

    /// Leads on from the last of these rows that tells its id.
    fn after(rows: &[&RawValue], keyset: Keyset) -> Option<Self> {
        let last = rows.iter().rev().find_map(|row| id(row))?;
        Some(Self(format!("{}={last}", keyset.cursor).into()))
    }

    /// Returns the parameters.
    pub(super) fn as_str(&self) -> &str {
        &self.0
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
///
/// GitLab's link leads on; where something between has taken it away, a full page is followed by what comes after its last
/// row. `origin` is where GitLab is asked: the listing tells when its links lead elsewhere.
pub(super) async fn keyset<T>(
    body: Body,
    asked: Option<&Next>,
    origin: &Origin,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<Listing<T>, Error> {
    let keyset = body.question().keyset();
    let link = body.headers().and_then(link_next).map(str::to_owned);
    let mut listing = rows(body, asked, what, parse, |rows, full| match &link {
        None if !full => Ok(None),
        link => {
            let cursor = link.as_deref().and_then(Cursor::of_link).or_else(|| Cursor::after(rows, keyset));
            let problem = "neither a link nor a row of this page says where it is".to_owned();
            let lost = Malformed { what: "the address of the next page", problem };
            cursor.map(|cursor| Some(Place::Cursor(cursor))).ok_or(lost)
        }
    })
    .await?;
    listing.links_lead_to = link.and_then(|link| elsewhere(origin, &link));
    Ok(listing)
}

/// Reads a page of an offset listing: the first, or the one that was asked for.
pub(super) async fn offset<T>(
    body: Body,
    asked: Option<&Next>,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
) -> Result<Listing<T>, Error> {
    let page = asked.and_then(Next::page).unwrap_or(1);
    let said = body.headers().map_or(Said::Nothing, |headers| offset_next(headers, page));
    rows(body, asked, what, parse, |_, full| {
        let next = match said {
            Said::Next(next) => Some(next),
            Said::Nothing if full => page.checked_add(1),
            Said::Nothing | Said::End => None,
        };
        Ok(next.map(Place::Page))
    })
    .await
}

/// Reads the rows of a page; `next` gets all of them as they were written, and whether they fill it.
async fn rows<T>(
    mut body: Body,
    asked: Option<&Next>,
    what: &'static str,
    parse: impl Fn(&RawValue, Timestamp) -> Result<T, Malformed>,
    next: impl FnOnce(&[&RawValue], bool) -> Result<Option<Place>, Malformed>,
) -> Result<Listing<T>, Error> {
    let as_of = body.as_of();
    let bytes = body.read(PAGE_BYTES).await?;
    let raw: Vec<&RawValue> = serde_json::from_slice(&bytes).map_err(|error| body.error(unreadable(what, &error)))?;
    let received = raw.len();
    let place =
        next(&raw, received >= body.question().page_rows()).map_err(|malformed| body.error(malformed.into()))?;
    let shown = asked.map(|asked| asked.shown).unwrap_or_default();
    let next = place.map(|place| Ok(Next { place, shown: shown.and(&raw)? })).transpose();
    let next = next.map_err(|kind| body.error(kind))?;
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
    Ok(Listing { rows, received, malformed, next, links_lead_to: None, as_of })
}

/// A text that ends too early was cut on its way: asking again may help.
fn unreadable(what: &'static str, error: &serde_json::Error) -> Kind {
    if error.is_eof() {
        Kind::Unavailable("the answer was cut".to_owned())
    } else {
        Kind::Malformed(Malformed::json(what, error))
    }
}

/// Returns where a link leads, when that is not where GitLab is asked.
fn elsewhere(origin: &Origin, link: &str) -> Option<Box<str>> {
    let url = Url::parse(link).ok().filter(|url| !origin.owns(url))?;
    Some(Origin::of(&url).to_string().into())
}

/// What headers say about the next page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Next(u32),
    End,
    /// Something between may have taken them away.
    Nothing,
}

/// `x-next-page` is empty at the end; where it is missing, a `Link` tells whether there is a next page, which is asked for
/// by number, so that the address behind it does not matter. GitLab's offset pages always link to the first one.
fn offset_next(headers: &HeaderMap, page: u32) -> Said {
    if let Some(said) = headers.get("x-next-page").and_then(|value| value.to_str().ok()) {
        return match said.trim().parse() {
            Ok(next) if next > page => Said::Next(next),
            // That is another page than was asked for.
            Ok(_) => Said::Nothing,
            Err(_) => Said::End,
        };
    }
    match (link_next(headers), page.checked_add(1)) {
        (Some(_), Some(next)) => Said::Next(next),
        (None, _) if link(headers, "first").is_none() && link(headers, "prev").is_none() => Said::Nothing,
        _ => Said::End,
    }
}

fn link_next(headers: &HeaderMap) -> Option<&str> {
    link(headers, "next")
}

/// Returns the target of the link with this `rel`. URLs may hold commas and semicolons, so that `<` and `>` are what counts.
fn link<'a>(headers: &'a HeaderMap, rel: &str) -> Option<&'a str> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|value| {
        let mut rest = value;
        while let Some((_, link)) = rest.split_once('<') {
            let (target, after) = link.split_once('>')?;
            let parameters = after.split('<').next().unwrap_or(after);
            if parameters.split([';', ',']).any(|parameter| is_rel(parameter, rel)) {
                return Some(target);
            }
            rest = after;
        }
        None
    })
}

fn is_rel(parameter: &str, rel: &str) -> bool {
    parameter.split_once('=').is_some_and(|(name, value)| {
        name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case(rel)
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
    fn of_a_link_only_the_cursor_counts_wherever_it_leads() {
        for (link, expected) in [
            ("https://g.example/git/api/v4/projects?id_after=7&membership=true", Some("id_after=7")),
            ("https://u:p@other.example/x?per_page=1&id_before=7#id_after=9", Some("id_before=7")),
            ("/api/v4/projects?cursor=ey%2BJ%3D%3D&private_token=x&membership=false", Some("cursor=ey%2BJ%3D%3D")),
            ("?id_after=7%26admin%3Dtrue", Some("id_after=7%26admin%3Dtrue")),
            ("https://g.example/api/v4/projects?page=2", None),
            ("https://g.example/api/v4/projects?id_after=", None),
            ("", None),
        ] {
            assert_eq!(Cursor::of_link(link).as_ref().map(Cursor::as_str), expected, "{link}");
        }
    }

    #[test]
    fn a_link_tells_when_it_leads_elsewhere_and_never_with_a_path_or_credentials() {
        let origin = Origin::of(&Url::parse("http://gitlab.internal:8080/git").expect("a URL"));
        for (link, expected) in [
            ("http://gitlab.internal:8080/git/api/v4/projects?id_after=7", None),
            ("/api/v4/projects?id_after=7", None),
            ("https://gitlab.example/api/v4/projects?id_after=7", Some("https://gitlab.example:443")),
            ("http://u:p@gitlab.internal/x", Some("http://gitlab.internal:80")),
        ] {
            assert_eq!(elsewhere(&origin, link).as_deref(), expected, "{link}");
        }
    }

    #[test]
    fn rows_lead_on_from_the_last_one_that_tells_its_id() {
        let rows: Vec<&RawValue> = serde_json::from_str(r#"[{"id":7},{"id":9,"x":1},{"id":"odd"}]"#).expect("rows");
        let after = |rows: &[&RawValue]| Cursor::after(rows, Keyset { cursor: "id_before" });
        assert_eq!(after(&rows).as_ref().map(Cursor::as_str), Some("id_before=9"));
        assert_eq!(after(&rows[2..]), None);
    }

    #[test]
    fn the_same_page_may_come_twice_and_a_listing_has_an_end() {
        let page: Vec<&RawValue> = serde_json::from_str(r#"[{"id":7},{"id":9}]"#).expect("rows");
        let other: Vec<&RawValue> = serde_json::from_str(r#"[{"id":"odd"},{"id":5},{"id":9}]"#).expect("rows");
        let mut shown = Shown::default();
        for rows in [&page, &page, &other, &page, &page] {
            shown = shown.and(rows).expect("it goes on");
        }
        assert!(matches!(shown.and(&page), Err(Kind::Endless("the same page again and again"))));
        assert!(shown.and(&other).is_ok());
        let long = Shown { pages: MOST_PAGES, ..shown };
        assert!(matches!(long.and(&other), Err(Kind::Endless("more than 10000 pages"))));
    }

    #[test]
    fn an_offset_listing_ends_where_headers_say_so_and_without_them_nothing_is_said() {
        let link = r#"<https://elsewhere.example/jobs?page=3>; rel="next""#;
        let last = r#"<https://elsewhere.example/jobs?page=1>; rel="first""#;
        for (pairs, expected) in [
            (&[("x-next-page", "3"), ("link", link)][..], Said::Next(3)),
            (&[("x-next-page", ""), ("link", link)], Said::End),
            (&[("x-next-page", "2")], Said::Nothing),
            (&[("link", link)], Said::Next(3)),
            (&[("link", last)], Said::End),
            (&[("link", "</style.css>; rel=preload")], Said::Nothing),
            (&[], Said::Nothing),
        ] {
            assert_eq!(offset_next(&headers(pairs), 2), expected, "{pairs:?}");
        }
    }
}
