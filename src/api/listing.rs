//! A page of a list: GitLab's documents side by side, and GitLab's paging headers (contract, section 5.2).

use actix_web::http::header::{CONTENT_TYPE, HeaderName, LINK};
use actix_web::{HttpRequest, HttpResponse};
use url::form_urlencoded;

use super::query::{Paging, Query};
use crate::domain::Document;
use crate::store::{Page, Slice};

const X_PAGE: HeaderName = HeaderName::from_static("x-page");
const X_PER_PAGE: HeaderName = HeaderName::from_static("x-per-page");
const X_PREV_PAGE: HeaderName = HeaderName::from_static("x-prev-page");
const X_NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");
const X_TOTAL: HeaderName = HeaderName::from_static("x-total");
const X_TOTAL_PAGES: HeaderName = HeaderName::from_static("x-total-pages");

/// Parameters that may hold a credential; they are never written into a link.
const CREDENTIALS: [&str; 3] = ["private_token", "access_token", "job_token"];

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

/// Answers with a page.
pub(super) fn respond(request: &HttpRequest, query: &Query, paging: Paging, page: &Page<Document>) -> HttpResponse {
    let Position { prev, next, last } = paging.position(page.total);
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((X_PAGE, paging.page.to_string()))
        .insert_header((X_PER_PAGE, paging.per_page.to_string()))
        .insert_header((X_PREV_PAGE, number(prev)))
        .insert_header((X_NEXT_PAGE, number(next)))
        .insert_header((X_TOTAL, page.total.to_string()))
        .insert_header((X_TOTAL_PAGES, last.to_string()));
    if let Some(base) = base(request) {
        let link = |page: u64, rel: &str| format!("<{base}?{}>; rel=\"{rel}\"", parameters(query, paging, page));
        let around = prev.map(|page| link(page, "prev")).into_iter().chain(next.map(|page| link(page, "next")));
        let links: Vec<String> = around.chain([link(1, "first"), link(last, "last")]).collect();
        response.insert_header((LINK, links.join(", ")));
    }
    response.body(concatenated(&page.rows))
}

/// Answers with a page of a list of which it is only known whether it goes on: without totals and a last page, as GitLab
/// answers where it does not count (contract, section 5.2).
pub(super) fn respond_uncounted(
    request: &HttpRequest,
    query: &Query,
    paging: Paging,
    rows: &[Document],
    more: bool,
) -> HttpResponse {
    let (prev, next) = ((paging.page > 1).then(|| paging.page - 1), more.then(|| paging.page + 1));
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, "application/json"))
        .insert_header((X_PAGE, paging.page.to_string()))
        .insert_header((X_PER_PAGE, paging.per_page.to_string()))
        .insert_header((X_PREV_PAGE, number(prev)))
        .insert_header((X_NEXT_PAGE, number(next)));
    if let Some(base) = base(request) {
        let link = |page: u64, rel: &str| format!("<{base}?{}>; rel=\"{rel}\"", parameters(query, paging, page));
        let around = prev.map(|page| link(page, "prev")).into_iter().chain(next.map(|page| link(page, "next")));
        let links: Vec<String> = around.chain([link(1, "first")]).collect();
        response.insert_header((LINK, links.join(", ")));
    }
    response.body(concatenated(rows))
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

/// Returns the address of the list as the reader wrote it; `None` when its host could not stand in a link.
fn base(request: &HttpRequest) -> Option<String> {
    let connection = request.connection_info();
    let scheme = if connection.scheme() == "https" { "https" } else { "http" };
    let host = connection.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then(|| format!("{scheme}://{host}{}", request.uri().path()))
}

/// Returns the request's parameters with another page, sorted by name as GitLab does.
fn parameters(query: &Query, paging: Paging, page: u64) -> String {
    let replaced = |key: &str| matches!(key, "page" | "per_page") || CREDENTIALS.contains(&key);
    let mut pairs: Vec<(&str, &str)> = query
        .pairs()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter(|(key, _)| !replaced(key))
        .collect();
    let (page, per_page) = (page.to_string(), paging.per_page.to_string());
    pairs.extend([("page", page.as_str()), ("per_page", per_page.as_str())]);
    pairs.sort_by_key(|(key, _)| *key);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::domain::Timestamp;

    fn header(response: &HttpResponse, name: &HeaderName) -> String {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("(none)").to_owned()
    }

    fn answer(uri: &str, total: u64) -> HttpResponse {
        let request = TestRequest::get().uri(uri).insert_header(("host", "localhost:8080")).to_http_request();
        let query = Query::of(&request);
        let paging = query.paging().expect("valid paging");
        let row = Document { text: r#"{"id":1}"#.into(), as_of: Timestamp::default() };
        respond(&request, &query, paging, &Page { rows: vec![row; 2], total })
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
    fn credentials_and_strange_hosts_never_get_into_a_link() {
        let link = header(&answer("/x?private_token=glpat-secret&access_token=a&scope[]=failed", 1), &LINK);
        assert!(!link.contains("secret") && !link.contains("access_token"), "{link}");
        assert!(link.contains("scope%5B%5D=failed"), "{link}");
        let request = TestRequest::get().uri("/x").insert_header(("host", "a>; rel=\"next\"")).to_http_request();
        assert_eq!(base(&request), None);
    }

    #[test]
    fn documents_are_joined_untouched() {
        let document = |text: &str| Document { text: text.into(), as_of: Timestamp::default() };
        assert_eq!(concatenated(&[]), "[]");
        assert_eq!(concatenated(&[document(r#"{"b": 1}"#), document("{}")]), r#"[{"b": 1},{}]"#);
    }
}
