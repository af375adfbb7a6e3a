//! Pages by number and by key, with GitLab's headers (contract, section 5.2).

use super::answer::Answer;
use super::query::Query;
use crate::demo::fake::options::Links;

/// The headers that lead through a listing.
const HEADERS: [&str; 7] = ["x-page", "x-per-page", "x-prev-page", "x-next-page", "x-total", "x-total-pages", "Link"];

/// Which rows of a listing a request wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    number: usize,
    pub(crate) size: usize,
}

impl Page {
    pub(crate) fn of(query: &Query) -> Result<Self, Answer> {
        let positive = |name| match query.number(name)? {
            Some(0) => Err(Answer::bad_parameter(name)),
            number => Ok(number.and_then(|number| usize::try_from(number).ok())),
        };
        Ok(Self { number: positive("page")?.unwrap_or(1), size: positive("per_page")?.unwrap_or(20).min(100) })
    }

    /// Returns this page's rows of all rows.
    pub(crate) fn rows<T>(self, all: &[T]) -> &[T] {
        let start = (self.number - 1).saturating_mul(self.size).min(all.len());
        let end = start.saturating_add(self.size).min(all.len());
        all.get(start..end).unwrap_or_default()
    }

    /// Adds the headers of offset paging. `url` is the listing without its query; above `count_limit` rows the
    /// totals and `rel="last"` are missing.
    pub(crate) fn headers(self, answer: Answer, rows: usize, count_limit: usize, url: &str, query: &Query) -> Answer {
        let pages = rows.div_ceil(self.size).max(1);
        let next = (self.number < pages).then_some(self.number + 1);
        let previous = self.number.checked_sub(1).filter(|page| *page > 0);
        let counted = rows <= count_limit;
        let link = |page: usize, rel: &str| {
            let query = query.with(&[("page", page.to_string()), ("per_page", self.size.to_string())]);
            format!("<{url}?{query}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        links.extend(previous.map(|page| link(page, "prev")));
        links.extend(next.map(|page| link(page, "next")));
        links.push(link(1, "first"));
        links.extend(counted.then(|| link(pages, "last")));
        let shown = |page: Option<usize>| page.map_or_else(String::new, |page| page.to_string());
        let answer = answer
            .header("x-page", self.number)
            .header("x-per-page", self.size)
            .header("x-prev-page", shown(previous))
            .header("x-next-page", shown(next))
            .header("Link", links.join(", "));
        if counted { answer.header("x-total", rows).header("x-total-pages", pages) } else { answer }
    }
}

/// Adds the `Link` of keyset paging; `next` are the parameters that lead on, `None` at the end.
pub(crate) fn keyset_link(answer: Answer, url: &str, query: &Query, next: Option<&[(&str, String)]>) -> Answer {
    match next {
        Some(next) => answer.header("Link", format!("<{url}?{}>; rel=\"next\"", query.with(next))),
        None => answer,
    }
}

impl Links {
    /// Returns where a listing's links lead, for one that is at `base` and `path`.
    pub(super) fn url(&self, base: &str, path: &str) -> String {
        match self {
            Self::Home | Self::Stripped => format!("{base}{path}"),
            Self::At(origin) => format!("{origin}{path}"),
            Self::Relative => path.to_owned(),
        }
    }

    /// Takes away what does not reach the client.
    pub(super) fn pass(&self, mut answer: Answer) -> Answer {
        if *self == Self::Stripped {
            answer.headers.retain(|(name, _)| !HEADERS.contains(name));
        }
        answer
    }
}
