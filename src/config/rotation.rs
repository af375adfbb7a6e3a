//! Secrets in files that may change while the service runs: an orchestrator that rotates one writes the file anew.
//!
//! Guarantees: a content counts only when two looks in a row saw it, so that a file that is just being written is not
//! taken for whole; a content that cannot be used is told once and changes nothing; no content is ever printed.
//!
//! What it does not do: it does not follow `store.url`, whose change needs new connections, nor any setting that is no
//! secret. Those need a restart.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::access::{self, ReadToken};
use super::keys::{ACCESS_TOKENS, GITLAB_HOOKS_TOKEN, GITLAB_TOKEN, Key, WEBHOOK_SIGNING_TOKENS, WEBHOOK_TOKENS};
use super::levels::split;
use super::mistake::{Mistake, Origin};
use super::surroundings::ReadFile;
use super::units::Unfit;
use super::{gitlab, webhook};

/// The settings that are followed.
const FOLLOWED: [&Key; 5] =
    [&GITLAB_TOKEN, &GITLAB_HOOKS_TOKEN, &WEBHOOK_TOKENS, &WEBHOOK_SIGNING_TOKENS, &ACCESS_TOKENS];

/// A secret that was replaced.
#[derive(Debug, Clone)]
pub enum Rotated {
    /// `gitlab.token`.
    GitlabToken(SecretString),
    /// `gitlab.hooks_token`.
    HooksToken(SecretString),
    /// `webhook.tokens`: all of them.
    WebhookTokens(Vec<SecretString>),
    /// `webhook.signing_tokens`: all of them.
    SigningTokens(Vec<SecretString>),
    /// `access.tokens`: all of them.
    ReadTokens(Vec<ReadToken>),
}

/// The files that hold secrets, and what they held when they were last looked at.
#[derive(Clone)]
pub struct Rotation {
    read: Arc<ReadFile>,
    files: Vec<SecretFile>,
}

#[derive(Clone)]
struct SecretFile {
    key: &'static Key,
    origin: Origin,
    path: PathBuf,
    /// What the last look saw, and what counts: seen twice in a row.
    seen: Content,
    counts: Content,
}

/// The digest of a content, or why there is none.
type Content = Result<[u8; 32], io::ErrorKind>;

impl Rotated {
    /// Returns the setting's name.
    pub fn key(&self) -> &'static str {
        match self {
            Self::GitlabToken(_) => GITLAB_TOKEN.name,
            Self::HooksToken(_) => GITLAB_HOOKS_TOKEN.name,
            Self::WebhookTokens(_) => WEBHOOK_TOKENS.name,
            Self::SigningTokens(_) => WEBHOOK_SIGNING_TOKENS.name,
            Self::ReadTokens(_) => ACCESS_TOKENS.name,
        }
    }

    fn read(key: &Key, content: &str) -> Result<Self, Unfit> {
        let texts = split(key, content.trim_end_matches(['\n', '\r']));
        let first = texts.first().ok_or_else(empty)?;
        if key == &GITLAB_TOKEN {
            return gitlab::parse_token(first).map(Self::GitlabToken);
        }
        if key == &GITLAB_HOOKS_TOKEN {
            return gitlab::parse_token(first).map(Self::HooksToken);
        }
        if key == &ACCESS_TOKENS {
            let tokens: Result<_, _> = texts.iter().map(|text| access::parse_token(text)).collect();
            return tokens.map(Self::ReadTokens);
        }
        if key == &WEBHOOK_TOKENS {
            let tokens: Result<_, _> = texts.iter().map(|text| webhook::parse_token(text)).collect();
            return tokens.map(Self::WebhookTokens);
        }
        let tokens: Result<_, _> = texts.iter().map(|text| webhook::parse_signing_token(text)).collect();
        tokens.map(Self::SigningTokens)
    }
}

impl Rotation {
    pub(super) fn new(read: Arc<ReadFile>) -> Self {
        Self { read, files: Vec::new() }
    }

    /// Follows the file from which a setting was read with this result; settings that need a restart are left out.
    pub(super) fn follow(&mut self, key: &'static Key, origin: Origin, path: &Path, read: &io::Result<String>) {
        if FOLLOWED.contains(&key) {
            let content = content(read);
            self.files.push(SecretFile { key, origin, path: path.to_owned(), seen: content, counts: content });
        }
    }

    /// Returns whether there is no file to look at.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Looks at every file once. Returns what changed and was the same at the last look: the new secret, or why it cannot
    /// be used, each once.
    pub fn look(&mut self) -> Vec<Result<Rotated, Mistake>> {
        let read = Arc::clone(&self.read);
        self.files.iter_mut().filter_map(|file| file.look(read(&file.path))).collect()
    }
}

impl SecretFile {
    fn look(&mut self, read: io::Result<String>) -> Option<Result<Rotated, Mistake>> {
        let content = content(&read);
        let settled = content == self.seen;
        self.seen = content;
        if !settled || content == self.counts {
            return None;
        }
        self.counts = content;
        let rotated = match read {
            Ok(text) => Rotated::read(self.key, &text),
            Err(error) => {
                Err(Unfit::new(format!("the file cannot be read: {error}"), "check its path and permissions"))
            }
        };
        Some(rotated.map_err(|Unfit { problem, fix }| Mistake {
            key: self.key.name.to_owned(),
            origin: self.origin.clone(),
            problem,
            fix,
        }))
    }
}

impl fmt::Debug for Rotation {
    /// Writes where, never what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| (file.key.name, &file.path))).finish()
    }
}

/// What is wrong with a file that holds nothing.
pub(super) fn empty() -> Unfit {
    Unfit::new("the file is empty", "write the secret into it, or remove the setting")
}

fn content(read: &io::Result<String>) -> Content {
    read.as_ref().map(|text| Sha256::digest(text.as_bytes()).into()).map_err(io::Error::kind)
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_counts_when_it_was_seen_twice_and_a_bad_one_is_told_once() {
        let held = Arc::new(Mutex::new("glpat-1\n".to_owned()));
        let file = Arc::clone(&held);
        let read: Arc<ReadFile> = Arc::new(move |_| Ok(file.lock().unwrap_or_else(PoisonError::into_inner).clone()));
        let write = |text: &str| text.clone_into(&mut held.lock().unwrap_or_else(PoisonError::into_inner));
        let mut rotation = Rotation::new(Arc::clone(&read));
        rotation.follow(&GITLAB_TOKEN, Origin::flag("gitlab.token_file"), Path::new("t"), &read(Path::new("t")));
        assert!(rotation.look().is_empty());
        write("glpat-");
        assert!(rotation.look().is_empty(), "half written");
        write("glpat-2\n");
        assert!(rotation.look().is_empty());
        let rotated = rotation.look().pop().expect("a change").expect("a good one");
        assert!(matches!(&rotated, Rotated::GitlabToken(token) if token.expose_secret() == "glpat-2"));
        for bad in ["", "glpat 3"] {
            write(bad);
            assert!(rotation.look().is_empty());
            let mistake = rotation.look().pop().expect("a change").expect_err("a bad one").to_string();
            assert!(mistake.starts_with("gitlab.token (flag --gitlab-token-file): "), "{mistake}");
            assert!(!mistake.contains("glpat 3"), "{mistake}");
            assert!(rotation.look().is_empty(), "told again");
        }
    }
}
