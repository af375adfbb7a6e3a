//! A pipeline's trigger jobs: asked for by a reader's miss only (design, section 4.7).

use super::{Found, Ingest, Task, Trouble, UnitOutcome};
use crate::domain::{Document, PipelineKey};
use crate::gitlab::{self, Kind};
use crate::store::Change;

/// The most that is held of one pipeline's trigger jobs; some 5000 of them.
const MOST_BYTES: usize = 12 << 20;

impl Ingest {
    /// Stores the list of a pipeline's trigger jobs, all pages of it or nothing.
    pub(super) async fn bridges(&self, task: &Task<'_>, key: PipelineKey, found: &mut Found) -> Result<(), Trouble> {
        let mut text = String::from("[");
        let mut next = None;
        let (mut count, mut malformed) = (0, 0);
        let as_of = loop {
            let asked = self.gitlab.bridges(task.class(), key, next.as_ref()).await;
            let page = asked.map_err(|error: gitlab::Error| match error.kind {
                Kind::NotFound => Trouble::Gone,
                _ => error.into(),
            })?;
            malformed += page.malformed;
            for mut bridge in page.rows {
                self.mask_document(key.project, &mut bridge);
                if count > 0 {
                    text.push(',');
                }
                text.push_str(&bridge.text);
                count += 1;
            }
            if text.len() > MOST_BYTES {
                return Err(Trouble::TooMany("trigger jobs"));
            }
            match page.next {
                Some(following) => next = Some(following),
                None => break page.as_of,
            }
        };
        if malformed > 0 {
            return Err(Trouble::Unreadable(malformed));
        }
        text.push(']');
        let outcome = UnitOutcome::Cached { bytes: text.len() as u64, count };
        found.units.push(self.pipeline_unit(key, "bridges", outcome));
        found.facts.push(Change::Bridges(key, Document { text: text.into(), as_of }));
        Ok(())
    }
}
