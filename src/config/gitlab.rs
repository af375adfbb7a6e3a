//! `gitlab.*`: which instance, and as whom.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::{Host, Url};

use super::keys::{GITLAB_CA_FILE, GITLAB_HOOKS_TOKEN, GITLAB_TOKEN, GITLAB_URL};
use super::reader::Reader;
use super::units::Unfit;

/// Which GitLab is read, and with what token.
#[derive(Debug, Clone)]
pub struct Gitlab {
    /// `gitlab.url`: http or https with a host; no `/api/v4`, user, query or fragment.
    pub url: Url,
    /// `gitlab.token`: visible ASCII.
    pub token: SecretString,
    /// `gitlab.hooks_token`: visible ASCII.
    pub hooks_token: Option<SecretString>,
    /// `gitlab.ca_file`: a readable PEM file, or `None` for the system's authorities.
    pub ca_file: Option<PathBuf>,
}

impl Gitlab {
    /// Reads the section. `Some(None)` when URL or token are unset, which is a mistake when they are `needed`.
    pub(super) fn read(reader: &mut Reader, needed: bool) -> Option<Option<Self>> {
        let url = reader.optional(&GITLAB_URL, parse_url);
        let token = reader.optional(&GITLAB_TOKEN, parse_token);
        let hooks_token = reader.optional(&GITLAB_HOOKS_TOKEN, parse_token);
        let ca_file = reader.optional(&GITLAB_CA_FILE, |text| Ok(PathBuf::from(text)));
        for key in [&GITLAB_URL, &GITLAB_TOKEN] {
            if needed && !reader.is_given(key) {
                reader.missing(key);
            }
        }
        if let Some(Some(url)) = &url
            && url.scheme() == "http"
            && !is_loopback(url)
        {
            reader.warn("gitlab.url is http: the token crosses the network readable by others; use https");
        }
        if let Some(Some(path)) = &ca_file
            && let Err(unfit) = check_certificates(reader, path)
        {
            reader.wrong(&GITLAB_CA_FILE, unfit);
        }
        let (url, token, hooks_token, ca_file) = (url?, token?, hooks_token?, ca_file?);
        Some(url.zip(token).map(|(url, token)| Self { url, token, hooks_token, ca_file }))
    }
}

/// Never quotes the text: it may hold a password or token.
fn parse_url(text: &str) -> Result<Url, Unfit> {
    let unfit =
        |problem: &str| Unfit::new(problem, "write it as https://gitlab.example.com or https://example.com/gitlab");
    let mut url = Url::parse(text).map_err(|error| unfit(&format!("not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unfit("neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Unfit::new(
            "holds a user or password",
            "remove what is before the @; the token goes into gitlab.token",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(unfit("holds a query or fragment"));
    }
    if url.host().is_none() {
        return Err(unfit("has no host"));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix("/api/v4").unwrap_or(path).trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

pub(super) fn parse_token(text: &str) -> Result<SecretString, Unfit> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.into());
    }
    let fix = "copy it again from GitLab, such as glpat-…";
    Err(Unfit::new("holds spaces, line ends or letters that no GitLab token has", fix))
}

fn check_certificates(reader: &Reader, path: &Path) -> Result<(), Unfit> {
    let unfit = |problem: String| Unfit::new(problem, "name a PEM file with the authority's certificates");
    let text = reader.read(path).map_err(|error| unfit(format!("the file cannot be read: {error}")))?;
    match text.contains("-----BEGIN CERTIFICATE-----") {
        true => Ok(()),
        false => Err(unfit("the file holds no PEM certificate".to_owned())),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_url_is_reduced_to_its_base() {
        let base = |text: &str| parse_url(text).map(|url| url.to_string());
        assert_eq!(base("https://gitlab.example.com"), Ok("https://gitlab.example.com/".to_owned()));
        assert_eq!(base("https://gitlab.example.com/api/v4/"), Ok("https://gitlab.example.com/".to_owned()));
        assert_eq!(base("https://example.com/gitlab/"), Ok("https://example.com/gitlab".to_owned()));
        assert_eq!(base("http://[::1]:8080/gitlab/api/v4"), Ok("http://[::1]:8080/gitlab".to_owned()));
    }

    #[test]
    fn what_is_no_instance_url_is_refused_without_quoting_it() {
        for bad in [
            "gitlab.example.com",
            "gitlab.example.com:8080",
            "https://",
            "ssh://git@gitlab.example.com",
            "https://oauth2:glpat-s3cret@gitlab.example.com",
            "https://gitlab.example.com?private_token=glpat-s3cret",
            "https://gitlab.example.com#glpat-s3cret",
        ] {
            let unfit = parse_url(bad).expect_err(bad).to_string();
            assert!(!unfit.contains("s3cret"), "{unfit}");
        }
    }
}
