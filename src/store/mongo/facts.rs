//! What changes make of documents in memory, before they are written: the same judgements as in every store (`slots`), on
//! documents that were just read and that are only replaced if nobody has changed them since.

use std::collections::HashMap;

use super::blobs::Fates;
use super::documents::{JobDocument, PipelineDocument, Revised};
use super::journal::Ending;
use super::pieces::{ArchivePart, LogPart, ReportPart};
use super::trouble::Trouble;
use super::values::{date, integer};
use crate::domain::{
    ArchiveRecord, BlobId, Job, JobKey, LogRecord, Piece, Pipeline, PipelineKey, Reason, ReportRecord, Timestamp,
};
use crate::store::slots::{self, Documented, Learned, Verdict};
use crate::work::Target;

/// Documents by their id, as they were read and as they are to be written.
#[derive(Debug)]
pub(super) struct Desk<D>(HashMap<i64, Sheet<D>>);

/// One document on the desk.
#[derive(Debug, Clone)]
pub(super) struct Sheet<D> {
    /// The revision that was read; `None` when there was none.
    pub(super) read: Option<i64>,
    pub(super) now: Option<D>,
    pub(super) changed: bool,
}

impl<D: Revised> Desk<D> {
    /// Lays out what was found of the asked ids.
    pub(super) fn new(asked: impl Iterator<Item = i64>, found: Vec<D>) -> Self {
        let mut sheets: HashMap<_, _> = asked.map(|id| (id, Sheet { read: None, now: None, changed: false })).collect();
        for document in found {
            let sheet = Sheet { read: Some(document.revision()), now: Some(document), changed: false };
            if let Some(id) = sheet.now.as_ref().map(Revised::id) {
                sheets.insert(id, sheet);
            }
        }
        Self(sheets)
    }

    pub(super) fn sheet(&mut self, id: i64) -> &mut Sheet<D> {
        self.0.entry(id).or_insert(Sheet { read: None, now: None, changed: false })
    }

    pub(super) fn get(&self, id: i64) -> Option<&D> {
        self.0.get(&id).and_then(|sheet| sheet.now.as_ref())
    }

    /// Returns what is to be written.
    pub(super) fn changed(&mut self) -> impl Iterator<Item = (i64, &mut Sheet<D>)> {
        self.0.iter_mut().filter(|(_, sheet)| sheet.changed).map(|(id, sheet)| (*id, sheet))
    }

    /// Copies some sheets, so that they can be laid back.
    pub(super) fn copy(&self, ids: impl Iterator<Item = i64>) -> Vec<(i64, Sheet<D>)> {
        ids.filter_map(|id| Some((id, self.0.get(&id)?.clone()))).collect()
    }

    /// Lays copied sheets back.
    pub(super) fn restore(&mut self, copies: Vec<(i64, Sheet<D>)>) {
        self.0.extend(copies);
    }
}

/// Takes a job's document.
pub(super) fn job(desk: &mut Desk<JobDocument>, job: &Job, fates: &mut Fates, ending: &mut Ending) {
    let sheet = desk.sheet(integer(job.key.job.0));
    let known = sheet.now.as_ref().map(JobDocument::known);
    let documented = slots::document(known, job);
    let Documented { newer, expected, log, archive, junit } = documented;
    if !newer && !job.erased {
        return;
    }
    let document = sheet.now.get_or_insert_with(|| JobDocument::new(job));
    if newer {
        document.describe(job);
    }
    document.expect(expected);
    document.deliver(junit);
    if job.erased {
        fates.replaced.extend(document.log.blob.take().into_iter().chain(document.archive.blob.take()));
        // How often it was looked at stays.
        let kept = document.log.record();
        let emptied =
            LogRecord { size: 0, fetched: None, frames: Vec::new(), index: Box::default(), blob: None, ..kept };
        document.log = LogPart::new(&emptied);
        document.archive = ArchivePart::new(&ArchiveRecord::missing());
    }
    document.log.piece = log.as_str().into();
    document.archive.piece = archive.as_str().into();
    document.reckon();
    sheet.changed = true;
    if documented.is_settled() {
        // What could not be got is not there any more.
        ending.forget(&Target::Job(job.key));
    }
}

