//! Little that becomes much: compressed blanks without an end.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Raw bytes of one of the equal parts.
const PART: usize = 4 * 1024 * 1024;

/// How many parts there are.
const PARTS: usize = 4096;

/// Returns 16 GiB of blanks in a coding; nobody is meant to read to their end, so that no trailer follows.
pub(super) fn of(coding: &str) -> io::Result<Bytes> {
    let blanks = vec![b' '; PART];
    let (head, part): (&[u8], _) = match coding {
        "gzip" => (&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], deflated(&blanks)?),
        "deflate" => (&[0x78, 0x9c], deflated(&blanks)?),
        _ => (&[], zstd::bulk::compress(&blanks, 1)?),
    };
    Ok([head, &part.repeat(PARTS)].concat().into())
}

/// Returns blocks that can follow each other: they end on a byte and refer to nothing before them.
fn deflated(raw: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(raw)?;
    encoder.flush()?;
    Ok(std::mem::take(encoder.get_mut()))
}
