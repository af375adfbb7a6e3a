//! The address of this service as its readers write it, for links and for what names itself.

use actix_web::{HttpRequest, web};
use url::Url;

/// `server.public_url`: what links begin with, instead of what the request was asked by. Add it as the listener's data.
#[derive(Debug, Clone, Default)]
pub struct PublicUrl(Option<Url>);

impl PublicUrl {
    /// Takes the setting.
    pub fn new(url: Option<Url>) -> Self {
        Self(url)
    }
}

/// Returns the address of this service without a slash at its end; `None` when it is not configured and the request's host
/// could not stand in a link.
pub(super) fn service(request: &HttpRequest) -> Option<String> {
    if let Some(url) = request.app_data::<web::Data<PublicUrl>>().and_then(|public| public.0.as_ref()) {
        return Some(url.as_str().trim_end_matches('/').to_owned());
    }
    let connection = request.connection_info();
    let scheme = if connection.scheme() == "https" { "https" } else { "http" };
    let host = connection.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then(|| format!("{scheme}://{host}"))
}

/// Returns the address of what is asked for, without its parameters.
pub(super) fn asked(request: &HttpRequest) -> Option<String> {
    service(request).map(|service| format!("{service}{}", request.uri().path()))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_public_address_goes_before_the_requests_and_strange_hosts_are_in_no_link() {
        let asked_by = |host: &str| TestRequest::get().uri("/x?y=1").insert_header(("host", host));
        assert_eq!(asked(&asked_by("localhost:8080").to_http_request()).as_deref(), Some("http://localhost:8080/x"));
        assert_eq!(asked(&asked_by("a>; rel=\"next\"").to_http_request()), None);
        for (setting, expected) in [
            ("https://ci.example", "https://ci.example/x"),
            ("https://ci.example/cache/", "https://ci.example/cache/x"),
        ] {
            let public = web::Data::new(PublicUrl::new(Url::parse(setting).ok()));
            let request = asked_by("10.0.0.1").app_data(public).to_http_request();
            assert_eq!(asked(&request).as_deref(), Some(expected));
        }
    }
}