/// Publishes a log.
pub(super) fn log(
    desk: &mut Desk<JobDocument>,
    key: JobKey,
    mut record: LogRecord,
    fates: &mut Fates,
) -> Result<(), Trouble> {
    let sheet = desk.sheet(integer(key.job.0));
    let document = sheet.now.as_mut().ok_or(Trouble::NoSuchRow("job"))?;
    let held = document.log.record();
    let offered = slots::offered(false, &mut record.blob, record.piece);
    let same_blob = record.blob == held.blob;
    let verdict = slots::publish_log(&held, &mut record, same_blob);
    settle(fates, verdict, offered, (held.blob, record.blob));
    document.log = LogPart::new(&record);
    document.reckon();
    sheet.changed = true;
    Ok(())
}

/// Publishes an archive.
pub(super) fn archive(
    desk: &mut Desk<JobDocument>,
    key: JobKey,
    mut record: ArchiveRecord,
    fates: &mut Fates,
) -> Result<(), Trouble> {
    let sheet = desk.sheet(integer(key.job.0));
    let document = sheet.now.as_mut().ok_or(Trouble::NoSuchRow("job"))?;
    let held = document.archive.record();
    let offered = slots::offered(false, &mut record.blob, record.piece);
    let verdict = slots::judge_archive(&held, &record);
    settle(fates, verdict, offered, (held.blob, record.blob));
    if verdict != Verdict::Refuse {
        document.archive = ArchivePart::new(&record);
        document.reckon();
        sheet.changed = true;
    }
    Ok(())
}

/// Notes when GitLab refused a piece of a job to the token, or was last asked for it; never goes back.
pub(super) fn job_refused(desk: &mut Desk<JobDocument>, key: JobKey, at: Timestamp) {
    let sheet = desk.sheet(integer(key.job.0));
    if let Some(document) = &mut sheet.now {
        document.refused_at = document.refused_at.max(Some(date(at)));
        sheet.changed = true;
    }
}

/// As [`job_refused`], of a pipeline's report.
pub(super) fn report_refused(desk: &mut Desk<PipelineDocument>, key: PipelineKey, at: Timestamp) {
    let sheet = desk.sheet(integer(key.pipeline.0));
    if let Some(document) = &mut sheet.now {
        document.refused_at = document.refused_at.max(Some(date(at)));
        sheet.changed = true;
    }
}

/// Makes what is held in a damaged blob a gap. Nothing happens when the job holds another one by now.
pub(super) fn job_damaged(desk: &mut Desk<JobDocument>, key: JobKey, blob: BlobId) {
    let sheet = desk.sheet(integer(key.job.0));
    let Some(document) = &mut sheet.now else { return };
    if document.log.blob == Some(blob.0) {
        document.log.piece = slots::damaged(Piece::from_word(&document.log.piece)).as_str().into();
    }
    if document.archive.blob == Some(blob.0) {
        document.archive.piece = slots::damaged(Piece::from_word(&document.archive.piece)).as_str().into();
    }
    document.reckon();
    sheet.changed = true;
}

/// As [`job_damaged`], of a pipeline's report.
pub(super) fn report_damaged(desk: &mut Desk<PipelineDocument>, key: PipelineKey, blob: BlobId) {
    let sheet = desk.sheet(integer(key.pipeline.0));
    let Some(document) = &mut sheet.now else { return };
    if document.report.blob == Some(blob.0) {
        document.report.piece = slots::damaged(Piece::from_word(&document.report.piece)).as_str().into();
        document.reckon();
        sheet.changed = true;
    }
}

/// Marks what is expected of an ended job and still missing as failed. Nothing happens when the job is not stored.
pub(super) fn fail(desk: &mut Desk<JobDocument>, key: JobKey) {
    let sheet = desk.sheet(integer(key.job.0));
    let Some(document) = &mut sheet.now else { return };
    let known = document.known();
    let ended = known.expected.ended;
    document.log.piece = slots::failed(ended, known.expected.log, known.log).as_str().into();
    document.archive.piece = slots::failed(ended, known.expected.archive, known.archive).as_str().into();
    document.reckon();
    sheet.changed = true;
}

/// Takes a pipeline's document.
pub(super) fn pipeline(desk: &mut Desk<PipelineDocument>, pipeline: &Pipeline) {
    let sheet = desk.sheet(integer(pipeline.key.pipeline.0));
    let document = sheet.now.get_or_insert_with(|| PipelineDocument::new(pipeline));
    // However old the document is, it was not deleted.
    let was_gone = std::mem::take(&mut document.gone);
    let described = document.describe(pipeline);
    let learned = document.learn(pipeline.detail.as_ref().map_or(Learned::Nothing, Learned::Document));
    if described || learned || was_gone || sheet.read.is_none() {
        document.reckon();
        sheet.changed = true;
    }
}

