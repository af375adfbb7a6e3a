//! A job's archive: streamed as it comes, checked against the size GitLab lists.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::blob::BlobWriter;
use super::{Ingest, Trouble, Unit, UnitOutcome};
use crate::domain::{ArchiveFile, ArchiveRecord, Job, Piece, Reason};
use crate::gitlab::{Body, Class, Kind};
use crate::store::Change;
use crate::work::Target;

/// How every zip begins: a local file header, or the end record of an empty one.
const ZIP_STARTS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// How the end record of a zip begins, how long it is, and how long its comment may be.
const END_RECORD: &[u8] = b"PK\x05\x06";
const END_RECORD_BYTES: usize = 22;
const COMMENT_BYTES: usize = u16::MAX as usize;

impl Ingest {
    /// Fetches the archive that a job's document lists.
    pub(super) async fn archive(
        &self,
        class: Class,
        job: &Job,
        listed: &ArchiveFile,
    ) -> Result<(Vec<Change>, Unit), Trouble> {
        let absent = |reason| ArchiveRecord { piece: Piece::Absent(reason), ..ArchiveRecord::missing() };
        let mut changes = Vec::new();
        let (record, bytes) = if listed.size > self.config.artifact_size {
            (absent(Reason::TooLarge), None)
        } else {
            match self.gitlab.archive(class, job.key).await {
                Ok(body) => self.read_archive(body, listed).await?,
                Err(error) if matches!(error.kind, Kind::Forbidden) => (absent(Reason::Forbidden), None),
                Err(error) if matches!(error.kind, Kind::NotFound) => {
                    let reason = self.why_gone(class, job, &mut changes).await?;
                    (absent(reason), None)
                }
                Err(error) => return Err(error.into()),
            }
        };
        let outcome = match record.piece {
            Piece::Absent(reason) => UnitOutcome::Absent(reason),
            _ => UnitOutcome::Cached { bytes: record.size, count: 0 },
        };
        changes.push(Change::Archive { key: job.key, record, bytes });
        Ok((changes, self.unit(Target::Job(job.key), "archive", job, outcome)))
    }

    async fn read_archive(&self, body: Body, listed: &ArchiveFile) -> Result<(ArchiveRecord, Option<Bytes>), Trouble> {
        let mut writer = BlobWriter::new(&self.store);
        match copy(body, &mut writer, listed).await {
            Ok(sha256) => {
                let (blob, bytes) = writer.finish().await?.split();
                let record = ArchiveRecord { piece: Piece::Whole, blob, size: listed.size, sha256: Some(sha256) };
                Ok((record, bytes))
            }
            Err(trouble) => {
                writer.abandon().await;
                Err(trouble)
            }
        }
    }

    /// The listing has an archive and GitLab answers 404: asks for the job again to learn why.
    async fn why_gone(&self, class: Class, job: &Job, changes: &mut Vec<Change>) -> Result<Reason, Trouble> {
        let fresh = self.gitlab.job(class, job.key).await?;
        let expired = fresh.artifacts_expire_at.is_some_and(|at| at <= fresh.document.as_of);
        let reason = match (fresh.erased, &fresh.archive) {
            (true, _) => Reason::Erased,
            (false, None) => Reason::Expired,
            (false, Some(_)) if expired => Reason::Expired,
            (false, Some(_)) => {
                return Err(Trouble::Incomplete("GitLab lists an archive and answers 404 for it".to_owned()));
            }
        };
        changes.push(Change::Job(Box::new(fresh)));
        Ok(reason)
    }
}

/// Copies a body that must have the listed size, begin like a zip and end with a zip's end record; returns its SHA-256.
async fn copy(mut body: Body, writer: &mut BlobWriter<'_>, listed: &ArchiveFile) -> Result<[u8; 32], Trouble> {
    let mut hash = Sha256::new();
    let mut start = Vec::with_capacity(4);
    let mut end = End::default();
    let mut size = 0;
    while let Some(piece) = body.chunk().await? {
        size += piece.len() as u64;
        if size > listed.size {
            break;
        }
        start.extend(piece.iter().take(4 - start.len()));
        end.follow(&piece);
        hash.update(&piece);
        writer.write(&piece).await?;
    }
    if size != listed.size {
        let problem = format!("the archive has another size than GitLab lists ({} bytes)", listed.size);
        return Err(Trouble::Incomplete(problem));
    }
    if !ZIP_STARTS.contains(&start.as_slice()) {
        return Err(Trouble::Incomplete("what GitLab sent as an archive is no zip".to_owned()));
    }
    if !end.is_whole() {
        return Err(Trouble::Incomplete("what GitLab sent as an archive has no end that a zip has".to_owned()));
    }
    Ok(hash.finalize().into())
}

/// The last bytes of what has been read: as many as an end record can have.
#[derive(Default)]
struct End(Vec<u8>);

impl End {
    const MOST: usize = END_RECORD_BYTES + COMMENT_BYTES;

    fn follow(&mut self, piece: &[u8]) {
        let piece = piece.get(piece.len().saturating_sub(Self::MOST)..).unwrap_or_default();
        // Cut rarely, so that small pieces do not move everything each time.
        if self.0.len() + piece.len() > 2 * Self::MOST {
            self.0.drain(..(self.0.len() + piece.len()).saturating_sub(Self::MOST).min(self.0.len()));
        }
        self.0.extend_from_slice(piece);
    }

    /// Returns whether an end record ends, its comment included, where the bytes do.
    fn is_whole(&self) -> bool {
        let last = self.0.get(self.0.len().saturating_sub(Self::MOST)..).unwrap_or_default();
        last.windows(END_RECORD_BYTES).enumerate().any(|(at, record)| {
            let comment = record.last_chunk::<2>().map_or(0, |length| usize::from(u16::from_le_bytes(*length)));
            record.starts_with(END_RECORD) && at + END_RECORD_BYTES + comment == last.len()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(bytes: &[u8], piece: usize) -> bool {
        let mut end = End::default();
        bytes.chunks(piece).for_each(|piece| end.follow(piece));
        end.is_whole()
    }

    #[test]
    fn a_zip_ends_where_its_end_record_says() {
        let record = |comment: u16| [END_RECORD, &[0; 16], &comment.to_le_bytes()].concat();
        for comment in [0, 1, 700, u16::MAX] {
            let whole = [vec![7; 300_000], record(comment), vec![b'c'; usize::from(comment)]].concat();
            for piece in [1, 21, 4096, 65_536, 400_000] {
                assert!(ends(&whole, piece), "{comment} {piece}");
                assert!(!ends(&whole[..whole.len() - 1], piece) && !ends(&[&whole[..], b"x"].concat(), piece));
            }
        }
        assert!(!ends(b"", 1) && !ends(END_RECORD, 1) && !ends(&[7; 100_000], 1000));
    }
}
