//! Makes and repairs hooks.

use serde::Serialize;

use super::patience::patiently;
use super::plan::{new_hook, repair};
use super::secret::Secret;
use super::survey::Groups;
use super::{Hooks, Place, State, explain, is_general};
use crate::gitlab::{Class, Error, Hook, HookWish, Trigger};

/// What became of a place's hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it shall be.
    Unchanged,
    /// It was made; in a dry run: it would be.
    Created,
    /// It was changed; in a dry run: it would be.
    Updated,
    /// It could not be made, or is not yet as it shall be.
    Failed,
}

/// What was done, or would be, about one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ensured {
    /// Whose hook.
    pub place: Place,
    /// The hook, once there is one.
    pub hook: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether nothing was done really.
    pub dry_run: bool,
    /// What was changed, in words.
    pub changes: Vec<String>,
    /// What somebody should know.
    pub notes: Vec<String>,
    /// What is wrong, and what to do.
    pub problem: Option<String>,
}

/// What `ensure` needs to know at every place.
struct Means<'a> {
    secret: Secret<'a>,
    signs: bool,
    jobs: bool,
    dry_run: bool,
}

impl Hooks {
    /// Gives every place its hook, or repairs what it has; `jobs`: with job events. With `dry_run` it only says what it would
    /// do. `Err(Ok(sentence))` when the configuration does not fit this GitLab.
    pub async fn ensure(
        &self,
        places: &[Place],
        jobs: bool,
        dry_run: bool,
        out: &mut Vec<Ensured>,
    ) -> Result<(), Result<String, Error>> {
        let signs = self.signs().await.map_err(Err)?;
        let means = Means { secret: self.config.secret(signs).map_err(Ok)?, signs, jobs, dry_run };
        let mut groups = Groups::new();
        for place in places {
            match self.ensure_one(place, &means, &mut groups).await {
                Ok(ensured) => out.push(ensured),
                Err(error) if is_general(&error) => return Err(Err(error)),
                Err(error) => {
                    let problem = Some(explain(&error, place));
                    out.push(Ensured { outcome: Outcome::Failed, problem, ..means.ensured(place, None) });
                }
            }
        }
        Ok(())
    }

    /// Returns whether this GitLab knows signing tokens; one whose version cannot be read is believed to.
    pub(super) async fn signs(&self) -> Result<bool, Error> {
        let instance = patiently!(self.gitlab.instance(Class::Reader))?;
        Ok(instance.major().is_none_or(|major| major >= 19))
    }

    async fn ensure_one(&self, place: &Place, means: &Means<'_>, groups: &mut Groups) -> Result<Ensured, Error> {
        let found = self.found(place, groups).await?;
        if let Some((group, hook)) = found.covered_by {
            let mut ensured = means.ensured(place, Some(hook.id));
            ensured.notes.push(format!("the webhook of {group} covers it"));
            return Ok(ensured);
        }
        let mut hooks = found.hooks.into_iter();
        let mut ensured = match hooks.next() {
            None => self.create(place, means).await?,
            Some(hook) => self.repair(place, &hook, means).await?,
        };
        for other in hooks {
            let id = other.id;
            ensured.notes.push(format!("webhook {id} has the same URL, so events arrive twice: delete one in GitLab"));
        }
        Ok(ensured)
    }

    async fn create(&self, place: &Place, means: &Means<'_>) -> Result<Ensured, Error> {
        let mut ensured = Ensured { outcome: Outcome::Created, ..means.ensured(place, None) };
        ensured.notes.extend(self.config.note(means.secret, means.signs));
        if means.dry_run {
            return Ok(ensured);
        }
        let wish = new_hook(&self.config, means.secret, means.jobs);
        let hook = patiently!(self.gitlab.create_hook(&place.owner, wish.clone()))?;
        ensured.hook = Some(hook.id);
        self.verify(place, &hook, means, &mut ensured).await?;
        Ok(ensured)
    }

