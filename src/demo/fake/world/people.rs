//! Who may see what: users with tokens, their roles in projects, and what a project shows to whom.
//!
//! The token of [`crate::demo::fake::Options`] is not among them: it is a bot of Reporter role in every project.

use std::collections::HashMap;

use super::World;
use crate::domain::{JobId, ProjectId};

/// Who may see a project that is not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Visibility {
    /// Its members.
    #[default]
    Private,
    /// Every user.
    Internal,
    /// Everybody.
    Public,
}

impl Visibility {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }
}

/// Whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It is.
    Good,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

/// Who sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The bot.
    Bot,
    /// A user, by number.
    User(u64),
    /// Nobody in particular.
    Anonymous,
}

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadToken {
    Unknown,
    Revoked,
    Expired,
}

/// Users, tokens and memberships.
#[derive(Debug, Default)]
pub(crate) struct People {
    tokens: HashMap<String, (u64, TokenState)>,
    levels: HashMap<(ProjectId, u64), u32>,
    users: u64,
}

/// The access level of a bot, and the lowest one that reads everything.
const REPORTER: u32 = 20;

impl World {
    /// Adds a user with one token, which is what they are known by, and without any role.
    pub fn add_user(&mut self, token: &str) {
        self.people.users += 1;
        self.people.tokens.insert(token.to_owned(), (self.people.users, TokenState::Good));
    }

    /// Gives a user another token.
    pub fn add_token(&mut self, of: &str, token: &str) {
        if let Some((user, _)) = self.people.tokens.get(of).copied() {
            self.people.tokens.insert(token.to_owned(), (user, TokenState::Good));
        }
    }

    /// Takes a token back, lets it expire, or makes it good again.
    pub fn set_token(&mut self, token: &str, state: TokenState) {
        if let Some((_, held)) = self.people.tokens.get_mut(token) {
            *held = state;
        }
    }

    /// Makes a user a member: 10 guest, 20 reporter, 30 developer, 40 maintainer, 50 owner; 0: no member.
    pub fn set_role(&mut self, project: ProjectId, token: &str, level: u32) {
        if let Some((user, _)) = self.people.tokens.get(token) {
            self.people.levels.insert((project, *user), level);
        }
    }

    /// Says who may see a project that is not theirs.
    pub fn set_visibility(&mut self, project: ProjectId, visibility: Visibility) {
        if let Some(project) = self.projects.get_mut(&project) {
            project.visibility = visibility;
        }
    }

    /// Says whether everybody who sees a project may see its pipelines, jobs, logs and artifacts, or reporters and above only.
    pub fn set_public_pipelines(&mut self, project: ProjectId, public: bool) {
        if let Some(project) = self.projects.get_mut(&project) {
            project.public_pipelines = public;
        }
    }

    /// Shows a job's log and artifacts to reporters and above only, whatever the project says.
    pub fn restrict_files(&mut self, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.files_restricted = true;
        }
    }

    /// Returns who a token belongs to; `None` is no token.
    pub(crate) fn caller(&self, token: Option<&str>, bot: &str) -> Result<Caller, BadToken> {
        match token {
            None => Ok(Caller::Anonymous),
            Some(token) if token == bot => Ok(Caller::Bot),
            Some(token) => match self.people.tokens.get(token) {
                Some((user, TokenState::Good)) => Ok(Caller::User(*user)),
                Some((_, TokenState::Revoked)) => Err(BadToken::Revoked),
                Some((_, TokenState::Expired)) => Err(BadToken::Expired),
                None => Err(BadToken::Unknown),
            },
        }
    }

    /// Returns somebody's access level in a project; 0 for who is no member.
    pub(crate) fn level(&self, caller: Caller, project: ProjectId) -> u32 {
        match caller {
            Caller::Bot => self.projects.get(&project).map_or(0, |project| project.role.into()),
            Caller::User(user) => self.people.levels.get(&(project, user)).copied().unwrap_or(0),
            Caller::Anonymous => 0,
        }
    }

    /// Returns whether somebody may see a project.
    pub(crate) fn sees(&self, caller: Caller, project: ProjectId) -> bool {
        let Some(held) = self.projects.get(&project) else { return false };
        self.level(caller, project) > 0
            || match held.visibility {
                Visibility::Public => true,
                Visibility::Internal => caller != Caller::Anonymous,
                Visibility::Private => false,
            }
    }

    /// Returns whether somebody who sees a project may see its pipelines and jobs.
    pub(crate) fn sees_builds(&self, caller: Caller, project: ProjectId) -> bool {
        let public = self.projects.get(&project).is_some_and(|project| project.public_pipelines);
        public || self.reports(caller, project)
    }

    /// Returns whether somebody is reporter of a project or above.
    pub(crate) fn reports(&self, caller: Caller, project: ProjectId) -> bool {
        self.level(caller, project) >= REPORTER
    }
}
