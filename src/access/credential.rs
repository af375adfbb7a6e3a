//! Where a request carries its token, as GitLab's own API takes it (contract, section 5.1).
//!
//! GitLab looks at `private_token`, then at `PRIVATE-TOKEN`, then at `Authorization: Bearer` and `access_token`; an empty one
//! counts as none. Job tokens read nothing of GitLab's here: GitLab takes them at few endpoints, and not for logs. A static token
//! may come in their place, too, because that is what scripts of jobs send.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use secrecy::SecretString;
use url::form_urlencoded;

use crate::gitlab::Credential;

/// A token longer than this is none of GitLab's.
const LONGEST: usize = 4096;

/// A request whose credential GitLab would refuse without looking further.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable;

/// What a request carries, by the first place that has something.
enum Carried {
    Private(SecretString),
    Bearer(SecretString),
    Job(SecretString),
    Nothing,
}

/// Returns the credential of a request for GitLab; `query` is everything behind its `?`.
pub(super) fn of_request(headers: &HeaderMap, query: &str) -> Result<Credential, Unusable> {
    match carried(headers, query)? {
        Carried::Private(token) => Ok(Credential::PrivateToken(token)),
        Carried::Bearer(token) => Ok(Credential::Bearer(token)),
        Carried::Job(_) => Err(Unusable),
        Carried::Nothing => Ok(Credential::Anonymous),
    }
}

/// Returns the static token of a request, for which all places are equal; `None` without one.
pub(super) fn static_token(headers: &HeaderMap, query: &str) -> Result<Option<SecretString>, Unusable> {
    match carried(headers, query)? {
        Carried::Private(token) | Carried::Bearer(token) | Carried::Job(token) => Ok(Some(token)),
        Carried::Nothing => Ok(None),
    }
}

fn carried(headers: &HeaderMap, query: &str) -> Result<Carried, Unusable> {
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned())
    };
    let in_either =
        |parameter: Option<String>, name| parameter.map_or_else(|| header(headers, name), |it| Ok(Some(it)));
    if let Some(token) = in_either(parameter("private_token"), "private-token")? {
        return usable(token).map(Carried::Private);
    }
    let bearer = header(headers, AUTHORIZATION.as_str())?.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned()).filter(|token| !token.is_empty())
    });
    if let Some(token) = bearer.or_else(|| parameter("access_token")) {
        return usable(token).map(Carried::Bearer);
    }
    match in_either(parameter("job_token"), "job-token")? {
        Some(token) => usable(token).map(Carried::Job),
        None => Ok(Carried::Nothing),
    }
}

/// Returns a header's value; sent twice, it leaves open which one was meant.
fn header(headers: &HeaderMap, name: &str) -> Result<Option<String>, Unusable> {
    let mut values = headers.get_all(name);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unusable);
    }
    let text = first.to_str().map_err(|_| Unusable)?.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn usable(token: String) -> Result<SecretString, Unusable> {
    let good = token.len() <= LONGEST && token.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(token.into()) } else { Err(Unusable) }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};
    use secrecy::ExposeSecret;

    use super::*;

    fn found(pairs: &[(&'static str, &'static str)], query: &str) -> Result<String, Unusable> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        of_request(&headers, query).map(|credential| match credential {
            Credential::PrivateToken(token) => format!("private {}", token.expose_secret()),
            Credential::Bearer(token) => format!("bearer {}", token.expose_secret()),
            Credential::Anonymous => "nobody".to_owned(),
        })
    }

    #[test]
    fn a_token_is_found_where_gitlab_looks_and_in_its_order() {
        for (headers, query, expected) in [
            (&[][..], "", Ok("nobody")),
            (&[("private-token", "a")], "", Ok("private a")),
            (&[("private-token", "")], "private_token=", Ok("nobody")),
            (&[("authorization", "Bearer a")], "", Ok("bearer a")),
            (&[("authorization", "bearer  a ")], "", Ok("bearer a")),
            (&[("authorization", "Basic YTpi")], "", Ok("nobody")),
            (&[], "page=2&private_token=a%2Db", Ok("private a-b")),
            (&[], "access_token=a", Ok("bearer a")),
            (&[("private-token", "a")], "private_token=b", Ok("private b")),
            (&[("private-token", "a"), ("authorization", "Bearer b")], "", Ok("private a")),
            (&[("private-token", "a"), ("private-token", "b")], "", Err(Unusable)),
            (&[("private-token", "a b")], "", Err(Unusable)),
            (&[], "private_token=a%0d%0aX-Evil:%201", Err(Unusable)),
            (&[("job-token", "a")], "", Err(Unusable)),
            (&[], "job_token=a", Err(Unusable)),
            (&[("job-token", "a"), ("private-token", "b")], "", Ok("private b")),
        ] {
            assert_eq!(found(headers, query), expected.map(str::to_owned), "{headers:?} {query}");
        }
        assert_eq!(found(&[], &format!("private_token={}", "a".repeat(4097))), Err(Unusable));
    }
}
