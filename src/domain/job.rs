//! A job as GitLab lists it. Its identity and status have to be readable; every other field is read for itself.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::lenient::{Date, lenient, lenient_list};
use super::{Document, JobId, JobKey, JobPhase, Malformed, Pipeline, PipelineKey, ProjectId, Status, Timestamp};

/// The facts about one job that Cistern acts on, and GitLab's document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Which job.
    pub key: JobKey,
    /// The pipeline it belongs to, as the job's document told it.
    pub pipeline: Pipeline,
    /// Its name: attempts of one job share it. Its number, where the name is not readable.
    pub name: Box<str>,
    /// Its status.
    pub status: Status,
    /// When it began to run; `None` when it never did, and then it has no log. GitLab's date of the document, where it began at a
    /// time that is not readable.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` also where that is not readable.
    pub finished_at: Option<Timestamp>,
    /// Whether somebody erased its log and artifacts.
    pub erased: bool,
    /// The archive GitLab still has; `None` when there never was one, or it expired or was erased. Past its expiry GitLab leaves
    /// out `artifacts_file`, and lists what it keeps all the same among the `artifacts` only.
    pub archive: Option<ArchiveFile>,
    /// When its artifacts expire or expired; `None` when they never do, or at a time that is not readable.
    pub artifacts_expire_at: Option<Timestamp>,
    /// The size of the archived log; `None` until GitLab archived it (contract, section 5.5).
    pub trace_size: Option<u64>,
    /// Whether it delivered a JUnit report, so that its pipeline has a test report.
    pub junit: bool,
    /// GitLab's document.
    pub document: Document,
}

/// The archive of a job's artifacts as GitLab lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFile {
    /// Its name, normally `artifacts.zip`.
    pub filename: Box<str>,
    /// Its size in bytes; `None` where GitLab does not tell.
    pub size: Option<u64>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    id: JobId,
    #[serde(borrow, default, deserialize_with = "lenient")]
    name: Option<Cow<'a, str>>,
    status: Status,
    #[serde(default)]
    started_at: Date,
    #[serde(default)]
    finished_at: Date,
    #[serde(default)]
    erased_at: Date,
    #[serde(default, deserialize_with = "lenient")]
    tag: Option<bool>,
    #[serde(borrow)]
    pipeline: &'a RawValue,
    #[serde(default, deserialize_with = "lenient")]
    artifacts_file: Map<String, Value>,
    #[serde(borrow, default, deserialize_with = "lenient_list")]
    artifacts: Vec<WireArtifact<'a>>,
    #[serde(default)]
    artifacts_expire_at: Date,
}

#[derive(Deserialize)]
struct WireArtifact<'a> {
    #[serde(borrow)]
    file_type: Cow<'a, str>,
    #[serde(default, deserialize_with = "lenient")]
    size: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    filename: Option<Box<str>>,
}

/// What a job's document tells of its archive.
#[derive(Deserialize)]
struct WireArchive<'a> {
    /// Looked into, because a size that is not readable is no missing archive.
    #[serde(default, deserialize_with = "lenient")]
    artifacts_file: Map<String, Value>,
    #[serde(borrow, default, deserialize_with = "lenient_list")]
    artifacts: Vec<WireArtifact<'a>>,
}

impl WireArchive<'_> {
    /// It is there when either of the two lists it; what one does not tell of it, the other may.
    fn listed(self) -> Option<ArchiveFile> {
        let file = &self.artifacts_file;
        let artifact = self.artifacts.into_iter().find(|artifact| artifact.file_type == "archive");
        if artifact.is_none() && file.values().all(Value::is_null) {
            return None;
        }
        let (name, size) = artifact.map_or((None, None), |artifact| (artifact.filename, artifact.size));
        Some(ArchiveFile {
            filename: file
                .get("filename")
                .and_then(Value::as_str)
                .map(Box::from)
                .or(name)
                .unwrap_or("artifacts.zip".into()),
            size: file.get("size").and_then(Value::as_u64).or(size),
        })
    }
}

