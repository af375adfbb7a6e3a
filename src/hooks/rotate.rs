//! Gives every hook the new first token, one after the other.
//!
//! Nothing is lost because the service takes every token of its list meanwhile. Whether it knows the new one already is found
//! out with the first hook: if its test delivery is refused, that hook gets its old token back and nothing else is touched.

use serde::Serialize;

use super::patience::patiently;
use super::secret::Secret;
use super::survey::Groups;
use super::{Hooks, Place, Tested, explain, is_general};
use crate::gitlab::{Error, Hook, HookWish, Trigger};

/// What became of a hook's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rotation {
    /// It has the new one.
    Rotated,
    /// It had the new one already.
    Already,
    /// Its old one was put back, because the service does not take the new one.
    PutBack,
    /// It could not be changed.
    Failed,
}

/// What was done about one hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// Whose hook.
    pub place: Place,
    /// The hook, if there is one.
    pub hook: Option<u64>,
    /// What became of it.
    pub outcome: Rotation,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
}

/// The secrets of a rotation.
struct Means<'a> {
    new: Secret<'a>,
    old: Secret<'a>,
    /// Whether a delivery with the new one was seen to arrive.
    proven: bool,
}

impl Hooks {
    /// Gives every hook for us of these places the first token; with `all` also those that seem to have it. Run again, it goes
    /// on where it ended. Ends at once when the service does not take the new token. `Err(Ok(sentence))` when the
    /// configuration has nothing to rotate to.
    pub async fn rotate(
        &self,
        places: &[Place],
        all: bool,
        out: &mut Vec<Rotated>,
    ) -> Result<(), Result<String, Error>> {
        let signs = self.signs().await.map_err(Err)?;
        let mut means = self.means(signs).map_err(Ok)?;
        let mut groups = Groups::new();
        for place in places {
            let found = match self.found(place, &mut groups).await {
                Ok(found) => found,
                Err(error) if is_general(&error) => return Err(Err(error)),
                Err(error) => {
                    out.push(Rotated::failed(place, None, explain(&error, place)));
                    continue;
                }
            };
            for hook in found.hooks {
                let held = means.new.is_held(hook.description.as_deref());
                if held == Some(true) && !all {
                    out.push(Rotated {
                        place: place.clone(),
                        hook: Some(hook.id),
                        outcome: Rotation::Already,
                        problem: None,
                    });
                    continue;
                }
                match self.rotate_one(place, &hook, &mut means).await {
                    Ok(rotated) => {
                        let ends = rotated.outcome == Rotation::PutBack;
                        out.push(rotated);
                        if ends {
                            return Ok(());
                        }
                    }
                    Err(error) if is_general(&error) => return Err(Err(error)),
                    Err(error) => out.push(Rotated::failed(place, Some(hook.id), explain(&error, place))),
                }
            }
        }
        Ok(())
    }

    fn means(&self, signs: bool) -> Result<Means<'_>, String> {
        let signing = signs && !self.config.signing_tokens.is_empty();
        let (tokens, key) = match signing {
            true => (&self.config.signing_tokens, "webhook.signing_tokens"),
            false => (&self.config.tokens, "webhook.tokens"),
        };
        match (tokens.as_slice(), signing) {
            ([new, old, ..], true) => Ok(Means { new: Secret::Signing(new), old: Secret::Signing(old), proven: false }),
            ([new, old, ..], false) => Ok(Means { new: Secret::Token(new), old: Secret::Token(old), proven: false }),
            _ => Err(format!(
                "{key} needs two tokens: put the new one first, keep the old one behind it until every hook has the new one, \
                 and restart the service with both before you run this"
            )),
        }
    }

    async fn rotate_one(&self, place: &Place, hook: &Hook, means: &mut Means<'_>) -> Result<Rotated, Error> {
        self.give(place, hook, means.new).await?;
        let rotated = Rotated { place: place.clone(), hook: Some(hook.id), outcome: Rotation::Rotated, problem: None };
        if means.proven {
            return Ok(rotated);
        }
        let tested = self.test_one(place, hook.id, Trigger::Pipeline).await?;
        match tested.arrived {
            Some(true) => means.proven = true,
            // Without a pipeline, or without a log, nothing is proven: the next hook may do.
            None => {}
            Some(false) => {
                self.give(place, hook, means.old).await?;
                return Ok(Rotated { outcome: Rotation::PutBack, problem: Some(refused(&tested)), ..rotated });
            }
        }
        Ok(rotated)
    }

    async fn give(&self, place: &Place, hook: &Hook, secret: Secret<'_>) -> Result<(), Error> {
        let wish = secret.wish(HookWish::default(), hook.description.as_deref());
        patiently!(self.gitlab.update_hook(&place.owner, hook.id, wish.clone())).map(drop)
    }
}

fn refused(tested: &Tested) -> String {
    let status = tested.status.map_or("was not answered".to_owned(), |status| format!("was answered {status}"));
    format!(
        "a test delivery with the new token {status}, so the old one was put back and nothing else changed: restart the service \
         with both tokens, the new one first, then run this again"
    )
}

impl Rotated {
    fn failed(place: &Place, hook: Option<u64>, problem: String) -> Self {
        Self { place: place.clone(), hook, outcome: Rotation::Failed, problem: Some(problem) }
    }
}

impl std::fmt::Display for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mark, words) = match self.outcome {
            Rotation::Rotated => ('✓', "has the new token"),
            Rotation::Already => ('✓', "had the new token already"),
            Rotation::PutBack => ('✗', "has its old token back"),
            Rotation::Failed => ('✗', "was not changed"),
        };
        write!(f, "{mark} {}: ", self.place)?;
        match self.hook {
            Some(hook) => write!(f, "webhook {hook} {words}")?,
            None => f.write_str(words)?,
        }
        self.problem.iter().try_for_each(|problem| write!(f, "; {problem}"))
    }
}
