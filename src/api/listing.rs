//! A page of a list: GitLab's documents side by side, and GitLab's paging headers (contract, section 5.2).

use actix_web::http::header::{HeaderName, LINK};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use url::form_urlencoded;

use super::link;
use super::provenance::Listed;
use super::query::{Paging, Query};
use super::reply;
use crate::domain::Document;
use crate::gitlab::CREDENTIALS;
use crate::store::{COUNTED, Page, Slice};

const X_PAGE: HeaderName = HeaderName::from_static("x-page");
const X_PER_PAGE: HeaderName = HeaderName::from_static("x-per-page");
const X_PREV_PAGE: HeaderName = HeaderName::from_static("x-prev-page");
const X_NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");
const X_TOTAL: HeaderName = HeaderName::from_static("x-total");
const X_TOTAL_PAGES: HeaderName = HeaderName::from_static("x-total-pages");

/// Whether everything that GitLab has of what was asked for is in the list: `true`, `since=` and the time from which on, or `false`.
const X_CISTERN_COMPLETE: HeaderName = HeaderName::from_static("x-cistern-complete");

/// The numbers of the pages around one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    prev: Option<u64>,
    next: Option<u64>,
    last: u64,
}

impl Paging {
    /// Returns which rows of the whole list the page has.
    pub(super) fn slice(self) -> Slice {
        Slice { offset: (self.page - 1) * self.per_page, limit: self.per_page }
    }

    fn position(self, total: u64) -> Position {
        // GitLab counts an empty list as one page, and links nowhere back from behind the end.
        let last = total.div_ceil(self.per_page).max(1);
        Position {
            prev: (self.page > 1 && self.page <= last).then(|| self.page - 1),
            next: (self.page < last).then(|| self.page + 1),
            last,
        }
    }
}

