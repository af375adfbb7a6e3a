//! A job's archive: streamed as it comes, checked against the size GitLab lists, or else against its announced length.

use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::blob::{BlobWriter, Streamed};
use super::{Ingest, Trouble, Unit, UnitOutcome};
use crate::archive::{Location, Refused, TAIL_BYTES};
use crate::domain::{ArchiveFile, ArchiveRecord, Job, Piece, Reason};
use crate::gitlab::{Body, Class, Kind};
use crate::store::Change;
use crate::work::Target;

/// How every zip begins: a local file header, or the end record of an empty one.
const ZIP_STARTS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What is to be published of an archive.
type Read = (ArchiveRecord, Option<Bytes>, Option<Streamed>);

/// What was found out about an archive while it was copied.
struct Copied {
    size: u64,
    sha256: [u8; 32],
    /// Where its directory is; empty when that is no good: what is no good is found again, and named, by whoever reads it.
    index: Box<[u8]>,
}

impl Ingest {
    /// Fetches the archive that a job's document lists. What was streamed is held until its publication has ended.
    pub(super) async fn archive(
        &self,
        class: Class,
        job: &Job,
        listed: &ArchiveFile,
    ) -> Result<(Vec<Change>, Unit, Option<Streamed>), Trouble> {
        let absent = |reason| ArchiveRecord { piece: Piece::Absent(reason), ..ArchiveRecord::missing() };
        let mut changes = Vec::new();
        let limit = self.config.sizes.archive;
        let (record, bytes, streamed) = if self.config.sizes.exclude(listed) {
            (absent(Reason::TooLarge), None, None)
        } else {
            match self.gitlab.archive(class, job.key).await {
                Ok(body) if listed.size.is_none() && body.announced().is_some_and(|size| size > limit) => {
                    (absent(Reason::TooLarge), None, None)
                }
                Ok(body) => match self.read_archive(body, listed).await? {
                    Some(read) => read,
                    None => (absent(Reason::TooLarge), None, None),
                },
                Err(error) if matches!(error.kind, Kind::Forbidden) => (absent(Reason::Forbidden), None, None),
                Err(error) if matches!(error.kind, Kind::NotFound) => {
                    let reason = self.why_gone(class, job, &mut changes).await?;
                    (absent(reason), None, None)
                }
                Err(error) => return Err(error.into()),
            }
        };
        let outcome = match record.piece {
            Piece::Absent(reason) => UnitOutcome::Absent(reason),
            _ => UnitOutcome::Cached { bytes: record.size, count: 0 },
        };
        changes.push(Change::Archive { key: job.key, record, bytes });
        Ok((changes, self.unit(Target::Job(job.key), "archive", job, outcome), streamed))
    }

    /// Returns `None` when it is larger than `limits.artifact_size`.
    async fn read_archive(&self, body: Body, listed: &ArchiveFile) -> Result<Option<Read>, Trouble> {
        let mut writer = BlobWriter::new(&self.store);
        match copy(body, &mut writer, listed.size, self.config.sizes.archive).await {
            Ok(Some(Copied { size, sha256, index })) => {
                let (blob, bytes, streamed) = writer.finish().await?.split();
                let record = ArchiveRecord { piece: Piece::Whole, blob, size, sha256: Some(sha256), index };
                Ok(Some((record, bytes, streamed)))
            }
            Ok(None) => {
                writer.abandon().await;
                Ok(None)
            }
            Err(trouble) => {
                writer.abandon().await;
                Err(trouble)
            }
        }
    }

    /// The listing has an archive and GitLab answers 404: asks for the job again to learn why.
    async fn why_gone(&self, class: Class, job: &Job, changes: &mut Vec<Change>) -> Result<Reason, Trouble> {
        let mut fresh = self.gitlab.job(class, job.key).await?;
        self.mask_job(&mut fresh);
        let reason = match (fresh.erased, &fresh.archive) {
            (true, _) => Reason::Erased,
            (false, None) => Reason::Expired,
            (false, Some(_)) if fresh.is_past_expiry() => Reason::Expired,
            (false, Some(_)) => {
                return Err(Trouble::Incomplete("GitLab lists an archive and answers 404 for it".to_owned()));
            }
        };
        changes.push(Change::Job(Box::new(fresh)));
        Ok(reason)
    }
}

/// Copies a body that must have the listed size, if one is known, begin like a zip and end with a zip's end record. `None`: it
/// is larger than `limit`, as only one of unknown size can be.
async fn copy(
    mut body: Body,
    writer: &mut BlobWriter<'_>,
    listed: Option<u64>,
    limit: u64,
) -> Result<Option<Copied>, Trouble> {
    let mut hash = Sha256::new();
    let mut tail = BytesMut::new();
    let mut start = Vec::with_capacity(4);
    let mut size = 0;
    while let Some(piece) = body.chunk().await? {
        size += piece.len() as u64;
        if size > listed.unwrap_or(limit) {
            break;
        }
        start.extend(piece.iter().take(4 - start.len()));
        hash.update(&piece);
        tail.extend_from_slice(&piece);
        let passed = tail.len().saturating_sub(TAIL_BYTES);
        tail.advance(passed);
        writer.write(&piece).await?;
    }
    match listed {
        Some(listed) if size != listed => {
            let problem = format!("the archive has another size than GitLab lists ({listed} bytes)");
            return Err(Trouble::Incomplete(problem));
        }
        None if size > limit => return Ok(None),
        _ => {}
    }
    if !ZIP_STARTS.contains(&start.as_slice()) {
        return Err(Trouble::Incomplete("what GitLab sent as an archive is no zip".to_owned()));
    }
    match Location::find(&tail, size) {
        Err(Refused::NoZip) => {
            Err(Trouble::Incomplete("what GitLab sent as an archive has no end that a zip has".to_owned()))
        }
        found => {
            let index = found.map(Location::encode).unwrap_or_default();
            Ok(Some(Copied { size, sha256: hash.finalize().into(), index }))
        }
    }
}
