//! Content codings: which one a reader takes, and small bodies made so.

use std::io::Write;

use actix_web::http::header::{ACCEPT_ENCODING, HeaderMap};
use flate2::Compression;
use flate2::write::GzEncoder;

/// Smaller bodies fit into a packet with their head.
const WORTH_BYTES: usize = 1024;

/// zstd's level for what is compressed for one answer.
pub(super) const ZSTD_LEVEL: i32 = 1;

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// Returns the best coding that a reader takes; of two it likes equally, zstd.
    pub(super) fn accepted(headers: &HeaderMap) -> Self {
        let mut best = (Self::Identity, 0.0);
        for value in headers.get_all(ACCEPT_ENCODING).filter_map(|value| value.to_str().ok()) {
            for item in value.split(',') {
                let (name, weight) = weighted(item);
                let coding = match name {
                    name if name.eq_ignore_ascii_case("zstd") => Self::Zstd,
                    name if name.eq_ignore_ascii_case("gzip") => Self::Gzip,
                    _ => continue,
                };
                if weight > best.1 || (weight == best.1 && weight > 0.0 && coding == Self::Zstd) {
                    best = (coding, weight);
                }
            }
        }
        best.0
    }

    /// As [`Coding::accepted`], for a body of this many bytes that is made for one answer.
    pub(super) fn worthwhile(headers: &HeaderMap, bytes: usize) -> Self {
        if bytes < WORTH_BYTES { Self::Identity } else { Self::accepted(headers) }
    }

    /// As [`Coding::accepted`], for a body that is made while it is sent, of so many bytes if that is known.
    pub(super) fn of_made(headers: &HeaderMap, bytes: Option<u64>) -> Self {
        match bytes {
            Some(bytes) if bytes < WORTH_BYTES as u64 => Self::Identity,
            _ => Self::accepted(headers),
        }
    }

    /// As [`Coding::accepted`], for a body of this many bytes that is stored as zstd: only another coding has to be worthwhile.
    pub(super) fn of_stored(headers: &HeaderMap, bytes: u64) -> Self {
        match Self::accepted(headers) {
            Self::Gzip if bytes < WORTH_BYTES as u64 => Self::Identity,
            coding => coding,
        }
    }

    /// Returns the word of `Content-Encoding`.
    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Codes a body; `None` when it cannot be, or is as good as it is.
    pub(super) fn encode(self, body: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Identity => None,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
                encoder.write_all(body).ok()?;
                encoder.finish().ok()
            }
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).ok(),
        }
    }
}

/// Splits `gzip;q=0.5` into its name and weight; a weight that is none counts as not taken.
fn weighted(item: &str) -> (&str, f32) {
    let mut parts = item.split(';');
    let name = parts.next().unwrap_or_default().trim();
    let weight = parts.find_map(|part| part.trim().strip_prefix("q=").or_else(|| part.trim().strip_prefix("Q=")));
    (name, weight.map_or(1.0, |weight| weight.trim().parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn the_best_that_is_taken_is_chosen() {
        for (text, coding) in [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("gzip, deflate", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("zstd;q=0.5, GZIP", Coding::Gzip),
            ("zstd;q=0, gzip;q=0.1", Coding::Gzip),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=nonsense", Coding::Identity),
            ("gzip;q=0.5, zstd;q=0.5", Coding::Zstd),
            ("*", Coding::Identity),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            assert_eq!(Coding::accepted(&headers), coding, "{text:?}");
        }
        assert_eq!(Coding::accepted(&HeaderMap::new()), Coding::Identity);
    }
}
