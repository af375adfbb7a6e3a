//! Servers that show a certificate which `gitlab.ca_file` itself holds.
//!
//! `openssl req -x509` makes a certificate that signed itself and calls itself an authority. As a server's own it is refused by
//! the usual verification, which wants the two apart, and taken by most other programs, which find it in their file.
//!
//! Guarantees that the usual verification comes first, that beyond it only a certificate is taken that is byte for byte in
//! the file, for the name that was asked and within its dates, and that the handshake is always verified.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::domain::Timestamp;

/// The usual verification, and what is taken beside it.
#[derive(Debug)]
pub(super) struct Pinned {
    usual: Arc<dyn ServerCertVerifier>,
    known: Vec<CertificateDer<'static>>,
}

impl Pinned {
    pub(super) fn new(usual: Arc<dyn ServerCertVerifier>, known: Vec<CertificateDer<'static>>) -> Self {
        Self { usual, known }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(_) if self.known.contains(end_entity) => {
                judge(end_entity, server_name, now).map(|()| ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Judges what a certificate says of itself.
fn judge(certificate: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<(), Error> {
    let facts = Facts::read(certificate).ok_or(CertificateError::BadEncoding)?;
    if now < facts.not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before: facts.not_before }.into());
    }
    if now > facts.not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after: facts.not_after }.into());
    }
    match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        // As curl does: where no other name is given, the common name is the server's.
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
            if presented.is_empty() && facts.common_name.is_some_and(|common| is_of(common, &name.to_str())) =>
        {
            Ok(())
        }
        judged => judged,
    }
}

/// Returns whether a common name, which may begin with `*.`, is this name.
fn is_of(common: &str, name: &str) -> bool {
    let rest = |name: &str| name.split_once('.').map(|(_, rest)| rest.to_ascii_lowercase());
    common.eq_ignore_ascii_case(name)
        || common.starts_with("*.") && rest(common) == rest(name) && rest(name).is_some_and(|rest| rest.contains('.'))
}

/// What of a certificate nobody else tells us (RFC 5280, section 4.1).
struct Facts<'a> {
    not_before: UnixTime,
    not_after: UnixTime,
    common_name: Option<&'a str>,
}

impl<'a> Facts<'a> {
    /// Returns `None` for what is no certificate.
    fn read(mut der: &'a [u8]) -> Option<Self> {
        let (_, mut certificate) = element(&mut der)?;
        let (_, mut fields) = element(&mut certificate)?;
        // The version may be missing; the serial number may not.
        if element(&mut fields)?.0 == VERSION {
            element(&mut fields)?;
        }
        let (_algorithm, _issuer) = (element(&mut fields)?, element(&mut fields)?);
        let (_, mut validity) = element(&mut fields)?;
        let (_, subject) = element(&mut fields)?;
        Some(Self {
            not_before: time(element(&mut validity)?)?,
            not_after: time(element(&mut validity)?)?,
            common_name: common_name(subject),
        })
    }
}

/// The tags that matter.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The object identifier of a common name: 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];

/// Takes the next element of DER: its tag, and what is in it.
fn element<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (tag, after) = rest.split_first()?;
    let (first, after) = after.split_first()?;
    let (length, after) = match first {
        0..=0x7f => (usize::from(*first), after),
        0x81..=0x83 => {
            let (digits, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), after)
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((*tag, content))
}

/// Reads `YYMMDDhhmmssZ`, of the years 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn time((tag, digits): (u8, &[u8])) -> Option<UnixTime> {
    let digits = std::str::from_utf8(digits).ok()?.strip_suffix('Z')?;
    let digits = match (tag, digits.get(..2)?) {
        (UTC_TIME, year) => format!("{}{digits}", if year < "50" { "20" } else { "19" }),
        (GENERALIZED_TIME, _) => digits.to_owned(),
        _ => return None,
    };
    let part = |range: std::ops::Range<usize>| digits.get(range);
    let (date, time) = (part(0..8)?, part(8..14)?);
    let iso = format!(
        "{}-{}-{}T{}:{}:{}Z",
        date.get(..4)?,
        date.get(4..6)?,
        date.get(6..)?,
        time.get(..2)?,
        time.get(2..4)?,
        time.get(4..)?
    );
    let seconds = Timestamp::parse(&iso)?.as_millis() / 1000;
    Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
}

/// Returns the last common name of a subject, the most significant one.
fn common_name(mut subject: &[u8]) -> Option<&str> {
    let mut last = None;
    while let Some((_, mut set)) = element(&mut subject) {
        while let Some((_, mut pair)) = element(&mut set) {
            let (kind, value) = (element(&mut pair)?.1, element(&mut pair)?.1);
            if kind == COMMON_NAME {
                last = std::str::from_utf8(value).ok();
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn fixture(name: &str) -> CertificateDer<'static> {
        let path = format!("{}/fixtures/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"));
        CertificateDer::from_pem_file(path).expect("a certificate")
    }

    fn judged(certificate: &str, name: &str, at: &str) -> Result<(), Error> {
        let now = Timestamp::parse(at).expect("a date").as_millis() / 1000;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.unsigned_abs()));
        judge(&fixture(certificate), &ServerName::try_from(name).expect("a name"), now)
    }

    #[test]
    fn names_and_dates_hold_also_for_a_certificate_that_is_known() {
        const NOW: &str = "2026-11-20T09:14:02Z";
        for (certificate, name, at, expected) in [
            ("self-signed", "localhost", NOW, true),
            ("self-signed", "127.0.0.1", NOW, true),
            ("self-signed", "gitlab", NOW, false),
            ("self-signed", "localhost", "2019-12-31T23:59:59Z", false),
            ("self-signed", "localhost", "2020-01-01T00:00:00Z", true),
            ("self-signed", "localhost", "2119-12-31T23:59:59Z", true),
            ("self-signed", "localhost", "2120-01-01T00:00:01Z", false),
            ("self-signed-expired", "localhost", NOW, false),
            ("self-signed-elsewhere", "localhost", NOW, false),
            ("self-signed-elsewhere", "gitlab.example", NOW, true),
            ("self-signed-common-name", "localhost", NOW, true),
            ("self-signed-common-name", "LOCALHOST", NOW, true),
            ("self-signed-common-name", "127.0.0.1", NOW, false),
        ] {
            let judged = judged(certificate, name, at);
            assert_eq!(judged.is_ok(), expected, "{certificate} for {name} at {at}: {judged:?}");
        }
        let expired = judged("self-signed-expired", "localhost", NOW).expect_err("expired").to_string();
        assert!(expired.contains("expired"), "{expired}");
    }

    #[test]
    fn a_common_name_may_stand_for_one_label() {
        for (common, name, expected) in [
            ("*.example.com", "gitlab.example.com", true),
            ("*.example.com", "GitLab.Example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("gitlab.example.com", "gitlab.example.com.", false),
        ] {
            assert_eq!(is_of(common, name), expected, "{common} for {name}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_told_apart_whatever_it_is() {
        let whole = fixture("self-signed-common-name");
        assert_eq!(Facts::read(&whole).and_then(|facts| facts.common_name), Some("localhost"));
        for end in 0..whole.len() {
            assert!(Facts::read(&whole[..end]).is_none(), "{end} bytes of it");
        }
        for odd in [&b"\x30\x84\xff\xff\xff\xff"[..], b"\x30\x80", b"\x30\x83\xff\xff\xff", b"\x30\x00"] {
            assert!(Facts::read(odd).is_none());
        }
    }
}
