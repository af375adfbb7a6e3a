//! Who may read what (law 9; design, section 4.6).
//!
//! The guard of the reading routes finds out who asks and leaves a [`Reader`] in the request; whatever queries the cache
//! for that request asks the reader first and gets rights: [`Visible`] for a project's own document, [`Seen`] for its
//! pipelines, jobs and reports, [`FileRight`] for a log or an archive. Only this module makes them, and nothing of a project
//! can be queried without. A request that met no guard has no reader and reads nothing: denied by default.
//!
//! It deliberately does not remember readers beyond what GitLab said about them: a token is kept as a keyed hash only.

mod caller;
mod credential;
mod flights;
mod flood;
mod guard;
mod open;
mod paused;
mod reader;
mod tokens;
mod verdicts;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

pub use caller::Caller;
pub use guard::{from_here, reads};
pub use reader::{FileRight, Part, Reader, Seen, Visible};

use crate::domain::ProjectId;
use crate::gitlab::Gitlab;
use crate::store::{self, Store};
use flood::Flood;
use tokens::Tokens;
use verdicts::Verdicts;

/// Tells whether a project is one of some, by its id and path.
pub type Chosen = Arc<dyn Fn(ProjectId, &str) -> bool + Send + Sync>;

/// The ways to decide who may read.
#[derive(Clone)]
pub enum Mode {
    /// Everybody on this machine; with `allow_open_network` everybody.
    Open {
        /// Lets everybody read who can reach the listener, also by proxies and other names.
        allow_open_network: bool,
    },
    /// Whoever has one of these tokens, each for all projects or for some.
    Token(Vec<(SecretString, Option<Chosen>)>),
    /// Whoever GitLab lets.
    Gitlab(Times, Gitlab),
}

/// How long GitLab's word about a reader holds, and how often it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Its yes.
    pub positive: Duration,
    /// Its no.
    pub negative: Duration,
    /// Either, while GitLab cannot be asked.
    pub stale_if_error: Duration,
    /// Checks at once, at least 1.
    pub checks: usize,
}

/// Why somebody may not read.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// Who asks has no token, or one that is good for nothing.
    #[error("the token is missing or refused")]
    Unauthorized,
    /// They may see the project, but not this.
    #[error("their role is too low")]
    Forbidden,
    /// For them the project, or this part of it, does not exist.
    #[error("they may not know of it")]
    NotFound,
    /// Too many unknown tokens came from where this one comes from.
    #[error("too many unknown tokens")]
    TooMany,
    /// GitLab cannot be asked now, and nothing is known from before.
    #[error("GitLab cannot be asked")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The rule of who may read. Cheap to clone; clones share what they count.
#[derive(Clone)]
pub struct Access {
    store: Store,
    rule: Rule,
}

#[derive(Clone)]
enum Rule {
    Open { allow_open_network: bool },
    Token(Arc<Tokens>, Arc<Flood>),
    Gitlab(Arc<Verdicts>),
}

impl Access {
    /// Makes the rule; asks nobody. Fails when the machine has no randomness to give.
    pub fn new(mode: Mode, store: Store) -> std::io::Result<Self> {
        let rule = match mode {
            Mode::Open { allow_open_network } => Rule::Open { allow_open_network },
            Mode::Token(tokens) => Rule::Token(Arc::new(Tokens::new(tokens)?), Arc::default()),
            Mode::Gitlab(times, gitlab) => Rule::Gitlab(Arc::new(Verdicts::new(times, gitlab, store.clone())?)),
        };
        Ok(Self { store, rule })
    }

    /// Lets these static tokens be the ones that count from now on; where none are asked for, nothing changes.
    pub fn renew_tokens(&self, tokens: Vec<(SecretString, Option<Chosen>)>) {
        if let Rule::Token(held, _) = &self.rule {
            held.replace(tokens);
        }
    }
}

/// Returns 32 bytes that nobody can guess.
fn random() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source.fill(&mut bytes).map_err(|_| std::io::Error::other("the machine has no randomness to give"))?;
    Ok(bytes)
}
