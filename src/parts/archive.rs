//! Files of an archive.

mod extraction;

use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::sync::Semaphore;

use self::extraction::Extraction;
use super::blob::Chunks;
use super::{Error, aside};
use crate::archive::{
    Directory, DirectoryReader, Entry, Extractor, Keep, Location, Method, TAIL_BYTES, Tree, media_type,
};
use crate::domain::ArchiveRecord;
use crate::store::Store;

/// How much of a compressed file is made for nobody, to reach a part of it: a quarter of a second's work.
const REACH_BYTES: u64 = 256 << 20;

/// Directories that are sorted or listed at once.
const SORTED_AT_ONCE: usize = 2;

static SORTED: Semaphore = Semaphore::const_new(SORTED_AT_ONCE);

/// Reads files of one stored archive.
#[derive(Debug, Clone)]
pub struct ArchiveReader {
    chunks: Chunks,
    location: Location,
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
    /// Finds the directory of what a record points to: where it was found to be when the archive was stored, or, for one that was
    /// stored before that, where the archive's last bytes say. [`Error::Gone`] when no archive is held, [`Error::Refused`] when it
    /// is no good or has more than `most` entries.
    pub async fn open(store: &Store, archive: &ArchiveRecord, most: u64) -> Result<Self, Error> {
        let mut chunks = Chunks::new(store, archive.blob.ok_or(Error::Gone)?);
        let location = match Location::decode(&archive.index, archive.size) {
            Some(location) => location,
            None => {
                let tail = chunks.read(archive.size.saturating_sub(TAIL_BYTES as u64)..archive.size).await?;
                Location::find(&tail, archive.size)?
            }
        };
        Ok(Self { chunks, location: location.within(most)? })
    }

    /// Returns how long the directory is.
    pub fn directory_bytes(&self) -> u64 {
        self.location.bytes
    }

    /// Reads the directory, chunk after chunk, and keeps some of it.
    pub async fn directory(&mut self, keep: Keep) -> Result<Directory, Error> {
        let Self { chunks, location } = self;
        let mut reader = DirectoryReader::new(*location, keep);
        let mut rest = location.offset..location.offset + location.bytes;
        while !rest.is_empty() {
            let piece = chunks.piece(rest.clone()).await?;
            rest.start += piece.len() as u64;
            reader.push(&piece)?;
            tokio::task::yield_now().await;
        }
        Ok(aside(&SORTED, move || reader.finish()).await??)
    }

    /// Returns `limit` nodes of a directory from `offset` on, as [`Directory::tree`] does; [`Error::NoDirectory`] when there is none
    /// of this path.
    pub async fn tree(&mut self, path: &[u8], recursive: bool, offset: u64, limit: u64) -> Result<Tree, Error> {
        let directory = self.directory(Keep::tree(path)).await?;
        let path = path.to_vec();
        aside(&SORTED, move || directory.tree(&path, recursive, offset, limit)).await?.ok_or(Error::NoDirectory)
    }

    /// Finds a file of at most `limit` bytes. [`Error::NoFile`] when there is none of this path, [`Error::Refused`] when it is
    /// not read.
    pub async fn file(&mut self, path: &[u8], limit: u64) -> Result<FileReader, Error> {
        let directory = self.directory(Keep::Path(path.into())).await?;
        let entry = directory.file(path).ok_or(Error::NoFile)?.clone();
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

    /// Returns where a part of it should begin at most: what is before it has to be made, too, and whoever gets nothing of that
    /// asks for more work than they pay for.
    pub fn reach(&self) -> u64 {
        if self.entry.method == Method::Stored { u64::MAX } else { REACH_BYTES }
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
        let whole = bytes.end == entry.size;
        Ok(Extraction::new(chunks, data, Extractor::new(&entry, limit)?, bytes, whole).stream().boxed())
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
