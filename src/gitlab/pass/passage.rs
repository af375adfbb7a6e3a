//! What a reader asks for, fit to be passed on.

use percent_encoding::percent_decode_str;
use reqwest::header::{ACCEPT_ENCODING, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder};
use url::{Url, form_urlencoded};

/// No address of GitLab's is longer: its web server takes 8 KiB.
const LONGEST: usize = 8 * 1024;

/// How often a path may be encoded within itself.
const DEEPEST: usize = 4;

/// The headers by which a reader says what they have already.
const CONDITIONS: [HeaderName; 2] = [IF_NONE_MATCH, IF_MODIFIED_SINCE];

/// Parameters that carry a credential, which travels in a header: never written into a link, or passed on.
pub const CREDENTIALS: [&str; 3] = ["private_token", "access_token", "job_token"];

/// A reader's question to GitLab's API: its path cannot be read as one of elsewhere, by whatever it passes on its way.
#[derive(Debug, Clone)]
pub struct Passage {
    head: bool,
    /// Behind the API's root, with a slash before it, as it was sent.
    path: String,
    query: String,
    conditions: Vec<(HeaderName, Vec<u8>)>,
    within: Option<(String, Opens)>,
}

/// Judges what follows the beginning of a path, and the parameters.
type Opens = fn(&str, &[(String, String)]) -> bool;

impl Passage {
    /// Takes a GET, or a HEAD: the path behind the API's root as it was sent, with a slash before it, and the decoded parameters,
    /// of which those that carry a credential are left out. `None` when it is not fit to be passed on: too long, with empty or dot
    /// segments in whatever coding, with control characters, or meant for GitLab's own parts only.
    pub fn new(head: bool, path: &str, parameters: &[(String, String)]) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let others = parameters.iter().filter(|(name, _)| !is_credential(name));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
        let fits = path.len() + query.len() <= LONGEST && is_fit(path);
        fits.then(|| Self { head, path: path.to_owned(), query, conditions: Vec::new(), within: None })
    }

    /// Lets redirects be followed only where paths begin so, and the rest and the parameters are judged to be open.
    #[must_use]
    pub fn within(self, root: String, opens: Opens) -> Self {
        Self { within: Some((root, opens)), ..self }
    }

    /// Takes a header of the reader's request over, if it is one that travels.
    pub fn condition(&mut self, name: &str, value: &[u8]) {
        let known = CONDITIONS.into_iter().find(|condition| condition.as_str() == name);
        self.conditions.extend(known.map(|name| (name, value.to_vec())));
    }

    pub(super) fn is_head(&self) -> bool {
        self.head
    }

    /// Begins the request that asks it.
    pub(super) fn ask(&self, begin: impl FnOnce(Method) -> RequestBuilder) -> RequestBuilder {
        let request = match self.head {
            // The length that is told is the file's own.
            true => begin(Method::HEAD).header(ACCEPT_ENCODING, const { HeaderValue::from_static("identity") }),
            false => begin(Method::GET),
        };
        self.conditions.iter().fold(request, |request, (name, value)| request.header(name, value.as_slice()))
    }

    /// Returns the address, below the API's root, which has no slash at its end.
    pub(super) fn url(&self, api: &str) -> Option<Url> {
        let mark = if self.query.is_empty() { "" } else { "?" };
        let written = format!("{api}{}{mark}{}", self.path, self.query);
        // What would have to be rewritten to be an address is not what was judged.
        Url::parse(&written).ok().filter(|url| url.as_str() == written)
    }

    /// Returns whether a redirect to this address behind the API's root may be followed.
    pub(super) fn reaches(&self, address: &str) -> bool {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let is_open = |(root, opens): &(String, Opens)| path.strip_prefix(&**root).is_some_and(|it| opens(it, &pairs));
        // Old versions of GitLab take a semicolon for what divides parameters.
        is_fit(path)
            && !query.contains(';')
            && !pairs.iter().any(|(name, _)| is_credential(name))
            && self.within.as_ref().is_none_or(is_open)
    }
}

/// Returns whether GitLab reads a credential from a parameter: blanks and brackets around its name do not count.
fn is_credential(name: &str) -> bool {
    let name = name.trim().trim_start_matches(['[', ']']);
    let meant = name.split(['[', ']']).next().unwrap_or_default().trim();
    CREDENTIALS.iter().any(|credential| credential.eq_ignore_ascii_case(meant))
}

/// Returns whether a path is written as addresses are, and no reading of it leads elsewhere than its plain one.
fn is_fit(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte);
    if rest.split('/').any(str::is_empty) || !rest.bytes().all(is_plain) || !is_encoded_well(rest) {
        return false;
    }
    let mut text = rest.to_owned();
    for _ in 0..DEEPEST {
        let mut pieces = text.split(['/', '\\']).map(|piece| piece.split([';', '?', '#']).next().unwrap_or_default());
        // GitLab's parts talk to each other there, some trusting the address of whoever asks.
        let first = pieces.clone().find(|piece| !piece.is_empty());
        let is_internal = first.is_some_and(|first| first.eq_ignore_ascii_case("internal"));
        if is_internal || text.contains(char::is_control) || pieces.any(|piece| piece == "." || piece == "..") {
            return false;
        }
        match percent_decode_str(&text).decode_utf8() {
            Ok(decoded) if decoded == text => return true,
            Ok(decoded) => text = decoded.into_owned(),
            // Bytes that are no text are read as something else by somebody.
            Err(_) => return false,
        }
    }
    false
}

fn is_encoded_well(path: &str) -> bool {
    let is_hex = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split('%').skip(1).all(|rest| rest.get(..2).is_some_and(is_hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_where_the_question_is_and_brings_no_credential() {
        let passage = Passage::new(true, "/projects/7/releases/permalink/latest", &[]).expect("fit");
        assert!(passage.is_head() && passage.reaches("/user") && passage.reaches("/projects/7/x?ref=a%26b"));
        let elsewhere = "/projects/../user /internal/x //evil.example /user?private_token=x /user?a=1&[access_token]=x \
            /user?a=1;private_token=x";
        for address in elsewhere.split(' ') {
            assert!(!passage.reaches(address), "{address}");
        }
        let passage =
            passage.within("/projects/7/".to_owned(), |rest, pairs| rest == "releases/v1" && pairs.is_empty());
        assert!(passage.reaches("/projects/7/releases/v1"));
        for address in
            ["/projects/7/variables", "/projects/77/releases/v1", "/projects/7/releases/v1?sudo=root", "/user"]
        {
            assert!(!passage.reaches(address), "{address}");
        }
    }
}
