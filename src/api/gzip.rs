//! Compresses what is stored otherwise, while it is sent.
//!
//! It guarantees that a stream holds one piece and what gzip made of it, whatever the body's size; that compressing, which takes
//! ten times what decompressing does, holds up no other reader; and that a body with a byte too few has no end, so that no client
//! takes a part for the whole.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::TryStreamExt;
use futures_util::stream::{self, Stream};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// Pieces that are compressed at once, in each process: threads for them are needed for as long as one piece takes, some 0.5 ms.
const AT_ONCE: usize = 4;

static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);

/// What gzip made of a body so far.
struct Compressing {
    encoder: GzEncoder<Vec<u8>>,
    /// Bytes that are to come.
    left: u64,
}

/// Compresses a body of `length` bytes.
pub(super) fn gzipped<E: From<io::Error>>(
    body: impl Stream<Item = Result<Bytes, E>>,
    length: u64,
) -> impl Stream<Item = Result<Bytes, E>> {
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let state = Some((Box::pin(body), Compressing { encoder, left: length }));
    stream::try_unfold(state, |state| async move {
        let Some((mut body, mut compressing)) = state else { return Ok(None) };
        while let Some(piece) = body.try_next().await? {
            let made;
            (compressing, made) = in_turn(move || compressing.add(&piece)).await?;
            if !made.is_empty() {
                return Ok(Some((made, Some((body, compressing)))));
            }
        }
        Ok(Some((in_turn(move || compressing.end()).await?, None)))
    })
}

impl Compressing {
    fn add(mut self, piece: &[u8]) -> io::Result<(Self, Bytes)> {
        self.left = self.left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
        self.encoder.write_all(piece)?;
        let made = std::mem::take(self.encoder.get_mut());
        Ok((self, made.into()))
    }

    fn end(self) -> io::Result<Bytes> {
        if self.left > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(self.encoder.finish()?.into()) }
    }
}

/// Runs what takes long where it is not in the way.
async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let turn = TURNS.acquire().await.map_err(io::Error::other)?;
    let worked = spawn_blocking(move || {
        // Held until it is done, also when the reader has gone.
        let _turn = turn;
        work()
    });
    worked.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    async fn compressed(pieces: &[Bytes], length: usize) -> io::Result<Vec<Bytes>> {
        let body = stream::iter(pieces.iter().cloned().map(Ok::<_, io::Error>));
        gzipped(body, length as u64).try_collect().await
    }

    #[tokio::test]
    async fn it_is_one_gzip_of_all_pieces_made_while_they_come() {
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
        let made = compressed(&pieces, whole.len()).await.expect("gzip");
        assert!(made.len() > 10 && made.iter().all(|piece| !piece.is_empty() && piece.len() < 200_000));
        let mut read = Vec::new();
        GzDecoder::new(made.concat().as_slice()).read_to_end(&mut read).expect("gzip");
        assert!(read == whole);
    }

    #[tokio::test]
    async fn a_body_of_another_length_has_no_end() {
        let pieces = [Bytes::from_static(b"one "), Bytes::from_static(b"two")];
        assert!(compressed(&pieces, 7).await.is_ok());
        for other in [6, 8] {
            assert!(compressed(&pieces, other).await.is_err(), "{other}");
        }
    }
}
