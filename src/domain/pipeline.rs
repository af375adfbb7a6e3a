//! A pipeline as GitLab lists it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::lenient::lenient;
use super::{Document, Malformed, PipelineId, PipelineKey, PipelinePhase, ProjectId, Status, Timestamp};

/// The facts about one pipeline that Cistern acts on, and GitLab's listed document of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// Which pipeline.
    pub key: PipelineKey,
    /// Its status.
    pub status: Status,
    /// What made it; null for very old rows.
    pub source: Option<Box<str>>,
    /// The branch, tag or `refs/…` it ran for.
    pub ref_: Option<Box<str>>,
    /// The commit.
    pub sha: Option<Box<str>>,
    /// Its name (`workflow:name`); most have none.
    pub name: Option<Box<str>>,
    /// Whether it ran for a tag. The listing does not tell; the detail and the pipeline's jobs do.
    pub tag: Option<bool>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When GitLab last changed its row: the order of the listings and the unit of the watermark.
    pub updated_at: Timestamp,
    /// GitLab's document, in the shape of the listing.
    pub document: Document,
    /// GitLab's whole document, where the pipeline itself was asked for.
    pub detail: Option<Document>,
}

/// Which of the two listings a pipeline is found in: children are left out of the plain one (contract, section 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineSource {
    /// `GET /projects/:id/pipelines`.
    Plain,
    /// The same with `source=parent_pipeline`.
    Child,
}

/// The facts in a listed pipeline.
#[derive(Deserialize)]
struct Wire {
    id: PipelineId,
    #[serde(default, deserialize_with = "lenient")]
    sha: Option<Box<str>>,
    #[serde(rename = "ref", default, deserialize_with = "lenient")]
    ref_: Option<Box<str>>,
    status: Status,
    #[serde(default, deserialize_with = "lenient")]
    source: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    name: Option<Box<str>>,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient")]
    updated_at: Option<Timestamp>,
}

/// What only the detail tells.
#[derive(Deserialize)]
struct Tagged {
    #[serde(default, deserialize_with = "lenient")]
    tag: Option<bool>,
}

/// The keys of a listed pipeline (contract, section 5.4).
const LISTED: [&str; 11] =
    ["id", "iid", "project_id", "sha", "ref", "status", "source", "created_at", "updated_at", "web_url", "name"];

/// Returns whether the listing has a key.
pub(super) fn is_listed(key: &str) -> bool {
    LISTED.contains(&key)
}

/// Returns the last change and the status that GitLab shows in a pipeline's document, if it is readable.
pub(super) fn shown_in(document: &Document) -> Option<(Timestamp, Status)> {
    let wire: Wire = serde_json::from_str(&document.text).ok()?;
    Some((wire.updated_at.or(wire.created_at)?, wire.status))
}

/// The entries of an object, each value exactly as it was written, in the object's order.
pub(super) struct Entries<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::with_capacity(2 * LISTED.len());
                while let Some(entry) = map.next_entry::<Cow<'de, str>, &RawValue>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Pipeline {
    /// Reads one object of `GET /projects/:id/pipelines`. Identity and status have to be readable, and one of its two dates, which
    /// then stands for both.
    pub fn parse(project: ProjectId, raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        let wire: Wire = serde_json::from_str(raw.get()).map_err(|error| Malformed::json("pipeline", &error))?;
        let undated = || Malformed { what: "pipeline", problem: "it has no readable date".to_owned() };
        let created_at = wire.created_at.or(wire.updated_at).ok_or_else(undated)?;
        Ok(Self {
            key: PipelineKey { project, pipeline: wire.id },
            status: wire.status,
            source: wire.source,
            ref_: wire.ref_,
            sha: wire.sha,
            name: wire.name,
            tag: None,
            created_at,
            updated_at: wire.updated_at.unwrap_or(created_at),
            document: Document::new(raw, as_of),
            detail: None,
        })
    }

    /// Reads the answer of `GET /projects/:id/pipelines/:pipeline_id`: as [`parse_part`](Self::parse_part), and keeps it whole
    /// beside.
    pub fn parse_detail(project: ProjectId, raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        Ok(Self { detail: Some(Document::new(raw, as_of)), ..Self::parse_part(project, raw, as_of)? })
    }

    /// Reads such an answer, or the `pipeline` object of a job, and keeps of it what the listing has, so that the stored row does
    /// not depend on the way it was learned.
    pub fn parse_part(project: ProjectId, raw: &RawValue, as_of: Timestamp) -> Result<Self, Malformed> {
        let malformed = |error| Malformed::json("pipeline", &error);
        let mut listed: Entries<'_> = serde_json::from_str(raw.get()).map_err(malformed)?;
        listed.0.retain(|(key, _)| is_listed(key));
        let Tagged { tag } = serde_json::from_str(raw.get()).map_err(malformed)?;
        let pipeline = Self::parse(project, &serde_json::value::to_raw_value(&listed).map_err(malformed)?, as_of)?;
        Ok(Self { tag, ..pipeline })
    }

    /// Returns what its status means for caching.
    pub fn phase(&self) -> PipelinePhase {
        self.status.pipeline_phase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detail_is_kept_as_the_listing_writes_it() {
        let listed = r#"{"id":9,"iid":3,"project_id":7,"sha":"ab","ref":"a\u0026b","status":"success","source":null,"created_at":"2026-11-20T09:14:02.200Z","updated_at":"2026-11-20T09:16:16.200Z","web_url":"https://x/9","name":null}"#;
        let detail = listed.replace(r#""name":null}"#, r#""name":null,"before_sha":"cd","coverage":"87.41"}"#);
        let raw = serde_json::from_str(&detail).expect("JSON");
        let kept = Pipeline::parse_detail(ProjectId(7), raw, Timestamp::default()).expect("a pipeline");
        assert_eq!(&*kept.document.text, listed);
        assert_eq!(kept.detail.as_ref().map(|whole| &*whole.text), Some(&*detail));
        assert_eq!((kept.tag, kept.name), (None, None));
        let raw = detail.replace(r#""name":null"#, r#""name":"nightly","tag":true"#);
        let kept =
            Pipeline::parse_detail(ProjectId(7), serde_json::from_str(&raw).expect("JSON"), Timestamp::default());
        let kept = kept.expect("a pipeline");
        assert_eq!((kept.tag, kept.name.as_deref()), (Some(true), Some("nightly")));
        assert!(!kept.document.text.contains("tag"));
    }

    #[test]
    fn one_readable_date_stands_for_both() {
        let dates = |created: &str, updated: &str| {
            let text =
                format!(r#"{{"id":9,"status":"success","created_at":{created},"updated_at":{updated},"source":1}}"#);
            let raw = serde_json::from_str(&text).expect("JSON");
            Pipeline::parse(ProjectId(7), raw, Timestamp::default()).map(|row| (row.created_at, row.updated_at)).ok()
        };
        let (first, last) = (r#""2026-11-20T09:14:02Z""#, r#""2026-11-20T09:16:02Z""#);
        let at = |quoted: &str| Timestamp::parse(quoted.trim_matches('"')).expect("a date");
        assert_eq!(dates(first, last), Some((at(first), at(last))));
        assert_eq!(dates(first, r#""12026-11-20T09:14:02Z""#), Some((at(first), at(first))));
        assert_eq!(dates("null", last), Some((at(last), at(last))));
        assert_eq!(dates("17", "[]"), None);
    }
}
