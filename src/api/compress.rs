//! Compresses what is stored otherwise, or made for one answer, while it is sent.
//!
//! It guarantees that a stream holds one piece and what became of it, whatever the body's size; that compressing, which takes
//! ten times what decompressing does, holds up no other reader; and that a body of another length than was said has no end, so that
//! no client takes a part for the whole.

use std::future::ready;
use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream::{self, LocalBoxStream, Stream};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::coding::{Coding, ZSTD_LEVEL};
use crate::parts::aside;

/// Pieces that are compressed at once, in each process: threads for them are needed for as long as one piece takes, some 0.5 ms.
const AT_ONCE: usize = 4;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// Codes a body; its length is checked where it is known.
pub(super) fn compressed<E: From<io::Error> + 'static>(
    body: impl Stream<Item = Result<Bytes, E>> + 'static,
    coding: Coding,
    length: Option<u64>,
) -> LocalBoxStream<'static, Result<Bytes, E>> {
    match Encoder::new(coding) {
        Ok(None) => body.boxed_local(),
        Ok(Some(encoder)) => {
            let state = Some((body.boxed_local(), Compressing { encoder, left: length }));
            stream::try_unfold(state, next).boxed_local()
        }
        Err(error) => stream::once(ready(Err(error.into()))).boxed_local(),
    }
}

/// A body that is being sent; `None` at its end.
type State<E> = Option<(LocalBoxStream<'static, Result<Bytes, E>>, Compressing)>;

async fn next<E: From<io::Error>>(state: State<E>) -> Result<Option<(Bytes, State<E>)>, E> {
    let Some((mut body, mut compressing)) = state else { return Ok(None) };
    while let Some(piece) = body.try_next().await? {
        let made;
        (compressing, made) = aside(&TURNS, move || compressing.add(&piece)).await??;
        if !made.is_empty() {
            return Ok(Some((made, Some((body, compressing)))));
        }
    }
    Ok(Some((aside(&TURNS, move || compressing.end()).await??, None)))
}

/// What became of a body so far.
struct Compressing {
    encoder: Encoder,
    /// Bytes that are to come, where that is known.
    left: Option<u64>,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> io::Result<Option<Self>> {
        Ok(match coding {
            Coding::Identity => None,
            Coding::Gzip => Some(Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))),
            Coding::Zstd => Some(Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?)),
        })
    }
}

impl Compressing {
    fn add(mut self, piece: &[u8]) -> io::Result<(Self, Bytes)> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        }
        let made = match &mut self.encoder {
            Encoder::Gzip(encoder) => {
                encoder.write_all(piece)?;
                std::mem::take(encoder.get_mut())
            }
            Encoder::Zstd(encoder) => {
                encoder.write_all(piece)?;
                std::mem::take(encoder.get_mut())
            }
        };
        Ok((self, made.into()))
    }

    fn end(self) -> io::Result<Bytes> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = match self.encoder {
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        };
        Ok(rest?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    async fn made_of(pieces: &[Bytes], coding: Coding, length: Option<usize>) -> io::Result<Vec<Bytes>> {
        let body = stream::iter(pieces.to_vec()).map(Ok::<_, io::Error>);
        compressed(body, coding, length.map(|length| length as u64)).try_collect().await
    }

    fn decoded(coding: Coding, coded: &[u8]) -> io::Result<Vec<u8>> {
        let mut read = Vec::new();
        match coding {
            Coding::Identity => read.extend_from_slice(coded),
            Coding::Gzip => drop(GzDecoder::new(coded).read_to_end(&mut read)?),
            Coding::Zstd => read = zstd::stream::decode_all(coded)?,
        }
        Ok(read)
    }

    #[tokio::test]
    async fn it_is_one_body_of_all_pieces_made_while_they_come() {
        let mut random = fastrand::Rng::with_seed(5);
        let pieces: Vec<Bytes> = (0..40)
            .map(|number| match number % 3 {
                0 => vec![b'x'; 60_000],
                1 => std::iter::repeat_with(|| random.u8(..)).take(60_000).collect(),
                _ => Vec::new(),
            })
            .map(Bytes::from)
            .collect();
        let whole = pieces.concat();
        for coding in [Coding::Gzip, Coding::Zstd] {
            for length in [None, Some(whole.len())] {
                let made = made_of(&pieces, coding, length).await.expect("a body");
                assert!(made.len() > 5 && made.iter().all(|piece| piece.len() < 300_000), "{coding:?}: {}", made.len());
                assert!(decoded(coding, &made.concat()).expect("all of it") == whole, "{coding:?}");
            }
        }
        assert_eq!(made_of(&pieces, Coding::Identity, None).await.expect("a body"), pieces);
    }

    #[tokio::test]
    async fn a_body_of_another_length_has_no_end() {
        let pieces = [Bytes::from_static(b"one "), Bytes::from_static(b"two")];
        for coding in [Coding::Gzip, Coding::Zstd] {
            assert!(made_of(&pieces, coding, Some(7)).await.is_ok());
            for other in [6, 8] {
                assert!(made_of(&pieces, coding, Some(other)).await.is_err(), "{other}");
            }
        }
    }
}
