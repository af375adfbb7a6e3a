//! Files of an archive.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};

use super::Error;
use super::blob::Chunks;
use crate::archive::{Directory, DirectoryReader, Entry, Extractor, Location, Method, TAIL_BYTES, media_type};
use crate::domain::ArchiveRecord;
use crate::store::Store;

/// Reads files of one stored archive.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    chunks: Chunks,
    directory: Arc<Directory>,
}

/// Reads one file of a stored archive.
#[derive(Debug)]
pub struct FileReader {
    chunks: Chunks,
    entry: Entry,
    /// Where its data is in the archive.
    data: Range<u64>,
    limit: u64,
}

impl ArchiveReader {
    /// Reads the directory of what a record points to: in the chunks where it was found to be when the archive was stored, or,
    /// for one that was stored before that, where the archive's last bytes say. [`Error::Gone`] when no archive is held,
    /// [`Error::Refused`] when it is no good.
    pub async fn open(store: &Store, archive: &ArchiveRecord) -> Result<Self, Error> {
        let mut chunks = Chunks::new(store, archive.blob.ok_or(Error::Gone)?);
        let location = match Location::decode(&archive.index, archive.size) {
            Some(location) => location,
            None => {
                let tail = chunks.read(archive.size.saturating_sub(TAIL_BYTES as u64)..archive.size).await?;
                Location::find(&tail, archive.size)?
            }
        };
        let mut reader = DirectoryReader::new(location);
        let mut rest = location.offset..location.offset + location.bytes;
        while !rest.is_empty() {
            let piece = chunks.piece(rest.clone()).await?;
            rest.start += piece.len() as u64;
            reader.push(&piece)?;
            tokio::task::yield_now().await;
        }
        Ok(Self { chunks, directory: Arc::new(reader.finish()?) })
    }

    /// Returns what is in it.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Finds a file of at most `limit` bytes. [`Error::NoFile`] when there is none of this path, [`Error::Refused`] when it is
    /// not read.
    pub async fn file(&mut self, path: &str, limit: u64) -> Result<FileReader, Error> {
        let entry = self.directory.file(path).ok_or(Error::NoFile)?.clone();
        // It refuses what it would not extract.
        Extractor::new(&entry, limit)?;
        let header = self.chunks.read(entry.header()).await?;
        let data = entry.data(&header)?;
        Ok(FileReader { chunks: self.chunks.clone(), entry, data, limit })
    }
}

impl FileReader {
    /// Returns the file's size, which [`stream`](Self::stream) keeps to or fails.
    pub fn size(&self) -> u64 {
        self.entry.size
    }

    /// Returns the media type of a file of this name.
    pub fn media_type(&self) -> &'static str {
        media_type(&self.entry.path)
    }

    /// Returns an entity tag without quotes: checksum and size, which are the file's, whatever archive it is in.
    pub fn tag(&self) -> String {
        format!("{:08x}-{:x}", self.entry.crc32, self.entry.size)
    }

    /// Returns some of its bytes, in pieces that are read when they are asked for. Whoever got to the file's end has a file of
    /// the right size and checksum; a part of a stored file is not checked. To reach a part of a compressed file, what is before it is
    /// decompressed.
    pub fn stream(self, bytes: Range<u64>) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let Self { chunks, entry, data, limit } = self;
        let bytes = bytes.start.min(entry.size)..bytes.end.min(entry.size);
        if entry.method == Method::Stored && bytes != (0..entry.size) {
            return Ok(stored(chunks, data.start + bytes.start..data.start + bytes.end.max(bytes.start)).boxed());
        }
        let extractor = Extractor::new(&entry, limit)?;
        let whole = bytes.end == entry.size;
        Ok(Extraction { chunks, data, extractor, given: 0, bytes, whole }.stream().boxed())
    }
}

fn stored(chunks: Chunks, bytes: Range<u64>) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold((chunks, bytes), |(mut chunks, mut rest)| async move {
        if rest.is_empty() {
            return Ok(None);
        }
        let piece = chunks.piece(rest.clone()).await?;
        rest.start += piece.len() as u64;
        Ok(Some((piece, (chunks, rest))))
    })
}

struct Extraction {
    chunks: Chunks,
    /// What is left of the data.
    data: Range<u64>,
    extractor: Extractor,
    /// How much content has been made.
    given: u64,
    /// Which of it is wanted.
    bytes: Range<u64>,
    /// It is wanted to the end, which is checked.
    whole: bool,
}

impl Extraction {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> {
        stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|piece| (piece, this))) })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.whole || self.given < self.bytes.end {
            if let Some(piece) = self.extractor.piece()? {
                let begin = self.given;
                self.given += piece.len() as u64;
                let wanted = self.bytes.start.clamp(begin, self.given)..self.bytes.end.clamp(begin, self.given);
                if !wanted.is_empty() {
                    // Both are within the piece.
                    return Ok(Some(piece.slice((wanted.start - begin) as usize..(wanted.end - begin) as usize)));
                }
                tokio::task::yield_now().await;
            } else if !self.data.is_empty() {
                let data = self.chunks.piece(self.data.clone()).await?;
                self.data.start += data.len() as u64;
                self.extractor.feed(data);
            } else {
                self.extractor.finish()?;
                return Ok(None);
            }
        }
        Ok(None)
    }
}
