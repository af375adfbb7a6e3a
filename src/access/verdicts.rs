//! What GitLab says about its own users: `access.mode = gitlab` (design, section 4.6).
//!
//! Guarantees: nobody is let in on less than GitLab's own yes to their own token; a yes holds `access.positive_ttl`, a no
//! `access.negative_ttl`, both on all replicas, and both up to `access.stale_if_error` while GitLab cannot be asked; any 401,
//! 403 or 404 ends a yes at once, a 401 all those of its token. What many wait for is asked once.
//!
//! Accepted: a yes that is young enough holds although GitLab would say no by now; that is what the times are for. Two
//! replicas may ask the same at the same time; whichever asked later is believed.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout_at;

use super::flights::Flights;
use super::flood::Flood;
use super::paused::Paused;
use super::{Denied, Times, tokens};
use crate::domain::{ProjectFacts, ProjectId, Timestamp, network};
use crate::gitlab::{Credential, Error, Gitlab, Kind, Standing};
use crate::store::{self, About, Answer, Change, Store, TokenHash, Verdict};

/// The access level from which on logs and archives of a project are its reader's (contract, section 5.1).
const REPORTER: u32 = 20;

/// How long a reader waits for a check before what was known before counts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks GitLab about readers and remembers what it said.
pub(super) struct Verdicts {
    times: Times,
    gitlab: Gitlab,
    store: Store,
    /// Becomes the deployment's key if there is none yet.
    fresh_key: [u8; 32],
    key: OnceCell<[u8; 32]>,
    checks: Semaphore,
    flights: Flights<(TokenHash, About), Result<Option<Verdict>, TooMany>>,
    flood: Flood,
    paused: Paused,
}

/// Unknown tokens, from where this one comes from.
#[derive(Clone, Copy)]
struct TooMany;

/// What GitLab answered.
struct Said {
    answer: Answer,
    /// The project that a path leads to.
    project: Option<ProjectId>,
    /// What it said of the reader, as [`Verdict::told`].
    told: Option<Box<str>>,
}

impl From<Answer> for Said {
    fn from(answer: Answer) -> Self {
        Self { answer, project: None, told: None }
    }
}

/// Who asks, and from where.
pub(super) struct Asker {
    pub(super) credential: Credential,
    pub(super) peer: Option<IpAddr>,
}

impl Asker {
    /// Returns whether they are somebody in particular.
    pub(super) fn has_token(&self) -> bool {
        !matches!(self.credential, Credential::Anonymous)
    }
}

impl Verdicts {
    pub(super) fn new(times: Times, gitlab: Gitlab, store: Store) -> std::io::Result<Self> {
        Ok(Self {
            times,
            gitlab,
            store,
            fresh_key: super::random()?,
            key: OnceCell::new(),
            checks: Semaphore::new(times.checks.clamp(1, Semaphore::MAX_PERMITS)),
            flights: Flights::default(),
            flood: Flood::default(),
            paused: Paused::default(),
        })
    }

    /// Returns GitLab's yes, or why there is none.
    pub(super) async fn decide(&self, asker: &Asker, about: About) -> Result<Verdict, Denied> {
        let token = self.hash(&asker.credential).await?;
        let kept = self.store.verdict(token, &about).await?;
        if let Some(kept) = kept.as_ref().filter(|kept| self.is_good(kept, &about)) {
            return judged(kept.clone());
        }
        if asker.has_token()
            && let Some(kept) = self.store.verdict(token, &About::Token).await?
            && kept.answer == Answer::Unauthorized
            && kept.age < self.times.negative
        {
            return Err(Denied::Unauthorized);
        }
        let known = kept.is_some() || self.is_known(asker, token, &about).await?;
        let key = (token, about);
        let ask = || async {
            match known || self.flood.admits(asker.peer, Instant::now()) {
                true => Ok(self.ask(asker, &key).await),
                false => Err(TooMany),
            }
        };
        match self.flights.join(&key, ask).await {
            Err(TooMany) => Err(Denied::TooMany),
            Ok(Some(said)) => judged(said),
            Ok(None) => kept.filter(|kept| kept.age < self.times.stale_if_error).map_or(Err(Denied::Unknown), judged),
        }
    }

