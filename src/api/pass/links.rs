//! GitLab's links to other pages, as they lead on here.

use url::form_urlencoded;

use crate::gitlab::CREDENTIALS;

/// The links that lead through a list.
const RELATIONS: [&str; 4] = ["prev", "next", "first", "last"];

/// Writes a `Link` header's pages at the address that was asked; of GitLab's own addresses only the parameters count, because they
/// lead where its readers may not be. `None` when none is left.
pub(super) fn at(asked: &str, links: &str) -> Option<String> {
    // Addresses may hold commas and semicolons, so that `<` and `>` are what counts.
    let links = links.split('<').skip(1).filter_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let relation = parameters.split([';', ',']).find_map(relation)?;
        let query = target.split_once('?').map_or("", |(_, query)| query.split('#').next().unwrap_or_default());
        let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| !CREDENTIALS.contains(&&**name));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Some(format!("<{asked}?{query}>; rel=\"{relation}\""))
    });
    let links: Vec<String> = links.collect();
    (!links.is_empty()).then(|| links.join(", "))
}

fn relation(parameter: &str) -> Option<&'static str> {
    let (name, value) = parameter.split_once('=')?;
    let value = value.trim().trim_matches('"');
    let known = RELATIONS.into_iter().find(|known| known.eq_ignore_ascii_case(value));
    known.filter(|_| name.trim().eq_ignore_ascii_case("rel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_the_address_that_was_asked() {
        let asked = "https://ci.example/api/v4/projects/a%2Fb/x";
        for (links, expected) in [
            (
                r#"<https://gitlab.example/api/v4/projects/7/x?id=7&page=2&per_page=3>; rel="next", <http://e/?page=1>; rel=first"#,
                Some(format!("<{asked}?id=7&page=2&per_page=3>; rel=\"next\", <{asked}?page=1>; rel=\"first\"")),
            ),
            (
                "<//evil.example/a,b;c?cursor=x%3D%3D&private_token=y#z>; rel=\"Next\"",
                Some(format!("<{asked}?cursor=x%3D%3D>; rel=\"next\"")),
            ),
            ("<https://e/?a=%0d%0aX%3A1>; rel=\"last\"", Some(format!("<{asked}?a=%0D%0AX%3A1>; rel=\"last\""))),
            ("<https://e/>; rel=\"stylesheet\", <https://e/x", None),
            ("", None),
        ] {
            assert_eq!(at(asked, links), expected, "{links}");
        }
    }
}
