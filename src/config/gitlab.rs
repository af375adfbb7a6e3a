//! `gitlab.*`: which instance, and as whom.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::{Host, Url};

use super::keys::{GITLAB_CA_FILE, GITLAB_HOOKS_TOKEN, GITLAB_PLAIN_STORAGE_HOSTS, GITLAB_TOKEN, GITLAB_URL};
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
    /// `gitlab.plain_storage_hosts`: hosts in lower case, each with or without a port.
    pub plain_storage_hosts: Vec<String>,
}

impl Gitlab {
    /// Reads the section. `Some(None)` when URL or token are unset, which is a mistake when they are `needed`.
    pub(super) fn read(reader: &mut Reader, needed: bool) -> Option<Option<Self>> {
        let url = reader.optional(&GITLAB_URL, parse_url);
        let token = reader.optional(&GITLAB_TOKEN, parse_token);
        let hooks_token = reader.optional(&GITLAB_HOOKS_TOKEN, parse_token);
        let ca_file = reader.optional(&GITLAB_CA_FILE, |text| Ok(PathBuf::from(text)));
        let plain_storage_hosts = reader.list(&GITLAB_PLAIN_STORAGE_HOSTS, parse_host);
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
        let plain_storage_hosts = plain_storage_hosts?;
        Some(url.zip(token).map(|(url, token)| Self { url, token, hooks_token, ca_file, plain_storage_hosts }))
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

/// Writes a host, and its port if one is given, as URLs do.
fn parse_host(text: &str) -> Result<String, Unfit> {
    let unfit = || Unfit::new("not a host", "write it as minio.internal or minio.internal:9000");
    let url = Url::parse(&format!("http://{text}/")).map_err(|_| unfit())?;
    let (Some(host), true) = (url.host_str(), url.as_str().matches('/').count() == 3) else { return Err(unfit()) };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(unfit());
    }
    match url.port().or_else(|| text.ends_with(":80").then_some(80)) {
        Some(port) => Ok(format!("{host}:{port}")),
        None if text.ends_with(':') => Err(unfit()),
        None => Ok(host.to_owned()),
    }
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
    fn a_host_may_have_a_port_and_nothing_else() {
        let host = |text: &str| parse_host(text).ok();
        assert_eq!(host("MinIO.internal").as_deref(), Some("minio.internal"));
        assert_eq!(host("minio.internal:9000").as_deref(), Some("minio.internal:9000"));
        assert_eq!(host("10.0.0.5:80").as_deref(), Some("10.0.0.5:80"));
        assert_eq!(host("[fd00::1]:9000").as_deref(), Some("[fd00::1]:9000"));
        for bad in
            ["", ":9000", "minio:", "minio:99999", "http://minio", "minio/a", "u:p@minio", "minio?x", "minio#x", "a b"]
        {
            assert_eq!(host(bad), None, "{bad}");
        }
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