    /// Counts a question that a reader without a token has GitLab asked in our name; fails when it is one too many.
    pub(super) fn count(&self, asker: &Asker) -> Result<(), Denied> {
        match asker.has_token() || self.flood.admits(asker.peer, Instant::now()) {
            true => Ok(()),
            false => Err(Denied::TooMany),
        }
    }

    /// Asks GitLab and keeps what it says; `None` when it does not say anything now.
    async fn ask(&self, asker: &Asker, (token, about): &(TokenHash, About)) -> Option<Verdict> {
        // Somebody's question may have ended between our look at what is kept and our turn.
        if let Ok(Some(kept)) = self.store.verdict(*token, about).await
            && self.is_good(&kept, about)
        {
            return Some(kept);
        }
        self.ask_anew(asker, (token, about)).await
    }

    /// Asks GitLab whether a token that it refused somewhere is one still, whatever it said before.
    pub(super) async fn doubt(&self, asker: &Asker) {
        let Ok(token) = self.hash(&asker.credential).await else { return };
        let key = (token, About::Token);
        self.flights.join(&key, || async { Ok(self.ask_anew(asker, (&key.0, &key.1)).await) }).await.ok();
    }

    async fn ask_anew(&self, asker: &Asker, (token, about): (&TokenHash, &About)) -> Option<Verdict> {
        let began = Instant::now();
        let whose = (*token, (!asker.has_token()).then(|| network(asker.peer)));
        if self.paused.is(whose, began) {
            return None;
        }
        let deadline = tokio::time::Instant::from_std(began + PATIENCE);
        let _check = timeout_at(deadline, self.checks.acquire()).await.ok()?.ok()?;
        let answered = timeout_at(deadline, self.question(&asker.credential, about)).await;
        let Said { answer, project, told } = match answered.map(|answered| answered.map_err(|error| error.kind)) {
            Ok(Ok(said)) => said,
            Ok(Err(Kind::NotFound)) => Answer::NotFound.into(),
            Ok(Err(Kind::Forbidden)) => Answer::Forbidden.into(),
            Ok(Err(Kind::TokenRefused(_))) => Answer::Unauthorized.into(),
            Ok(Err(Kind::Throttled { everything: true, .. })) => return None,
            Ok(Err(Kind::Throttled { until, .. })) => {
                let now = Instant::now();
                self.paused.throttled(*token, now + until.since(Timestamp::now()), now);
                return None;
            }
            failed => {
                let error = match failed {
                    Ok(Err(kind)) => kind.to_string(),
                    _ => "no answer in time".to_owned(),
                };
                tracing::debug!(error, "GitLab did not say what a reader may read");
                self.paused.failed(whose, Instant::now());
                return None;
            }
        };
        self.paused.answered(whose);
        let verdict = Verdict { answer, project, told, age: began.elapsed() };
        if let (About::Path(_), Some(project)) = (about, project) {
            self.keep(*token, &About::Project(project), Verdict { project: None, ..verdict.clone() }).await;
            self.note_path(about, project).await;
        }
        tracing::debug!(verdict = answer.as_str(), about.kind = about.kind(), "GitLab said what a reader may read");
        // What GitLab does not take for a token reads nothing at all; nobody in particular is told so of some things only.
        let is_refused = answer == Answer::Unauthorized && asker.has_token();
        let about = if is_refused { &About::Token } else { about };
        self.keep(*token, about, verdict.clone()).await;
        Some(verdict)
    }

    async fn question(&self, credential: &Credential, about: &About) -> Result<Said, Error> {
        let as_member = |standing: Standing| {
            let answer = if standing.level >= REPORTER { Answer::Member } else { Answer::Granted };
            Said { answer, project: Some(standing.project), told: standing.permissions }
        };
        let granted = |()| Said::from(Answer::Granted);
        let gitlab = &self.gitlab;
        match about {
            About::Token => {
                let user = gitlab.user(credential).await?;
                Ok(Said { told: Some(user.text), ..Answer::Granted.into() })
            }
            About::Path(path) => gitlab.standing_by_path(credential, path).await.map(as_member),
            About::Project(project) => {
                let said = as_member(gitlab.standing(credential, *project).await?);
                Ok(Said { project: None, ..said })
            }
            About::Builds(project) => gitlab.may_list_pipelines(credential, *project).await.map(granted),
            About::Log(key) => gitlab.may_read_log(credential, *key).await.map(granted),
            About::Archive(key) => gitlab.may_read_archive(credential, *key).await.map(granted),
        }
    }