/// Notes why a pipeline's own document is not to be had. Nothing happens when it is not stored.
pub(super) fn no_detail(desk: &mut Desk<PipelineDocument>, key: PipelineKey, reason: Reason) {
    let sheet = desk.sheet(integer(key.pipeline.0));
    if let Some(document) = &mut sheet.now
        && document.learn(Learned::Absent(reason))
    {
        document.reckon();
        sheet.changed = true;
    }
}

/// Notes when a pipeline's own document was refused, or last asked for; never goes back.
pub(super) fn detail_refused(desk: &mut Desk<PipelineDocument>, key: PipelineKey, at: Timestamp) {
    let sheet = desk.sheet(integer(key.pipeline.0));
    if let Some(document) = &mut sheet.now {
        document.detail_refused_at = document.detail_refused_at.max(Some(date(at)));
        sheet.changed = true;
    }
}

/// Records that a pipeline's jobs were listed to the end; never goes back.
pub(super) fn jobs_listed(desk: &mut Desk<PipelineDocument>, key: PipelineKey, at: Timestamp) -> Result<(), Trouble> {
    let sheet = desk.sheet(integer(key.pipeline.0));
    let document = sheet.now.as_mut().ok_or(Trouble::NoSuchRow("pipeline"))?;
    document.jobs_listed_at = document.jobs_listed_at.max(Some(date(at)));
    document.reckon();
    sheet.changed = true;
    Ok(())
}

/// Notes that GitLab deleted a pipeline.
pub(super) fn gone(desk: &mut Desk<PipelineDocument>, key: PipelineKey) {
    let sheet = desk.sheet(integer(key.pipeline.0));
    if let Some(document) = &mut sheet.now {
        document.gone = true;
        document.reckon();
        sheet.changed = true;
    }
}

/// Notes that a job of a pipeline delivered JUnit, so that its report is missed. Nothing happens when it is not stored.
pub(super) fn has_junit(desk: &mut Desk<PipelineDocument>, pipeline: i64) {
    let sheet = desk.sheet(pipeline);
    if let Some(document) = sheet.now.as_mut().filter(|document| !document.junit) {
        document.junit = true;
        document.reckon();
        sheet.changed = true;
    }
}

/// Publishes a report; `summary` is the blob of one that is too large for the document.
pub(super) fn report(
    desk: &mut Desk<PipelineDocument>,
    key: PipelineKey,
    mut record: ReportRecord,
    summary: Option<i64>,
    fates: &mut Fates,
) -> Result<(), Trouble> {
    let sheet = desk.sheet(integer(key.pipeline.0));
    let document = sheet.now.as_mut().ok_or(Trouble::NoSuchRow("pipeline"))?;
    let held = document.report.record();
    let held_summary = document.report.summary_blob;
    let offered = slots::offered(false, &mut record.blob, record.piece);
    let same_blob = record.blob == held.blob;
    let published = slots::publish_report(&held, &mut record, same_blob);
    settle(fates, published.report, offered, (held.blob, record.blob));
    document.report = ReportPart::new(&record);
    if published.keeps_summary {
        document.report.summary_blob = held_summary;
        fates.refused.extend(summary);
    } else {
        document.report.summary_blob = summary;
        fates.published.extend(summary);
        fates.replaced.extend(held_summary);
    }
    document.reckon();
    sheet.changed = true;
    Ok(())
}

/// Decides what becomes of the blob that was offered and of the one that was held.
fn settle(fates: &mut Fates, verdict: Verdict, offered: Option<BlobId>, (held, now): (Option<BlobId>, Option<BlobId>)) {
    match verdict {
        Verdict::Refuse => fates.refused.extend(offered.filter(|blob| Some(*blob) != held).map(|blob| blob.0)),
        Verdict::Note => {}
        Verdict::Replace => {
            fates.refused.extend(offered.filter(|blob| Some(*blob) != now).map(|blob| blob.0));
            fates.replaced.extend(held.filter(|blob| Some(*blob) != now).map(|blob| blob.0));
            fates.published.extend(now.filter(|blob| Some(*blob) != held).map(|blob| blob.0));
        }
    }
}
