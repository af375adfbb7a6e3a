//! Logs and artifacts, and the storage host that artifacts redirect to.

use std::io::{Cursor, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use zip::ZipArchive;

use super::answer::Answer;
use super::asked::Asked;
use super::page::Page;
use super::query::Query;
use crate::demo::fake::options::ArtifactDelivery;
use crate::demo::fake::world::{HiddenLog, Job, World};
use crate::domain::{JobId, Timestamp};

/// How long a signed storage address is good for, by the world's clock.
const SIGNED_FOR_MS: i64 = 600_000;

impl Asked<'_> {
    /// The log as text; empty when there is none, because GitLab answers so.
    pub(super) fn trace(&self) -> Result<Answer, Answer> {
        let job = self.job_of_project()?;
        if job.log_forbidden || self.is_restricted(job) {
            return Err(Answer::forbidden());
        }
        if job.log_hidden == Some(HiddenLog::NotFound) {
            return Err(Answer::not_found());
        }
        let log = self.world.trace(job.id).unwrap_or_default();
        let disposition = format!("infile; filename=\"{}.log\"", job.id);
        Ok(Answer::new(200, "text/plain", log).header("Content-Disposition", disposition))
    }

    fn is_restricted(&self, job: &Job) -> bool {
        job.files_restricted && !self.world.reports(self.caller, job.project)
    }

    /// Finds the job's archive or refuses as GitLab does.
    fn archive(&self) -> Result<(JobId, Bytes), Answer> {
        let job = self.job_of_project()?;
        if job.artifacts_forbidden || self.is_restricted(job) {
            return Err(Answer::forbidden());
        }
        self.world.archive(job.id).map(|archive| (job.id, archive)).ok_or_else(Answer::not_found)
    }

    pub(super) fn artifacts(&self) -> Result<Answer, Answer> {
        let (job, archive) = self.archive()?;
        match self.options.artifacts {
            ArtifactDelivery::Direct => {
                let disposition = "attachment; filename=\"artifacts.zip\"";
                Ok(Answer::new(200, "application/octet-stream", archive).header("Content-Disposition", disposition))
            }
            ArtifactDelivery::Redirect => {
                let address = signed_address(self.storage_url, job, self.world.now());
                Ok(Answer::new(302, "text/html", "").header("Location", address))
            }
        }
    }

    /// The entries directly below `path`, directories first, or all below it with `recursive=true`, in the order of their paths
    /// (GitLab's source: `lib/api/ci/job_artifacts.rb`).
    pub(super) fn artifacts_tree(&self) -> Result<Answer, Answer> {
        let (_, archive) = self.archive()?;
        let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|_| Answer::not_found())?;
        let below = self.query.text("path").map_or_else(String::new, |path| format!("{}/", path.trim_matches('/')));
        let recursive = self.query.flag("recursive")?.unwrap_or(false);
        let mut rows: Vec<Value> = Vec::new();
        let mut folders: Vec<String> = Vec::new();
        for index in 0..zip.len() {
            let Ok(file) = zip.by_index(index) else { continue };
            let Ok(path) = file.name() else { continue };
            let Some(inner) = path.strip_prefix(below.as_str()) else { continue };
            for (at, _) in inner.match_indices('/').take(if recursive { usize::MAX } else { 1 }) {
                let folder = format!("{below}{}/", inner.get(..at).unwrap_or_default());
                if !folders.contains(&folder) {
                    let name = last_segment(folder.trim_end_matches('/'));
                    rows.push(json!({"name": name, "path": folder, "type": "directory", "mode": "040755"}));
                    folders.push(folder);
                }
            }
            if recursive || !inner.contains('/') {
                let (name, size) = (last_segment(&path), file.size());
                rows.push(json!({"name": name, "path": path, "type": "file", "size": size, "mode": "100644"}));
            }
        }
        let is_later = |row: &Value| !recursive && row["type"] == "file";
        rows.sort_by(|one, other| {
            (is_later(one), one["path"].as_str()).cmp(&(is_later(other), other["path"].as_str()))
        });
        let page = Page::of(self.query)?;
        let answer = Answer::json(Value::from(page.rows(&rows).to_vec()).to_string());
        Ok(page.headers(answer, rows.len(), self.options.count_limit, &self.url(), self.query))
    }

    pub(super) fn artifact_file(&self) -> Result<Answer, Answer> {
        let (_, archive) = self.archive()?;
        let path = self.route.file.as_deref().unwrap_or_default();
        if path.is_empty() || path.split('/').any(|segment| segment.is_empty() || segment == "..") {
            return Err(Answer::message(400, "400 Bad request - Invalid file path"));
        }
        let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|_| Answer::not_found())?;
        let mut file = zip.by_name(path).map_err(|_| Answer::not_found())?;
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(|_| Answer::server_error())?;
        Ok(Answer::new(200, "application/octet-stream", content))
    }
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The storage host's answer: the archive for a good signature, XML errors otherwise.
pub(super) fn stored(world: &World, job: Option<u64>, query: &Query) -> Answer {
    let signed_at = query.text("X-Amz-Date").and_then(|millis| millis.parse().ok()).map(Timestamp::from_millis);
    let (Some(job), Some(signed_at)) = (job.map(JobId), signed_at) else { return xml(403, "AccessDenied") };
    if query.text("X-Amz-Signature") != Some(signature(job, signed_at).as_str()) {
        return xml(403, "SignatureDoesNotMatch");
    }
    if world.now().as_millis() > signed_at.as_millis() + SIGNED_FOR_MS {
        return xml(403, "AccessDenied");
    }
    match world.archive(job) {
        Some(archive) => Answer::new(200, "application/zip", archive),
        None => xml(404, "NoSuchKey"),
    }
}

fn signed_address(storage_url: &str, job: JobId, now: Timestamp) -> String {
    let (date, seconds) = (now.as_millis(), SIGNED_FOR_MS / 1000);
    let signature = signature(job, now);
    format!(
        "{storage_url}/artifacts/{job}/artifacts.zip?X-Amz-Date={date}&X-Amz-Expires={seconds}&X-Amz-Signature={signature}"
    )
}

fn signature(job: JobId, at: Timestamp) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"fake storage").expect("HMAC takes keys of any length");
    mac.update(format!("{job}.{}", at.as_millis()).as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

fn xml(status: u16, code: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
    Answer::new(status, "application/xml", body)
}