    /// What cannot be kept is asked again: no reason to keep the answer from whoever waits for it.
    async fn keep(&self, token: TokenHash, about: &About, verdict: Verdict) {
        let keep = match verdict.answer {
            // There may be any number of wrong tokens.
            Answer::Unauthorized => self.times.negative,
            answer => self.times.stale_if_error.max(self.holds(answer)),
        };
        if let Err(error) = self.store.save_verdict(token, about, verdict, keep).await {
            tracing::debug!(%error, "what a reader may read was not kept");
        }
    }

    /// Notes where a path leads that leads nowhere we know, for when GitLab is away. What may be read there is judged apart.
    async fn note_path(&self, about: &About, project: ProjectId) {
        let About::Path(path) = about else { return };
        if !matches!(self.store.project_by_path(path.clone().into()).await, Ok(None)) {
            return;
        }
        // GitLab's clock is not told here: whatever else is known is younger.
        let found = Change::FoundAt { path: path.clone(), project, as_of: Timestamp::default() };
        if let Err(error) = self.store.apply(vec![found]).await {
            tracing::debug!(%error, "where a path leads was not noted");
        }
    }

    fn holds(&self, answer: Answer) -> Duration {
        if answer.is_positive() { self.times.positive } else { self.times.negative }
    }

    /// Returns whether a kept answer needs no question. One about a token that does not say whose it is, as earlier versions kept
    /// it, does.
    fn is_good(&self, kept: &Verdict, about: &About) -> bool {
        let whole = kept.told.is_some() || *about != About::Token || !kept.answer.is_positive();
        whole && kept.age < self.holds(kept.answer)
    }

    /// Returns whether GitLab is known to know the token. Whoever has none is nobody in particular, and is not counted when they
    /// ask for what is cached and public: to be counted must not tell what of the rest is cached.
    async fn is_known(&self, asker: &Asker, token: TokenHash, about: &About) -> Result<bool, store::Error> {
        match (&asker.credential, about) {
            (Credential::Anonymous, About::Path(path)) => {
                let found = self.store.project_by_path(path.clone().into()).await?;
                Ok(found.is_some_and(|(_, document)| ProjectFacts::of(&document.text).is_public()))
            }
            (Credential::Anonymous, About::Project(project) | About::Builds(project)) => {
                let found = self.store.project(*project).await?;
                Ok(found.is_some_and(|document| ProjectFacts::of(&document.text).is_public()))
            }
            (Credential::Anonymous, About::Log(key) | About::Archive(key)) => Ok(self.store.job(*key).await?.is_some()),
            (Credential::Anonymous, About::Token) => Ok(true),
            (Credential::PrivateToken(_) | Credential::Bearer(_), _) => self.store.knows_token(token).await,
        }
    }

    async fn hash(&self, credential: &Credential) -> Result<TokenHash, store::Error> {
        let key = self.key.get_or_try_init(|| self.store.access_key(self.fresh_key)).await?;
        let hash = |scheme, token: &SecretString| tokens::hash(key, scheme, token.expose_secret());
        Ok(TokenHash(match credential {
            Credential::PrivateToken(token) => hash("private", token),
            Credential::Bearer(token) => hash("bearer", token),
            Credential::Anonymous => tokens::hash(key, "anonymous", ""),
        }))
    }
}

fn judged(verdict: Verdict) -> Result<Verdict, Denied> {
    match verdict.answer {
        Answer::Member | Answer::Granted => Ok(verdict),
        Answer::NotFound => Err(Denied::NotFound),
        Answer::Forbidden => Err(Denied::Forbidden),
        Answer::Unauthorized => Err(Denied::Unauthorized),
    }
}