impl ArchiveFile {
    /// Returns the archive that a job's document lists, if it lists one.
    pub fn listed_in(document: &str) -> Option<Self> {
        serde_json::from_str::<WireArchive<'_>>(document).ok()?.listed()
    }
}

impl Job {
    /// Reads one object of a job listing, or the answer of `GET /projects/:id/jobs/:job_id`.
    pub fn parse(project: ProjectId, raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        Self::of(project, raw.get(), Document::new(raw, as_of))
    }

    /// Reads a job from its stored document.
    pub fn from_document(project: ProjectId, document: Document) -> Result<Self, Malformed> {
        let text = document.text.clone();
        Self::of(project, &text, document)
    }

    fn of(project: ProjectId, text: &str, document: Document) -> Result<Self, Malformed> {
        let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| Malformed::json("job", &error))?;
        let listed = |kind: &str| wire.artifacts.iter().find(|artifact| artifact.file_type == kind);
        Ok(Self {
            key: JobKey { project, job: wire.id },
            pipeline: Pipeline { tag: wire.tag, ..Pipeline::parse_part(project, wire.pipeline, document.as_of)? },
            status: wire.status,
            started_at: wire.started_at.is_there().then(|| wire.started_at.readable().unwrap_or(document.as_of)),
            finished_at: wire.finished_at.readable(),
            erased: wire.erased_at.is_there(),
            artifacts_expire_at: wire.artifacts_expire_at.readable(),
            trace_size: listed("trace").and_then(|trace| trace.size),
            junit: listed("junit").is_some(),
            archive: WireArchive { artifacts_file: wire.artifacts_file, artifacts: wire.artifacts }.listed(),
            name: wire.name.map_or_else(|| wire.id.to_string().into(), Into::into),
            document,
        })
    }

    /// Returns the pipeline it belongs to.
    pub fn pipeline_key(&self) -> PipelineKey {
        self.pipeline.key
    }

    /// Returns what its status means for caching.
    pub fn phase(&self) -> JobPhase {
        self.status.job_phase()
    }

    /// Returns whether its artifacts' time was over when GitLab wrote the document, in whole seconds as GitLab's `Date` has them.
    /// It may keep them longer.
    pub fn is_past_expiry(&self) -> bool {
        let second = |at: Timestamp| at.as_millis().div_euclid(1000);
        self.artifacts_expire_at.is_some_and(|at| second(at) <= second(self.document.as_of))
    }

    /// Returns whether it ended, so that its log and artifacts can be final.
    pub fn ended(&self) -> bool {
        self.phase() == JobPhase::Ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"id":7,"name":"unit","status":"success","started_at":"2026-11-20T09:14:02.200Z",
        "finished_at":"2026-11-20T09:15:02.200Z","erased_at":null,"tag":true,
        "pipeline":{"id":9,"status":"success","sha":"ab","ref":"main","created_at":"2026-11-20T09:14:00.200Z",
            "updated_at":"2026-11-20T09:15:03.200Z"},
        "artifacts_file":{"filename":"artifacts.zip","size":5015},
        "artifacts":[{"file_type":"archive","size":5015},{"file_type":"trace","size":99},{"file_type":"junit","size":3}],
        "artifacts_expire_at":"2026-12-20T09:14:02.200Z"}"#;

    fn parse(text: &str) -> Job {
        let raw = serde_json::from_str(text).expect("JSON");
        Job::parse(ProjectId(1), raw, Timestamp::from_millis(1)).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn an_odd_field_loses_that_field_only() {
        type Change = fn(&mut Job);
        let zip = |size| Some(ArchiveFile { filename: "artifacts.zip".into(), size });
        assert_eq!(parse(WHOLE).archive, zip(Some(5015)));
        for (from, to, change) in [
            (r#""name":"unit""#, r#""name":null"#, (|job| job.name = "7".into()) as Change),
            (r#""started_at":"2026-"#, r#""started_at":"12026-"#, |job| job.started_at = Some(job.document.as_of)),
            (r#""finished_at":"2026-"#, r#""finished_at":"12026-"#, |job| job.finished_at = None),
            (r#""erased_at":null"#, r#""erased_at":"12026-11-20T09:14:02Z""#, |job| job.erased = true),
            (r#""erased_at":null"#, r#""erased_at":false"#, |_| {}),
            (r#""tag":true"#, r#""tag":"v1""#, |job| job.pipeline.tag = None),
            (r#""sha":"ab""#, r#""sha":17"#, |job| job.pipeline.sha = None),
            (r#""ref":"main""#, r#""ref":{}"#, |job| job.pipeline.ref_ = None),
            (r#"zip","size":5015"#, r#"zip","size":null"#, |_| {}),
            (r#"zip","size":5015"#, r#"zip","size":"5 kB""#, |_| {}),
            (r#""filename":"artifacts.zip""#, r#""filename":null"#, |_| {}),
            (r#""trace","size":99"#, r#""trace","size":-1"#, |job| job.trace_size = None),
            (r#"{"file_type":"trace","size":99}"#, r#"{"file_type":null},5,null,"x""#, |job| job.trace_size = None),
            (r#""artifacts_expire_at":"2026-"#, r#""artifacts_expire_at":"12026-"#, |job| {
                job.artifacts_expire_at = None
            }),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let odd = parse(&WHOLE.replace(from, to));
            let mut expected = Job { document: odd.document.clone(), ..parse(WHOLE) };
            expected.pipeline.document = odd.pipeline.document.clone();
            change(&mut expected);
            assert_eq!(odd, expected, "{to}");
        }
    }

    #[test]
    fn an_archive_of_unknown_size_is_an_archive() {
        let (file, artifact) =
            (r#""artifacts_file":{"filename":"artifacts.zip","size":5015}"#, r#"{"file_type":"archive","size":5015},"#);
        let archive = |listed: &str, artifacts: &str| {
            let job = parse(&WHOLE.replace(file, listed).replace(artifact, artifacts));
            assert_eq!(ArchiveFile::listed_in(&job.document.text), job.archive);
            job.archive.map(|archive| (archive.filename.into_string(), archive.size))
        };
        let named = |name: &str, size| Some((name.to_owned(), size));
        assert_eq!(archive(r#""artifacts_file":{"filename":"a.zip","size":null}"#, ""), named("a.zip", None));
        assert_eq!(
            archive(r#""artifacts_file":{"filename":"a.zip","size":null}"#, artifact),
            named("a.zip", Some(5015))
        );
        assert_eq!(archive(r#""artifacts_file":{"filename":[],"size":"x"}"#, ""), named("artifacts.zip", None));
        assert_eq!(archive(r#""artifacts_file":{"filename":null,"size":7}"#, ""), named("artifacts.zip", Some(7)));
        assert_eq!(archive(r#""artifacts_file":{"filename":null,"size":null}"#, ""), None);
        assert_eq!(archive(r#""artifacts_file":null"#, ""), None);
        let unsized_one = r#"{"file_type":"archive","size":null},"#;
        assert_eq!(archive(r#""artifacts_file":null"#, unsized_one), named("artifacts.zip", None));
        assert_eq!(archive(r#""x":1"#, artifact), named("artifacts.zip", Some(5015)));
        let none = parse(&WHOLE.replace(r#""artifacts":[{"#, r#""artifacts":null,"x":[{"#));
        assert_eq!(
            (none.trace_size, none.junit, none.archive.and_then(|archive| archive.size)),
            (None, false, Some(5015))
        );
    }

    #[test]
    fn identity_and_status_have_to_be_readable() {
        for (from, to) in [
            (r#""id":7"#, r#""id":"7""#),
            (r#""status":"success","started_at""#, r#""status":null,"started_at""#),
            (r#""id":9"#, r#""id":null"#),
        ] {
            let odd = WHOLE.replace(from, to);
            let raw = serde_json::from_str(&odd).expect("JSON");
            assert!(odd != WHOLE && Job::parse(ProjectId(1), raw, Timestamp::default()).is_err(), "{to}");
        }
    }
}