    async fn repair(&self, place: &Place, hook: &Hook, means: &Means<'_>) -> Result<Ensured, Error> {
        let mut ensured = means.ensured(place, Some(hook.id));
        let change = repair(hook, means.secret, means.jobs);
        ensured.changes = change.words.iter().map(|&words| words.to_owned()).collect();
        ensured.notes.extend(self.config.note(means.secret, means.signs));
        if means.secret.is_held(hook.description.as_deref()) == Some(false) {
            ensured.notes.push("it has another signing token than the first: run cistern hooks rotate".to_owned());
        }
        let disabled = State::of(hook).loses();
        if disabled {
            ensured.changes.push("tested, because GitLab had disabled it".to_owned());
        }
        if !ensured.changes.is_empty() {
            ensured.outcome = Outcome::Updated;
        }
        if means.dry_run {
            return Ok(ensured);
        }
        if !change.words.is_empty() {
            let changed = patiently!(self.gitlab.update_hook(&place.owner, hook.id, change.wish.clone()))?;
            self.verify(place, &changed, means, &mut ensured).await?;
        }
        if disabled && ensured.problem.is_none() {
            let tested = self.test_one(place, hook.id, Trigger::Pipeline).await?;
            if tested.arrived == Some(true) {
                ensured.notes.push("the test delivery arrived, so it is enabled again".to_owned());
            } else {
                ensured.outcome = Outcome::Failed;
                ensured.problem = Some(tested.problem.unwrap_or_else(|| "it may still be disabled".to_owned()));
            }
        }
        Ok(ensured)
    }

    /// Sees whether GitLab took the signing token, which older ones silently ignore (contract, section 2.1); where not, the
    /// hook gets a secret token, so that it is never left without any.
    async fn verify(&self, place: &Place, hook: &Hook, means: &Means<'_>, ensured: &mut Ensured) -> Result<(), Error> {
        if !matches!(means.secret, Secret::Signing(_)) || hook.signing_token_present == Some(true) {
            return Ok(());
        }
        match self.config.tokens.first() {
            Some(token) => {
                let secret = Secret::Token(token);
                let wish = secret.wish(HookWish::default(), hook.description.as_deref());
                patiently!(self.gitlab.update_hook(&place.owner, hook.id, wish.clone()))?;
                ensured.notes.extend(self.config.note(secret, true));
            }
            None => {
                ensured.outcome = Outcome::Failed;
                let problem = "GitLab did not take the signing token, so every delivery is refused: put a long random text \
                               into webhook.tokens, set webhook.allow_unsigned = true and run this again";
                ensured.problem = Some(problem.to_owned());
            }
        }
        Ok(())
    }
}

impl Means<'_> {
    fn ensured(&self, place: &Place, hook: Option<u64>) -> Ensured {
        Ensured {
            place: place.clone(),
            hook,
            outcome: Outcome::Unchanged,
            dry_run: self.dry_run,
            changes: Vec::new(),
            notes: Vec::new(),
            problem: None,
        }
    }
}

impl std::fmt::Display for Ensured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.outcome == Outcome::Failed { '✗' } else { '✓' };
        let words = match (self.outcome, self.dry_run) {
            (Outcome::Unchanged, _) => "as it should be",
            (Outcome::Created, false) => "created",
            (Outcome::Created, true) => "would be created",
            (Outcome::Updated, false) => "repaired",
            (Outcome::Updated, true) => "would be repaired",
            (Outcome::Failed, _) => "not done",
        };
        write!(f, "{mark} {}: ", self.place)?;
        if let Some(hook) = self.hook {
            write!(f, "webhook {hook} ")?;
        }
        f.write_str(words)?;
        if !self.changes.is_empty() {
            write!(f, " ({})", self.changes.join(", "))?;
        }
        for more in self.notes.iter().chain(&self.problem) {
            write!(f, "; {more}")?;
        }
        Ok(())
    }
}
