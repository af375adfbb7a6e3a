//! Somebody whom GitLab judges, for questions that GitLab answers to them itself.

use super::Denied;
use super::reader::{Reader, Scope};
use super::verdicts::{Asker, Verdicts};
use crate::gitlab::{NotPassed, Passage, Passed, Passing};
use crate::store::About;

/// A reader whose questions may be passed on with their own credential, which only this knows. Only a [`Reader`] makes one.
pub struct Caller<'a> {
    verdicts: &'a Verdicts,
    asker: &'a Asker,
}

impl Reader {
    /// Returns whether GitLab says what this reader may see.
    pub fn is_judged(&self) -> bool {
        matches!(self.scope, Scope::Judged(..))
    }

    /// Returns who asks, for what GitLab is to answer to them itself; `None` where it judges nobody. Fails for a token that GitLab
    /// does not take for one, and for too many questions without one.
    pub async fn caller(&self) -> Result<Option<Caller<'_>>, Denied> {
        let Scope::Judged(verdicts, asker) = &self.scope else { return Ok(None) };
        if asker.has_token() {
            match verdicts.decide(asker, About::Token).await {
                // It is one, whatever it is good for: GitLab says so of each question.
                Ok(_) | Err(Denied::Forbidden | Denied::NotFound) => {}
                Err(denied) => return Err(denied),
            }
        } else {
            verdicts.count(asker)?;
        }
        Ok(Some(Caller { verdicts, asker }))
    }
}

impl Caller<'_> {
    /// Passes a question on. An answer that the token is refused has GitLab asked at once whether it is one still, because there are
    /// questions that refuse good tokens.
    pub async fn pass(&self, passing: &Passing, passage: &Passage) -> Result<Passed, NotPassed> {
        let passed = passing.for_caller(&self.asker.credential, passage).await?;
        if passed.status == 401 && self.asker.has_token() {
            self.verdicts.doubt(self.asker).await;
        }
        Ok(passed)
    }
}
