//! The content of one file, with bounded memory and nothing believed.

use bytes::{Buf, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::entry::{Entry, Method};
use super::refused::Refused;

/// How much content is handed on at once.
pub const PIECE_BYTES: usize = 64 * 1024;

/// The largest file that is taken out of an archive: with what deflate can do, one of 16 MiB in it may say so.
pub const MAX_FILE_BYTES: u64 = 16 << 30;

/// Makes a file's content of its data.
///
/// Size and checksum are counted, and the last piece is handed on only after both are right: whoever has all of a content has the
/// right one. What becomes of some data is bounded by the size that the directory tells, not by a ratio: deflate makes 1,029 bytes
/// of one of a sparse image, and that is all it can do. One call makes one piece, however much data that takes.
#[derive(Debug)]
pub struct Extractor {
    /// What the archive says.
    size: u64,
    crc32: u32,
    inflate: Option<Decompress>,
    input: Bytes,
    crc: Crc,
    given: u64,
    piece: Vec<u8>,
    /// The last piece until it is known to be right.
    last: Option<Bytes>,
    done: bool,
}

impl Extractor {
    /// Begins with a file of at most `limit` bytes.
    pub fn new(entry: &Entry, limit: u64) -> Result<Self, Refused> {
        if let Some(refused) = entry.refused {
            return Err(refused);
        }
        if entry.size > limit {
            return Err(Refused::TooLarge);
        }
        let inflate = match entry.method {
            Method::Stored => None,
            Method::Deflated => Some(Decompress::new(false)),
            Method::Other(method) => return Err(Refused::UnknownMethod(method)),
        };
        Ok(Self {
            size: entry.size,
            crc32: entry.crc32,
            inflate,
            input: Bytes::new(),
            crc: Crc::new(),
            given: 0,
            piece: Vec::new(),
            last: None,
            done: false,
        })
    }

    /// Takes more data; what was taken before must be used up.
    pub fn feed(&mut self, data: Bytes) {
        self.input = data;
    }

    /// Returns the next piece of at most [`PIECE_BYTES`], or `None` when it takes more data to make one, or there is none.
    pub fn piece(&mut self) -> Result<Option<Bytes>, Refused> {
        while !self.done {
            let begin = self.piece.len();
            self.piece.resize(PIECE_BYTES, 0);
            let (taken, given, ended) = self.step(begin)?;
            self.piece.truncate(begin + given);
            self.crc.update(&self.piece[begin..]);
            self.input.advance(taken);
            self.given += given as u64;
            if self.given > self.size {
                return Err(Refused::WrongSize);
            }
            if ended {
                return self.check();
            }
            if self.piece.len() == PIECE_BYTES {
                let piece = Bytes::from(std::mem::take(&mut self.piece));
                if self.given < self.size {
                    return Ok(Some(piece));
                }
                self.last = Some(piece);
            } else if taken == 0 && given == 0 {
                break;
            }
        }
        Ok(None)
    }

    /// Checks that all of the content was there, once all data was fed.
    pub fn finish(&self) -> Result<(), Refused> {
        if self.done { Ok(()) } else { Err(Refused::Damaged("a file's data ends too early")) }
    }

    /// Makes content behind `begin` of the piece: how much data it took, how much content it gave, whether that was all.
    fn step(&mut self, begin: usize) -> Result<(usize, usize, bool), Refused> {
        let room = &mut self.piece[begin..];
        let Some(inflate) = &mut self.inflate else {
            let length = room.len().min(self.input.len());
            room[..length].copy_from_slice(&self.input[..length]);
            return Ok((length, length, self.given + length as u64 == self.size));
        };
        let (before_in, before_out) = (inflate.total_in(), inflate.total_out());
        let status = inflate
            .decompress(&self.input, room, FlushDecompress::None)
            .map_err(|_| Refused::Damaged("a file's data is no deflate stream"))?;
        // Both are bounded by the lengths of the slices.
        let (taken, given) = (inflate.total_in() - before_in, inflate.total_out() - before_out);
        Ok((taken as usize, given as usize, status == Status::StreamEnd))
    }

    /// Checks the whole content and returns what was kept of it.
    fn check(&mut self) -> Result<Option<Bytes>, Refused> {
        if self.given != self.size || !self.input.is_empty() {
            return Err(Refused::WrongSize);
        }
        if self.crc.sum() != self.crc32 {
            return Err(Refused::WrongChecksum);
        }
        self.done = true;
        let rest = Bytes::from(std::mem::take(&mut self.piece));
        Ok(self.last.take().or(Some(rest)).filter(|piece| !piece.is_empty()))
    }
}