/// Makes the page of a list that is held as a whole.
pub(super) fn page_of(rows: Vec<Document>, slice: Slice) -> Page<Document> {
    let total = rows.len() as u64;
    let offset = usize::try_from(slice.offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
    Page { rows: rows.into_iter().skip(offset).take(limit).collect(), total }
}

/// Answers with a page. Above [`COUNTED`] rows nobody knows how many there are, as with GitLab.
pub(super) fn respond(request: &HttpRequest, query: &Query, paging: Paging, listed: &Listed) -> HttpResponse {
    let Listed { page, provenance, .. } = listed;
    let counted = listed.counted && page.total <= COUNTED;
    let head = |response: &mut HttpResponseBuilder| {
        let Position { prev, next, last } = paging.position(page.total);
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        response
            .insert_header((X_CISTERN_COMPLETE, listed.complete.to_string()))
            .insert_header((X_PAGE, paging.page.to_string()))
            .insert_header((X_PER_PAGE, paging.per_page.to_string()))
            .insert_header((X_PREV_PAGE, number(prev)))
            .insert_header((X_NEXT_PAGE, number(next)));
        if counted {
            let (total, pages) = (page.total.to_string(), last.to_string());
            response.insert_header((X_TOTAL, total)).insert_header((X_TOTAL_PAGES, pages));
        }
        if let Some(base) = link::asked(request) {
            let link = |page: u64, rel: &str| {
                let pairs = [("page", page.to_string()), ("per_page", paging.per_page.to_string())];
                format!("<{base}?{}>; rel=\"{rel}\"", parameters(query, &pairs))
            };
            let around = prev.map(|page| link(page, "prev")).into_iter().chain(next.map(|page| link(page, "next")));
            let ends = [link(1, "first")].into_iter().chain(counted.then(|| link(last, "last")));
            let links: Vec<String> = around.chain(ends).collect();
            response.insert_header((LINK, links.join(", ")));
        }
    };
    // The headers tell how long the whole list is.
    reply::list(request, *provenance, (page.total, listed.complete), concatenated(&page.rows), head)
}

/// Answers with a page of a list that is paged by key; `next` is the parameter that leads on, `None` at the end.
pub(super) fn respond_keyset(
    request: &HttpRequest,
    query: &Query,
    per_page: u64,
    listed: &Listed,
    next: Option<(&str, String)>,
) -> HttpResponse {
    let version = next.as_ref().map(|(_, value)| value.clone());
    let link = link::asked(request).zip(next).map(|(base, (key, value))| {
        let pairs = [(key, value), ("per_page", per_page.to_string())];
        format!("<{base}?{}>; rel=\"next\"", parameters(query, &pairs))
    });
    let head = |response: &mut HttpResponseBuilder| {
        response.insert_header((X_CISTERN_COMPLETE, listed.complete.to_string()));
        if let Some(link) = link {
            response.insert_header((LINK, link));
        }
    };
    reply::list(request, listed.provenance, (version, listed.complete), concatenated(&listed.page.rows), head)
}

/// Joins documents to a JSON array without reading them.
fn concatenated(rows: &[Document]) -> String {
    let mut body = String::with_capacity(2 + rows.iter().map(|row| row.text.len() + 1).sum::<usize>());
    body.push('[');
    for (position, row) in rows.iter().enumerate() {
        if position > 0 {
            body.push(',');
        }
        body.push_str(&row.text);
    }
    body.push(']');
    body
}

/// Returns the request's parameters with some replaced, sorted by name as GitLab does.
fn parameters(query: &Query, others: &[(&str, String)]) -> String {
    let replaced = |key: &str| others.iter().any(|(other, _)| *other == key) || CREDENTIALS.contains(&key);
    let mut pairs: Vec<(&str, &str)> = query
        .pairs()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| !replaced(key))
        .collect();
    pairs.extend(others.iter().map(|(key, value)| (*key, value.as_str())));
    pairs.sort_by_key(|(key, _)| *key);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::api::provenance::Provenance;
    use crate::domain::Timestamp;

    fn header(response: &HttpResponse, name: &HeaderName) -> String {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("(none)").to_owned()
    }

    fn answer(uri: &str, total: u64) -> HttpResponse {
        let request = TestRequest::get().uri(uri).insert_header(("host", "localhost:8080")).to_http_request();
        let query = Query::of(&request);
        let paging = query.paging().expect("valid paging");
        let row = Document { text: r#"{"id":1}"#.into(), as_of: Timestamp::default() };
        let page = Page { rows: vec![row; 2], total };
        respond(
            &request,
            &query,
            paging,
            &Listed {
                page,
                provenance: Provenance::hit(None),
                complete: crate::api::provenance::Complete::Yes,
                counted: true,
            },
        )
    }

    #[test]
    fn a_page_in_the_middle_links_to_its_neighbours_and_keeps_the_other_parameters() {
        let response = answer("/api/v4/projects/a%2Fb/pipelines?status=failed&ref=x%26y&page=2&per_page=2", 5);
        let base = "http://localhost:8080/api/v4/projects/a%2Fb/pipelines";
        let link = |page, rel| format!("<{base}?page={page}&per_page=2&ref=x%26y&status=failed>; rel=\"{rel}\"");
        let expected = [link(1, "prev"), link(3, "next"), link(1, "first"), link(3, "last")].join(", ");
        assert_eq!(header(&response, &LINK), expected);
        for (name, value) in [
            (X_PAGE, "2"),
            (X_PER_PAGE, "2"),
            (X_PREV_PAGE, "1"),
            (X_NEXT_PAGE, "3"),
            (X_TOTAL, "5"),
            (X_TOTAL_PAGES, "3"),
        ] {
            assert_eq!(header(&response, &name), value, "{name}");
        }
    }

    #[test]
    fn the_ends_of_a_list_are_empty_strings_as_gitlabs_are() {
        for (uri, total, prev, next, pages) in [
            ("/x", 0, "", "", "1"),
            ("/x?per_page=2", 2, "", "", "1"),
            ("/x?per_page=2", 3, "", "2", "2"),
            ("/x?per_page=2&page=2", 3, "1", "", "2"),
            ("/x?per_page=2&page=9", 3, "", "", "2"),
        ] {
            let response = answer(uri, total);
            assert_eq!(header(&response, &X_PREV_PAGE), prev, "{uri}");
            assert_eq!(header(&response, &X_NEXT_PAGE), next, "{uri}");
            assert_eq!(header(&response, &X_TOTAL_PAGES), pages, "{uri}");
        }
    }

    #[test]
    fn credentials_never_get_into_a_link() {
        let link = header(&answer("/x?private_token=glpat-secret&access_token=a&scope[]=failed", 1), &LINK);
        assert!(!link.contains("secret") && !link.contains("access_token"), "{link}");
        assert!(link.contains("scope%5B%5D=failed"), "{link}");
    }

    #[test]
    fn a_long_list_has_no_totals_and_no_last_page() {
        let response = answer("/x?per_page=2&page=6000", 12_001);
        assert_eq!((header(&response, &X_NEXT_PAGE), header(&response, &X_TOTAL)), ("6001".into(), "(none)".into()));
        assert!(!header(&response, &LINK).contains("last"), "{}", header(&response, &LINK));
        assert_eq!(header(&answer("/x?per_page=2&page=6001", 12_001), &X_NEXT_PAGE), "");
    }

    #[test]
    fn documents_are_joined_untouched() {
        let document = |text: &str| Document { text: text.into(), as_of: Timestamp::default() };
        assert_eq!(concatenated(&[]), "[]");
        assert_eq!(concatenated(&[document(r#"{"b": 1}"#), document("{}")]), r#"[{"b": 1},{}]"#);
    }
}
